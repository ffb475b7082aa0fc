"""Laying out the synapses of a projection as rows of the delivery op, and reading them back."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..connect import Distribution, Explicit
from ..core import HostStream, as_leaf, explain, float_dtype, is_traced
from ..ops import Rows
from ._network import Projection

_MOST_SYNAPSES = 2**31 - 1


class Edges(NamedTuple):
    """The synapses of a projection in canonical order: by pre, then post, then delay."""

    pre: np.ndarray  # int64 (synapses,), index in the source population
    post: np.ndarray  # int64 (synapses,), index in the target population
    delay: np.ndarray  # int64 (synapses,), steps


def delay_steps(projection: Projection, count: int, dt: float, stream: HostStream):
    """Delays in steps: one integer, or `int64[count]`; refuses what is not on the grid."""
    what = f"Projection '{projection.name}': delay"
    value = projection.delay
    if is_traced(value):
        raise TypeError(explain(what, got="a traced value", expected="concrete delays"))
    drawn = isinstance(value, Distribution)
    delays = value.sample(stream, count) if drawn else np.asarray(value, np.float64)
    steps = np.floor(delays / dt + 0.5).astype(np.int64)
    if np.any(steps < 1) or (not drawn and np.any(delays < dt * (1 - 1e-4))):
        mend = f"Bound the distribution: low={dt / 2}." if drawn else "Use dt, or a smaller dt."
        raise ValueError(
            explain(what, got=float(delays.min()), expected=f"at least dt = {dt} ms", mend=mend)
        )
    off = np.abs(delays / dt - steps) > 1e-4 * np.maximum(steps, 1)
    if not drawn and np.any(off):
        raise ValueError(
            explain(
                what,
                got=float(delays[off].ravel()[0]),
                expected=f"a multiple of dt = {dt} ms",
                mend="Round it, or choose another dt.",
            )
        )
    if np.max(steps, initial=1) > 2**20:
        raise ValueError(explain(what, got=float(delays.max()), expected=f"below {2**20} steps"))
    return steps


def lay_out(
    pre: np.ndarray, post: np.ndarray, delay: np.ndarray, num_sources: int, offset: int
) -> tuple[Rows, np.ndarray | None, int, int]:
    """Synapses in canonical order as rows.

    **Returns:**

    `(rows, order, longest_row, longest_group)`. Synapse i of the rows is synapse `order[i]` of the
    canonical order; `None` where they are the same.
    """
    order = None
    if delay.ndim:
        key = pre.astype(np.int64) * (int(delay.max(initial=0)) + 1) + delay
        order = np.argsort(key, kind="stable")
        pre, post, delay, key = pre[order], post[order], delay[order], key[order]
    else:
        key, delay = pre, np.broadcast_to(delay, pre.shape)
    first = np.flatnonzero(np.diff(key, prepend=-1))
    group_ptr = np.append(first, len(pre))
    source_ptr = np.searchsorted(pre[first], np.arange(num_sources + 1))
    rows = Rows(
        jnp.asarray(source_ptr, jnp.int32),
        jnp.asarray(delay[first], jnp.int32),
        jnp.asarray(group_ptr, jnp.int32),
        jnp.asarray(post + offset, jnp.int32),
    )
    longest_row = int(np.diff(group_ptr[source_ptr]).max(initial=0))
    return rows, order, longest_row, int(np.diff(group_ptr).max(initial=0))


def edges_of(rows: Rows, offset: int) -> tuple[Edges, np.ndarray]:
    """The synapses of `rows` in canonical order, and where each stands in the rows."""
    source_ptr, group_delay, group_ptr, target = (np.asarray(a).astype(np.int64) for a in rows)
    sizes = np.diff(group_ptr)
    group_source = np.repeat(np.arange(len(source_ptr) - 1), np.diff(source_ptr))
    pre, delay = np.repeat(group_source, sizes), np.repeat(group_delay, sizes)
    post = target - offset
    order = np.lexsort((delay, post, pre))
    return Edges(pre[order], post[order], delay[order]), order


def draw_weights(projection: Projection, count: int, order, stream: HostStream) -> Any:
    """The weight leaf: a number, or one per synapse in row order, as the default float type."""
    value = projection.weight
    if isinstance(value, Distribution):
        value = value.sample(stream, count)
    elif not is_traced(value):
        value = np.asarray(value, np.float64)
    if np.ndim(value) == 0:
        return as_leaf(value)
    if np.shape(value) != (count,):
        raise ValueError(
            explain(
                f"Projection '{projection.name}': weight",
                got=f"shape {np.shape(value)}",
                expected=f"one number, or one per synapse: ({count},)",
            )
        )
    if isinstance(projection.rule, Explicit) and not isinstance(projection.weight, Distribution):
        value = value[projection.rule.order]
    value = value if order is None else value[order]
    return jnp.asarray(value, float_dtype())


def check_count(projection: Projection, count: int) -> None:
    """Raise `ValueError` if a projection has more synapses than 32-bit offsets address."""
    if count > _MOST_SYNAPSES:
        raise ValueError(
            explain(
                f"Projection '{projection.name}': synapses",
                got=count,
                expected=f"at most {_MOST_SYNAPSES}",
                mend="Split the source population.",
            )
        )
