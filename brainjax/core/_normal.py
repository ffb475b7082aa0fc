"""Normal numbers from random bits: the inverse of the normal distribution function, AS 241.

A word of 32 bits stands for the middle of one of 2^32 intervals of equal probability, symmetric
about 1/2, and the number is the percentage point there. Its largest magnitude is 6.34 in float32;
float64 takes 53 bits of two words and reaches 8.29. Neither is ever infinite.

The relative error of the percentage points is below 1e-7 (PPND7, for float32) and 1e-16 (PPND16).

Source: Wichura (1988), Algorithm AS 241: The Percentage Points of the Normal Distribution,
doi:10.2307/2347330
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt32

# Ratios of polynomials, the coefficient of the highest power first: near the middle in
# 0.180625 - q^2 with q = p - 1/2, in the tails in sqrt(-log p) less where the piece starts.
QUANTILE = {
    "float32": (
        (
            (59.109374720, 159.29113202, 50.434271938, 3.3871327179),
            (67.187563600, 78.757757664, 17.895169469, 1.0),
        ),
        (
            (0.17023821103, 1.3067284816, 2.7568153900, 1.4234372777),
            (0.12021132975, 0.73700164250, 1.0),
        ),
    ),
    "float64": (
        (
            (2509.0809287301227, 33430.57558358813, 67265.7709270087, 45921.95393154987)
            + (13731.69376550946, 1971.5909503065513, 133.14166789178438, 3.3871328727963665),
            (5226.495278852854, 28729.085735721943, 39307.89580009271, 21213.794301586597)
            + (5394.196021424751, 687.1870074920579, 42.31333070160091, 1.0),
        ),
        (
            (0.0007745450142783414, 0.022723844989269184, 0.2417807251774506, 1.2704582524523684)
            + (3.6478483247632045, 5.769497221460691, 4.630337846156546, 1.4234371107496835),
            (1.0507500716444169e-09, 0.0005475938084995345, 0.015198666563616457)
            + (0.14810397642748008, 0.6897673349851, 1.6763848301838038, 2.053191626637759, 1.0),
        ),
        (
            (2.0103343992922881e-07, 2.7115555687434876e-05, 0.0012426609473880784)
            + (0.026532189526576124, 0.29656057182850487, 1.7848265399172913)
            + (5.463784911164114, 6.657904643501103),
            (2.0442631033899397e-15, 1.421511758316446e-07, 1.8463183175100548e-05)
            + (0.0007868691311456133, 0.014875361290850615, 0.1369298809227358)
            + (0.599832206555888, 1.0),
        ),
    ),
}
CENTRE, CENTRE_SQUARED = 0.425, 0.180625  # |q| up to which the first ratio holds
TAIL_STARTS = (1.6, 5.0)


def standard_normal(
    words: tuple[UInt32[Array, " size"], UInt32[Array, " size"]], dtype
) -> Float[Array, " size"]:
    """Standard normal numbers from random bits.

    **Arguments:**

    - `words`: two arrays of random words; for float32 the first alone counts.
    - `dtype`: float32 or float64.
    """
    dtype = jnp.dtype(dtype)
    first, second = words
    positive = first >= jnp.uint32(1 << 31)
    high = (jnp.where(positive, first, ~first) & jnp.uint32((1 << 31) - 1)).astype(jnp.int32)
    if dtype == jnp.float64:
        low = (second >> jnp.uint32(11)).astype(jnp.int32)
        q = (high.astype(dtype) * 2.0**21 + low.astype(dtype) + 0.5) * 2.0**-53
        p = 0.5 - q
    else:
        q = (high.astype(dtype) + 0.5) * 2.0**-32
        p = ((jnp.int32((1 << 31) - 1) - high).astype(dtype) + 0.5) * 2.0**-32
    centre, *tails = QUANTILE[dtype.name]
    size = _ratio(CENTRE_SQUARED - q * q, *centre) * q
    r = jnp.sqrt(-jnp.log(p))
    tail = _ratio(r - TAIL_STARTS[0], *tails[0])
    for start, ratio in zip(TAIL_STARTS[1:], tails[1:], strict=False):
        tail = jnp.where(r > start, _ratio(r - start, *ratio), tail)
    size = jnp.where(q > CENTRE, tail, size)
    return jnp.where(positive, size, -size)


def _ratio(r, above: tuple[float, ...], below: tuple[float, ...]):
    return _polynomial(r, above) / _polynomial(r, below)


def _polynomial(r, coefficients: tuple[float, ...]):
    total = jnp.full_like(r, coefficients[0])
    for c in coefficients[1:]:
        total = total * r + c
    return total
