"""Stored synapses: the format that holds any projection."""

import functools
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int, Integer

from ._connections import Connections, Row, Whole, accumulators, in_order
from ._groups import group_at, groups_of


@functools.partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True)
class Rows(Connections):
    """The synapses of one projection, by source and, within a source, by delay.

    Synapses of one source and one delay are a group; only groups that are not empty are stored.
    From 2^31 synapses on `group_ptr` has a second axis, the two halves of numbers of 64 bits (low
    first): `wide_pointers` makes it. Only the native library can read it then.

    **Arguments:**

    - `source_ptr`: the groups of source i are `source_ptr[i]:source_ptr[i + 1]`.
    - `group_delay`: steps, of each group; ascending within a source.
    - `group_ptr`: the synapses of group g are `group_ptr[g]:group_ptr[g + 1]`.
    - `target`: the accumulator that each synapse ends in, counted from `origin`; int32, or uint16,
      which takes half the memory and is read in less time.
    - `origin`: an accumulator of the network.
    - `longest_row`, `longest_group`: most synapses of one source, and of one source and delay.
    - `ordered`: whether delays ascend within a source. A history needs that; a ring does not.
    - `sorted_targets`: whether targets are known to ascend within a group: threads
      then share long groups, and a GPU searches them.
    """

    source_ptr: Int[Array, " sources_plus_1"]
    group_delay: Int[Array, " groups"]
    group_ptr: Int[Array, " groups_plus_1 *halves"]
    target: Integer[Array, " synapses"]
    longest_row: int = field(metadata={"static": True})
    longest_group: int = field(metadata={"static": True})
    ordered: bool = field(default=True, metadata={"static": True})
    origin: int = field(default=0, metadata={"static": True})
    sorted_targets: bool = field(default=False, metadata={"static": True})

    format = 0

    @property
    def num_sources(self) -> int:
        return self.source_ptr.shape[-1] - 1

    @property
    def num_synapses(self) -> int:
        return self.target.shape[-1]

    @property
    def num_weights(self) -> int:
        return self.num_synapses

    @property
    def numbers(self) -> tuple[int, ...]:
        return self.origin, int(self.sorted_targets)

    def row(self, source, *weights) -> Row:
        begin = self._begin()
        first, last = begin[self.source_ptr[source]], begin[self.source_ptr[source + 1]]
        position, row = self._window(first, last, self.longest_row, weights)
        return row._replace(delay=self.group_delay[self._group_of(position)])

    def group(self, source, delay, *weights) -> Row:
        group, there = group_at(self, source, delay)
        begin = self._begin()[group]
        end = jnp.where(there, self._begin()[group + 1], begin)
        return self._window(begin, end, self.longest_group, weights)[1]._replace(delay=delay)

    def whole(self) -> Whole:
        position = jnp.arange(self.num_synapses, dtype=jnp.int32)
        begin = self._begin()
        per_source = jnp.diff(begin[self.source_ptr])
        sources = jnp.arange(self.num_sources, dtype=jnp.int32)
        return Whole(
            jnp.repeat(sources, per_source, total_repeat_length=self.num_synapses),
            position < begin[-1],  # rows may be padded; pointers end before the padding
            self.group_delay[self._group_of(position)],
            accumulators(self.target, self.origin),
            None,
        )

    def groups(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return groups_of(self)

    def _begin(self):
        """Where groups begin, as numbers of 32 bits."""
        if self.group_ptr.ndim == 1:
            return self.group_ptr
        if self.num_synapses >= 2**31:
            raise ValueError(
                f"A projection with {self.num_synapses} synapses was delivered in plain JAX: got "
                "that many, expected fewer than 2^31, since its offsets have 32 bits. Use the "
                "native library on one CPU device, or split the source population."
            )
        return self.group_ptr[:, 0]

    def _group_of(self, position):
        """The group that the synapse at each position belongs to."""
        return jnp.searchsorted(self._begin(), position, side="right").astype(jnp.int32) - 1

    def _window(self, first, last, longest: int, weights):
        """The synapses `first:last` as arrays of length `longest`, and their positions."""
        start = jnp.clip(first, 0, self.num_synapses - longest)
        position = start + jnp.arange(longest, dtype=jnp.int32)
        valid = (position >= first) & (position < last)
        target = lax.dynamic_slice(self.target, (start,), (longest,))
        target = accumulators(target, self.origin)
        return position, Row(valid, None, target, [in_order(w, start, longest) for w in weights])
