"""Recorders: what is kept of a run. `init`, `step`, `finish`, the same for every driver.

`init` makes what a recorder carries through the steps; `step` sees the state at the end of a step
and returns the carry and what is stacked over steps; `finish` turns a list of blocks (carry, stack,
first step) into the record. `simulate` passes the blocks of its chunks, on the host; `rollout` one
block, whose arrays may be traced.
"""

import abc
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..core import explain, is_traced, near_miss
from ..network import BuiltNetwork, NetworkState
from ..ops import log_events
from ._records import RateRecord, SpikeLog, SpikeTrains, TraceRecord, check_capacity


class Block(NamedTuple):
    """What a recorder kept of consecutive steps."""

    carry: Any
    stack: Any  # leading axis: steps
    first: Any  # index of the first step
    num_steps: int


def _concatenate(parts: Sequence[Any]) -> Any:
    host = not any(map(is_traced, parts))
    return parts[0] if len(parts) == 1 else (np if host else jnp).concatenate(parts)


class Recorder(eqx.Module):
    """Keeps something of a run."""

    population: eqx.AbstractVar[str]

    def check(self, built: BuiltNetwork) -> None:
        """Raise `ValueError` if `built` does not have what is to be recorded."""
        if self.population not in built.populations:
            raise ValueError(
                explain(
                    f"{type(self).__name__}: population",
                    got=self.population,
                    expected="a population of the network",
                    mend=near_miss(self.population, built.names),
                )
            )

    @abc.abstractmethod
    def init(self, built: BuiltNetwork, num_steps: int) -> Any:
        """What is carried through `num_steps` steps."""

    @abc.abstractmethod
    def step(self, built: BuiltNetwork, carry: Any, state: NetworkState) -> tuple[Any, Any]:
        """`(carry, kept)` after a step; `kept` is stacked over steps."""

    def room(self, built: BuiltNetwork) -> float:
        """About how many numbers are kept of a step; where it is much, chunks are shorter."""
        del built
        return 1.0

    def kept(self, carry: Any) -> Any:
        """What of the carry of a chunk is kept on the host until the run ends."""
        return jax.tree.map(np.asarray, carry)

    @abc.abstractmethod
    def finish(self, built: BuiltNetwork, blocks: Sequence[Block]) -> Any:
        """The record, from the blocks in order."""


def _times(built: BuiltNetwork, block: Block, offsets: np.ndarray):
    """The times, ms, that lie `offsets` steps after the start of `block`."""
    if is_traced(block.first):
        steps = block.first + jnp.asarray(offsets, jnp.int32)
        return steps.astype(built.dt_leaf.dtype) * built.dt_leaf
    return (int(block.first) + offsets) * built.dt


class Spikes(Recorder):
    """Every spike of a population: neuron and time.

    **Arguments:**

    - `population`: its name.
    - `capacity`: room for spikes, per chunk in `simulate` and in all in `rollout`. By default
      enough for a mean rate of 1000 Hz. More spikes than room is an error, never a loss.

    **Returns:**

    `SpikeTrains` from `simulate`; from `rollout` a `SpikeLog`, whose `trains()` gives them.
    """

    population: str = eqx.field(static=True)
    capacity: int | None = eqx.field(default=None, static=True)

    def __check_init__(self):
        if self.capacity is not None and (
            isinstance(self.capacity, bool)
            or not isinstance(self.capacity, int)
            or self.capacity < 1
        ):
            raise ValueError(
                explain("Spikes: capacity", got=self.capacity, expected="an integer of at least 1")
            )

    def _capacity(self, built, num_steps):
        size = built.size_of(self.population)
        usual = max(math.ceil(size * num_steps * built.dt), 4 * size)
        return self.capacity or max(min(usual, size * num_steps), 1)

    def room(self, built):
        return self._capacity(built, 1000) / 1000

    def init(self, built, num_steps):
        log = jnp.zeros(self._capacity(built, num_steps), jnp.int32)
        return log, jnp.zeros((), jnp.int32)

    def step(self, built, carry, state):
        log, before = carry
        log, length = log_events(log, before, state.spikes[self.population], impl=built.impl)
        return (log, length), length - before

    def kept(self, carry):
        log, length = map(np.asarray, carry)
        check_capacity(f"Spikes('{self.population}')", int(length), log.shape[0])
        return log[: int(length)].copy(), length  # not the room that was left

    def finish(self, built, blocks):
        size = built.size_of(self.population)
        traced = any(map(is_traced, jax.tree.leaves(blocks)))
        if traced or isinstance(blocks[0].carry[0], jax.Array):
            (((log, length), counts, first, _),) = blocks
            return SpikeLog(log, counts, length, first, built.dt_leaf, jnp.asarray(size, jnp.int32))
        neurons, steps = [], []
        for (log, _), counts, first, _ in blocks:
            neurons.append(log)
            steps.append(int(first) + np.repeat(np.arange(len(counts)), counts))
        start, stop = int(blocks[0].first), int(blocks[-1].first) + blocks[-1].num_steps
        return SpikeTrains(
            np.concatenate(neurons),
            (np.concatenate(steps) + 1) * built.dt,
            size,
            start * built.dt,
            stop * built.dt,
        )


class SpikeCount(Recorder):
    """How many spikes each neuron of a population emitted; differentiable.

    **Arguments:**

    - `population`: its name.

    **Returns:**

    An array of shape `(size,)`.
    """

    population: str = eqx.field(static=True)

    def init(self, built, num_steps):
        del num_steps
        return jnp.zeros(built.size_of(self.population), built.dt_leaf.dtype)

    def step(self, built, carry, state):
        return carry + state.spikes[self.population], None

    def finish(self, built, blocks):
        counts = [b.carry for b in blocks]
        on_host = isinstance(counts[0], np.ndarray)
        return np.sum(np.asarray(counts, np.float64), axis=0) if on_host else counts[0]


class PopulationRate(Recorder):
    """The mean rate of a population over time; differentiable.

    **Arguments:**

    - `population`: its name.
    - `bin`: width of the bins, ms, a multiple of dt; a last bin may be shorter. One step if `None`.

    **Returns:**

    A `RateRecord` in Hz.
    """

    population: str = eqx.field(static=True)
    bin: float | None = eqx.field(default=None, static=True)

    def check(self, built):
        Recorder.check(self, built)
        if self.bin is not None:
            if isinstance(self.bin, bool) or not isinstance(self.bin, (int, float, np.number)):
                raise TypeError(
                    explain("PopulationRate: bin", got=self.bin, expected="a number in ms")
                )
            steps = self.bin / built.dt if np.isfinite(self.bin) else 0
            if round(steps) < 1 or abs(steps - round(steps)) > 1e-6 * steps:
                raise ValueError(
                    explain(
                        "PopulationRate: bin",
                        got=self.bin,
                        expected=f"a multiple of dt = {built.dt} ms",
                    )
                )

    def init(self, built, num_steps):
        del built, num_steps

    def step(self, built, carry, state):
        return carry, jnp.mean(state.spikes[self.population])

    def finish(self, built, blocks):
        fraction = _concatenate([b.stack for b in blocks])
        steps = 1 if self.bin is None else round(self.bin / built.dt)
        whole = len(fraction) // steps
        rate = fraction[: whole * steps].reshape(whole, steps).mean(axis=1)
        if len(fraction) > whole * steps:
            rate = _concatenate([rate, fraction[whole * steps :].mean(keepdims=True)])
        time = _times(built, blocks[0], np.arange(len(rate)) * steps)
        return RateRecord(time, rate * (1000 / built.dt))


class Trace(Recorder):
    """A field of the state of some neurons at the end of every step; differentiable.

    **Arguments:**

    - `population`: its name.
    - `field`: as the model's docstring lists it (`"v"`), `"receptor.field"` (`"ampa.g"`), or
      `"spikes"`.
    - `neurons`: indices; all if `None`.

    **Returns:**

    A `TraceRecord` in the unit of the field.
    """

    population: str = eqx.field(static=True)
    field: str = eqx.field(static=True)
    neurons: tuple[int, ...] | None = eqx.field(
        default=None,
        static=True,
        converter=lambda x: None if x is None else tuple(np.ravel(np.asarray(x)).tolist()),
    )

    def check(self, built):
        Recorder.check(self, built)
        population = built.populations[self.population]
        known = (*population.observable(), "spikes")
        if self.field not in known:
            raise ValueError(
                explain(
                    f"Trace('{self.population}'): field",
                    got=self.field,
                    expected="a field of the state",
                    mend=near_miss(self.field, known),
                )
            )
        for i in self.neurons or ():
            if (
                isinstance(i, bool)
                or not isinstance(i, int)
                or not 0 <= i < built.size_of(self.population)
            ):
                raise ValueError(
                    explain(
                        f"Trace('{self.population}'): neurons",
                        got=i,
                        expected=f"indices in 0..{built.size_of(self.population) - 1}",
                    )
                )

    def init(self, built, num_steps):
        del built, num_steps

    def room(self, built):
        return built.size_of(self.population) if self.neurons is None else len(self.neurons)

    def step(self, built, carry, state):
        values = built.observe(state, self.population, self.field)
        return carry, values if self.neurons is None else values[np.asarray(self.neurons, np.int32)]

    def finish(self, built, blocks):
        value = _concatenate([b.stack for b in blocks])
        time = _times(built, blocks[0], np.arange(1, len(value) + 1))
        chosen = range(built.size_of(self.population)) if self.neurons is None else self.neurons
        return TraceRecord(time, value, np.asarray(chosen, np.int32))


def check_recorders(
    built: BuiltNetwork, record: Mapping[str, Recorder] | None
) -> dict[str, Recorder]:
    """The recorders, each checked against the network."""
    if record is None:
        return {}
    if not isinstance(record, Mapping):
        raise TypeError(
            explain(
                "record",
                got=record,
                expected="a mapping from names to recorders",
                mend="For example record={'spikes': bj.Spikes('exc')}.",
            )
        )
    for name, recorder in record.items():
        if not isinstance(recorder, Recorder):
            mend = "For example bj.Spikes('exc')."
            raise TypeError(
                explain(f"record[{name!r}]", got=recorder, expected="a recorder", mend=mend)
            )
        recorder.check(built)
    return dict(record)


def step_all(recorders: Mapping[str, Recorder], built, carries, state) -> tuple[dict, dict]:
    """One step of every recorder."""
    stepped = {n: r.step(built, carries[n], state) for n, r in recorders.items()}
    return {n: s[0] for n, s in stepped.items()}, {n: s[1] for n, s in stepped.items()}


def finish_all(recorders: Mapping[str, Recorder], built, blocks: Sequence[Block]) -> dict[str, Any]:
    """The records of blocks whose carry and stack are dicts over the recorders."""
    return {
        n: r.finish(built, [b._replace(carry=b.carry[n], stack=b.stack[n]) for b in blocks])
        for n, r in recorders.items()
    }
