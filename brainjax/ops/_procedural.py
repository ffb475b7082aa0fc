"""Connections that are not stored: the synapses of a neuron, made anew from a counter-based stream.

The same functions serve NumPy and JAX: they take arrays of either. Indices are made by arithmetic
on 32-bit integers alone, so they have the same bits in both and in C++ (`csrc/procedural.cc`), on
every machine.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from ..core._random import threefry2x32

Kind = Literal["with_replacement", "without_replacement", "in_degree", "distance"]

# Purposes of random numbers, told apart by the key.
_TARGETS, _FACTORS, _POSITIONS = 1, 2, 3

# A quantile table has this many cells in each octave of probability, in each tail.
CELLS_LOG2 = 3
CELLS = 1 << CELLS_LOG2
OCTAVES = 31


@dataclass(frozen=True)
class Procedural:
    """What a matrix that is not stored looks like, but for its numbers; static and hashable.

    A source has a row of positions. Row `i` begins at synapse number `row_ptr[i]` of the matrix, so
    position `k` is synapse `row_ptr[i] + k`. By kind, its target is

    - `"with_replacement"`: uniform and independent;
    - `"without_replacement"`: the k-th number of a pseudorandom permutation of all targets, another
      one for each source;
    - `"in_degree"`: the synapses of the matrix are dealt out, by one pseudorandom permutation, to
      slots of which each target has `degree`;
    - `"distance"`: positions are those of a mask around the source, on a grid that both populations
      share; each is connected with a probability of its own, or not.

    **Arguments:**

    - `kind`: one of these.
    - `num_pre`, `num_post`: sizes of source and target.
    - `longest`: the number of positions of the longest row.
    - `hollow`: whether the own index is left out; not for `"in_degree"`.
    - `degree`: the number of synapses of a target, for `"in_degree"`.
    - `grid`, `reach`, `periodic`: for `"distance"`, rows and columns of the grid, how far the mask
      reaches from its middle in either, and whether the edges are joined.
    - `grouped`: whether places of a row that follow each other have the same delay, as with
      `Groups`. Then a place may say nothing of its target. It does for `"distance"` alone, where
      place `k` is then the k-th number of a permutation of the positions, another one for each
      source. Elsewhere places and positions are the same.
    """

    kind: Kind
    num_pre: int
    num_post: int
    longest: int
    hollow: bool = False
    degree: int = 0
    grid: tuple[int, int] = (0, 0)
    reach: tuple[int, int] = (0, 0)
    periodic: bool = False
    grouped: bool = False

    def numbers(self) -> np.ndarray:
        """What native code is told, `int64[11]`."""
        kind = get_args(Kind).index(self.kind)
        rest = (self.num_pre, self.num_post, self.hollow, self.degree)
        grid = (*self.grid, *self.reach, self.periodic)
        return np.array([kind, *rest, *grid, self.grouped], np.int64)

    @cached_property
    def permutation(self) -> "Permutation":
        """The permutation of the targets or positions of a source, or of the slots of all."""
        if self.kind == "in_degree":
            return permutation(self.num_post * self.degree)
        return permutation(self.longest if self.kind == "distance" else self.num_post - self.hollow)


class Permutation(NamedTuple):
    """How the numbers `0..size - 1` are permuted: a Feistel network, and walking along its cycles.

    A number is split into a left half, below `left`, and a right half of `bits` bits. A round adds
    a function of one half to the other. `left << bits` is at least `size`, by less than its square
    root; what ends beyond `size` is permuted again until it is inside, which is a permutation of
    the numbers inside (Black and Rogaway 2002, 'Ciphers with arbitrary finite domains',
    doi:10.1007/3-540-45760-7_9).

    A round does not tell apart two numbers that agree in the half it reads. Halves of few bits
    often do, so there are more rounds for them: that a pair agrees in all has a probability of
    about 2^-16.
    """

    bits: int
    left: int
    tail: int  # where the left half is the largest, the right half is below this
    rounds: int


def permutation(size: int) -> Permutation:
    """The `Permutation` of `size` numbers, at most 2^62."""
    size = max(size, 1)
    bits = (size - 1).bit_length() // 2
    left = ((size - 1) >> bits) + 1
    rounds = max(6, 2 * -(-16 // max(bits, 1)))
    return Permutation(bits, left, size - ((left - 1) << bits), rounds)


def positions(shape: Procedural, words: Any, source: Any, place: Any) -> Any:
    """The positions that stand at places of rows, elementwise; see `Procedural.grouped`.

    **Arguments:**

    - `shape`, `words`: as of `targets`.
    - `source`, `place`: `int32` of shapes that broadcast; `0 <= place < shape.longest`.
    """
    if not (shape.grouped and shape.kind == "distance"):
        return place
    i, k = source.astype(np.uint32), place.astype(np.uint32)
    how = shape.permutation
    return _joined(how, *_permuted(how, _key(words, _POSITIONS), i, (k ^ k, k)))[1].astype(np.int32)


def targets(
    shape: Procedural, words: Any, where: Any, source: Any, position: Any
) -> tuple[Any, Any]:
    """The targets at positions of rows, elementwise.

    **Arguments:**

    - `shape`: what the matrix looks like.
    - `words`: `uint32[2]`, the key of the matrix.
    - `where`: `int32[num_pre + 1, 2]`, the beginnings of rows as the lower and upper halves of
      64-bit numbers; for `"distance"` thresholds `uint32[(2 ry + 1) (2 rx + 1)]`, the probability
      of each position times 2^31.
    - `source`, `position`: `int32` of shapes that broadcast; `0 <= source < num_pre`.

    **Returns:** targets, `int32`, and whether there is a synapse at this position. Where there is
    none the target is some index within the population.
    """
    key = _key(words, _TARGETS)
    i, k = source.astype(np.uint32), position.astype(np.uint32)
    if shape.kind == "distance":
        return _on_grid(shape, threefry2x32(key, (i, k))[0], where, source, position)
    begin, end = where[source], where[source + 1]
    valid = position < end[..., 0] - begin[..., 0]
    if shape.kind == "with_replacement":
        width = np.uint32(shape.num_post - shape.hollow)
        target = _multiply_high(threefry2x32(key, (i, k))[0], width)
    elif shape.kind == "without_replacement":
        _, target = _joined(shape.permutation, *_permuted(shape.permutation, key, i, (k ^ k, k)))
    else:
        low = begin[..., 0].astype(np.uint32) + k
        high = begin[..., 1].astype(np.uint32) + (low < k).astype(np.uint32)
        halves = _permuted(shape.permutation, key, i ^ i, (high, low))
        target = _divided(_joined(shape.permutation, *halves), shape.degree)
    target = target.astype(np.int32)
    if shape.hollow:
        target = target + (target >= source).astype(np.int32)
    return target, valid


def factors(words: Any, table: Any, source: Any, position: Any) -> Any:
    """The random factors at positions of rows, elementwise: numbers of the distribution of `table`.

    Of a random word one bit says which half of the distribution it is, and 30 how much probability
    lies between the value and its end: an odd multiple of 2^-32, below 1/2. An octave of that has
    `CELLS` cells, each with a polynomial of the third degree, so tails are as fine as the middle.

    **Arguments:**

    - `words`: `uint32[2]`, the key of the matrix.
    - `table`: as `connect` makes it, `[2 * OCTAVES * CELLS + 1, 4]`: the coefficients of each cell,
      the constant first; then the lower and the upper bound of all values.
    - `source`, `position`: as of `targets`.

    **Returns:** as the table, in dtype and unit.
    """
    key = _key(words, _FACTORS)
    word = threefry2x32(key, (source.astype(np.uint32), position.astype(np.uint32)))[0]
    cell, x = _cell(word, table.dtype)
    c0, c1, c2, c3 = (table[cell, i] for i in range(4))
    value = ((c3 * x + c2) * x + c1) * x + c0
    xp = np if isinstance(value, np.ndarray) else jnp
    return xp.minimum(xp.maximum(value, table[-1, 0]), table[-1, 1])


def _cell(word: Any, dtype: Any) -> tuple[Any, Any]:
    """The cell of a random word in a quantile table, and where in 0..1 of the cell it is."""
    upper = (word & np.uint32(1)).astype(np.int32)
    distance = (word >> np.uint32(1)).astype(np.int32) | np.int32(1)
    # The exponent of a float says which bit leads; without the bit below it cannot round up.
    leading = (distance & ~(distance >> np.int32(1))).astype(np.float32)
    octave = (leading.view(np.int32) >> np.int32(23)) - np.int32(127)
    scaled = distance << (np.int32(30) - octave)
    rest = 30 - CELLS_LOG2
    cell = (scaled >> np.int32(rest)) & np.int32(CELLS - 1)
    x = (scaled & np.int32((1 << rest) - 1)).astype(dtype) * np.asarray(2.0**-rest, dtype)[()]
    return (upper * np.int32(OCTAVES) + octave) * np.int32(CELLS) + cell, x


def _key(words: Any, purpose: int) -> tuple[Any, Any]:
    first, second = words[0:1], words[1:2]  # arrays, as NumPy's scalars would warn of wrapping
    zero = first ^ first
    first, second = threefry2x32((first, second), (zero + np.uint32(purpose), zero))
    return first.reshape(()), second.reshape(())


def _on_grid(
    shape: Procedural, word: Any, thresholds: Any, source: Any, position: Any
) -> tuple[Any, Any]:
    """The targets at positions of the mask, and whether they are connected."""
    (ny, nx), (ry, rx) = shape.grid, shape.reach
    width = np.int32(2 * rx + 1)
    down, y = position // width, source // np.int32(nx)
    y, inside_y = _moved(y, down - np.int32(ry), ny, shape.periodic)
    across = position - down * width - np.int32(rx)
    x, inside_x = _moved(source % np.int32(nx), across, nx, shape.periodic)
    valid = ((word >> np.uint32(1)) < thresholds[position]) & inside_y & inside_x
    if shape.hollow:
        valid = valid & (position != np.int32(ry) * width + np.int32(rx))
    return y * np.int32(nx) + x, valid


def _moved(at: Any, by: Any, size: int, periodic: bool) -> tuple[Any, Any]:
    to = at + by
    wrapped = to % np.int32(size)
    return wrapped, (to == wrapped) | np.bool_(periodic)


def _mixed(x: Any, key: Any) -> Any:
    """The round function, after the finaliser of MurmurHash3; its upper bits are the best."""
    x = x * np.uint32(0x9E3779B1) + key
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    return (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)


def _permuted(how: Permutation, key: tuple[Any, Any], row: Any, number: tuple[Any, Any]) -> Any:
    """The halves of the number that `number`, in two words of 32 bits, becomes in a row."""
    high, low = number
    mask = np.uint32((1 << how.bits) - 1)
    left = low >> np.uint32(how.bits)
    if how.bits:
        left = left | (high << np.uint32(32 - how.bits))
    turns = np.arange(how.rounds // 2, dtype=np.uint32).reshape((-1,) + (1,) * row.ndim)
    left_keys, right_keys = threefry2x32(key, (row[None] ^ (turns ^ turns), turns))

    def once(left, right):
        for i in range(len(turns)):
            left = left + _multiply_high(_mixed(right, left_keys[i]), np.uint32(how.left))
            left = left - np.uint32(how.left) * (left >= np.uint32(how.left)).astype(np.uint32)
            if how.bits:
                right = right ^ (_mixed(left, right_keys[i]) >> np.uint32(32 - how.bits))
        return left, right

    def outside(halves):
        return (halves[0] == np.uint32(how.left - 1)) & (halves[1] >= np.uint32(how.tail))

    def again(halves):
        out, more = outside(halves), once(*halves)
        xp = np if isinstance(out, np.ndarray) else jnp
        return tuple(xp.where(out, new, old) for new, old in zip(more, halves, strict=True))

    halves = once(left, low & mask)
    if how.tail == 1 << how.bits:  # there is nothing outside
        return halves
    if isinstance(halves[0], np.ndarray):
        while outside(halves).any():
            halves = again(halves)
        return halves
    return jax.lax.while_loop(lambda h: jnp.any(outside(h)), again, halves)


def _joined(how: Permutation, left: Any, right: Any) -> tuple[Any, Any]:
    """The number of two halves, as its upper and lower 32 bits."""
    high = left >> np.uint32(32 - how.bits) if how.bits else left ^ left
    return high, (left << np.uint32(how.bits)) | right


def reciprocal(divisor: int) -> tuple[int, int]:
    """`(m, s)` such that `x // divisor` is `4 x m >> (64 + s)` for all `x < 2^62`.

    With `2^(s - 1) < d <= 2^s` and `m = ceil(2^(62 + s) / d)`, the product exceeds what it stands
    for by `x (m d - 2^(62 + s)) / d`, which is less than `2^(62 + s) / d` and so never reaches the
    next integer (Granlund and Montgomery 1994, doi:10.1145/178243.178249).
    """
    shift = (divisor - 1).bit_length()
    return -(-(1 << (62 + shift)) // divisor), shift


def _divided(number: tuple[Any, Any], divisor: int) -> Any:
    """The number, in two words of 32 bits and below 2^62, divided; the result fits into one."""
    high, low = number
    m, shift = reciprocal(divisor)
    a1, a0 = (high << np.uint32(2)) | (low >> np.uint32(30)), low << np.uint32(2)
    b1, b0 = np.uint32(m >> 32), np.uint32(m & 0xFFFFFFFF)
    # Limbs of 32 bits; `p2` and `p3` are the upper two of the product.
    _, carry = _sum(_multiply_high(a0, b0), a1 * b0, a0 * b1)
    p2, carry = _sum(a1 * b1, _multiply_high(a1, b0), _multiply_high(a0, b1), carry)
    p3 = _multiply_high(a1, b1) + carry
    if shift == 0:
        return p2
    return (p3 << np.uint32(32 - shift)) | (p2 >> np.uint32(shift))


def _sum(first: Any, *others: Any) -> tuple[Any, Any]:
    """The sum of words, and what is carried."""
    carry = first ^ first
    for other in others:
        first = first + other
        carry = carry + (first < other).astype(np.uint32)
    return first, carry


def _multiply_high(a: Any, b: Any) -> Any:
    """The upper 32 bits of a product, from halves of 16 bits."""
    half, mask = np.uint32(16), np.uint32(0xFFFF)
    a1, a0, b1, b0 = a >> half, a & mask, b >> half, b & mask
    middle = a1 * b0 + ((a0 * b0) >> half)
    return a1 * b1 + (middle >> half) + ((a0 * b1 + (middle & mask)) >> half)
