"""The leaky integrate-and-fire neuron."""

from typing import ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core import parameter
from ..core._parameters import Parameter
from ._base import SpikingNeuron
from ._surrogate import SuperSpike, Surrogate


class LIFState(NamedTuple):
    """Membrane of `LIF`, relative to `e_l` so that small potentials keep their digits."""

    u: Float[Array, " size"]  # mV, v - e_l


class LIF(SpikingNeuron):
    """Leaky integrate-and-fire neuron.

        c_m dv/dt = -(c_m / tau_m) (v - e_l) + i_e + i + sum_r g_r (e_rev_r - v)
        v >= v_th:  spike, v -> v_reset

    i is injected current and that of current receptors, g_r are conductance receptors. Driven by
    currents alone the membrane advances by its exact propagator, the decay of the currents within
    the step included. With conductances it takes an exponential step on their value over the step:
    exact for constant ones, second order otherwise.

    For `t_ref` after a spike v is held at v_reset; receptors run on, and jumps are discarded.
    Recorded: `v` (mV), `refractory` (steps left).

    `surrogate` is the derivative that stands in for that of a spike. With `detach_reset` (the
    default) no gradient passes through the reset: it jumps by many mV, and would multiply a
    gradient by as much wherever a membrane lingers near threshold.

    Source: Rotter and Diesmann (1999), Exact digital simulation of time-invariant linear systems
    with applications to neuronal modeling. doi:10.1007/s004220050570
    """

    held: ClassVar[tuple[str, ...]] = ("u",)

    c_m: Parameter = parameter(250.0, unit="pF", doc="membrane capacitance", domain="positive")
    tau_m: Parameter = parameter(10.0, unit="ms", doc="membrane time constant", domain="positive")
    e_l: Parameter = parameter(-70.0, unit="mV", doc="resting potential")
    v_th: Parameter = parameter(-55.0, unit="mV", doc="threshold")
    v_reset: Parameter = parameter(-70.0, unit="mV", doc="potential after a spike")
    t_ref: Parameter = parameter(2.0, unit="ms", doc="refractory period", domain="nonnegative")
    i_e: Parameter = parameter(0.0, unit="pA", doc="constant current")
    surrogate: Surrogate = eqx.field(default_factory=SuperSpike)
    detach_reset: bool = eqx.field(default=True, static=True)

    def init_membrane(self, shape, dtype, v=None):
        u = jnp.zeros(shape, dtype) if v is None else v - self.e_l
        return LIFState(jnp.broadcast_to(u, shape).astype(dtype))

    def flow(self, membrane, drive, *, at):
        if not drive.has_conductances():
            leak = 1 / self.tau_m
            rise = drive.filtered(leak, at.dt) - self.i_e * self.tau_m * jnp.expm1(-at.dt * leak)
            return LIFState(membrane.u * jnp.exp(-at.dt * leak) + rise / self.c_m)
        g_total = self.c_m / self.tau_m
        pull = self.i_e + drive.mean_current(at.dt)
        for g, e_rev in drive.conductances(at.dt):
            g_total = g_total + g
            pull = pull + g * (e_rev - self.e_l)
        u_inf = pull / g_total
        return LIFState(u_inf + (membrane.u - u_inf) * jnp.exp(-at.dt / self.c_m * g_total))

    def jump(self, membrane, amount):
        return LIFState(membrane.u + amount)

    def threshold(self, membrane):
        return membrane.u - (self.v_th - self.e_l)

    def reset(self, membrane):
        return LIFState(jnp.broadcast_to(self.v_reset - self.e_l, membrane.u.shape))

    def observe(self, state):
        return {"v": self.e_l + state.membrane.u, "refractory": state.refractory}
