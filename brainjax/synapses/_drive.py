"""What acts on the membranes of a population during one step."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._receptor import ConductanceReceptor, CurrentReceptor, Delta, Receptor


class Drive(eqx.Module):
    """Receptors with their state at the start of a step, injected current, and jumps at its end.

    **Arguments:**

    - `receptors`, `states`: by name.
    - `current`: injected current during the step, pA, shape `()` or `(size,)`.
    - `arrivals`: by name of the receptor, what arrives at the end of the step.
    """

    receptors: Mapping[str, Receptor]
    states: Mapping[str, Any]
    current: Float[Array, "..."]
    arrivals: Mapping[str, Float[Array, " size"]]

    def filtered(self, rate: Float[Array, "..."], dt: Float[Array, ""]) -> Float[Array, "..."]:
        """All current of the step through a leak of `rate` (1/ms), pA ms. Exact."""
        leak = jnp.where(rate == 0, dt, -jnp.expm1(-rate * dt) / jnp.where(rate == 0, 1, rate))
        total = self.current * leak
        for name, receptor in self.receptors.items():
            if isinstance(receptor, CurrentReceptor):
                total = total + receptor.filtered(self.states[name], rate, dt)
        return total

    def mean_current(self, dt: Float[Array, ""]) -> Float[Array, "..."]:
        """The mean current of the step, pA."""
        return self.filtered(jnp.zeros_like(dt), dt) / dt

    def has_conductances(self) -> bool:
        """Whether any receptor opens a conductance."""
        return any(isinstance(r, ConductanceReceptor) for r in self.receptors.values())

    def conductances(self, dt: Float[Array, ""]) -> list[tuple[Array, Array]]:
        """`(g, e_rev)`, nS and mV, of each receptor that opens a conductance."""
        return [
            (receptor.conductance(self.states[name], dt), receptor.e_rev)
            for name, receptor in self.receptors.items()
            if isinstance(receptor, ConductanceReceptor)
        ]

    def jumps(self) -> list[Float[Array, " size"]]:
        """What arrives at the delta receptors at the end of the step, mV."""
        return [self.arrivals[n] for n, r in self.receptors.items() if isinstance(r, Delta)]

    def advance(self, dt: Float[Array, ""]) -> dict[str, Any]:
        """The states of the receptors at the end of the step, arrivals taken in."""
        return {
            name: receptor.receive(receptor.advance(self.states[name], dt), self.arrivals[name])
            for name, receptor in self.receptors.items()
        }
