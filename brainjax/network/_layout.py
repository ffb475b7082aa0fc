"""Laying out the synapses of a projection as rows of the delivery op, and reading them back.

Synapses come in canonical order, by source, and are laid out by source and delay: a sort within
each source. It is done for a block of sources at a time, in the cache, and what a synapse has
besides its target (delay, weight) is drawn for that block alone, so that little more is held than
what is built.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np

from ..core._sort import PART, sorting_order
from ..ops import Rows

_BLOCK = PART

# Values of the synapses `start..stop` in canonical order.
Values: TypeAlias = Callable[[int, int], np.ndarray]


class Edges(NamedTuple):
    """The synapses of a projection in canonical order: by pre, then post, then delay."""

    pre: np.ndarray  # int64 (synapses,), index in the source population
    post: np.ndarray  # int64 (synapses,), index in the target population
    delay: np.ndarray  # int64 (synapses,), steps


class LaidOut(NamedTuple):
    """The synapses of a projection as rows."""

    rows: Rows
    values: np.ndarray | None  # (synapses,), those given, in row order
    longest_row: int
    longest_group: int
    longest_delay: int  # steps


def lay_out(
    begin: np.ndarray,
    post: np.ndarray,
    offset: int,
    delay: int | Values,
    values: Values | None = None,
    dtype: Any = None,
) -> LaidOut:
    """Synapses in canonical order as rows.

    **Arguments:**

    - `begin`: where the synapses of each source begin, and behind the last; `(sources + 1,)`.
    - `post`: `(synapses,)`, target of each.
    - `offset`: what is added to a target.
    - `delay`: in steps, of all synapses or of each.
    - `values`, `dtype`: something else that each synapse has, and the type it is kept as.
    """
    target = _aligned(post.size, np.int32)
    laid = None if values is None else _aligned(post.size, dtype)
    groups_of_source = np.zeros(begin.size, np.int64)
    delays, starts = [np.empty(0, np.int32)], []
    for first, last in _blocks(begin):
        start, stop = int(begin[first]), int(begin[last])
        here, sizes = slice(start, stop), np.diff(begin[first : last + 1])
        order, groups = _grouped(sizes, delay if isinstance(delay, int) else delay(start, stop))
        groups_of_source[first + 1 : last + 1] = groups.number
        delays.append(groups.delay.astype(np.int32))
        starts.append((groups.start + start).astype(np.int32))
        target[here] = post[here][order]
        if laid is not None and values is not None:
            laid[here] = values(start, stop)[order]
    target += offset
    starts.append(np.array([post.size], np.int32))
    group_delay, group_ptr = _joined(delays), _joined(starts)
    return LaidOut(
        Rows(
            jnp.asarray(np.cumsum(groups_of_source), jnp.int32),
            jnp.asarray(group_delay, jnp.int32),
            jnp.asarray(group_ptr, jnp.int32),
            jnp.asarray(target, jnp.int32),
        ),
        laid,
        int(np.diff(begin).max(initial=0)),
        int(np.diff(group_ptr).max(initial=0)),
        int(group_delay.max(initial=1)),
    )


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


def _aligned(size: int, dtype: Any) -> np.ndarray:
    """An array to be filled, that JAX takes over on the CPU: it asks for 64 bytes of alignment."""
    size *= np.dtype(dtype).itemsize
    raw = np.empty(size + 64, np.uint8)
    skip = -raw.ctypes.data % 64
    return raw[skip : skip + size].view(dtype)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts, out=_aligned(sum(p.size for p in parts), np.int32))


def edges_of(rows: Rows, offset: int) -> tuple[Edges, np.ndarray]:
    """The synapses of `rows` in canonical order, and where each stands in the rows."""
    source_ptr, group_delay, group_ptr, target = (np.asarray(a).astype(np.int64) for a in rows)
    sizes = np.diff(group_ptr)
    group_source = np.repeat(np.arange(len(source_ptr) - 1), np.diff(source_ptr))
    pre, delay = np.repeat(group_source, sizes), np.repeat(group_delay, sizes)
    post = target - offset
    order = np.lexsort((delay, post, pre))
    return Edges(pre[order], post[order], delay[order]), order
