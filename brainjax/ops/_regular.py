"""Synapses that a rule counts: all to all, one to one, and a fixed number from each source.

Nothing, or nothing but the target, is stored of a synapse beside its weight.
"""

import abc
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Integer

from ._connections import OneDelay, Row, Whole, accumulators, in_order

_STATIC = {"static": True}


class _Counted(OneDelay):
    """The weight of the k-th synapse of source i is number `i * fan_out + k`."""

    num_pre: int
    per_source: int

    @property
    def num_sources(self) -> int:
        return self.num_pre

    @property
    def fan_out(self) -> int:
        return self.per_source

    @property
    def num_weights(self) -> int:
        return self.num_synapses

    @abc.abstractmethod
    def _target(self, source, position) -> Any:
        """The accumulators in which synapses end, given their source and place in its row."""

    def row(self, source, *weights) -> Row:
        position = jnp.arange(self.fan_out, dtype=jnp.int32)
        picked = [in_order(w, source * self.fan_out, self.fan_out) for w in weights]
        valid = jnp.ones(self.fan_out, bool)
        return Row(valid, self.delay, self._target(source, position), picked)

    def whole(self) -> Whole:
        number = jnp.arange(self.num_synapses, dtype=jnp.int32)
        source, position = jnp.divmod(number, max(self.fan_out, 1))
        target = self._target(source, position)
        return Whole(source, jnp.ones(number.shape, bool), self.delay, target, None)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Regular(_Counted):
    """Source i reaches the accumulators `origin + stride * i` and the `per_source - 1` behind it.

    With a `stride` of 0 that is a dense matrix; with 1 and a `per_source` of 1, one to one.

    **Arguments:**

    - `delay`: steps, of all synapses.
    - `origin`: an accumulator of the network.
    - `num_pre`: the size of the source population; `per_source`: synapses of each.
    """

    delay: Int[Array, ""]
    origin: Int[Array, ""]
    num_pre: int = field(metadata=_STATIC)
    per_source: int = field(metadata=_STATIC)
    stride: int = field(metadata=_STATIC)

    format = 1

    @property
    def numbers(self) -> tuple[int, ...]:
        return self.fan_out, self.stride

    def _target(self, source, position) -> Any:
        return self.origin + self.stride * source + position


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FixedFanOut(_Counted):
    """Every source has `per_source` synapses; their targets are stored, source by source.

    **Arguments:**

    - `delay`: steps, of all synapses.
    - `target`, `origin`: as of `Rows`.
    - `num_pre`: the size of the source population.
    - `sorted_targets`: whether those of a source are known to ascend: threads then
      share long rows, and a GPU searches them.
    """

    delay: Int[Array, ""]
    target: Integer[Array, " synapses"]
    num_pre: int = field(metadata=_STATIC)
    per_source: int = field(metadata=_STATIC)
    origin: int = field(default=0, metadata=_STATIC)
    sorted_targets: bool = field(default=False, metadata=_STATIC)

    format = 2

    @property
    def numbers(self) -> tuple[int, ...]:
        return self.fan_out, self.origin, int(self.sorted_targets)

    def _target(self, source, position) -> Any:
        return accumulators(self.target[source * self.fan_out + position], self.origin)
