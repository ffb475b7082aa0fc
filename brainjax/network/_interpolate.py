"""Delays that are learned: numbers off the grid, between the two steps beside them.

A spike with a delay of `d` steps, `k <= d < k + 1`, arrives with the weight `w (k + 1 - d)` after
`k` steps and with `w (d - k)` after `k + 1`. That is linear in `d` between steps and continuous at
them, so a loss has a gradient by delays: the weight times the difference of what arrives there and
then would have done. A network with such delays is resolved, once before its loop, into one in
which each of these synapses is two; the ops know nothing of it.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..ops import Rows


def whole_and_rest(
    ms: Float[Array, " synapses"], dt: float, longest: int
) -> tuple[Int[Array, " synapses"], Float[Array, " synapses"]]:
    """Delays as whole steps and the rest, NaN where it is outside of 1 to `longest - 1` steps."""
    # What is meant to be a whole number of steps has some units in the last place more or less.
    steps = ms / dt
    near = jnp.round(steps)
    exact = jnp.abs(steps - near) < 1e-5 * jnp.maximum(near, 1)
    whole = jnp.where(exact, near, jnp.floor(steps))
    whole = jax.lax.stop_gradient(jnp.clip(whole, 1, max(longest - 1, 1)))
    rest = steps - whole
    inside = (rest > -1e-4) & (whole + rest < longest - 1 + 1e-4)
    return whole.astype(jnp.int32), jnp.where(inside, rest, jnp.nan)


def interpolated(
    rows: Rows, weight: Any, ms: Float[Array, " synapses"], dt: float, longest: int
) -> tuple[Rows, Float[Array, " twice_the_synapses"]]:
    """Each synapse as the two that stand for it, and their weights; differentiable by `ms`.

    **Arguments:**

    - `rows`: each synapse a group of its own; `weight`: one, or one per synapse.
    - `ms`: the delays; `dt`: the step, ms; `longest`: in steps, one more than a delay may be.
    """
    whole, rest = whole_and_rest(ms, dt, longest)
    weight = jnp.broadcast_to(weight, rest.shape)
    two = Rows(
        source_ptr=2 * rows.source_ptr,
        group_delay=_pairs(whole, whole + 1),
        group_ptr=jnp.arange(2 * rows.num_synapses + 1, dtype=jnp.int32),
        target=_pairs(rows.target, rows.target),
        longest_row=2 * rows.longest_row,
        longest_group=rows.longest_group,
        ordered=False,
        origin=rows.origin,
    )
    return two, _pairs(weight * (1 - rest), weight * rest)


def _pairs(first: jax.Array, second: jax.Array) -> jax.Array:
    return jnp.stack([first, second], axis=-1).reshape(-1)
