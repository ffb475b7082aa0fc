"""Spiking neurons: a model says what happens, the base class says when.

A model has a flow (how the membrane moves between spikes), a threshold and a reset. When they
apply is the same for all and written once, here: refractoriness, spike, reset, in this order.
"""

import abc
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..core import Dynamics, Instant, explain, float_dtype
from ..ops import switch
from ..synapses import Drive
from ._surrogate import Surrogate


class NeuronState(NamedTuple):
    """State of a spiking neuron."""

    membrane: Any  # the model's own state, a NamedTuple
    refractory: Int[Array, " size"]  # steps for which the membrane is still held


class SpikingNeuron(Dynamics):
    """A neuron that spikes when it reaches a threshold, is reset, and held for a while.

    In a step, (1) membranes that are not refractory advance by `flow` from the state at its start;
    (2) jumps that arrive at its end are added to them; (3) those at or above threshold emit a
    spike, are reset, and are held for exactly `t_ref / dt` following steps.
    """

    elementwise: ClassVar[bool] = True
    held: ClassVar[tuple[str, ...]]  # the fields of the membrane that are held while refractory

    t_ref: eqx.AbstractVar[Any]  # a parameter
    surrogate: eqx.AbstractVar[Surrogate]
    detach_reset: eqx.AbstractVar[bool]

    def __check_init__(self):
        if not isinstance(self.surrogate, Surrogate):
            raise TypeError(
                explain(
                    f"{type(self).__name__}(surrogate=...)",
                    got=self.surrogate,
                    expected="a surrogate derivative",
                    mend="For example surrogate=bj.SuperSpike(beta=1.0).",
                )
            )

    # A model names the fields that it has, as `v=None`; `*_` lets type checkers accept that.
    @abc.abstractmethod
    def init_membrane(self, shape: tuple[int, ...], dtype, *_: Any, **initial: Any) -> Any:
        """The membrane before the first step; `initial` are fields the user has set."""

    @abc.abstractmethod
    def flow(self, membrane: Any, drive: Drive, *, at: Instant) -> Any:
        """The membrane one step later, were it neither refractory nor to spike."""

    @abc.abstractmethod
    def jump(self, membrane: Any, amount: Float[Array, " size"]) -> Any:
        """The membrane with its potential raised by `amount`, mV."""

    @abc.abstractmethod
    def threshold(self, membrane: Any) -> Float[Array, " size"]:
        """How far the membrane is above its threshold, mV."""

    @abc.abstractmethod
    def reset(self, membrane: Any) -> Any:
        """The membrane after a spike."""

    @abc.abstractmethod
    def observe(self, state: NeuronState) -> dict[str, Array]:
        """What can be recorded: name to values in the units of the docstring, `(size,)`."""

    def init_state(self, shape=(), *, key=None, **initial) -> NeuronState:
        """The state before the first step, not refractory; `initial` sets fields, as `v`."""
        del key
        membrane = self.init_membrane(shape, float_dtype(), **initial)
        return NeuronState(membrane, jnp.zeros(shape, jnp.int32))

    def step(
        self, state: NeuronState, input: Drive, *, at: Instant
    ) -> tuple[NeuronState, Float[Array, " size"]]:
        """One step; the output is 1 for the neurons that spike at its end, else 0."""
        state, spike, _ = self.live_step(state, input, at=at)
        return state, spike

    def live_step(
        self, state: NeuronState, input: Drive, *, at: Instant
    ) -> tuple[NeuronState, Float[Array, " size"], Bool[Array, " size"]]:
        """One step, and which spikes are live: have a derivative, be they 1 or 0.

        Spikes are live where the membrane is not held and the surrogate is not zero.
        """
        active = state.refractory == 0
        moved = self.flow(state.membrane, input, at=at)
        for amount in input.jumps():
            moved = self.jump(moved, amount)
        still = {name: getattr(state.membrane, name) for name in self.held}
        held = {n: jnp.where(active, getattr(moved, n), x) for n, x in still.items()}
        membrane = moved._replace(**held)

        distance = self.threshold(membrane)
        spike = jnp.where(active, self.surrogate.spike(distance), jnp.zeros_like(distance))
        cause = jax.lax.stop_gradient(spike) if self.detach_reset else spike
        after = self.reset(membrane)
        membrane = jax.tree.map(lambda on, off: switch(cause, on, off), after, membrane)

        steps = jnp.round(jax.lax.stop_gradient(self.t_ref) / at.dt).astype(jnp.int32)
        refractory = jnp.where(spike != 0, steps, jnp.maximum(state.refractory - 1, 0))
        live = active & (self.surrogate.derivative(distance) != 0)
        return NeuronState(membrane, refractory), spike, live
