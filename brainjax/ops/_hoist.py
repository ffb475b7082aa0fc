"""Splitting a step into what depends on its parameters alone, and the rest.

A propagator as `exp(-dt / tau)` does not change during a run. It is computed once, before the loop
and inside the function that is differentiated; the loop and its derivative see the number.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

_CALLS = ("jit", "pjit", "closed_call")


class _Equation(NamedTuple):
    """An equation on numbered values; an operand is a number or a constant."""

    equation: Any
    inputs: tuple[Any, ...]  # `int`: the number of a value; `Constant`
    outputs: tuple[int, ...]


class Constant(NamedTuple):
    """An operand known when the function was traced."""

    value: Any


class Flattened:
    """The equations of a jaxpr with its calls written out; `calls` are the names of those."""

    def __init__(self, closed: ClosedJaxpr, calls: Sequence[str] = _CALLS):
        self.calls = calls
        self.equations: list[_Equation] = []
        self.count = len(closed.jaxpr.invars)
        self.outputs = self._visit(closed.jaxpr, closed.consts, list(range(self.count)))

    def _visit(self, jaxpr, consts: Sequence[Any], inputs: list[Any]) -> list[Any]:
        known = dict(zip(jaxpr.invars, inputs, strict=True))
        known.update({v: Constant(c) for v, c in zip(jaxpr.constvars, consts, strict=True)})

        def read(atom):
            return Constant(atom.val) if isinstance(atom, Literal) else known[atom]

        for equation in jaxpr.eqns:
            operands = [read(a) for a in equation.invars]
            if equation.primitive.name in self.calls:
                inner = equation.params.get("jaxpr") or equation.params["call_jaxpr"]
                body = getattr(inner, "jaxpr", inner)
                results = self._visit(body, getattr(inner, "consts", ()), operands)
            else:
                results = list(range(self.count, self.count + len(equation.outvars)))
                self.count += len(results)
                self.equations.append(_Equation(equation, tuple(operands), tuple(results)))
            known.update(zip(equation.outvars, results, strict=True))
        return [read(v) for v in jaxpr.outvars]


def is_key(aval) -> bool:
    """Whether a value is the two words of a random key, not one number a neuron."""
    return aval.dtype == np.uint32 and np.prod(aval.shape) <= 2


def _grows(equation) -> bool:
    """Whether an equation makes a larger array than it is given: cheaper to repeat than to keep."""
    if all(is_key(x.aval) for x in equation.outvars):
        return False
    given = max((np.prod(x.aval.shape) for x in equation.invars), default=1)
    return any(np.prod(x.aval.shape) > given for x in equation.outvars)


def _run(equations: Sequence[_Equation], values: dict[int, Any]) -> None:
    for equation, inputs, outputs in equations:
        operands = [x.value if isinstance(x, Constant) else values[x] for x in inputs]
        params = equation.primitive.get_bind_params(equation.params)
        results = equation.primitive.bind(*operands, **params)
        many = equation.primitive.multiple_results
        values.update(zip(outputs, results if many else [results], strict=True))


class Split:
    """`f(*fixed, *moving)` as `after(*before(*fixed), *moving)`, on flat arrays."""

    def __init__(self, closed: ClosedJaxpr, num_fixed: int, name: str):
        self.name = name
        flat = Flattened(closed)
        self.num_inputs = len(closed.jaxpr.invars)
        self.num_fixed = num_fixed
        self.outputs = flat.outputs
        known = set(range(num_fixed))
        self.early, self.late = [], []
        for e in flat.equations:
            fixed = all(isinstance(x, Constant) or x in known for x in e.inputs)
            if fixed and not _grows(e.equation):
                known.update(e.outputs)
                self.early.append(e)
            else:
                self.late.append(e)
        read = [x for e in self.late for x in e.inputs] + list(self.outputs)
        self.kept = sorted({x for x in read if isinstance(x, int) and x in known})

    def before(self, *fixed) -> list[Any]:
        """What the loop needs of the fixed arguments."""
        values = dict(enumerate(fixed))
        _run(self.early, values)
        return [values[x] for x in self.kept]

    def after(self, *kept_and_moving) -> tuple[Any, ...]:
        """The result, from what was kept and the moving arguments."""
        kept = kept_and_moving[: len(self.kept)]
        moving = kept_and_moving[len(self.kept) :]
        values = dict(zip(self.kept, kept, strict=True))
        values.update(zip(range(self.num_fixed, self.num_inputs), moving, strict=True))
        _run(self.late, values)
        return tuple(x.value if isinstance(x, Constant) else values[x] for x in self.outputs)


@functools.cache
def split(f: Callable, avals: tuple[Any, ...], num_fixed: int, name: str) -> Split:
    """`f` split behind its first `num_fixed` arguments; equal arguments give the same object.

    **Arguments:**

    - `f`: a hashable function of flat arrays, returning a tuple of arrays.
    - `avals`: the abstract values of its arguments.
    - `name`: what a person calls it.
    """
    return Split(jax.make_jaxpr(f)(*map(jax.ShapeDtypeStruct.like, avals)), num_fixed, name)
