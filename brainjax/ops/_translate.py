"""A step's jaxpr as LLVM IR: one loop over neurons, every primitive a few instructions.

An equation whose operands are the same for all neurons is computed before the loop. What has no
translation raises `Untranslatable`, which says what it was.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr

from ._hoist import Constant, Flattened
from ._llvm import Builder, Untranslatable, Value
from ._llvm_math import FUNCTIONS

# Calls whose body is their value; a rule of differentiation is of no concern here.
_INLINED = tuple(
    "jit pjit closed_call core_call custom_jvp_call custom_vjp_call checkpoint remat2".split()
)
_RULES: dict[str, Callable] = {}


def _rule(*names: str):
    def register(f):
        for name in names:
            _RULES[name] = f
        return f

    return register


class Translation(NamedTuple):
    """A loop as IR, and how it is called: with its operands' buffers, then those of its results."""

    ir: str
    buffers: tuple[tuple[int, ...], ...]  # the operands in each; several are its entries
    results: tuple[int, ...]  # those that it writes
    kept: tuple[tuple[int, int], ...]  # (result, operand): the others are an operand as it is
    size: int  # neurons
    cost: int  # instructions a neuron


def translate(closed: ClosedJaxpr, bundles: Sequence[Any]) -> Translation:
    """A function of arrays of one shape and of scalars as one loop.

    A result may share memory with an operand.

    **Arguments:**

    - `bundles`: for each operand anything hashable or `None`. Scalars of an equal bundle are the
      entries of one buffer.

    **Raises:**

    `Untranslatable`, with the reason.
    """
    flat = Flattened(closed, _INLINED)
    inputs, outputs = closed.jaxpr.invars, closed.jaxpr.outvars
    kept = tuple((k, x) for k, x in enumerate(flat.outputs) if _is(x, range(len(inputs))))
    results = tuple(k for k in range(len(outputs)) if k not in dict(kept))
    needed = _needed(flat, [flat.outputs[k] for k in results])
    read = [i for i in range(len(inputs)) if i in needed]
    involved = (*(inputs[i] for i in read), *(outputs[k] for k in results))
    shape = _common_shape([x.aval.shape for x in involved])
    buffers: dict[Any, list[int]] = {}
    for i in read:
        buffers.setdefault(i if bundles[i] is None else bundles[i], []).append(i)
    products = _fused_products(flat, needed)
    builder, values = Builder(), {}
    for place, members in enumerate(buffers.values()):
        for entry, i in enumerate(members):
            x = inputs[i].aval
            at = None if x.shape else entry
            values[i] = builder.load(place, np.dtype(x.dtype), at)
    for equation, given, made in flat.equations:
        if not needed.intersection(made):
            continue
        _check_shapes(equation, shape)
        if made[0] in products:
            continue  # it is made where it is added
        factors = next((i for i, x in enumerate(given) if _is(x, products)), None)
        if factors is not None:
            pair = [_read(builder, x, values) for x in products[given[factors]]]
            other = _read(builder, given[1 - factors], values)
            done = [_add_product(builder, equation.primitive.name, pair, other, factors)]
        else:
            operands = [_read(builder, x, values) for x in given]
            done = _apply(builder, equation, operands)
        values.update(zip(made, done, strict=True))
    for place, k in enumerate(results, start=len(buffers)):
        value = _read(builder, flat.outputs[k], values)
        varies = outputs[k].aval.shape != ()
        if value.varies and not varies:
            raise Untranslatable("a result of it is one number made of many")
        builder.store(place, value, varies)
    groups = tuple(map(tuple, buffers.values()))
    return Translation(builder.text(), groups, results, kept, math.prod(shape), builder.cost())


def _common_shape(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    found = sorted({s for s in shapes if s != ()})
    if len(found) > 1:
        raise Untranslatable(f"it has arrays of different shapes, {found[0]} and {found[1]}")
    if not found:
        raise Untranslatable("it computes no array of one number a neuron")
    return found[0]


def _check_shapes(equation: Any, shape: tuple[int, ...]) -> None:
    name = equation.primitive.name
    if name not in _RULES and name not in FUNCTIONS:
        raise Untranslatable(f"it contains {name}")
    for x in (*equation.invars, *equation.outvars):
        if x.aval.shape not in ((), shape):
            raise Untranslatable(f"it contains {name} of an array of shape {x.aval.shape}")


def _needed(flat: Flattened, results: Sequence[Any]) -> set[int]:
    """The values that `results` depend on."""
    needed = {x for x in results if isinstance(x, int)}
    for _, given, made in reversed(flat.equations):
        if needed.intersection(made):
            needed.update(x for x in given if isinstance(x, int))
    return needed


def _is(x: Any, numbers) -> bool:
    return isinstance(x, int) and x in numbers


def _fused_products(flat: Flattened, needed: set[int]) -> dict[int, tuple[Any, Any]]:
    """The products that go into one sum and nowhere else, and their factors.

    Such a sum is rounded once (as XLA does where the processor can), which is quicker, and keeps
    the digits of a state that is multiplied by its decay in every step. It depends on the jaxpr
    alone: the same function is rounded the same wherever it runs.
    """
    uses: dict[int, int] = dict.fromkeys(needed, 0)
    live = [e for e in flat.equations if needed.intersection(e.outputs)]
    for x in (*flat.outputs, *(x for e in live for x in e.inputs)):
        if _is(x, uses):
            uses[x] += 1
    made = {}
    for equation, given, (out, *_) in live:
        factors = {"mul": given, "square": given * 2}.get(equation.primitive.name)
        if factors and uses[out] == 1 and equation.outvars[0].aval.dtype.kind == "f":
            made[out] = factors
    products = {}
    for equation, given, _ in live:
        if equation.primitive.name in ("add", "add_any", "sub"):
            term = next((x for x in given if _is(x, made)), None)
            if term is not None:
                products[term] = made[term]
    return products


def _add_product(b: Builder, name: str, pair: list[Value], other: Value, place: int) -> Value:
    """`name` (a sum or a difference) of a product and another number, the product at `place`."""
    x, y = pair
    if name == "sub" and place == 1:
        return b.fma(b.neg(x), y, other)
    return b.fma(x, y, b.neg(other) if name == "sub" else other)


def _read(b: Builder, x: Any, values: dict[int, Value]) -> Value:
    if not isinstance(x, Constant):
        return values[x]
    if not hasattr(x.value, "dtype"):
        raise Untranslatable("it holds a constant without a type")
    if np.shape(x.value) != ():
        raise Untranslatable(f"it holds a constant of shape {np.shape(x.value)}")
    return b.constant(np.asarray(x.value)[()], x.value.dtype)


def _apply(b: Builder, equation: Any, operands: list[Value]) -> list[Value]:
    name = equation.primitive.name
    if name in FUNCTIONS:
        if equation.params.get("accuracy") is not None:
            raise Untranslatable(f"it contains {name} of an accuracy asked for")
        return [FUNCTIONS[name](b, operands[0])]
    return [_RULES[name](b, equation, *operands)]


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


@_rule("div")
def _(b, equation, x, y):
    if x.is_float:
        return b.op("fdiv", x, y)
    return _divide(b, "div", x, y, b.constant(-1, np.int64)._replace(dtype=x.dtype))


@_rule("rem")
def _(b, equation, x, y):
    if x.is_float:
        raise Untranslatable("it contains rem of floats")
    return _divide(b, "rem", x, y, x)


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
    return _RULES["min"](b, equation, _RULES["max"](b, equation, low, x), high)


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


_RULES.update({name: _comparison(name) for name in ("eq", "ne", "lt", "le", "gt", "ge")})


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
