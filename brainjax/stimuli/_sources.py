"""Populations that spike by themselves: input that reaches others through projections."""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..core import Dynamics, Instant, as_leaf, explain, parameter
from ..core._parameters import Parameter
from ._poisson import events_per_step, poisson_counts
from ._stimulus import _during


class Source(Dynamics):
    """A population that spikes without input. Its spikes may be graded: a number multiplies."""

    # Whether spikes depend smoothly on a parameter. Where they do not, no gradient is sought.
    differentiable: ClassVar[bool] = True

    def observe(self, state: Any) -> dict[str, Array]:
        """Sources have nothing to record but their spikes."""
        del state
        return {}

    def live_step(
        self, state: Any, input: Any, *, at: Instant
    ) -> tuple[Any, Float[Array, " size"], Bool[Array, " size"]]:
        """One step, and which spikes are live: have a derivative."""
        state, spikes = self.step(state, input, at=at)
        return state, spikes, jnp.full(jnp.shape(spikes), self.differentiable)

    def prepared(self, dt: float, size: int) -> "Source":
        """The source for steps of `dt` ms and `size` units, checked."""
        del dt, size
        return self


class NoState(NamedTuple):
    """Nothing is remembered."""


class PoissonSource(Source):
    """Units that spike as independent Poisson processes while start <= t < stop.

    A unit with two events in a step emits a spike of value 2. `max_events` is the most events of a
    unit in a step; it is found from the rate if that is concrete.
    """

    elementwise: ClassVar[bool] = True
    differentiable: ClassVar[bool] = False
    rate: Parameter = parameter(unit="Hz", doc="rate of each unit", domain="nonnegative")
    start: Parameter = parameter(0.0, unit="ms", doc="onset")
    stop: Parameter = parameter(float("inf"), unit="ms", doc="end", domain="real")
    max_events: int | None = eqx.field(default=None, static=True)

    def prepared(self, dt, size):
        for name in ("rate", "start", "stop"):
            shape = jnp.shape(getattr(self, name))
            if shape not in ((), (size,)):
                raise ValueError(
                    explain(
                        f"PoissonSource({name}=...)",
                        got=f"shape {shape}",
                        expected=f"() or ({size},), one per unit of the population",
                    )
                )
        events = events_per_step(self.rate, dt, self.max_events, "PoissonSource")
        return PoissonSource(self.rate, self.start, self.stop, max_events=events)

    def init_state(self, shape=(), *, key=None):
        del shape, key
        return NoState()

    def step(self, state, input, *, at):
        del input
        mean = self.rate * (at.dt / 1000)
        counts = poisson_counts(at.stream, "PoissonSource", at.index, mean, self.max_events or 1)
        return state, jnp.where(_during(self.start, self.stop, at), counts, 0)


class SpikeSourceState(NamedTuple):
    """State of `SpikeSource`."""

    sent: Int[Array, " size"]  # spikes emitted by each unit


def _numbers(x) -> tuple:
    return tuple(np.ravel(np.asarray(x)).tolist())


class SpikeSource(Source):
    """Units that spike at given times.

    A spike at `times[i]` of unit `neurons[i]` is stamped with that time: it ends the step before
    it. Times are in ms, positive multiples of dt, in any order; equal ones add up to one spike of
    that value. `due` and `value`, the steps and values of each unit's spikes, are filled in by
    `brainjax.build`.
    """

    elementwise: ClassVar[bool] = False
    times: tuple[float, ...] = eqx.field(static=True, converter=_numbers)
    neurons: tuple[int, ...] = eqx.field(static=True, converter=_numbers)
    due: Int[Array, "size longest"] | None = eqx.field(default=None, metadata={"internal": True})
    value: Float[Array, "size longest"] | None = eqx.field(
        default=None, metadata={"internal": True}
    )

    def __check_init__(self):
        if len(self.times) != len(self.neurons):
            raise ValueError(
                explain(
                    "SpikeSource: times and neurons",
                    got=(len(self.times), len(self.neurons)),
                    expected="one neuron for each time",
                )
            )
        if not np.all(np.isfinite(self.times)) or np.any(np.asarray(self.times) <= 0):
            bad = next(t for t in self.times if not (np.isfinite(t) and t > 0))
            raise ValueError(
                explain(
                    "SpikeSource: times",
                    got=bad,
                    expected="finite times above 0 ms",
                    mend="A spike ends the step before it: the first may be at dt.",
                )
            )

    def prepared(self, dt, size):
        times, neurons = np.asarray(self.times, np.float64), np.asarray(self.neurons)
        for i in self.neurons:
            if isinstance(i, bool) or not isinstance(i, int) or not 0 <= i < size:
                raise ValueError(
                    explain(
                        "SpikeSource: neurons",
                        got=i,
                        expected=f"indices in 0..{size - 1}, the population having {size} units",
                    )
                )
        steps = np.round(times / dt).astype(np.int64)
        off = np.abs(steps * dt - times) > 1e-6 * np.maximum(times, dt)
        if off.any():
            raise ValueError(
                explain(
                    "SpikeSource: times",
                    got=float(times[off][0]),
                    expected=f"multiples of dt = {dt} ms",
                    mend=f"np.round(times / {dt}) * {dt} moves them onto the grid.",
                )
            )
        pairs, counts = np.unique(np.stack([neurons, steps - 1]), axis=1, return_counts=True)
        unit, step = pairs if times.size else (np.zeros(0, int), np.zeros(0, int))
        place = np.arange(unit.size) - np.searchsorted(unit, unit)
        longest = int(place.max(initial=-1)) + 2
        due = np.full((size, longest), np.iinfo(np.int32).max, np.int32)
        value = np.zeros((size, longest))
        if times.size:
            due[unit, place], value[unit, place] = step, counts
        return SpikeSource((), (), jnp.asarray(due), as_leaf(value))

    def init_state(self, shape=(), *, key=None):
        del key
        return SpikeSourceState(jnp.zeros(shape, jnp.int32))

    def step(self, state, input, *, at):
        del input
        if self.due is None or self.value is None:
            raise ValueError("SpikeSource: prepare it for a dt first, as brainjax.build does.")
        sent = jnp.expand_dims(state.sent, -1)
        due = jnp.take_along_axis(self.due, sent, axis=-1)[..., 0]
        value = jnp.take_along_axis(self.value, sent, axis=-1)[..., 0]
        now = due == at.index
        return SpikeSourceState(state.sent + now.astype(jnp.int32)), jnp.where(now, value, 0)
