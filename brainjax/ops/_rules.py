"""JAX's primitives as LLVM instructions: what one equation of a step comes to.

`RULES` takes the name of a primitive to `(builder, equation, *operands) -> value`; `FUNCTIONS`
takes that of a function of one number to `(builder, x) -> value`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import _llvm_erf, _llvm_math, _llvm_power, _llvm_trig
from ._llvm import Builder, Untranslatable, Value

FUNCTIONS = _llvm_math.FUNCTIONS | _llvm_trig.FUNCTIONS | _llvm_erf.FUNCTIONS
RULES: dict[str, Callable] = {}


def _rule(*names: str):
    def register(f):
        for name in names:
            RULES[name] = f
        return f

    return register


# ---- arithmetic ---------------------------------------------------------------------------------


@_rule("add", "add_any")
def _(b, equation, x, y):
    return b.add(x, y)


@_rule("sub")
def _(b, equation, x, y):
    return b.sub(x, y)


@_rule("mul")
def _(b, equation, x, y):
    return b.mul(x, y)


@_rule("neg")
def _(b, equation, x):
    return b.neg(x)


@_rule("square")
def _(b, equation, x):
    return b.mul(x, x)


@_rule("one_minus_square")  # of jax 0.12 and later, whose definition this is
def _(b, equation, x):
    one = b.constant(1, x.dtype)
    return b.mul(b.add(one, x), b.sub(one, x))


@_rule("polynomial")  # of jax 0.12 and later; the constant coefficient first
def _(b, equation, x, *coefficients):
    total = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        total = b.fma(total, x, c) if x.is_float else b.add(b.mul(total, x), c)
    return total


@_rule("div")
def _(b, equation, x, y):
    if x.is_float:
        return b.op("fdiv", x, y)
    return _divide(b, "div", x, y, b.constant(-1, np.int64)._replace(dtype=x.dtype))


@_rule("rem")
def _(b, equation, x, y):
    return _llvm_power.rem(b, x, y) if x.is_float else _divide(b, "rem", x, y, x)


@_rule("pow")
def _(b, equation, x, y):
    return _llvm_power.power(b, x, y if y.is_float else _convert(b, y, x.dtype))


def _divide(b: Builder, name: str, x: Value, y: Value, by_zero: Value) -> Value:
    """Integer division as XLA defines it where LLVM does not: by zero, and of the least by -1."""
    zero = b.compare("eq", y, 0)
    if x.dtype.kind == "u":
        return b.select(zero, by_zero, b.op(f"u{name}", x, b.select(zero, 1, y)))
    minus = b.compare("eq", y, -1)
    safe = b.select(b.op("or", zero, minus), 1, y)
    negated = b.neg(x) if name == "div" else b.constant(0, x.dtype)
    return b.select(zero, by_zero, b.select(minus, negated, b.op(f"s{name}", x, safe)))


@_rule("integer_pow")
def _(b, equation, x):
    n = equation.params["y"]
    power, base, left = None, x, abs(n)
    while left:
        if left & 1:
            power = base if power is None else b.mul(power, base)
        left >>= 1
        if left:
            base = b.mul(base, base)
    one = b.constant(1, x.dtype)
    if power is None:
        return one
    return power if n > 0 else b.op("fdiv", one, power)


@_rule("max")
def _(b, equation, x, y):
    return _extreme(b, x, y, "maximum", "sgt", "ugt")


@_rule("min")
def _(b, equation, x, y):
    return _extreme(b, x, y, "minimum", "slt", "ult")


def _extreme(b, x, y, intrinsic, signed, unsigned):
    if x.is_float:
        return b.call(intrinsic, x, y)
    predicate = signed if x.dtype.kind == "i" else unsigned
    return b.select(b.compare(predicate, x, y), x, y)


@_rule("clamp")
def _(b, equation, low, x, high):
    return RULES["min"](b, equation, RULES["max"](b, equation, low, x), high)


@_rule("abs")
def _(b, equation, x):
    if x.is_float:
        return b.call("fabs", x)
    return b.call("abs", x, flags="i1 false") if x.dtype.kind == "i" else x


@_rule("sign")
def _(b, equation, x):
    if not x.is_float:
        up = b.select(b.compare("eq", x, 0), b.constant(0, x.dtype), 1)
        if x.dtype.kind == "u":
            return up
        return b.select(b.compare("slt", x, 0), b.constant(-1, x.dtype), up)
    unit = b.select(b.compare("oeq", x, 0.0), b.constant(0.0, x.dtype), 1.0)
    return b.select(b.compare("uno", x, x), x, b.call("copysign", unit, x))


@_rule("sqrt")
def _(b, equation, x):
    return b.call("sqrt", x)


@_rule("rsqrt")
def _(b, equation, x):
    return b.op("fdiv", 1.0, b.call("sqrt", x))


@_rule("floor", "ceil")
def _(b, equation, x):
    return b.call(equation.primitive.name, x)


@_rule("round")
def _(b, equation, x):
    even = equation.params["rounding_method"] == jax.lax.RoundingMethod.TO_NEAREST_EVEN
    return b.call("roundeven" if even else "round", x)


# ---- comparisons and bits -----------------------------------------------------------------------


def _comparison(name: str):
    floats = "une" if name == "ne" else f"o{name}"

    def rule(b, equation, x, y):
        if x.is_float:
            return b.compare(floats, x, y)
        sign = "" if name in ("eq", "ne") else "s" if x.dtype.kind == "i" else "u"
        return b.compare(sign + name, x, y)

    return rule


RULES.update({name: _comparison(name) for name in ("eq", "ne", "lt", "le", "gt", "ge")})


@_rule("is_finite")
def _(b, equation, x):
    return b.compare("olt", b.call("fabs", x), np.inf)


@_rule("and", "or", "xor")
def _(b, equation, x, y):
    return b.op(equation.primitive.name, x, y)


@_rule("not")
def _(b, equation, x):
    return b.op("xor", x, True if x.bits == 1 else -1)


@_rule("shift_left", "shift_right_logical", "shift_right_arithmetic")
def _(b, equation, x, n):
    opcode = {"left": "shl", "logical": "lshr", "arithmetic": "ashr"}[
        equation.primitive.name.rpartition("_")[2]
    ]
    if n.literal and 0 <= int(n.name) < x.bits:
        return b.op(opcode, x, n)
    # A shift by more than there are bits is undefined for LLVM, not for XLA.
    fits = b.compare("ult", n, x.bits)
    if opcode == "ashr":
        return b.op(opcode, x, b.select(fits, n, x.bits - 1))
    return b.select(fits, b.op(opcode, x, b.select(fits, n, 0)), b.constant(0, x.dtype))


@_rule("select_n")
def _(b, equation, which, *cases):
    if which.bits == 1:
        return cases[0] if len(cases) == 1 else b.select(which, cases[1], cases[0])
    chosen = cases[-1]
    for k in reversed(range(len(cases) - 1)):
        chosen = b.select(b.compare("slt", which, k + 1), cases[k], chosen)
    return chosen


# ---- types and shapes ---------------------------------------------------------------------------


@_rule("convert_element_type")
def _(b, equation, x):
    to = jnp.dtype(equation.params["new_dtype"])
    if to == x.dtype:
        return x
    return _convert(b, x, to)


def _convert(b: Builder, x: Value, to: Any) -> Value:
    if to.kind not in "fiub":
        raise Untranslatable(f"it contains a conversion to {to}")
    if to.kind == "b":
        return b.compare("une" if x.is_float else "ne", x, 0)
    if x.is_float and to.kind == "f":
        return b.cast("fpext" if to.itemsize > x.dtype.itemsize else "fptrunc", x, to)
    if x.is_float:
        return b.saturate(x, to)
    if to.kind == "f":
        return b.cast("sitofp" if x.dtype.kind == "i" else "uitofp", x, to)
    if 8 * to.itemsize == x.bits:
        return x._replace(dtype=to) if not x.literal else b.constant(int(x.name), to)
    if 8 * to.itemsize < x.bits:
        return b.cast("trunc", x, to)
    return b.cast("sext" if x.dtype.kind == "i" else "zext", x, to)


@_rule("bitcast_convert_type")
def _(b, equation, x):
    to = jnp.dtype(equation.params["new_dtype"])
    if to.kind == x.dtype.kind or (to.kind in "iu" and x.dtype.kind in "iu"):
        return x._replace(dtype=to)
    return b.cast("bitcast", x, to)


@_rule("broadcast_in_dim", "reshape", "squeeze", "copy", "copy_p", "stop_gradient")
@_rule("pvary", "pcast")
def _(b, equation, x):
    return x


@_rule("optimization_barrier")
def _(b, equation, x, *others):
    if others:
        raise Untranslatable("it contains a barrier of several values")
    return x
