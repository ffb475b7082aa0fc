"""What the delivery ops need to know of the synapses of a projection, whatever their format.

A *row* is the synapses of one source, a *group* those of one source and one delay. A format says
how they are found: stored (`Rows`), counted (`Regular`), or computed (`Convolution`). It is a
PyTree: its arrays are operands of the ops, the rest is fixed when they are compiled. All formats
keep one order of synapses, by source, then delay, so that two that hold the same synapses give the
same bits.
"""

import abc
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# Below so many synapses to be read at a time, more threads cost more than they gain.
WORTH_SHARING = 4096


class Row(NamedTuple):
    """Synapses of one source, as arrays of a fixed length that some of them do not fill."""

    valid: Any  # bool; where it is not, the entry is no synapse of the row
    delay: Any  # steps, of each or of all
    target: Any  # accumulator of the network
    weights: list[Any]  # of each kind of weight asked for: per synapse, or one


class Whole(NamedTuple):
    """All synapses of a projection."""

    source: Any
    valid: Any
    delay: Any
    target: Any
    weight_at: Any  # the position of each one's weight; `None` where they are in order
    factor: Any = None  # what the weight of each is multiplied by, if by anything


class Connections(abc.ABC):
    """The synapses of a projection in one of the engine's formats."""

    format: ClassVar[int]  # as csrc/formats.h numbers them
    by_row: ClassVar[bool] = False  # whether all synapses at once are more than memory should hold

    @property
    @abc.abstractmethod
    def num_sources(self) -> int:
        """The size of the source population."""

    @property
    @abc.abstractmethod
    def num_synapses(self) -> int:
        """How many synapses there are."""

    @property
    @abc.abstractmethod
    def num_weights(self) -> int:
        """How many weights there are, where not one serves all."""

    @property
    @abc.abstractmethod
    def numbers(self) -> tuple[int, ...]:
        """What the native library must know, beside the arrays."""

    @abc.abstractmethod
    def row(self, source, *weights) -> Row:
        """The synapses of a source, with what each of `weights` gives them."""

    @abc.abstractmethod
    def group(self, source, delay, *weights) -> Row:
        """The synapses of a source over one delay, with what each of `weights` gives them."""

    @abc.abstractmethod
    def whole(self) -> Whole:
        """All synapses, in the order of their rows."""

    @abc.abstractmethod
    def groups(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`(source, delay, synapses)` of each group that is not empty, in order; on the host."""


class OneDelay(Connections):
    """A format whose sources all have `fan_out` synapses, over one delay `delay` in steps."""

    delay: Any

    @property
    @abc.abstractmethod
    def fan_out(self) -> int:
        """How many places for synapses the row of a source has."""

    @property
    def num_synapses(self) -> int:
        return self.num_sources * self.fan_out

    def group(self, source, delay, *weights) -> Row:
        row = self.row(source, *weights)
        return row._replace(valid=row.valid & (delay == self.delay))

    def groups(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if not self.fan_out:
            none = np.empty(0, np.int64)
            return none, none, none
        source = np.arange(self.num_sources)
        return source, np.full_like(source, self.delay), np.full_like(source, self.fan_out)


def attributes_of(formats) -> np.ndarray:
    """What the native library reads of formats: of each, how many numbers follow, then these.

    `formats` is the structure of a tuple of `Connections`, without their arrays.
    """
    connections = jax.tree.unflatten(formats, [None] * formats.num_leaves)
    numbers = [(c.format, *c.numbers) for c in connections]
    return np.asarray([n for of_one in numbers for n in (len(of_one), *of_one)], np.int64)


def flat(connections: Sequence[Connections]) -> list[Any]:
    """The arrays of all, in order."""
    return jax.tree.leaves(tuple(connections))


def last_rows(args, layout) -> tuple[Connections, ...]:
    """The connections of a call, whose arrays are its last operands."""
    return jax.tree.unflatten(layout.formats, args[len(args) - layout.formats.num_leaves :])


def accumulators(target, origin: int):
    """The accumulators of the network that stored targets stand for."""
    return target.astype(jnp.int32) + origin


def in_order(weight, first, count: int):
    """The weights of `count` synapses from `first` on, or the one of all."""
    return weight if weight.ndim == 0 else lax.dynamic_slice(weight, (first,), (count,))


def events_of(active):
    """Positions where `active`, then padding; and how many there are."""
    size = active.shape[0]
    return jnp.nonzero(active, size=size, fill_value=0)[0].astype(jnp.int32), jnp.sum(
        active, dtype=jnp.int32
    )


def projections_from(source: int, sources) -> list[int]:
    """The projections whose source population is `source`, in order."""
    return [j for j, s in enumerate(sources) if s == source]


def num_populations(sources) -> int:
    """How many source populations a layout has."""
    return max(sources, default=-1) + 1
