"""A step's jaxpr as LLVM IR: one loop over neurons, every primitive a few instructions.

An equation whose operands are the same for all neurons is computed before the loop. What has no
translation raises `Untranslatable`, which says what it was.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr

from ._hoist import Constant, Flattened
from ._llvm import Builder, Untranslatable, Value
from ._rules import FUNCTIONS, RULES

# Calls whose body is their value; a rule of differentiation is of no concern here.
_INLINED = tuple(
    "jit pjit closed_call core_call custom_jvp_call custom_vjp_call checkpoint remat2".split()
)

# From so many neurons on four vectors side by side hide each other's latencies: 4000 LIF neurons
# with conductances take 2.2 us, with one vector at a time 2.4. Of 80 four leave more over: 96 and
# 56 ns.
_MANY = 512


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
    needed = flat.needed([flat.outputs[k] for k in results])
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
    groups, size = tuple(map(tuple, buffers.values())), math.prod(shape)
    text = builder.text(4 if size >= _MANY else 1)
    return Translation(text, groups, results, kept, size, builder.cost())


def _common_shape(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    found = sorted({s for s in shapes if s != ()})
    if len(found) > 1:
        raise Untranslatable(f"it has arrays of different shapes, {found[0]} and {found[1]}")
    if not found:
        raise Untranslatable("it computes no array of one number a neuron")
    return found[0]


def _check_shapes(equation: Any, shape: tuple[int, ...]) -> None:
    name = equation.primitive.name
    if name not in RULES and name not in FUNCTIONS:
        raise Untranslatable(f"it contains {name}")
    for x in (*equation.invars, *equation.outvars):
        if x.aval.shape not in ((), shape):
            raise Untranslatable(f"it contains {name} of an array of shape {x.aval.shape}")


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
        # The best mode is met (XLA's exp in the derivative of erf); a tolerance is XLA's to meet.
        if isinstance(equation.params.get("accuracy"), jax.lax.Tolerance):
            raise Untranslatable(f"it contains {name} of an accuracy asked for")
        return [FUNCTIONS[name](b, operands[0])]
    return [RULES[name](b, equation, *operands)]
