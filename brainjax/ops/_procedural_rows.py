"""Synapses that are made anew for every spike: memory in proportion to neurons."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from ._connections import OneDelay, Row, Whole
from ._procedural import Procedural, factors, targets
from ._rows import pointers

_STATIC = {"static": True}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ProceduralRows(OneDelay):
    """The matrix that `shape` and the key `words` describe; see `Procedural`.

    One weight serves all synapses. Where there is a table of quantiles, it multiplies a random
    factor that each synapse has. Of all targets only `first` and the `count - 1` behind it are held
    here, from the accumulator `origin` on: a device that holds a part of a population makes the
    rows of the whole, and leaves out what ends elsewhere.

    **Arguments:**

    - `delay`: steps, of all synapses.
    - `origin`: the accumulator of the target `first`; `count`: how many targets are held.
    - `words`, `where`: as of `targets`; `table`: as of `factors`, without cells if there are none.
    - `shape`: what the matrix looks like.
    - `number`: of synapses, on all devices.
    """

    delay: Int[Array, ""]
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
        position = jnp.arange(self.fan_out, dtype=jnp.int32)
        valid, target, factor = self._synapses(source, position)
        given = [w if factor is None else w * factor for w in weights]
        return Row(valid, self.delay, target, given)

    def whole(self) -> Whole:
        number = jnp.arange(self.num_sources * self.fan_out, dtype=jnp.int32)
        source, position = jnp.divmod(number, max(self.fan_out, 1))
        valid, target, factor = self._synapses(source, position)
        return Whole(source, valid, self.delay, target, jnp.zeros_like(source), factor)

    def groups(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        source = np.arange(self.num_sources)
        places = np.full(source.size, self.shape.longest)
        if self.shape.kind != "distance":
            places = np.diff(pointers(self.where))
        source, places = source[places > 0], places[places > 0]
        return source, np.full_like(source, self.delay), places

    def _synapses(self, source, position):
        """Whether there is a synapse at a place of a row, its target, and its factor."""
        target, valid = targets(self.shape, self.words, self.where, source, position)
        held = target - self.first
        valid &= (held >= 0) & (held < self.count)
        factor = None
        if self.table.shape[0]:
            factor = factors(self.words, self.table, source, position)
        return valid, jnp.where(valid, self.origin + held, 0), factor
