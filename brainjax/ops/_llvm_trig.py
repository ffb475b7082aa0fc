"""Sine, cosine and tangent as LLVM IR, for arguments of any size.

The argument is x = (n + f) pi / 2 with |f| not much above 1/2. For float32, x times 2 / pi is made
in float64, in parts of 29 bits of 2 / pi so that every product is exact, less its multiples of 4.
For float64, x is reduced by three parts of pi / 2 below 2^45, and above by those 212 bits of 2 / pi
that matter for its exponent, from a table; both give two numbers, whose sum is the reduced argument
to twice the precision.

Sources: Cody and Waite (1980), Software Manual for the Elementary Functions; Payne and Hanek
(1983), doi:10.1145/1057600.1057602; Ng (1993), fdlibm (the float64 coefficients); Moshier, Cephes
(those of float32).
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ._llvm import Builder, Value
from ._llvm_math import format_of, quotient, two_product, two_sum

_F64, _I64 = np.dtype(np.float64), np.dtype(np.int64)
_SIN = {
    "float32": (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1),
    "float64": (1.58969099521155010221e-10, -2.50507602534068634195e-08)
    + (2.75573137070700676789e-06, -1.98412698298579493134e-04)
    + (8.33333333332248946124e-03, -1.66666666666666324348e-01),
}
_COS = {
    "float32": (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2),
    "float64": (-1.13596475577881948265e-11, 2.08757232129817482790e-09)
    + (-2.75573143513906633035e-07, 2.48015872894767294178e-05)
    + (-1.38888888888741095749e-03, 4.16666666666666019037e-02),
}
_FAR = 45  # from 2^45 on, float64 is reduced with the table
_GROUP = 32  # exponents that share a line of it


@functools.cache
def _bits_of_pi(bits: int) -> int:
    """pi 2^bits, rounded down (Machin's formula)."""

    def atan_inverse(n: int) -> int:
        total, term, k = 0, (1 << (bits + 32)) // n, 1
        while term:
            total += term // k if k % 4 == 1 else -(term // k)
            term //= n * n
            k += 2
        return total

    return (16 * atan_inverse(5) - 4 * atan_inverse(239)) >> 32


@functools.cache
def _parts_of_half_pi() -> tuple[float, ...]:
    """pi / 2 as a sum of three floats."""
    rest, parts = _bits_of_pi(300), []
    for _ in range(3):
        parts.append(math.ldexp(float(rest), -301))
        rest -= int(math.ldexp(parts[-1], 301))
    return tuple(parts)


def _bits_of_two_over_pi(high: int, low: int) -> int:
    """The bits of 2 / pi of weights 2^high to 2^low, as an integer."""
    digits = 1300
    whole = (1 << (2 * digits + 1)) // _bits_of_pi(digits)  # (2 / pi) 2^digits
    return (whole >> (digits + low)) & ((1 << (high - low + 1)) - 1)


@functools.cache
def _table() -> tuple[float, ...]:
    """Four parts of 2 / pi for each group of exponents, times 2 to its first exponent."""
    rows = []
    for first in range(_FAR, 1024, _GROUP):
        for part in range(4):
            high = 53 - first - 53 * part
            bits = _bits_of_two_over_pi(high, high - 52)
            rows.append(math.ldexp(float(bits), high - 52 + first))
    return tuple(rows)


def _modulo_4(b: Builder, x: Value) -> Value:
    return b.fma(b.call("roundeven", b.mul(x, 0.25)), -4.0, x)


def _reduce_single(b: Builder, size: Value) -> tuple[Value, Value]:
    """(n, r) of a float32 that is not negative, in float64."""
    x = b.cast("fpext", size, _F64)
    parts = []
    for k in range(7):
        bits = _bits_of_two_over_pi(-1 - 29 * k, -29 - 29 * k)
        product = b.mul(x, math.ldexp(float(bits), -29 - 29 * k))
        parts.append(_modulo_4(b, product) if k < 5 else product)
    count = b.call("roundeven", functools.reduce(b.add, parts))
    fraction = functools.reduce(b.add, parts[1:], b.sub(parts[0], count))
    return count, b.mul(fraction, math.pi / 2)


def _reduce_near(b: Builder, x: Value) -> tuple[Value, Value, Value]:
    """(n, r, rest of r) of a float64 below 2^45."""
    first, second, third = _parts_of_half_pi()
    count = b.call("roundeven", b.mul(x, 2 / math.pi))
    # Exact: a multiple of 2^-53 below 1.
    high = b.fma(count, -first, x)
    product, lost = two_product(b, count, b.constant(-second, _F64))
    r, rest = two_sum(b, high, product)
    return count, r, b.add(rest, b.fma(count, -third, lost))


def _reduce_far(b: Builder, x: Value) -> tuple[Value, Value, Value]:
    """(n, r, rest of r) of a float64 from 2^45 on; n less a multiple of 4."""
    bits = b.cast("bitcast", x, _I64)
    group = b.op("ashr", b.sub(b.op("lshr", bits, 52), 1023 + _FAR), _GROUP.bit_length() - 1)
    group = b.select(b.compare("slt", group, 0), 0, group)
    exponent = b.op("shl", b.add(b.mul(group, _GROUP), _FAR), 52)
    x = b.cast("bitcast", b.sub(bits, exponent), _F64)  # less than 2^32
    parts = [b.lookup("two_over_pi", _table(), b.add(b.mul(group, 4), k)) for k in range(4)]
    products = [two_product(b, x, part) for part in parts]
    (p0, e0), (p1, e1), (p2, e2), (p3, _) = products
    total, lost_0 = two_sum(b, _modulo_4(b, p0), _modulo_4(b, e0))
    total, lost_1 = two_sum(b, total, _modulo_4(b, p1))
    count = b.call("roundeven", total)
    total, rest = b.sub(total, count), b.add(e2, p3)
    for term in (e1, p2, lost_0, lost_1):
        total, lost = two_sum(b, total, term)
        rest = b.add(rest, lost)
    first, second, _ = _parts_of_half_pi()
    r, lost = two_product(b, total, b.constant(first, _F64))
    return count, r, b.add(lost, b.fma(total, second, b.mul(rest, first)))


def _reduce(b: Builder, size: Value) -> tuple[Value, Value, Any]:
    """(n modulo 4 as an integer, r, rest of r or nothing), with size = n pi / 2 + r + rest."""
    if size.dtype != _F64:
        (count, r), rest = _reduce_single(b, size), None
    else:
        near, far = _reduce_near(b, size), _reduce_far(b, size)
        is_near = b.compare("olt", size, 2.0**_FAR)
        count, r, rest = (b.select(is_near, x, y) for x, y in zip(near, far, strict=True))
    magic = b.add(count, 1.5 * 2.0**52)
    return b.op("and", b.cast("bitcast", magic, _I64), 3), r, rest


def _sine(b: Builder, r: Value, rest: Any) -> tuple[Value, Any]:
    """The sine of r + rest, and what the last rounding lost where there is a rest."""
    z = b.mul(r, r)
    coefficients = _SIN["float64" if rest else "float32"]
    if rest is None:
        return b.fma(b.mul(b.horner(z, coefficients), z), r, r), None
    v = b.mul(z, r)
    tail = b.horner(z, coefficients[:-1])
    inner = b.sub(b.mul(z, b.sub(b.mul(rest, 0.5), b.mul(v, tail))), rest)
    less = b.fma(v, -coefficients[-1], inner)
    sine = b.sub(r, less)
    return sine, b.sub(b.sub(r, sine), less)


def _cosine(b: Builder, r: Value, rest: Any) -> tuple[Value, Any]:
    """The cosine of r + rest, and what the last rounding lost where there is a rest."""
    z = b.mul(r, r)
    tail = b.mul(b.mul(b.horner(z, _COS["float64" if rest else "float32"]), z), z)
    if rest is not None:
        tail = b.sub(tail, b.mul(r, rest))
    half = b.mul(z, 0.5)
    main = b.sub(1.0, half)
    more = b.add(b.sub(b.sub(1.0, main), half), tail)
    cosine = b.add(main, more)
    return cosine, None if rest is None else b.add(b.sub(main, cosine), more)


class _Parts(NamedTuple):
    """An angle of `quadrant` right angles and a rest, whose sine and cosine these are."""

    quadrant: Value
    sine: Value
    cosine: Value
    sine_lost: Any  # by their last rounding, in float64
    cosine_lost: Any
    finite: Value


def _parts(b: Builder, x: Value, *, wide: bool = False) -> _Parts:
    """Of |x|."""
    format_of(x)
    size = b.call("fabs", x)
    quadrant, r, rest = _reduce(b, size)
    if rest is None and not wide:
        r = b.cast("fptrunc", r, x.dtype)
    (sine, sine_lost), (cosine, cosine_lost) = _sine(b, r, rest), _cosine(b, r, rest)
    finite = b.compare("olt", size, math.inf)
    return _Parts(quadrant, sine, cosine, sine_lost, cosine_lost, finite)


def _turned(b: Builder, quadrant: Value, parts: _Parts) -> Value:
    """The sine of an angle in another quadrant."""
    odd = b.compare("ne", b.op("and", quadrant, 1), 0)
    y = b.select(odd, parts.cosine, parts.sine)
    return b.select(b.compare("ne", b.op("and", quadrant, 2), 0), b.neg(y), y)


def _odd(b: Builder, y: Value, x: Value, finite: Value) -> Value:
    """An odd function of x that is y at |x|."""
    y = b.select(b.compare("olt", x, 0.0), b.neg(y), y)
    return b.select(finite, b.select(b.compare("oeq", x, 0.0), x, y), math.nan)


def sin(b: Builder, x: Value) -> Value:
    """The sine."""
    parts = _parts(b, x)
    return _odd(b, _turned(b, parts.quadrant, parts), x, parts.finite)


def cos(b: Builder, x: Value) -> Value:
    """The cosine."""
    parts = _parts(b, x)
    return b.select(parts.finite, _turned(b, b.add(parts.quadrant, 1), parts), math.nan)


def tan(b: Builder, x: Value) -> Value:
    """The tangent."""
    quadrant, sine, cosine, sine_lost, cosine_lost, finite = _parts(b, x, wide=True)
    odd = b.compare("ne", b.op("and", quadrant, 1), 0)
    above, below = b.select(odd, b.neg(cosine), sine), b.select(odd, sine, cosine)
    if sine_lost is None:
        y = b.cast("fptrunc", b.op("fdiv", above, below), x.dtype)
    else:
        above_lost = b.select(odd, b.neg(cosine_lost), sine_lost)
        y = quotient(b, above, below, above_lost, b.select(odd, sine_lost, cosine_lost))
    return _odd(b, y, x, finite)


FUNCTIONS: dict[str, Callable[[Builder, Value], Value]] = {"sin": sin, "cos": cos, "tan": tan}
