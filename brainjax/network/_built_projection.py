"""The synapses of a projection as the engine holds them, and how to read and write them."""

import dataclasses
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core import explain
from ..ops import Connections, Convolution, Rows, fence
from ._interpolate import interpolated
from ._layout import edges_of


class BuiltProjection(eqx.Module):
    """The synapses of a projection as the engine holds them."""

    rows: Connections
    # In the receptor's unit: (), (synapses,) in row order, or the kernel of a convolution.
    weight: Float[Array, "..."]
    source: str = eqx.field(static=True)
    target: str = eqx.field(static=True)
    offset: int = eqx.field(static=True)  # of the target receptor among the accumulators
    longest_delay: int = eqx.field(static=True)
    delay: Float[Array, " synapses"] | None = None  # ms, where delays are trained

    @property
    def num_synapses(self) -> int:
        """How many synapses there are."""
        return self.rows.num_synapses

    def resolved(self, dt: float) -> "BuiltProjection":
        """The projection as the delivery op takes it, for a loop with steps of `dt` ms."""
        if self.delay is None:
            return self
        assert isinstance(self.rows, Rows), "made by lay_out_trainable"
        at = self.delay, dt, self.longest_delay
        rows, weight = fence(interpolated(self.rows, self.weight, *at))
        return dataclasses.replace(self, rows=rows, weight=weight, delay=None)

    @property
    def flat_weight(self) -> Float[Array, "..."]:
        """The weight as the delivery op takes it: one, or a vector."""
        return self.weight if self.weight.ndim < 2 else self.weight.ravel()

    def weights(self) -> Float[Array, " synapses"]:
        """The weight of each synapse, in canonical order."""
        _, order, factor = edges_of(self.rows, self.offset)
        weight = self.weight.ravel()[order] if self.weight.ndim else self.weight
        return jnp.broadcast_to(weight if factor is None else weight * factor, order.shape)

    def with_weights(self, weight: Any) -> "BuiltProjection":
        """Other weights: one number, one per synapse in canonical order, or a kernel.

        **Raises:** `ValueError` for another shape.
        """
        weight = jnp.asarray(weight, self.weight.dtype)
        kernel = self.rows.kernel if isinstance(self.rows, Convolution) else None
        shapes = [()] if self.rows.by_row else [(), kernel or (self.rows.num_weights,)]
        if weight.shape not in shapes:
            what, expected = f"shape {weight.shape}", " or ".join(map(str, shapes))
            raise ValueError(explain("weights of the projection", got=what, expected=expected))
        if weight.ndim and not kernel:
            order = edges_of(self.rows, self.offset)[1]
            weight = jnp.zeros_like(weight).at[order].set(weight)
        return dataclasses.replace(self, weight=weight)
