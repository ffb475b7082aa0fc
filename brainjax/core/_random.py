"""Counter-based random streams: a number is a function of its name, never of a layout.

The generator is Threefry-2x32 with 20 rounds, written out so that it fuses into the loop that
uses it. Its output is bit-identical to `jax.extend.random.threefry_2x32`.

Source: Salmon, Moraes, Dror, Shaw (2011), Parallel random numbers: as easy as 1, 2, 3.
doi:10.1145/2063384.2063405
"""

import zlib
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from ._errors import explain
from ._normal import standard_normal

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def _rotate_left(x, bits: int):
    return (x << np.uint32(bits)) | (x >> np.uint32(32 - bits))


def threefry2x32(key: tuple[Any, Any], counter: tuple[Any, Any]) -> tuple[Any, Any]:
    """Twenty rounds of Threefry-2x32, elementwise over the counters; of JAX's arrays or NumPy's.

    **Arguments:**

    - `key`: two words of 32 bits.
    - `counter`: two arrays of 32-bit words, of shapes that broadcast.

    **Returns:**

    Two arrays of uniformly distributed 32-bit words.
    """
    k0, k1 = key
    keys = (k0, k1, k0 ^ k1 ^ np.uint32(0x1BD11BDA))
    x0, x1 = counter[0] + keys[0], counter[1] + keys[1]
    for i in range(5):
        for bits in _ROTATIONS[i % 2]:
            x0 = x0 + x1
            x1 = _rotate_left(x1, bits) ^ x0
        x0 = x0 + keys[(i + 1) % 3]
        x1 = x1 + keys[(i + 2) % 3] + np.uint32(i + 1)
    return x0, x1


def check_key(what: str, key: Any) -> None:
    """Raise `TypeError` unless `key` is one JAX key, traced or not; `what` names it."""
    typed = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    raw = isinstance(key, jax.Array) and key.dtype == jnp.uint32
    if not ((typed and key.ndim == 0) or (raw and key.shape == (2,))):
        seed = key if isinstance(key, int) and not isinstance(key, bool) else 0
        mend = f"Pass jax.random.key({seed})."
        if typed:
            mend = "One network takes one key: index the array of keys, or use jax.vmap."
        raise TypeError(explain(what, got=key, expected="a JAX key", mend=mend))


def key_words(key: Array) -> UInt32[Array, "2"]:
    """Two 32-bit words of a JAX key (`jax.random.key(seed)`), the root of all streams of a run."""
    return jax.random.bits(key, (2,), jnp.uint32)


def fold(words: UInt32[Array, "2"], name: str) -> UInt32[Array, "2"]:
    """The key of the stream called `name` below the stream of `words`."""
    label = jnp.uint32(zlib.crc32(name.encode()))
    return jnp.stack(threefry2x32((words[0], words[1]), (label, jnp.uint32(0))))


def neighbour_bits(
    words: tuple[Array, Array], index: Int[Array, " size"], step: Int[Array, ""]
) -> UInt32[Array, " size"]:
    """32 bits for each unit, of which the upper 16 come from one block for four neighbours.

    Where the upper bits alone decide, as they mostly do for small integers, a unit costs a quarter
    of a block.

    **Arguments:**

    - `words`: the two words of the stream's key.
    - `index`: the index of each unit in its population.
    - `step`: the number of the step.
    """
    index, step = index.astype(jnp.uint32), step.astype(jnp.uint32)
    pair = threefry2x32(words, (index >> jnp.uint32(2), step))
    word = jnp.where((index & jnp.uint32(2)) == 0, *pair)
    upper = jnp.where((index & jnp.uint32(1)) == 0, word << jnp.uint32(16), word)
    lower = threefry2x32(words, (index | jnp.uint32(1 << 31), step))[0]
    return (upper & jnp.uint32(0xFFFF0000)) | (lower >> jnp.uint32(16))


class Stream(eqx.Module):
    """The random numbers of one population: f(key, purpose, index of the unit, step).

    **Arguments:**

    - `words`: the two words of the population's key.
    - `index`: shape `(size,)`, the index of each unit in its whole population. A shard that holds
      units 100 to 199 holds these indices, and so draws the numbers the whole would have drawn.
    - `first`: the first index if they are consecutive. Numbers may then be drawn in bulk; they are
      the same.
    """

    words: UInt32[Array, "2"]
    index: Int[Array, " size"]
    first: Int[Array, ""] | None = None

    def bits(self, purpose: str, step: Int[Array, ""]) -> UInt32[Array, " size"]:
        """32 random bits for each unit, for `purpose` at step `step`."""
        return self._bits64(purpose, step)[0]

    def uniform(
        self, purpose: str, step: Int[Array, ""], dtype=jnp.float32
    ) -> Float[Array, " size"]:
        """A number in [0, 1) for each unit: a multiple of 2^-24, in float64 of 2^-52."""
        first, second = self._bits64(purpose, step)
        if jnp.dtype(dtype) == jnp.float64:
            high = (first >> jnp.uint32(6)).astype(dtype)
            return (high * 2.0**26 + (second >> jnp.uint32(6)).astype(dtype)) * 2.0**-52
        return (first >> jnp.uint32(8)).astype(dtype) * 2.0**-24

    def normal(
        self, purpose: str, step: Int[Array, ""], dtype=jnp.float32
    ) -> Float[Array, " size"]:
        """A standard normal number for each unit; below 6.4 in magnitude, in float64 below 8.3."""
        return standard_normal(self._bits64(purpose, step), dtype)

    def neighbour_bits(self, purpose: str, step: Int[Array, ""]) -> UInt32[Array, " size"]:
        """As `bits`, with other numbers: four neighbours share a block for their upper halves."""
        words = fold(self.words, purpose)
        return neighbour_bits((words[0], words[1]), self.index, step)

    def _bits64(self, purpose: str, step: Int[Array, ""]) -> tuple[Array, Array]:
        words = fold(self.words, purpose)
        counter = (self.index.astype(jnp.uint32), step.astype(jnp.uint32))
        return threefry2x32((words[0], words[1]), counter)
