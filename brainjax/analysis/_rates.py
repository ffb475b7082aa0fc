"""How much a population fires: per neuron, over time, and by frequency."""

import numpy as np

from ..core import explain
from ._spikes import Spikes, bin_index, view


def rate(spikes: Spikes, *, start: float | None = None, stop: float | None = None) -> float:
    """Mean firing rate: spikes / (neurons x duration), silent neurons included.

    **Arguments:**

    - `spikes`: the spikes of one population.
    - `start`, `stop`: the window in ms; by default the whole recording.

    **Returns:**

    The rate in Hz.

    **Raises:**

    `ValueError` for an empty window or one beyond the recording.
    """
    seen = view(spikes, start, stop)
    return seen.time.size / (seen.size * seen.duration)


def rates(spikes: Spikes, *, start: float | None = None, stop: float | None = None) -> np.ndarray:
    """Firing rate of every neuron.

    **Arguments:**

    - `spikes`: the spikes of one population.
    - `start`, `stop`: the window in ms; by default the whole recording.

    **Returns:**

    float64 `[size]`, in Hz; 0 for a silent neuron.

    **Raises:**

    `ValueError` for an empty window or one beyond the recording.
    """
    seen = view(spikes, start, stop)
    return np.bincount(seen.neuron, minlength=seen.size) / seen.duration


def population_rate(
    spikes: Spikes, bin: float = 1.0, *, start: float | None = None, stop: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Firing rate of the population over time, a mean over its neurons.

    **Arguments:**

    - `spikes`: the spikes of one population.
    - `bin`: width of the bins in ms; an unfinished bin at the end is left out. A width that is not
        a multiple of the simulation's `dt` gives bins of unequal numbers of steps, and a comb in
        the rate.
    - `start`, `stop`: the window in ms; by default the whole recording.

    **Returns:**

    `(times, rate)`, each float64 `[num_bins]`: the middle of every bin in ms, and the rate in Hz.

    **Raises:**

    `ValueError` for an empty window, one beyond the recording, or a width that does not fit in it.
    """
    seen = view(spikes, start, stop)
    _, index, num_bins = bin_index(seen, bin)
    times = seen.start + (np.arange(num_bins) + 0.5) * bin
    return times, np.bincount(index, minlength=num_bins) / (seen.size * bin / 1000.0)


def spectrum(
    spikes: Spikes,
    bin: float = 1.0,
    *,
    segment: float = 500.0,
    start: float | None = None,
    stop: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Power spectral density of the population rate, by Welch's method.

    Hann window, segments that overlap by half. Independent Poisson neurons of rate $r$ give the
    flat level $2r/N$ (one-sided) for a population of $N$.

    **Arguments:**

    - `spikes`: the spikes of one population.
    - `bin`: width of the bins in ms; frequencies reach up to 500 / `bin` Hz.
    - `segment`: length of a segment in ms: the spectrum resolves 1000 / `segment` Hz. A shorter
        window is one segment.
    - `start`, `stop`: the window in ms; by default the whole recording.

    **Returns:**

    `(frequency, power)`, each float64: Hz, and Hz^2 / Hz. The mean rate is taken out of every
    segment.

    **Raises:**

    `ValueError` for an empty window, one beyond the recording, a width that does not fit in it, or
    a segment of fewer than two bins.

    **Source:**

    P. D. Welch, "The use of fast Fourier transform for the estimation of power spectra", IEEE
    Transactions on Audio and Electroacoustics 15, 1967, doi:10.1109/TAU.1967.1161901
    """
    from scipy import signal  # here, because importing it takes longer than all the rest

    _, values = population_rate(spikes, bin, start=start, stop=stop)
    if not segment >= 2 * bin or values.size < 2:
        raise ValueError(
            explain(
                "segment",
                got=segment,
                expected=f"at least two bins of {bin:g} ms, in a window that holds two",
                mend="Take narrower bins or a longer segment.",
            )
        )
    length = min(round(segment / bin), values.size)
    return signal.welch(values, fs=1000.0 / bin, nperseg=length)
