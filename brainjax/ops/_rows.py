"""Adding the synapses of one source to an accumulator, in plain JAX."""

import jax.numpy as jnp
from jax import lax


def operands_per_projection(args, num_projections: int):
    """The trailing operands of a delivery op as `(source_ptr, group_delay, group_ptr, target)`s."""
    flat = args[-4 * num_projections :] if num_projections else []
    return [tuple(flat[4 * j : 4 * j + 4]) for j in range(num_projections)]


def events_of(active):
    """Positions where `active`, then padding; and how many there are."""
    size = active.shape[0]
    return jnp.nonzero(active, size=size, fill_value=0)[0].astype(jnp.int32), jnp.sum(
        active, dtype=jnp.int32
    )


def window(first, last, longest: int, target, weight):
    """The synapses `first:last` as arrays of the fixed length `longest`.

    **Returns:**

    `(position, valid, target, weight)`; where not `valid` the entry belongs to a neighbour.
    """
    start = jnp.clip(first, 0, target.shape[0] - longest)
    position = start + jnp.arange(longest, dtype=jnp.int32)
    valid = (position >= first) & (position < last)
    weights = weight if weight.ndim == 0 else lax.dynamic_slice(weight, (start,), (longest,))
    return position, valid, lax.dynamic_slice(target, (start,), (longest,)), weights


def lower_bound(sorted_values, first, last, value):
    """The first position in `first:last` whose value is not below `value`; `last` if none is."""

    def halve(_, bounds):
        low, high = bounds
        middle = (low + high) // 2
        below = (low < high) & (sorted_values[middle] < value)
        return jnp.where(below, middle + 1, low), jnp.where(below, high, middle)

    rounds = max(int(sorted_values.shape[0]).bit_length(), 1)
    return lax.fori_loop(0, rounds, halve, (first, last))[0]


def group_of(position, group_ptr):
    """The group that the synapse at each position belongs to."""
    return jnp.searchsorted(group_ptr, position, side="right").astype(jnp.int32) - 1


def projections_from(source: int, sources) -> list[int]:
    """The projections whose source population is `source`, in order."""
    return [j for j, s in enumerate(sources) if s == source]


def num_populations(sources) -> int:
    """How many source populations a layout has."""
    return max(sources, default=-1) + 1
