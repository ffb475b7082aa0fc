"""Figures of what a simulation recorded, ready for a talk.

Every function returns a `matplotlib` figure that shows itself in a notebook and is written with
`figure.savefig("raster.png")`. Nothing global is touched: no style, no `pyplot`. Each can also draw
into axes of your own, by `ax=`. Matplotlib is imported when the first figure is made.

A population's colour is its place among `trains`, the same in every figure.

>>> from types import SimpleNamespace
>>> import numpy as np
>>> from brainjax import plot
>>> rng = np.random.default_rng(0)
>>> spikes = SimpleNamespace(
...     neuron=rng.integers(100, size=2000),
...     time=np.sort(rng.uniform(0.0, 1000.0, 2000)),
...     size=100,
...     t_start=0.0,
...     t_stop=1000.0,
... )
>>> figure = plot.raster({"exc": spikes}, start=200.0)
>>> [axes.get_ylabel() for axes in figure.axes]
['100 neurons', 'rate (Hz)\\n2 ms bins']
"""

from ._distribution import isis as isis
from ._distribution import rates as rates
from ._raster import raster as raster
from ._summary import summary as summary
from ._trace import trace as trace
