"""Statistics of spike trains: plain NumPy functions of what a simulation recorded.

Every function takes one population's spikes, any object with the attributes `neuron`, `time`,
`size`, `t_start` and `t_stop`, so trains of other simulators can be measured with the same ruler.
Times are in ms, rates in Hz. `start` and `stop` narrow the window: spikes with `start < time <=
stop` count. `mean_field` and `siegert` are what theory predicts of the rates.

>>> from types import SimpleNamespace
>>> import numpy as np
>>> from brainjax import analysis
>>> spikes = SimpleNamespace(
...     neuron=np.array([0, 1, 0, 0]),
...     time=np.array([10.0, 20.0, 30.0, 70.0]),
...     size=2,
...     t_start=0.0,
...     t_stop=100.0,
... )
>>> analysis.rate(spikes)
20.0
>>> analysis.rates(spikes, start=20.0)
array([25.,  0.])
>>> analysis.isi(spikes)
(array([0, 0]), array([20., 40.]))
>>> round(analysis.cv_isi(spikes), 3)
0.333
>>> times, hz = analysis.population_rate(spikes, bin=50.0)
>>> times, hz
(array([25., 75.]), array([30., 10.]))
"""

from ._correlation import correlation as correlation
from ._correlation import synchrony as synchrony
from ._intervals import cv_isi as cv_isi
from ._intervals import cv_per_neuron as cv_per_neuron
from ._intervals import isi as isi
from ._mean_field import mean_field as mean_field
from ._rates import population_rate as population_rate
from ._rates import rate as rate
from ._rates import rates as rates
from ._rates import spectrum as spectrum
from ._siegert import siegert as siegert
from ._spikes import Spikes as Spikes
