"""Transcendental functions as LLVM IR: a polynomial on a reduced argument, no library call.

Each is within 2 units in the last place of the truth (XLA's are within 1 to 500), and so within 2
of XLA wherever XLA is right to one. NaN, infinities and signed zeros are taken as XLA does. A
subnormal result is zero, as on XLA's threads, which flush them.

Comparisons are written so that NaN passes through: a clamp that turned it into a number would hide
it from the check for non-finite states.

Sources: Cody and Waite (1980), Software Manual for the Elementary Functions (exp); Ng (1993),
fdlibm (log, log1p); Moshier, Cephes (the float32 coefficients of exp).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ._llvm import Builder, Untranslatable, Value


class Format(NamedTuple):
    """A floating-point format, and the constants that belong to it."""

    integer: Any
    mantissa: int  # bits
    bias: int
    magic: float  # added, it leaves the nearest integer in the lowest bits
    ln2_high: float
    ln2_low: float
    exp: tuple[float, ...]  # (e^r - 1 - r) / r^2, highest power first
    exp_least: float  # below, e^x is subnormal
    exp_most: float  # from here on e^x is infinite
    sqrt_half: int  # the bits of sqrt(1/2)
    log: tuple[float, ...]  # fdlibm's R(z) / z, highest power first
    tiny: float  # the least normal number


_FORMATS = {
    "float32": Format(
        np.dtype(np.int32),
        23,
        127,
        1.5 * 2.0**23,
        0.693359375,
        -2.12194440e-4,
        (1.381459878757596e-3, 8.368716575205326e-3, 4.166838899254799e-2)
        + (1.666652113199234e-1, 4.999999403953552e-1),
        -87.33654475,
        88.73,
        0x3F3504F3,
        (0.24279078841, 0.28498786688, 0.40000972152, 0.66666662693),
        2.0**-126,
    ),
    "float64": Format(
        np.dtype(np.int64),
        52,
        1023,
        1.5 * 2.0**52,
        6.93147180369123816490e-01,
        1.90821492927058770002e-10,
        tuple(1 / math.factorial(k) for k in reversed(range(2, 14))),
        -708.3964185322641,
        709.79,
        0x3FE6A09E667F3BCD,
        (1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01)
        + (2.222219843214978396e-01, 2.857142874366239149e-01, 3.999999999940941908e-01)
        + (6.666666666666735130e-01,),
        2.0**-1022,
    ),
}
# log uses a split of ln 2 whose high part times any exponent is exact.
LN2_LOG = {
    "float32": (float(np.float32(6.9313812256e-01)), float(np.float32(9.0580006145e-06))),
    "float64": (6.93147180369123816490e-01, 1.90821492927058770002e-10),
}


_TANH = {  # (tanh(x) / x - 1) / x^2, in x^2
    "float32": (0.0023953687587546305, -0.008413468342334378, 0.02178262500035012)
    + (-0.05395961158062944, 0.13333293354364686, -0.3333333271103642),
    "float64": (-1.9495565251565036e-05, 8.331734257613557e-05, -0.00023338172884816214)
    + (0.0005884443193579921, -0.0014555427320499849, 0.0035920919976053364)
    + (-0.00886323259611905, 0.021869488385349, -0.053968253963733205)
    + (0.13333333333326547, -0.333333333333333),
}


def format_of(x: Value) -> Format:
    if x.dtype.name not in _FORMATS:
        raise Untranslatable(f"it takes a transcendental function of {x.dtype}")
    return _FORMATS[x.dtype.name]


def power_of_two(b: Builder, exponent: Value, like: Value) -> Value:
    """2^exponent for an integer in the range of normal numbers."""
    f = format_of(like)
    return b.cast("bitcast", b.op("shl", b.add(exponent, f.bias), f.mantissa), like.dtype)


def reduce_exp(b: Builder, x: Value) -> tuple[Value, Value]:
    """(n + magic, r) with x = n ln 2 + r and |r| <= ln(2) / 2."""
    f = format_of(x)
    shifted = b.fma(x, math.log2(math.e), f.magic)
    count = b.sub(shifted, f.magic)
    return shifted, b.fma(count, -f.ln2_low, b.fma(count, -f.ln2_high, x))


def exp_of_remainder(b: Builder, r: Value) -> Value:
    """e^r for |r| <= ln(2) / 2, within 0.04 units in the last place before it is rounded."""
    return b.horner(r, (*format_of(r).exp, 1.0, 1.0))


def exp(b: Builder, x: Value) -> Value:
    """e^x"""
    f = format_of(x)
    shifted, r = reduce_exp(b, _at_most(b, x, f.exp_most))
    return _scaled(b, exp_of_remainder(b, r), shifted, x, f.exp_least)


def _at_most(b: Builder, x: Value, most: float) -> Value:
    return b.select(b.compare("ogt", x, most), most, x)


def _scaled(b: Builder, p: Value, shifted: Value, x: Value, least: float) -> Value:
    """p 2^n with n in the low bits of `shifted`, at most 2^bias; zero where x is below `least`.

    Subnormal results are zero: XLA's threads flush them. Beyond the largest number the sum of
    exponents exceeds that of infinity. Where x is NaN, so is the result. AMD's processors have
    spare room for minima, maxima and integers, but none for comparisons: they compete with
    products.
    """
    f = format_of(x)
    n = b.op("shl", b.cast("bitcast", shifted, f.integer), f.mantissa)
    bits = b.add(b.cast("bitcast", p, f.integer), n)
    infinite = (2 * f.bias + 1) << f.mantissa
    bits = b.select(b.compare("sgt", bits, infinite), infinite, bits)
    zero_or_nan = b.select(b.compare("olt", x, 0.0), 0.0, x)
    return b.select(b.compare("oge", x, least), b.cast("bitcast", bits, x.dtype), zero_or_nan)


def exp2(b: Builder, x: Value) -> Value:
    """2^x"""
    f = format_of(x)
    limited = _at_most(b, x, f.bias + 1.0)
    shifted = b.add(limited, f.magic)
    r = b.mul(b.sub(limited, b.sub(shifted, f.magic)), math.log(2))
    return _scaled(b, exp_of_remainder(b, r), shifted, x, 1.0 - f.bias)


def expm1(b: Builder, x: Value) -> Value:
    """e^x - 1, exact to the last digits near zero."""
    f = format_of(x)
    # Below, e^x no longer changes the result in either format; above, the result overflows.
    low, high = -40.0, f.exp_most + 0.3
    limited = b.select(b.compare("olt", x, low), low, x)
    limited = b.select(b.compare("ogt", limited, high), high, limited)
    shifted, r = reduce_exp(b, limited)
    magic_bits = b.cast("bitcast", b.constant(f.magic, x.dtype), f.integer)
    n = b.sub(b.cast("bitcast", shifted, f.integer), magic_bits)
    p = b.fma(b.horner(r, f.exp), b.mul(r, r), r)  # e^r - 1
    # 2^n p + (2^n - 1), with half of 2^n since 2^n itself may overflow.
    scale = power_of_two(b, b.sub(n, 1), x)
    large = b.mul(b.fma(scale, p, b.sub(scale, 0.5)), 2.0)
    near = b.select(b.compare("eq", n, 0), p, large)
    return b.select(b.compare("oeq", x, 0.0), x, near)


def sinh(b: Builder, x: Value) -> Value:
    """(e^x - e^-x) / 2, below 1 by its series."""
    size, square = b.call("fabs", x), b.mul(x, x)
    terms = 5 if x.dtype.name == "float32" else 9
    series = [1 / math.factorial(2 * k + 1) for k in range(terms, 0, -1)]
    near = b.fma(b.mul(b.horner(square, series), square), size, size)
    half = _half_exp(b, size)
    far = b.sub(half, b.op("fdiv", 0.25, half))
    return b.call("copysign", b.select(b.compare("olt", size, 1.0), near, far), x)


def cosh(b: Builder, x: Value) -> Value:
    """(e^x + e^-x) / 2"""
    half = _half_exp(b, b.call("fabs", x))
    return b.add(half, b.op("fdiv", 0.25, half))


def _half_exp(b: Builder, x: Value) -> Value:
    """e^x / 2 for x >= 0, which is finite a little further than e^x."""
    shifted, r = reduce_exp(b, _at_most(b, x, format_of(x).exp_most + math.log(2)))
    return _scaled(b, exp_of_remainder(b, r), b.sub(shifted, 1.0), x, 0.0)


def two_sum(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """x + y rounded, and what the rounding lost."""
    total = b.add(x, y)
    of_y = b.sub(total, x)
    return total, b.add(b.sub(x, b.sub(total, of_y)), b.sub(y, of_y))


def two_product(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """x y rounded, and what the rounding lost."""
    product = b.mul(x, y)
    return product, b.fma(x, y, b.neg(product))


def reduce_log(b: Builder, x: Value) -> tuple[Value, Value]:
    """(k, m) with x = 2^k m and m between sqrt(1/2) and sqrt(2), for x positive and normal."""
    f = format_of(x)
    one = f.bias << f.mantissa
    bits = b.add(b.cast("bitcast", x, f.integer), one - f.sqrt_half)
    k = b.sub(b.op("ashr", bits, f.mantissa), f.bias)
    m = b.add(b.op("and", bits, (1 << f.mantissa) - 1), f.sqrt_half)
    return k, b.cast("bitcast", m, x.dtype)


def _log_of(b: Builder, k: Value, g: Value, correction: Any) -> Value:
    """k ln 2 + log(1 + g) + correction"""
    f = format_of(g)
    high, low = LN2_LOG[g.dtype.name]
    narrow = k if k.bits == 32 else b.cast("trunc", k, np.int32)
    k = b.cast("sitofp", narrow, g.dtype)
    s = b.op("fdiv", g, b.add(g, 2.0))
    z = b.mul(s, s)
    remainder = b.mul(b.horner(z, f.log), z)
    half_square = b.mul(b.mul(g, 0.5), g)
    tail = b.fma(k, low, correction) if isinstance(correction, Value) else b.mul(k, low)
    inner = b.fma(s, b.add(half_square, remainder), tail)
    return b.fma(k, high, b.add(b.sub(inner, half_square), g))


def log(b: Builder, x: Value) -> Value:
    """The natural logarithm."""
    f = format_of(x)
    small = b.compare("olt", x, f.tiny)
    scaled = b.select(small, b.mul(x, 2.0 ** (f.mantissa + 2)), x)
    k, m = reduce_log(b, scaled)
    k = b.select(small, b.sub(k, f.mantissa + 2), k)
    result = _log_of(b, k, b.sub(m, 1.0), None)
    return _outside_log(b, result, x, 0.0)


def _outside_log(b: Builder, result: Value, x: Value, pole: float) -> Value:
    """The logarithm at its pole, left of it, at infinity and of NaN."""
    result = b.select(b.compare("olt", x, math.inf), result, x)
    result = b.select(b.compare("olt", x, pole), math.nan, result)
    return b.select(b.compare("oeq", x, pole), -math.inf, result)


def log1p(b: Builder, x: Value) -> Value:
    """log(1 + x), exact to the last digits near zero."""
    u = b.add(x, 1.0)
    k, m = reduce_log(b, u)
    near = b.compare("eq", k, 0)
    # What 1 + x lost by rounding.
    lost = b.select(b.compare("oge", u, 2.0), b.sub(1.0, b.sub(u, x)), b.sub(x, b.sub(u, 1.0)))
    lost = b.select(near, 0.0, b.op("fdiv", lost, u))
    result = _log_of(b, k, b.select(near, x, b.sub(m, 1.0)), lost)
    result = _outside_log(b, result, x, -1.0)
    return b.select(b.compare("oeq", x, 0.0), x, result)


def tanh(b: Builder, x: Value) -> Value:
    """The hyperbolic tangent: x + x^3 P(x^2) where it is below 1/2, and 1 - 2 / (e^2x + 1) above.

    P was fitted to values of 50 digits, to 2^-34 of tanh for float32 and 2^-60 for float64.
    """
    size, square = b.call("fabs", x), b.mul(x, x)
    near = b.fma(b.mul(b.horner(square, _TANH[x.dtype.name]), square), size, size)
    far = b.sub(1.0, b.op("fdiv", 2.0, b.add(exp(b, b.mul(size, 2.0)), 1.0)))
    return b.call("copysign", b.select(b.compare("olt", size, 0.55), near, far), x)


def logistic(b: Builder, x: Value) -> Value:
    """1 / (1 + e^-x), by e^-|x|."""
    small = exp(b, b.neg(b.call("fabs", x)))
    above, below = b.select(b.compare("olt", x, 0.0), small, 1.0), b.add(small, 1.0)
    return quotient(b, above, below, None, b.add(b.sub(1.0, below), small))


def quotient(b: Builder, above: Value, below: Value, above_lost: Any, below_lost: Any) -> Value:
    """The quotient of two sums, given what their last roundings lost."""
    over = b.op("fdiv", 1.0, below)
    y = b.mul(above, over)
    rest = b.fma(b.neg(y), below, above)
    rest = b.fma(b.neg(y), below_lost, rest if above_lost is None else b.add(rest, above_lost))
    return b.fma(rest, over, y)


FUNCTIONS: dict[str, Callable[[Builder, Value], Value]] = {
    "exp": exp,
    "exp2": exp2,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "tanh": tanh,
    "logistic": logistic,
    "sinh": sinh,
    "cosh": cosh,
}
