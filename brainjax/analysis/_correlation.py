"""How much the neurons of a population fire together."""

import numpy as np

from ._spikes import Spikes, bin_index, view


def synchrony(
    spikes: Spikes, bin: float = 3.0, *, start: float | None = None, stop: float | None = None
) -> float:
    r"""Synchrony index: variance over mean (Fano factor) of the population's spike count per bin.

    1 for independent Poisson neurons, below for regular ones, and of the order of the number of
    neurons when they fire together: $N (1 - p)$ when all $N$ fire once in a random fraction $p$ of
    the bins. It grows with $N$ in a correlated population, so compare populations by samples of
    equal size.

    **Arguments:**

    - `spikes`: the spikes of one population.
    - `bin`: width of the bins in ms; 3 as in the source.
    - `start`, `stop`: the window in ms; by default the whole recording.

    **Returns:**

    The index, without unit; NaN when there are no spikes.

    **Raises:**

    `ValueError` for an empty window, one beyond the recording, or a width that does not fit in it.

    **Source:**

    T. C. Potjans and M. Diesmann, "The cell-type specific cortical microcircuit", Cerebral Cortex
    24, 2014, doi:10.1093/cercor/bhs358
    """
    _, index, num_bins = bin_index(view(spikes, start, stop), bin)
    count = np.bincount(index, minlength=num_bins)
    return float(count.var() / count.mean()) if index.size else float("nan")


def correlation(
    spikes: Spikes, bin: float = 2.0, *, start: float | None = None, stop: float | None = None
) -> float:
    r"""Mean Pearson correlation of binned spike counts, over all pairs of different neurons.

    With $z_i$ the counts of neuron $i$ over time, shifted and scaled to mean 0 and variance 1, and
    $n$ neurons,

    $$\bar c = \frac{1}{n(n-1)} \sum_{i \neq j} \langle z_i z_j \rangle
             = \frac{\mathrm{var}(\sum_i z_i) - n}{n (n - 1)},$$

    which is exact over all pairs at a cost proportional to the spikes: nothing is sampled.

    **Arguments:**

    - `spikes`: the spikes of one population.
    - `bin`: width of the bins in ms. Correlation of spikes that are not simultaneous shows in wider
        bins only.
    - `start`, `stop`: the window in ms; by default the whole recording.

    **Returns:**

    The mean correlation, from -1 / (n - 1) to 1. Neurons whose count never changes (the silent
    ones) have no correlation and are left out; NaN when fewer than two remain.

    **Raises:**

    `ValueError` for an empty window, one beyond the recording, or a width that does not fit in it.
    """
    seen = view(spikes, start, stop)
    neuron, index, num_bins = bin_index(seen, bin)
    cell, count = np.unique(
        neuron * num_bins + index, return_counts=True
    )  # the non-zero (neuron, bin)
    neuron, index = np.divmod(cell, num_bins)
    mean = np.bincount(neuron, count, minlength=seen.size) / num_bins
    variance = np.bincount(neuron, count**2, minlength=seen.size) / num_bins - mean**2
    # Counts are integers, so a variance that is not zero is at least (1 - 1 / num_bins) / num_bins.
    moving = variance > 0.25 / num_bins
    n = int(moving.sum())
    if n < 2:
        return float("nan")
    scale = np.where(moving, 1.0 / np.sqrt(np.where(moving, variance, 1.0)), 0.0)
    total = np.bincount(index, count * scale[neuron], minlength=num_bins)
    return float((total.var() - n) / (n * (n - 1)))
