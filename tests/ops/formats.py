"""Formats of connections: some of each, their synapses by loops, and networks that mix them."""

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from ops import procedural_oracle
from ops.structures import Wiring, wire

from brainjax.ops import Connections, Convolution, FixedFanOut, Groups, ProceduralRows, Regular
from brainjax.ops._procedural import CELLS, OCTAVES, Procedural

SLOTS, ORIGIN = 5, 3
KERNEL = (3, 2, 2, 3)


# ---- examples ------------------------------------------------------------------------------------


def conv(strides, padding, delay=2, shape=(5, 4, 2), kernel=KERNEL, origin=ORIGIN, room=1000):
    """A convolution whose target is as large as it can be, or as there is room for."""
    height, width = (
        max((size + 2 * pad - window) // stride + 1, 0)
        for size, pad, window, stride in zip(shape, padding, kernel, strides, strict=False)
    )
    width = min(width, room // kernel[3])
    height = min(height, room // kernel[3] // max(width, 1))
    at = jnp.int32(delay), jnp.int32(origin)
    return Convolution(*at, shape, kernel, (height, width), strides, padding)


def fixed_fan_out(num_sources, fan_out, target, delay, origin=0, dtype=jnp.int32):
    target = jnp.asarray(np.ravel(target), dtype)
    return FixedFanOut(jnp.int32(delay), target, num_sources, fan_out, origin)


def table(seed=3):
    """Coefficients like those of a distribution, exact in float32, and bounds that are met."""
    made = np.random.default_rng(seed).normal(size=(2 * OCTAVES * CELLS + 1, 4))
    made *= [1.0, 0.3, 0.1, 0.03]
    made[-1] = [-1.5, 1.25, 0, 0]
    return made.astype(np.float32)


def procedural(
    shape: Procedural,
    where,
    delay,
    first=0,
    count=None,
    varied=False,
    origin=ORIGIN,
    words=None,
) -> ProceduralRows:
    """Rows of `shape`; `varied` gives each synapse a factor. `where`: lengths, or thresholds.

    `delay`: of all, or of the places of each source a rising list.
    """
    held = jnp.int32(delay) if isinstance(delay, int) else grouped(delay)
    shape = dataclasses.replace(shape, grouped=isinstance(held, Groups))
    if shape.kind != "distance":
        where = np.append(0, np.cumsum(where)).astype("<i8").view("<i4").reshape(-1, 2)
    rows = ProceduralRows(
        held, jnp.int32(origin), jnp.int32(first),
        jnp.array([0x01234567, 0x89ABCDEF] if words is None else words, jnp.uint32),
        jnp.asarray(where), jnp.asarray(table() if varied else table()[:0]),
        shape, shape.num_post - first if count is None else count, 0,
    )  # fmt: skip
    return dataclasses.replace(rows, number=synapses(rows).pre.size)


def grouped(delays) -> Groups:
    """The places of rows with these delays, of each source a rising list."""
    runs = [[(d, len(list(run))) for d, run in itertools.groupby(row)] for row in delays]
    groups = [group for row in runs for group in row]
    source_ptr, group_ptr = (
        jnp.asarray(np.append(0, np.cumsum(x)), jnp.int32)
        for x in ([len(row) for row in runs], [n for _, n in groups])
    )
    delay = jnp.asarray([d for d, _ in groups], jnp.int32)
    return Groups(source_ptr, delay, group_ptr, max((n for _, n in groups), default=0))


def delays_of(lengths, seed=7):
    """Some delays for each place, of each source a rising list."""
    rng = np.random.default_rng(seed)
    return [sorted(rng.integers(1, SLOTS + 1, n).tolist()) for n in lengths]


def on_grid(delay=2, **how):
    """A grid of 4 x 5, and a mask of 3 x 5 whose middle is connected where it may be."""
    shape = Procedural("distance", 20, 20, 15, grid=(4, 5), reach=(1, 2), **how)
    thresholds = (np.arange(15) * (2**31 // 20)).astype(np.uint32)
    thresholds[[1, 7]] = 2**31  # always
    return procedural(shape, thresholds, delay, varied=True)


def by_rows(kind, lengths, num_post, delay, hollow=False, degree=0, **how):
    shape = Procedural(kind, len(lengths), num_post, max(lengths), hollow, degree)
    return procedural(shape, lengths, delay, **how)


# ---- synapses ------------------------------------------------------------------------------------


class Synapses(NamedTuple):
    """The synapses of a projection, in the order of its rows."""

    pre: np.ndarray
    post: np.ndarray
    delay: np.ndarray
    weight_at: np.ndarray  # the place of each one's weight
    factor: np.ndarray | None  # what the weight of each is multiplied by

    def weights(self, weight):
        """What each synapse weighs; one number if all are alike."""
        each = weight if np.ndim(weight) == 0 else weight[self.weight_at]
        return each if self.factor is None else each * self.factor

    def collected(self, each, like):
        """The transpose of `weights`: numbers of each synapse, summed where a weight is shared."""
        each = each if self.factor is None else each * self.factor
        if np.ndim(like) == 0:
            return each.sum()
        return np.bincount(self.weight_at, each, like.size)


def in_order(pre, post, delay) -> Synapses:
    """Synapses that have their own weights, side by side."""
    return Synapses(pre, post, delay, np.arange(pre.size), None)


def synapses(connections: Connections, dtype: type = np.float64) -> Synapses:
    """The synapses of connections that are not stored; factors are made in `dtype`."""
    rows = [(i, *s) for i in range(connections.num_sources) for s in _row(connections, i, dtype)]
    pre, delay, post, at, factor = np.array(rows, float).reshape(-1, 5).T
    pre, delay, post, at = (x.astype(int) for x in (pre, delay, post, at))
    varied = isinstance(connections, ProceduralRows) and connections.table.shape[0]
    return Synapses(pre, post, delay, at, factor.astype(dtype) if varied else None)


@functools.singledispatch
def _row(c, i: int, dtype: type) -> Iterator[tuple]:
    """Of each synapse of source i its delay, accumulator, the place of its weight, and factor."""
    raise TypeError(type(c))


@_row.register
def _(c: Regular, i: int, dtype: type) -> Iterator[tuple]:
    for k in range(c.fan_out):
        yield int(c.delay), int(c.origin) + c.stride * i + k, i * c.fan_out + k, 1


@_row.register
def _(c: FixedFanOut, i: int, dtype: type) -> Iterator[tuple]:
    for k in range(i * c.fan_out, (i + 1) * c.fan_out):
        yield int(c.delay), c.origin + int(c.target[k]), k, 1


@_row.register
def _(c: Convolution, i: int, dtype: type) -> Iterator[tuple]:
    y, x, a = np.unravel_index(i, c.shape)
    for dy, dx, b in np.ndindex(*c.kernel[:2], c.kernel[3]):
        at = [(y + c.padding[0] - dy) / c.strides[0], (x + c.padding[1] - dx) / c.strides[1]]
        if all(v >= 0 and v == int(v) and v < n for v, n in zip(at, c.outputs, strict=True)):
            place = (int(at[0]) * c.outputs[1] + int(at[1])) * c.kernel[3] + b
            at = np.ravel_multi_index((dy, dx, a, b), c.kernel)
            yield int(c.delay), int(c.origin) + place, at, 1


@_row.register
def _(c: ProceduralRows, i: int, dtype: type) -> Iterator[tuple]:
    words, where, table = np.asarray(c.words), np.asarray(c.where), np.asarray(c.table, dtype)
    for k in range(c.shape.longest):
        at = procedural_oracle.position(c.shape, words, i, k)
        target = procedural_oracle.target(c.shape, words, where, i, at)
        if target is not None and 0 <= target - int(c.first) < c.count:
            factor = procedural_oracle.factor(words, table, i, at) if len(table) else 1
            yield _delay(c, i, k), int(c.origin) + target - int(c.first), 0, factor


def _delay(c: ProceduralRows, i: int, k: int) -> int:
    """The delay of place k of source i."""
    if not isinstance(c.delay, Groups):
        return int(c.delay)
    of_group = np.asarray(c.delay.group_delay)[int(c.delay.source_ptr[i]) :]
    ends = np.asarray(c.delay.group_ptr)[int(c.delay.source_ptr[i]) :]
    return int(of_group[sum(ends[1:] - ends[0] <= k)])


# ---- networks ------------------------------------------------------------------------------------

# Permutations of few numbers have many rounds, which JAX is slow to compile.
FORMATS = {
    "dense": Regular(jnp.int32(3), jnp.int32(ORIGIN), 9, 6, 0),
    "one to one": Regular(jnp.int32(1), jnp.int32(ORIGIN), 9, 1, 1),
    "band": Regular(jnp.int32(5), jnp.int32(ORIGIN), 9, 4, 2),
    "long dense": Regular(jnp.int32(2), jnp.int32(ORIGIN), 3, 301, 0),
    "nothing": Regular(jnp.int32(1), jnp.int32(0), 4, 0, 0),
    "fixed fan-out": fixed_fan_out(9, 7, np.random.default_rng(5).integers(0, 11, 63), 4),
    "convolution": conv((1, 1), (1, 0)),
    "strided convolution": conv((2, 3), (0, 1)),
    "procedural, with replacement": by_rows("with_replacement", [4, 0, 9, 1], 8, 3, first=2),
    "procedural, without replacement": by_rows(
        "without_replacement", [3, 5, 0, 8, 1, 2, 4, 6, 2], 270, 2, hollow=True, varied=True
    ),
    "procedural, in-degree": by_rows("in_degree", [6, 0, 10, 2, 9], 9, 4, degree=30, count=7),
    "procedural, distance": on_grid(),
    "procedural, delays": by_rows(
        "in_degree", [6, 0, 10, 2, 9], 9, delays_of([6, 0, 10, 2, 9]), degree=30, varied=True
    ),
    "procedural, torus": on_grid(delays_of([15] * 20), hollow=True, periodic=True),
}


class Mixed(NamedTuple):
    """The same network twice: as it is kept, and with all synapses stored."""

    given: Wiring
    stored: Wiring
    synapses: list[Synapses]  # of the projections 0, 2, 4, ..., which are not stored


def mixed(connections, scalar=False, dtype: type = np.float32) -> Mixed:
    """A network with a projection for each of some connections, and a stored one beside each.

    `scalar`: one weight serves all synapses; it does in any case where they are procedural. Weights
    of synapses that have a factor are made in `dtype`.
    """
    rng, number = np.random.default_rng(0), 20
    listed = [synapses(c, dtype) for c in connections]
    ends = [1 + int(s.post.max(initial=0)) for s in listed]
    ends += [int(c.origin) + c.count for c in connections if isinstance(c, ProceduralRows)]
    num_targets = max(ends)
    drawn, weights = [], []
    for source, (c, made) in enumerate(zip(connections, listed, strict=True)):
        one = scalar or c.by_row
        weights.append(np.asarray(rng.normal(size=() if one else c.num_weights), dtype)[()])
        drawn.append((source, *made[:3], made.weights(weights[-1])))
        beside = [rng.integers(0, n, number) for n in (c.num_sources, num_targets, SLOTS)]
        drawn.append((source, *beside[:2], beside[2] + 1, rng.normal(size=number)))
    stored = wire([c.num_sources for c in connections], num_targets, drawn, SLOTS)
    rows = [r for pair in zip(connections, stored.rows[1::2], strict=True) for r in pair]
    given = [w for pair in zip(weights, stored.weights[1::2], strict=True) for w in pair]
    return Mixed(stored._replace(rows=tuple(rows), weights=tuple(given)), stored, listed)


@functools.cache
def network_of(*names: str, **how) -> Mixed:
    """A network of some of `FORMATS`; `how` as of `mixed`."""
    return mixed([FORMATS[name] for name in names], **how)
