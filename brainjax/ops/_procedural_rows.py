"""Synapses that are made anew for every spike: memory in proportion to neurons."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from ._connections import Connections, Row, Whole
from ._groups import Groups, groups_of, pointers
from ._procedural import Procedural, factors, positions, targets

_STATIC = {"static": True}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ProceduralRows(Connections):
    """The matrix that `shape` and the key `words` describe; see `Procedural`.

    One weight serves all synapses. Where there is a table of quantiles, it multiplies a random
    factor that each synapse has. Of all targets only `first` and the `count - 1` behind it are held
    here, from the accumulator `origin` on: a device that holds a part of a population makes the
    rows of the whole, and leaves out what ends elsewhere.

    **Arguments:**

    - `delay`: steps, of all synapses; or which places of a row have which delay, as `Groups` if
      `shape.grouped`.
    - `origin`: the accumulator of the target `first`; `count`: how many targets are held.
    - `words`, `where`: as of `targets`; `table`: as of `factors`, without cells if there are none.
    - `shape`: what the matrix looks like.
    - `number`: of synapses, on all devices.
    """

    delay: Int[Array, ""] | Groups
    origin: Int[Array, ""]
    first: Int[Array, ""]
    words: UInt32[Array, "2"]
    where: Array
    table: Float[Array, "cells 4"]
    shape: Procedural = field(metadata=_STATIC)
    count: int = field(metadata=_STATIC)
    number: int = field(metadata=_STATIC)

    format = 4
    by_row = True

    @property
    def num_sources(self) -> int:
        return self.shape.num_pre

    @property
    def fan_out(self) -> int:
        """How many places the longest row has."""
        return self.shape.longest

    @property
    def num_synapses(self) -> int:
        return self.number

    @property
    def num_weights(self) -> int:
        return 0

    @property
    def numbers(self) -> tuple[int, ...]:
        return (self.count, self.shape.longest, *self.shape.numbers().tolist())

    def row(self, source, *weights) -> Row:
        place = jnp.arange(self.fan_out, dtype=jnp.int32)
        return self._made(source, place, self._delay_of(source, place), weights)

    def group(self, source, delay, *weights) -> Row:
        if not isinstance(self.delay, Groups):
            row = self.row(source, *weights)
            return row._replace(valid=row.valid & (delay == self.delay))
        first, last = self.delay.group(source, delay)
        place = first + jnp.arange(self.delay.longest_group, dtype=jnp.int32)
        row = self._made(source, jnp.minimum(place, self.fan_out - 1), delay, weights)
        return row._replace(valid=row.valid & (place < last))

    def whole(self) -> Whole:
        number = jnp.arange(self.num_sources * self.fan_out, dtype=jnp.int32)
        source, place = jnp.divmod(number, max(self.fan_out, 1))
        valid, target, factor = self._synapses(source, place)
        delay = self._delay_of(source, place)
        return Whole(source, valid, delay, target, jnp.zeros_like(source), factor)

    def groups(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if isinstance(self.delay, Groups):
            return groups_of(self.delay)
        source, places = np.arange(self.num_sources), np.diff(self.row_ptr())
        source, places = source[places > 0], places[places > 0]
        return source, np.full_like(source, self.delay), places

    def row_ptr(self) -> np.ndarray:
        """Where the places of each source begin, and behind the last; int64, on the host."""
        if self.shape.kind == "distance":
            return np.arange(self.num_sources + 1) * self.fan_out
        return pointers(self.where)

    def _delay_of(self, source, place):
        held = self.delay
        return held.delay_of(source, place) if isinstance(held, Groups) else held

    def _made(self, source, place, delay, weights) -> Row:
        valid, target, factor = self._synapses(source, place)
        return Row(valid, delay, target, [w if factor is None else w * factor for w in weights])

    def _synapses(self, source, place):
        """Whether there is a synapse at a place of a row, its target, and its factor."""
        position = positions(self.shape, self.words, source, place)
        target, valid = targets(self.shape, self.words, self.where, source, position)
        held = target - self.first
        valid &= (held >= 0) & (held < self.count)
        factor = None
        if self.table.shape[0]:
            factor = factors(self.words, self.table, source, position)
        return valid, jnp.where(valid, self.origin + held, 0), factor
