"""Which places of a row have which delay, where targets are found in another way than by a list."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Groups:
    """The places of all rows of a projection, by source and, within a source, by delay.

    Places are numbered through, row after row. Those of one source and one delay are a group; only
    groups that are not empty are held, so there are never more than places or delays.

    **Arguments:**

    - `source_ptr`, `group_delay`, `group_ptr`: as of `Rows`, of places in the place of synapses.
    - `longest_group`: the most places of one source and delay.
    """

    source_ptr: Int[Array, " sources_plus_1"]
    group_delay: Int[Array, " groups"]
    group_ptr: Int[Array, " groups_plus_1 *halves"]
    longest_group: int = field(metadata={"static": True})

    def group(self, source, delay) -> tuple[Any, Any]:
        """The places `first:last` of a row that have this delay, counted from its beginning."""
        group, there = group_at(self, source, delay)
        low = _low_words(self.group_ptr)
        before = low[self.source_ptr[source]]
        begin = low[group] - before
        return begin, jnp.where(there, low[group + 1] - before, begin)

    def delay_of(self, source, place) -> Any:
        """The delay of places of rows, elementwise; of places within them."""
        source, place = jnp.broadcast_arrays(source, place)
        first, last = self.source_ptr[source], self.source_ptr[source + 1]
        low = _low_words(self.group_ptr)
        begin = low[first]
        rounds = _rounds_for(self.group_delay.shape[0])
        behind = _first_where(lambda g: low[g] - begin > place, first, last, rounds)
        return self.group_delay[jnp.maximum(behind - 1, 0)]


def group_at(held: Any, source, delay) -> tuple[Any, Any]:
    """The group of a source and a delay in `Groups` or `Rows`, and whether there is one."""
    first, last = held.source_ptr[source], held.source_ptr[source + 1]
    group = lower_bound(held.group_delay, first, last, delay)
    return group, (group < last) & (held.group_delay[group] == delay)


def groups_of(held: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`(source, delay, synapses)` of each group of `Groups` or `Rows`; on the host."""
    source_ptr, delay = np.asarray(held.source_ptr), np.asarray(held.group_delay)
    source = np.repeat(np.arange(source_ptr.size - 1), np.diff(source_ptr))
    return source, delay, np.diff(pointers(held.group_ptr)[: delay.size + 1])


def wide_pointers(pointers: np.ndarray) -> np.ndarray:
    """Offsets `pointers` of 64 bits as two halves of 32, low first, for JAX has no others."""
    return np.ascontiguousarray(pointers, "<i8").view(np.int32).reshape(-1, 2)


def pointers(group_ptr) -> np.ndarray:
    """The offsets that a `group_ptr` of `Rows` holds, narrow or wide; int64, on the host."""
    held = np.asarray(group_ptr)
    return held.astype(np.int64) if held.ndim == 1 else held.view("<i8")[:, 0]


def _low_words(group_ptr):
    """The lower 32 bits of offsets: differences within a row are right, for a row is shorter."""
    return group_ptr if group_ptr.ndim == 1 else group_ptr[:, 0]


def _rounds_for(size: int) -> int:
    """How often a range of at most `size` is halved until nothing is left of it."""
    return max(int(size).bit_length(), 1)


def _first_where(holds: Callable, first, last, rounds: int):
    """The first position in `first:last` where `holds`, if it does from somewhere on; else `last`.

    `first` and `last` are numbers, or arrays of one shape; `holds` maps positions like them.
    """

    def halve(_, bounds):
        low, high = bounds
        middle = (low + high) // 2
        below = (low < high) & ~holds(middle)
        return jnp.where(below, middle + 1, low), jnp.where(below, high, middle)

    return lax.fori_loop(0, rounds, halve, (first, last))[0]


def lower_bound(sorted_values, first, last, value):
    """The first position in `first:last` whose value is not below `value`; `last` if none is."""
    rounds = _rounds_for(sorted_values.shape[0])
    return _first_where(lambda at: sorted_values[at] >= value, first, last, rounds)
