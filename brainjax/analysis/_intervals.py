"""The intervals between a neuron's spikes, and how irregular they are."""

import numpy as np

from ..core import explain
from ._spikes import Spikes, view


def isi(
    spikes: Spikes, *, start: float | None = None, stop: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Inter-spike intervals, between consecutive spikes of the same neuron.

    **Arguments:**

    - `spikes`: the spikes of one population.
    - `start`, `stop`: the window in ms; by default the whole recording. Both spikes lie inside.

    **Returns:**

    `(neuron, interval)`, ordered by neuron, then by time: int64 index of the neuron, float64
    interval in ms.

    **Raises:**

    `ValueError` for an empty window or one beyond the recording.
    """
    seen = view(spikes, start, stop)
    order = np.lexsort((seen.time, seen.neuron))
    neuron, time = seen.neuron[order], seen.time[order]
    same = neuron[1:] == neuron[:-1]
    return neuron[1:][same], np.diff(time)[same]


def cv_per_neuron(
    spikes: Spikes, min_spikes: int = 3, *, start: float | None = None, stop: float | None = None
) -> np.ndarray:
    """Coefficient of variation of every neuron's inter-spike intervals: standard deviation / mean.

    The standard deviation divides by the number of intervals (`ddof=0`), as in Elephant and SciPy's
    `variation`. With few intervals this is biased low: to about 0.88 for a Poisson neuron with ten
    of them.

    **Arguments:**

    - `spikes`: the spikes of one population.
    - `min_spikes`: neurons with fewer spikes in the window have no value; at least 3, two
        intervals.
    - `start`, `stop`: the window in ms; by default the whole recording.

    **Returns:**

    float64 `[size]`; NaN for neurons with too few spikes.

    **Raises:**

    `ValueError` for an empty window, one beyond the recording, or `min_spikes` below 3.
    """
    if not min_spikes >= 3:
        raise ValueError(
            explain(
                "min_spikes",
                got=min_spikes,
                expected="at least 3",
                mend="Two spikes have one interval, and one interval no spread.",
            )
        )
    neuron, interval = isi(spikes, start=start, stop=stop)
    size = int(spikes.size)
    count = np.bincount(neuron, minlength=size)
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # silent neurons: 0 / 0, which is the NaN wanted
        mean = np.bincount(neuron, interval, minlength=size) / count
        variance = np.bincount(neuron, (interval - mean[neuron]) ** 2, minlength=size) / count
        cv = np.sqrt(variance) / mean
    return np.where(count + 1 >= min_spikes, cv, np.nan)


def cv_isi(
    spikes: Spikes, min_spikes: int = 3, *, start: float | None = None, stop: float | None = None
) -> float:
    """Irregularity: the coefficient of variation of inter-spike intervals, a mean over neurons.

    1 for Poisson neurons, 0 for clocks, $1/\\sqrt{k}$ for a gamma process of order $k$.

    **Arguments:**

    - `spikes`: the spikes of one population.
    - `min_spikes`: neurons with fewer spikes in the window are left out; at least 3.
    - `start`, `stop`: the window in ms; by default the whole recording.

    **Returns:**

    The mean of `cv_per_neuron` over the neurons that have a value; NaN when none has.

    **Raises:**

    `ValueError` for an empty window, one beyond the recording, or `min_spikes` below 3.
    """
    cv = cv_per_neuron(spikes, min_spikes, start=start, stop=stop)
    cv = cv[~np.isnan(cv)]
    return float(cv.mean()) if cv.size else float("nan")
