"""What recorders give back."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int

from ..core import explain


class SpikeTrains(NamedTuple):
    """The spikes of a population, sorted by time, then neuron."""

    neuron: np.ndarray  # int (num_spikes,), index in the population
    time: np.ndarray  # float64 (num_spikes,), ms, the end of the step
    size: int  # neurons of the population, silent ones too
    t_start: float  # ms
    t_stop: float  # ms


class SpikeLog(NamedTuple):
    """The spikes of a population as arrays of fixed size, for use inside a transformation."""

    neuron: Int[Array, " capacity"]  # valid up to `length`
    counts: Int[Array, " num_steps"]  # spikes of each step
    length: Int[Array, ""]  # beyond the capacity if spikes were lost
    first: Int[Array, ""]  # index of the first step
    dt: Float[Array, ""]  # ms
    size: Int[Array, ""]  # neurons of the population

    def trains(self) -> SpikeTrains:
        """The spikes as `SpikeTrains`, on the host.

        **Raises:**

        `RuntimeError` if there were more spikes than the recorder has room for.
        """
        length, capacity = int(self.length), self.neuron.shape[-1]
        check_capacity("Spikes", length, capacity)
        counts = np.asarray(self.counts)
        first, dt = int(self.first), float(f"{float(self.dt):.7g}")
        steps = first + np.repeat(np.arange(len(counts)), counts)
        return SpikeTrains(
            np.asarray(self.neuron)[:length],
            (steps + 1) * dt,
            int(self.size),
            first * dt,
            (first + len(counts)) * dt,
        )


class TraceRecord(NamedTuple):
    """A field of some neurons at the end of every step."""

    time: Float[Array | np.ndarray, " num_steps"]  # ms
    value: Float[Array | np.ndarray, "num_steps neurons"]
    neurons: Int[np.ndarray, " neurons"]  # which


class RateRecord(NamedTuple):
    """The mean rate of a population in bins."""

    time: Float[Array | np.ndarray, " bins"]  # ms, the start of each bin
    rate: Float[Array | np.ndarray, " bins"]  # Hz


def check_capacity(what: str, length: int, capacity: int) -> None:
    """Raise `RuntimeError` if a log of `capacity` was to hold `length` entries."""
    if length > capacity:
        raise RuntimeError(
            explain(
                f"{what}: the capacity overflowed",
                got=f"{length} spikes",
                expected=f"at most {capacity}",
                mend=f"Pass capacity={2 * length}, or a shorter chunk.",
            )
        )
