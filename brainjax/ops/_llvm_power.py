"""x^y and the remainder of floats as LLVM IR.

float32 powers are e^(y log x) in float64. For float64 the logarithm is the sum of two numbers, good
to 2^-65 of itself, since y log x may be as large as 745 before it is exponentiated.

Special cases are those of C99 and IEEE 754 (`pow`, `fmod`). Subnormal results are zero.
"""

import math

import numpy as np

from ._llvm import Builder, Value
from ._llvm_math import (
    LN2_LOG,
    exp,
    exp_of_remainder,
    format_of,
    log,
    power_of_two,
    reduce_exp,
    reduce_log,
    two_product,
    two_sum,
)

_F64 = np.dtype(np.float64)
# atanh(s) / s = 1 + s^2 / 3 + s^4 / 5 + ..., |s| <= 0.172: from 1 / 5 on, highest power first.
_ATANH = tuple(1 / k for k in range(25, 3, -2))
_THIRD = (1 / 3, 1 / 54043195528445952)  # its sum is 1 / 3 to 2^-108


def power(b: Builder, x: Value, y: Value) -> Value:
    """x^y"""
    f = format_of(x)
    size = b.call("fabs", x)
    size = b.select(b.compare("olt", size, f.tiny), 0.0, size)
    if x.dtype == _F64:
        result = _double(b, size, y)
    else:
        wide = b.mul(b.cast("fpext", y, _F64), log(b, b.cast("fpext", size, _F64)))
        result = b.cast("fptrunc", exp(b, wide), x.dtype)
    result = b.select(b.compare("olt", result, f.tiny), 0.0, result)
    half = b.mul(y, 0.5)
    whole = b.compare("oeq", b.call("floor", y), y)
    odd = b.op("and", whole, b.compare("une", b.call("floor", half), half))
    signed = b.select(odd, b.call("copysign", result, x), result)
    negative = b.op("and", b.compare("olt", x, 0.0), b.compare("ogt", x, -math.inf))
    signed = b.select(b.op("and", negative, b.op("xor", whole, True)), math.nan, signed)
    endless = b.compare("oeq", b.call("fabs", y), math.inf)
    one = b.op("or", b.compare("oeq", x, 1.0), b.compare("oeq", y, 0.0))
    one = b.op("or", one, b.op("and", b.compare("oeq", size, 1.0), endless))
    return b.select(one, 1.0, signed)


def _double(b: Builder, x: Value, y: Value) -> Value:
    """x^y in float64 for x >= 0, apart from 0^0 and 1^inf."""
    high, low = _log(b, x)
    t, lost = two_product(b, y, high)
    inside = b.compare("olt", b.call("fabs", t), 800.0)
    lost = b.select(inside, b.fma(y, low, lost), 0.0)
    t = b.select(
        b.compare("ogt", t, 800.0), 800.0, b.select(b.compare("olt", t, -800.0), -800.0, t)
    )
    f = format_of(x)
    shifted, r = reduce_exp(b, t)
    r = b.add(r, lost)
    p = exp_of_remainder(b, r)
    magic = b.cast("bitcast", b.constant(f.magic, x.dtype), f.integer)
    n = b.sub(b.cast("bitcast", shifted, f.integer), magic)
    half = b.op("ashr", n, 1)  # two factors: 2^n itself may overflow where p 2^n does not
    return b.mul(b.mul(p, power_of_two(b, half, x)), power_of_two(b, b.sub(n, half), x))


def _log(b: Builder, x: Value) -> tuple[Value, Value]:
    """log x as the sum of two numbers."""
    k, m = reduce_log(b, x)
    k = b.cast("sitofp", b.cast("trunc", k, np.int32), x.dtype)
    g = b.sub(m, 1.0)
    below, below_low = two_sum(b, g, b.constant(2.0, x.dtype))
    s = b.op("fdiv", g, below)
    rest = b.fma(b.neg(s), below, g)
    s_low = b.op("fdiv", b.sub(rest, b.mul(s, below_low)), below)
    z, z_low = two_product(b, s, s)
    z_low = b.fma(b.mul(s, 2.0), s_low, z_low)
    # s z (1 / 3 + z (1 / 5 + ...)), in two numbers at each step
    t, t_low = two_sum(b, b.constant(_THIRD[0], x.dtype), b.mul(b.horner(z, _ATANH), z))
    t_low = b.add(t_low, _THIRD[1])
    p, p_low = two_product(b, z, t)
    p_low = b.add(p_low, b.fma(z, t_low, b.mul(z_low, t)))
    w, w_low = two_product(b, s, p)
    w_low = b.add(w_low, b.fma(s, p_low, b.mul(s_low, p)))
    log_m, low = two_sum(b, s, w)
    low = b.mul(b.add(low, b.add(s_low, w_low)), 2.0)
    ln2, ln2_low = LN2_LOG[x.dtype.name]
    high, lost = two_sum(b, b.mul(k, ln2), b.mul(log_m, 2.0))
    high, low = two_sum(b, high, b.add(lost, b.fma(k, ln2_low, low)))
    for edge, value in ((0.0, -math.inf), (math.inf, math.inf)):
        at_edge = b.compare("oeq", x, edge)
        high, low = b.select(at_edge, value, high), b.select(at_edge, 0.0, low)
    return b.select(b.compare("uno", x, x), x, high), low


def rem(b: Builder, x: Value, y: Value) -> Value:
    """What is left of x when y is taken off as often as it fits: exact, with the sign of x.

    Long division: y is taken off in multiples of falling powers of two, as many bits of the
    quotient at a time as a float holds. The steps are as many as the exponents may need.
    """
    f = format_of(x)
    size, divisor = b.call("fabs", x), b.call("fabs", y)
    bits = b.cast("bitcast", divisor, f.integer)
    exponent = b.op("lshr", bits, f.mantissa)
    digits, left = f.mantissa - 1, size
    for shift in reversed(range(0, 2 * f.bias + 1, digits)):
        fits = b.compare("slt", exponent, 2 * f.bias + 1 - shift)
        scaled = b.add(bits, shift << f.mantissa) if shift else bits
        part = b.cast("bitcast", b.select(fits, scaled, bits), x.dtype)
        quotient = b.call("trunc", b.op("fdiv", left, part))
        taken = b.fma(b.neg(quotient), part, left)
        # The quotient may have been rounded up to an integer; a sign outlives a flush to zero.
        over = b.compare("slt", b.cast("bitcast", taken, f.integer), 0)
        taken = b.select(over, b.fma(b.sub(1.0, quotient), part, left), taken)
        left = b.select(fits, taken, left)
    left = b.select(b.compare("olt", divisor, math.inf), left, b.add(size, b.sub(divisor, divisor)))
    left = b.select(b.compare("oeq", divisor, math.inf), size, left)
    left = b.select(b.compare("oeq", size, math.inf), math.nan, left)
    return b.call("copysign", left, x)
