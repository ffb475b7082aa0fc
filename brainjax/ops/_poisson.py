"""`draw_poisson`: Poisson numbers of one mean for consecutive neurons, as one op.

A number is how many thresholds exceed 32 random bits. The native handler makes the upper 16 bits of
four neighbours from one block of Threefry and looks at the others only where they decide; plain JAX
makes all bits of all. Both count the same.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt8, UInt32

from ..core import neighbour_bits
from ._primitive import (
    align_varying,
    batch_by_leading_axis,
    like,
    lower_natively,
    new_primitive,
    over_batch,
    set_constant,
)


def _one(size, first, second, step, start, *thresholds):
    index = start + jnp.arange(size, dtype=jnp.int32)
    bits = neighbour_bits((first, second), index, step)
    return [sum((bits < t).astype(jnp.uint8) for t in thresholds)]


def _reference(*args, size, impl, batch):
    return over_batch(lambda *a: _one(size, *a), batch, args)


def _abstract(*args, size, impl, batch):
    axes = np.broadcast_shapes(*[x.shape[:batch] for x in args])
    return [like(args[0], (*axes, size), jnp.uint8)]


poisson_p = new_primitive("poisson", _abstract, _reference)
lower_natively(
    poisson_p,
    _reference,
    "brainjax_Poisson",
    lambda avals, *, size, impl, batch: {"batch": np.int64(batch)},
    lambda avals, **_: {},
)
batch_by_leading_axis(poisson_p, lambda **_: set())


set_constant(poisson_p)


def draw_poisson(
    words: UInt32[Array, "2"],
    step: Int[Array, ""],
    first: Int[Array, ""],
    size: int,
    thresholds: Sequence[UInt32[Array, ""]],
    *,
    impl: str = "auto",
) -> UInt8[Array, " size"]:
    """How many `thresholds` exceed the bits of each neuron: at most 255.

    **Arguments:**

    - `words`: the key of the stream.
    - `step`: the number of the step, int32.
    - `first`, `size`: the neurons `first` to `first + size - 1` of the population.
    - `thresholds`: falling.
    - `impl`: which implementation runs.
    """
    given = align_varying(words[0], words[1], step, first, *thresholds)
    return poisson_p.bind(*given, size=size, impl=impl, batch=0)[0]
