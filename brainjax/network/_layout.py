"""Laying out the synapses of a projection as rows of the delivery op, and reading them back.

Synapses come in canonical order, by source, and are laid out by source and delay: a sort within
each source. It is done for a block of sources at a time, in the cache, and what a synapse has
besides its target (delay, weight) is drawn for that block alone, so that little more is held than
what is built.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from ..core import host_empty
from ..core._sort import PART, sorting_order
from ..ops import Connections, FixedFanOut, Rows, wide_pointers

_BLOCK = PART
_WIDE = 2**31  # from this many synapses on, offsets have 64 bits

# Values of the synapses `start..stop` in canonical order.
Values: TypeAlias = Callable[[int, int], np.ndarray]


class Edges(NamedTuple):
    """The synapses of a projection in canonical order: by pre, then post, then delay."""

    pre: np.ndarray  # int64 (synapses,), index in the source population
    post: np.ndarray  # int64 (synapses,), index in the target population
    delay: np.ndarray  # int64 (synapses,), steps


class LaidOut(NamedTuple):
    """The synapses of a projection as rows."""

    rows: Connections
    values: np.ndarray | None  # (synapses,), those given, in row order
    longest_delay: int  # steps
    delay: Any = None  # (synapses,), ms, where delays are trained


def target_dtype(num_post: int) -> Any:
    """The type that targets are stored as, given the size of the target population."""
    return np.uint16 if num_post <= 1 << 16 else np.int32


def lay_out(
    begin: np.ndarray,
    post: np.ndarray,
    num_post: int,
    offset: int,
    delay: int | Values,
    values: Values | None = None,
    dtype: Any = None,
) -> LaidOut:
    """Synapses in canonical order as rows.

    **Arguments:**

    - `begin`: where the synapses of each source begin, and behind the last; `(sources + 1,)`.
    - `post`: `(synapses,)`, target of each.
    - `num_post`: the size of the target population.
    - `offset`: its first accumulator.
    - `delay`: in steps, of all synapses or of each.
    - `values`, `dtype`: something else that each synapse has, and the type it is kept as.
    """
    target = host_empty(post.size, target_dtype(num_post))
    laid = None if values is None else host_empty(post.size, dtype)
    wide = post.size >= _WIDE
    offsets = np.int64 if wide else np.int32
    groups_of_source = np.zeros(begin.size, np.int64)
    delays, starts = [np.empty(0, np.int32)], []
    for first, last in _blocks(begin):
        start, stop = int(begin[first]), int(begin[last])
        here, sizes = slice(start, stop), np.diff(begin[first : last + 1])
        order, groups = _grouped(sizes, delay if isinstance(delay, int) else delay(start, stop))
        groups_of_source[first + 1 : last + 1] = groups.number
        delays.append(groups.delay.astype(np.int32))
        starts.append((groups.start + start).astype(offsets))
        target[here] = post[here][order]
        if laid is not None and values is not None:
            laid[here] = values(start, stop)[order]
    sizes = np.diff(begin)
    if isinstance(delay, int) and post.size and np.all(sizes == sizes[0]):
        rows = FixedFanOut(
            delay=jnp.asarray(delay, jnp.int32),
            target=jnp.asarray(target),
            num_pre=sizes.size,
            per_source=int(sizes[0]),
            origin=offset,
            sorted_targets=True,
        )
        return LaidOut(rows, laid, delay)
    starts.append(np.array([post.size], offsets))
    group_delay, group_ptr = (
        _joined(delays, np.int32),
        _joined(starts, offsets),
    )
    rows = Rows(
        jnp.asarray(np.cumsum(groups_of_source), jnp.int32),
        jnp.asarray(group_delay, jnp.int32),
        jnp.asarray(wide_pointers(group_ptr) if wide else group_ptr, jnp.int32),
        jnp.asarray(target),
        int(sizes.max(initial=0)),
        int(np.diff(group_ptr).max(initial=0)),
        origin=offset,
        sorted_targets=True,  # in canonical order they are, and what is sorted by delay keeps that
    )
    return LaidOut(rows, laid, int(group_delay.max(initial=1)))


class _Groups(NamedTuple):
    """The groups of a block of sources."""

    number: np.ndarray  # of groups of each source
    delay: np.ndarray  # of each group
    start: np.ndarray  # position in the block


def _grouped(sizes: np.ndarray, delay: int | np.ndarray) -> tuple[Any, _Groups]:
    """The order of the synapses of a block by source and delay, and the groups they make.

    **Arguments:**

    - `sizes`: how many synapses each source has.
    - `delay`: of all, or of each synapse.
    """
    if isinstance(delay, int):
        start = (np.cumsum(sizes) - sizes)[sizes > 0]
        return slice(None), _Groups(sizes > 0, np.full(start.size, delay), start)
    least = int(delay.min())
    span = int(delay.max()) - least + 1
    key = np.repeat(np.arange(sizes.size) * span - least, sizes)
    key += delay
    order = sorting_order(key, sizes.size * span)
    key = key[order]
    start = np.flatnonzero(np.diff(key, prepend=-1))
    source, delay = np.divmod(key[start], span)
    return order, _Groups(np.bincount(source, minlength=sizes.size), delay + least, start)


def _blocks(begin: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges of sources that have `_BLOCK` synapses together, or one source that has more."""
    first, end = 0, begin.size - 1
    while begin[first] < begin[end]:
        most = begin[first] + _BLOCK
        last = max(int(np.searchsorted(begin, most, side="right")) - 1, first + 1)
        yield first, last
        first = last


def _joined(parts: list[np.ndarray], dtype: Any) -> np.ndarray:
    return np.concatenate(
        parts, out=host_empty(sum(p.size for p in parts), dtype), casting="same_kind"
    )


def edges_of(connections: Connections, offset: int) -> tuple[Edges, np.ndarray, np.ndarray | None]:
    """The synapses in canonical order.

    **Returns:** them, where the weight of each stands among the weights, and what it is multiplied
    by, if by anything.
    """
    with jax.ensure_compile_time_eval():  # inside jit too
        pre, valid, delay, target, weight_at, factor = map(np.asarray, connections.whole())
    if weight_at.dtype == object:  # there are none: weights are in order
        weight_at = np.arange(pre.size)
    delay = np.broadcast_to(delay, pre.shape)
    pre, post, delay = (a[valid].astype(np.int64) for a in (pre, target - offset, delay))
    order = np.lexsort((delay, post, pre))
    factor = None if factor.dtype == object else factor[valid][order]
    return Edges(pre[order], post[order], delay[order]), weight_at[valid][order], factor


def as_rows(connections: Connections) -> tuple[Rows, np.ndarray, np.ndarray | None]:
    """Connections of any format as stored rows; weights and factors in the order of these."""
    if isinstance(connections, Rows):
        return connections, np.arange(connections.num_synapses), None
    (pre, post, delay), weight_at, factor = edges_of(connections, 0)
    begin = np.searchsorted(pre, np.arange(connections.num_sources + 1))
    num_post = int(post.max(initial=0)) + 1
    with jax.ensure_compile_time_eval():  # inside jit too
        laid = lay_out(
            begin, post, num_post, 0, lambda first, last: delay[first:last], np.arange, np.int64
        )
    assert isinstance(laid.rows, Rows) and laid.values is not None
    order = laid.values  # the canonical number of each synapse
    return laid.rows, weight_at[order], None if factor is None else factor[order]
