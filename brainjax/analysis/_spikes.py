"""Spikes seen through a window of time, and sorted into bins: where every statistic starts."""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from ..core import explain

# A time is `index * dt`, and an edge is `start + k * bin`: in floating point the same instant can
# come out as 0.3 and as 0.30000000000000004. Times closer to an edge than this are on it.
EDGE = 1e-6  # ms


@runtime_checkable
class Spikes(Protocol):
    """The spikes of one population: all that `analysis` and `plot` ask of a recording."""

    @property
    def neuron(self) -> np.ndarray: ...  # int [num_spikes], index within the population

    @property
    def time(self) -> np.ndarray: ...  # float64 [num_spikes], ms, the end of the step of the spike

    @property
    def size(self) -> int: ...  # neurons in the population, silent ones included

    @property
    def t_start(self) -> float: ...  # ms, recording covers (t_start, t_stop]

    @property
    def t_stop(self) -> float: ...  # ms


class View(NamedTuple):
    """The spikes inside a window, checked and as NumPy arrays."""

    neuron: np.ndarray  # int64 [num_spikes]
    time: np.ndarray  # float64 [num_spikes], ms
    size: int
    start: float  # ms, not included
    stop: float  # ms, included

    @property
    def duration(self) -> float:
        """Length of the window, in seconds."""
        return (self.stop - self.start) / 1000.0


def require_spikes(spikes: object) -> None:
    """Raise a `TypeError` unless `spikes` has the attributes of `Spikes`."""
    missing = [
        name
        for name in ("neuron", "time", "size", "t_start", "t_stop")
        if not hasattr(spikes, name)
    ]
    if missing:
        raise TypeError(
            explain(
                "spikes",
                got=type(spikes).__name__,
                expected=f"the spikes of one population (no attribute {', '.join(missing)})",
                mend="From several populations pick one by name: `trains['exc']`."
                if not hasattr(spikes, "trains")
                else "What rollout recorded becomes spikes by its method trains().",
            )
        )


def view(spikes: Spikes, start: float | None = None, stop: float | None = None) -> View:
    """The spikes of `spikes` with `start < time <= stop`.

    **Arguments:**

    - `spikes`: the spikes of one population.
    - `start`, `stop`: the window in ms; by default the whole recording.

    **Returns:**

    A `View`.

    **Raises:**

    `TypeError` for an object that is not the spikes of one population; `ValueError` for a
    population without neurons, a neuron outside it, an empty window, or one that reaches beyond the
    recording.
    """
    require_spikes(spikes)
    neuron = np.asarray(spikes.neuron, np.int64)
    time = np.asarray(spikes.time, np.float64)
    size = int(spikes.size)
    if size <= 0:
        raise ValueError(
            explain("spikes.size", got=size, expected="the number of neurons, at least 1")
        )
    if neuron.ndim != 1 or neuron.shape != time.shape:
        raise ValueError(
            explain(
                "shapes of spikes.neuron and spikes.time",
                got=(neuron.shape, time.shape),
                expected="one neuron and one time a spike, both [num_spikes]",
            )
        )
    if neuron.size and not 0 <= neuron.min() <= neuron.max() < size:
        raise ValueError(
            explain(
                "spikes.neuron",
                got=(int(neuron.min()), int(neuron.max())),
                expected=f"indices within the population, 0 to {size - 1}",
                mend="Global indices become local ones by subtracting the population's first.",
            )
        )
    start, stop = window(spikes, start, stop)
    inside = (time > start + EDGE) & (time <= stop + EDGE)
    return View(neuron[inside], time[inside], size, start, stop)


def window(spikes: Spikes, start: float | None, stop: float | None) -> tuple[float, float]:
    """`start` and `stop` in ms, filled in from the recording and checked against it."""
    first, last = float(spikes.t_start), float(spikes.t_stop)
    start = first if start is None else float(start)
    stop = last if stop is None else float(stop)
    if not stop - start > EDGE:  # also catches NaN
        raise ValueError(
            explain(
                "window (start, stop] in ms",
                got=(start, stop),
                expected="stop > start",
                mend=f"The recording covers ({first:g}, {last:g}] ms.",
            )
        )
    if start < first - EDGE or stop > last + EDGE:
        raise ValueError(
            explain(
                "window (start, stop] in ms",
                got=(start, stop),
                expected=f"a window inside the recording, which covers ({first:g}, {last:g}] ms",
                mend="Leave out `start` and `stop` to use all of it.",
            )
        )
    return start, stop


def bin_index(seen: View, bin: float) -> tuple[np.ndarray, np.ndarray, int]:
    """The bin of every spike; bin k covers `(start + k bin, start + (k + 1) bin]`.

    **Arguments:**

    - `seen`: the spikes inside the window.
    - `bin`: width in ms. An unfinished bin at the end of the window is left out, with its spikes.

    **Returns:**

    `(neuron, index, num_bins)`: neuron and bin of every spike that falls in a whole bin.

    **Raises:**

    `ValueError` for a width that is not positive or does not fit in the window.
    """
    if not (np.isfinite(bin) and bin > 0):
        raise ValueError(
            explain(
                "bin", got=bin, expected="a positive width in ms", mend="For instance `bin=1.0`."
            )
        )
    num_bins = int(np.floor((seen.stop - seen.start + EDGE) / bin))
    if num_bins == 0:
        raise ValueError(
            explain(
                "bin",
                got=bin,
                expected=f"at most the window, {seen.stop - seen.start:g} ms",
                mend="Take narrower bins or simulate for longer.",
            )
        )
    index = np.ceil((seen.time - seen.start - EDGE) / bin).astype(np.int64) - 1
    whole = index < num_bins
    return seen.neuron[whole], index[whole], num_bins
