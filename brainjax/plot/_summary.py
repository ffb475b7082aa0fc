"""One page of a simulation: raster and rates, distributions, a few voltages."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..analysis import Spikes
from ._distribution import isis, rates
from ._raster import raster
from ._style import new_figure
from ._trace import trace
from ._trains import common_window, named

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def summary(
    trains: Mapping[str, Spikes] | Spikes,
    traces: tuple[Any, Any] | None = None,
    *,
    labels: Sequence[str] | None = None,
    threshold: float | None = None,
    start: float | None = None,
    stop: float | None = None,
) -> "Figure":
    """Raster and rates, the distributions of rate and CV, and below them membrane potentials.

    **Arguments:**

    - `trains`: name of the population -> its spikes; or the spikes of one population.
    - `traces`: `(times, values)` of membrane potentials, `[time]` in ms and `[time, neuron]` in mV.
    - `labels`: a name for every neuron of `traces`.
    - `threshold`: a potential to mark, in mV.
    - `start`, `stop`: the window in ms; by default what all the recordings cover.

    **Returns:**

    The figure.

    **Raises:**

    `ImportError` without Matplotlib; `ValueError` for an empty mapping or window.
    """
    trains = named(trains)
    start, stop = common_window(trains, start, stop)
    figure = new_figure(14.0, 7.0 if traces is None else 9.6)
    # Parts of their own, because each is laid out by itself: a legend on the right would otherwise
    # open a gap on the left.
    heights = (1.0,) if traces is None else (7.0, 2.6)
    parts: Any = figure.subfigures(nrows=len(heights), height_ratios=heights, squeeze=False)
    left, right = parts[0, 0].subfigures(ncols=2, width_ratios=(2.0, 1.0))
    rows, time = left.subplots(nrows=2, sharex=True, height_ratios=(3.0, 1.0))
    raster(trains, start=start, stop=stop, ax=(rows, time))
    fast, irregular = right.subplots(nrows=2)
    rates(trains, start=start, stop=stop, ax=fast)
    isis(trains, start=start, stop=stop, ax=irregular)
    if traces is not None:
        below = parts[1, 0].subplots()
        trace(*traces, quantity="potential", labels=labels, threshold=threshold, ax=below)
        below.set_xlim(start, stop)
    return figure
