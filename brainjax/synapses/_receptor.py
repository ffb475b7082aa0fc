"""Receptors: where spikes arrive, on the postsynaptic side.

A receptor's state belongs to the postsynaptic population, so it is O(neurons) whatever the number
of projections that end in it. In a step it first drives the membrane from its state at the start,
then advances, then takes in what arrives at the end of the step, which is felt from the next on.
"""

import abc
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core import check_parameters, explain, parameter
from ..core._parameters import Parameter
from ._moments import decayed, exponential_moment


class Receptor(eqx.Module):
    """The time course and effect of the spikes that arrive at one kind of synapse."""

    weight_unit: ClassVar[str]

    def __check_init__(self):
        check_parameters(self)

    @abc.abstractmethod
    def init_state(self, shape: tuple[int, ...], dtype) -> Any:
        """The state before any spike arrived, one entry per neuron."""

    @abc.abstractmethod
    def advance(self, state: Any, dt: Float[Array, ""]) -> Any:
        """The state one step (`dt` ms) later, without arrivals."""

    @abc.abstractmethod
    def receive(self, state: Any, arrivals: Float[Array, " size"]) -> Any:
        """The state with `arrivals`, the sum of the weights that arrive at this instant."""


class CurrentReceptor(Receptor):
    """A receptor that injects a current, pA, whatever the membrane does."""

    weight_unit: ClassVar[str] = "pA"

    @abc.abstractmethod
    def filtered(
        self, state: Any, rate: Float[Array, "..."], dt: Float[Array, ""]
    ) -> Float[Array, " size"]:
        """The current i(s) of this step through a leak: integral of exp(-rate (dt - s)) i(s) ds.

        **Arguments:**

        - `rate`: 1 / tau of the membrane, 1/ms; 0 gives the charge.
        - `dt`: the step, ms.

        **Returns:**

        pA ms, one per neuron: exact.
        """


class ConductanceReceptor(Receptor):
    """A receptor that opens a conductance, nS, towards a reversal potential."""

    weight_unit: ClassVar[str] = "nS"
    e_rev: eqx.AbstractVar[Any]  # a parameter

    @abc.abstractmethod
    def conductance(self, state: Any, dt: Float[Array, ""]) -> Float[Array, " size"]:
        """The conductance that acts during this step, nS, one per neuron."""


OVER_STEP = ("mean", "start")


def check_over_step(receptor: Any) -> None:
    """Raise `ValueError` unless `receptor.over_step` is one of `OVER_STEP`."""
    if receptor.over_step not in OVER_STEP:
        what = f"{type(receptor).__name__}(over_step=...)"
        raise ValueError(explain(what, got=receptor.over_step, expected="'mean' or 'start'"))


class NoState(NamedTuple):
    """Nothing is remembered."""


class Delta(Receptor):
    """A jump of the membrane potential by the weight, mV, at the instant of arrival.

        v -> v + w

    What arrives while the neuron is refractory is discarded.
    """

    weight_unit: ClassVar[str] = "mV"

    def init_state(self, shape, dtype):
        return NoState()

    def advance(self, state, dt):
        return state

    def receive(self, state, arrivals):
        return state


class ExponentialCurrentState(NamedTuple):
    """State of `ExponentialCurrent`."""

    i: Float[Array, " size"]  # pA


class ExponentialCurrent(CurrentReceptor):
    """A current that jumps by the weight, pA, and decays exponentially.

        di/dt = -i / tau_syn,    i -> i + w

    The membrane of a `LIF` is advanced by the exact joint propagator.

    Source: Rotter and Diesmann (1999), Exact digital simulation of time-invariant linear systems
    with applications to neuronal modeling. doi:10.1007/s004220050570
    """

    tau_syn: Parameter = parameter(2.0, unit="ms", doc="decay time constant", domain="positive")

    def init_state(self, shape, dtype):
        return ExponentialCurrentState(jnp.zeros(shape, dtype))

    def advance(self, state, dt):
        return ExponentialCurrentState(decayed(state.i, dt, self.tau_syn))

    def receive(self, state, arrivals):
        return ExponentialCurrentState(state.i + arrivals)

    def filtered(self, state, rate, dt):
        # exp(-rate dt) integral exp((rate - 1/tau) s) ds
        x = (rate - 1 / self.tau_syn) * dt
        return state.i * (dt * jnp.exp(-rate * dt) * exponential_moment(0, x))


class AlphaCurrentState(NamedTuple):
    """State of `AlphaCurrent`."""

    i: Float[Array, " size"]  # pA
    di: Float[Array, " size"]  # pA/ms, the rising part


class AlphaCurrent(CurrentReceptor):
    """A current that follows an alpha function whose peak is the weight, pA.

        di/dt = di - i / tau_syn,    d(di)/dt = -di / tau_syn,    di -> di + w e / tau_syn

    The response to one spike is w (t / tau_syn) exp(1 - t / tau_syn), with its peak at tau_syn.

    Source: Rotter and Diesmann (1999), Exact digital simulation of time-invariant linear systems
    with applications to neuronal modeling. doi:10.1007/s004220050570
    """

    tau_syn: Parameter = parameter(2.0, unit="ms", doc="time from onset to peak", domain="positive")

    def init_state(self, shape, dtype):
        return AlphaCurrentState(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))

    def advance(self, state, dt):
        rise = state.i + dt * state.di
        return AlphaCurrentState(
            decayed(rise, dt, self.tau_syn), decayed(state.di, dt, self.tau_syn)
        )

    def receive(self, state, arrivals):
        return state._replace(
            di=state.di + arrivals * (jnp.exp(jnp.ones_like(self.tau_syn)) / self.tau_syn)
        )

    def filtered(self, state, rate, dt):
        x = (rate - 1 / self.tau_syn) * dt
        leak = dt * jnp.exp(-rate * dt)
        return state.i * (leak * exponential_moment(0, x)) + state.di * (
            leak * dt * exponential_moment(1, x)
        )


class ExponentialConductanceState(NamedTuple):
    """State of `ExponentialConductance`."""

    g: Float[Array, " size"]  # nS


class ExponentialConductance(ConductanceReceptor):
    """A conductance that jumps by the weight, nS, and decays exponentially.

        dg/dt = -g / tau_syn,    g -> g + w,    i = g (e_rev - v)

    `over_step` says which conductance acts during a step of length dt: its `"mean"`,
    g tau_syn (1 - exp(-dt / tau_syn)) / dt, which makes the step second order; or the one at its
    `"start"`, as Brian2 does, first order.

    Source: Vogels and Abbott (2005), Signal propagation and logic gating in networks of
    integrate-and-fire neurons. doi:10.1523/JNEUROSCI.3508-05.2005
    """

    tau_syn: Parameter = parameter(5.0, unit="ms", doc="decay time constant", domain="positive")
    e_rev: Parameter = parameter(0.0, unit="mV", doc="reversal potential")
    over_step: str = eqx.field(default="mean", static=True)

    def __check_init__(self):
        check_over_step(self)

    def init_state(self, shape, dtype):
        return ExponentialConductanceState(jnp.zeros(shape, dtype))

    def advance(self, state, dt):
        return ExponentialConductanceState(decayed(state.g, dt, self.tau_syn))

    def receive(self, state, arrivals):
        return ExponentialConductanceState(state.g + arrivals)

    def conductance(self, state, dt):
        if self.over_step == "start":
            return state.g
        return state.g * exponential_moment(0, -dt / self.tau_syn)


class AlphaConductanceState(NamedTuple):
    """State of `AlphaConductance`."""

    g: Float[Array, " size"]  # nS
    dg: Float[Array, " size"]  # nS/ms, the rising part


class AlphaConductance(ConductanceReceptor):
    """A conductance that follows an alpha function whose peak is the weight, nS.

        dg/dt = dg - g / tau_syn,    d(dg)/dt = -dg / tau_syn,    dg -> dg + w e / tau_syn
        i = g (e_rev - v)

    `over_step` says which conductance acts during a step: its `"mean"` or the one at its `"start"`.

    Source: Rall (1967), Distinguishing theoretical synaptic potentials computed for different
    soma-dendritic distributions of synaptic input. doi:10.1152/jn.1967.30.5.1138
    """

    tau_syn: Parameter = parameter(2.0, unit="ms", doc="time from onset to peak", domain="positive")
    e_rev: Parameter = parameter(0.0, unit="mV", doc="reversal potential")
    over_step: str = eqx.field(default="mean", static=True)

    def __check_init__(self):
        check_over_step(self)

    def init_state(self, shape, dtype):
        return AlphaConductanceState(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))

    def advance(self, state, dt):
        rise = state.g + dt * state.dg
        return AlphaConductanceState(
            decayed(rise, dt, self.tau_syn), decayed(state.dg, dt, self.tau_syn)
        )

    def receive(self, state, arrivals):
        return state._replace(
            dg=state.dg + arrivals * (jnp.exp(jnp.ones_like(self.tau_syn)) / self.tau_syn)
        )

    def conductance(self, state, dt):
        if self.over_step == "start":
            return state.g
        x = -dt / self.tau_syn
        return state.g * exponential_moment(0, x) + state.dg * (dt * exponential_moment(1, x))
