"""Stimuli: input that does not depend on the network, a pure function of the instant."""

import abc
import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..core import Instant, check_integer, check_parameters, explain, is_concrete, parameter, shown
from ..core._parameters import Parameter
from ._poisson import events_per_step, poisson_counts


def _during(start, stop, at: Instant):
    """Whether the step begins in start <= t < stop; half a step of room for rounding."""
    time = at.time + at.dt / 2
    return (time >= start) & (time < stop)


def _whole(number: Any) -> Any:
    """NumPy's integers as Python's; anything else as it is, to be checked."""
    return int(number) if isinstance(number, np.integer) else number


def _for_targets(amount: Float[Array, "..."], num_targets: int | None, at: Instant):
    """`amount` for the first `num_targets` neurons of the population, 0 for the others.

    The index of the stream is that in the whole population, on a device that holds a part too.
    """
    if num_targets is None:
        return amount
    return jnp.where(at.stream.index < num_targets, amount, 0)


def _check_num_targets(stimulus: Any) -> None:
    if stimulus.num_targets is not None:
        what = f"{type(stimulus).__name__}('{stimulus.target}'): num_targets"
        check_integer(what, stimulus.num_targets, low=1)


class Stimulus(eqx.Module):
    """Input to a population (`"exc"`: current, pA) or to one of its receptors (`"exc.ampa"`)."""

    elementwise: ClassVar[bool] = True
    into: ClassVar[str]  # "current" or "receptor"
    target: eqx.AbstractVar[str]

    def __check_init__(self):
        check_parameters(self)
        if not isinstance(self.target, str) or not self.target:
            what = f"{type(self).__name__}(target=...)"
            raise TypeError(
                explain(what, got=self.target, expected="'population' or 'pop.receptor'")
            )

    def prepared(self, dt: float, number: int) -> "Stimulus":
        """The stimulus for steps of `dt` ms, checked."""
        del dt, number
        return self

    @abc.abstractmethod
    def amount(self, *, at: Instant) -> Float[Array, "..."]:
        """The input of the step, shape `()` or `(size,)`."""


class DC(Stimulus):
    """A constant current while start <= t < stop, into the population `target`.

    `num_targets` is how many neurons receive it: the first ones of the population; all by default.
    """

    into: ClassVar[str] = "current"
    target: str = eqx.field(static=True)
    amplitude: Parameter = parameter(unit="pA", doc="current")
    start: Parameter = parameter(0.0, unit="ms", doc="onset")
    stop: Parameter = parameter(float("inf"), unit="ms", doc="end", domain="real")
    num_targets: int | None = eqx.field(default=None, static=True, converter=_whole)

    def __check_init__(self):
        _check_num_targets(self)

    def amount(self, *, at):
        current = jnp.where(_during(self.start, self.stop, at), self.amplitude, 0)
        return _for_targets(current, self.num_targets, at)


class StepCurrent(Stimulus):
    """A current that is constant between given times: `amplitudes[i]` from `times[i]` on.

    Zero before the first time. Times are in ms, ascending, multiples of dt. It flows into every
    neuron of the population `target`.
    """

    elementwise: ClassVar[bool] = False
    into: ClassVar[str] = "current"
    target: str = eqx.field(static=True)
    times: Parameter = parameter(unit="ms", doc="when the current changes")
    amplitudes: Parameter = parameter(unit="pA", doc="the current from then on")

    def __check_init__(self):
        times, amplitudes = np.shape(self.times), np.shape(self.amplitudes)
        if len(times) != 1 or times != amplitudes or times == (0,):
            raise ValueError(
                explain(
                    "StepCurrent: times and amplitudes",
                    got=(times, amplitudes),
                    expected="two sequences of one length, at least 1",
                )
            )
        if is_concrete(self.times) and np.any(np.diff(np.asarray(self.times)) <= 0):
            raise ValueError(
                explain(
                    "StepCurrent: times",
                    got=np.asarray(self.times).tolist(),
                    expected="ascending times",
                )
            )

    def prepared(self, dt, number):
        del number
        if is_concrete(self.times):
            steps = np.asarray(self.times, np.float64) / dt
            bad = np.abs(steps - np.round(steps)) > 1e-3
            if bad.any():
                raise ValueError(
                    explain(
                        "StepCurrent: times",
                        got=shown(np.asarray(self.times)[bad][0]),
                        expected=f"multiples of dt = {dt} ms",
                    )
                )
        return self

    def amount(self, *, at):
        reached = jnp.searchsorted(self.times, at.time + at.dt / 2, side="right")
        before = jnp.concatenate([jnp.zeros_like(self.amplitudes[:1]), self.amplitudes])
        return before[reached]


class PoissonInput(Stimulus):
    """Independent Poisson spike trains into every neuron of a population, through one receptor.

    A neuron receives `weight` times a Poisson number of mean `rate dt` in each step: the sum of any
    number of sources whose rates add up to `rate`. Numbers are drawn by inversion from
    counter-based bits, so they depend on the neuron's index and the step alone.

    **Arguments:**

    - `target`: `"population.receptor"`.
    - `rate`: total rate per neuron, Hz; one for all, or one per neuron.
    - `weight`: of each event, in the unit of the receptor (pA, nS or mV).
    - `start`, `stop`: active while start <= t < stop, ms.
    - `max_events`: the most events in a step; found from the rate if that is concrete.
    - `num_targets`: how many neurons receive it: the first ones of the population; all by default.
    """

    into: ClassVar[str] = "receptor"
    target: str = eqx.field(static=True)
    rate: Parameter = parameter(unit="Hz", doc="total rate per neuron", domain="nonnegative")
    weight: Parameter = parameter(unit="1", doc="of each event, in the receptor's unit")
    start: Parameter = parameter(0.0, unit="ms", doc="onset")
    stop: Parameter = parameter(float("inf"), unit="ms", doc="end", domain="real")
    max_events: int | None = eqx.field(default=None, static=True)
    num_targets: int | None = eqx.field(default=None, static=True, converter=_whole)
    # Tells inputs of one target apart.
    number: int = eqx.field(default=0, static=True, metadata={"internal": True})

    def __check_init__(self):
        _check_num_targets(self)

    def prepared(self, dt, number):
        what = f"PoissonInput('{self.target}')"
        events = events_per_step(self.rate, dt, self.max_events, what)
        return dataclasses.replace(self, max_events=events, number=number)

    def amount(self, *, at):
        if self.max_events is None:
            raise ValueError("PoissonInput: prepare it for a dt first, as brainjax.build does.")
        purpose, mean = f"PoissonInput.{self.target}.{self.number}", self.rate * (at.dt / 1000)
        counts = poisson_counts(at.stream, purpose, at.index, mean, self.max_events)
        events = jnp.where(_during(self.start, self.stop, at), counts * self.weight, 0)
        return _for_targets(events, self.num_targets, at)


def check_target(stimulus: Any, receptors: dict[str, tuple[str, ...]]) -> None:
    """Raise `ValueError` if `stimulus` aims at what its kind cannot reach.

    `receptors` are the names of receptors by population.
    """
    population, _, receptor = stimulus.target.partition(".")
    what = f"{type(stimulus).__name__}(target=...)"
    if stimulus.into == "current" and receptor:
        raise ValueError(
            explain(what, got=stimulus.target, expected=f"a population: '{population}'")
        )
    if stimulus.into == "receptor" and not receptor:
        names = ", ".join(f"'{population}.{r}'" for r in receptors.get(population, ()))
        expected = f"a receptor: {names}" if names else "a population that has receptors"
        raise ValueError(explain(what, got=stimulus.target, expected=expected))
