"""Splitting a step into what depends on its parameters alone, what is drawn in bulk, and the rest.

A propagator as `exp(-dt / tau)` does not change during a run. It is computed once, before the loop
and inside the function that is differentiated; the loop and its derivative see the number. Ops that
draw random numbers for all neurons at once stand before the mapped part of a step.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from ._primitive import align_varying

_CALLS = ("jit", "pjit", "closed_call")
_DRAWS = ("brainjax_poisson",)


class Equation(NamedTuple):
    """An equation on numbered values; an operand is a number or a constant."""

    equation: Any
    inputs: tuple[Any, ...]  # `int`: the number of a value; `Constant`
    outputs: tuple[int, ...]


class Constant(NamedTuple):
    """An operand known when the function was traced."""

    value: Any


class Flattened:
    """The equations of a jaxpr with its calls written out.

    `calls` are the names of those; `made_of` says what other primitives are made of.
    """

    def __init__(
        self,
        closed: ClosedJaxpr,
        calls: Sequence[str] = _CALLS,
        made_of: Mapping[Any, Callable] = MappingProxyType({}),
    ):
        self.calls, self.made_of = calls, made_of
        self.equations: list[Equation] = []
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
            elif parts := self.made_of.get(equation.primitive):
                types = [jax.ShapeDtypeStruct.like(v.aval) for v in equation.invars]
                made = jax.make_jaxpr(functools.partial(parts, **equation.params))(*types)
                results = self._visit(made.jaxpr, made.consts, operands)
            else:
                results = list(range(self.count, self.count + len(equation.outvars)))
                self.count += len(results)
                self.equations.append(Equation(equation, tuple(operands), tuple(results)))
            known.update(zip(equation.outvars, results, strict=True))
        return [read(v) for v in jaxpr.outvars]

    def needed(self, results: Sequence[Any]) -> set[int]:
        """The values that `results` depend on."""
        needed = {x for x in results if isinstance(x, int)}
        for _, given, made in reversed(self.equations):
            if needed.intersection(made):
                needed.update(x for x in given if isinstance(x, int))
        return needed


def is_key(aval) -> bool:
    """Whether a value is the two words of a random key, not one number a neuron."""
    return aval.dtype == np.uint32 and np.prod(aval.shape) <= 2


def _grows(e: Equation, spread: set[int]) -> bool:
    """Whether an equation makes a larger array than it is given: cheaper to repeat than to keep.

    What was made so does not count as given.
    """
    if all(is_key(x.aval) for x in e.equation.outvars):
        return False
    atoms = zip(e.inputs, e.equation.invars, strict=True)
    given = [np.prod(x.aval.shape) for i, x in atoms if isinstance(i, Constant) or i not in spread]
    return any(np.prod(x.aval.shape) > max(given, default=1) for x in e.equation.outvars)


def run(equations: Sequence[Equation], values: dict[int, Any]) -> None:
    """Evaluate equations in order; `values`, by number, gains their results."""
    for equation, inputs, outputs in equations:
        operands = [x.value if isinstance(x, Constant) else values[x] for x in inputs]
        params = equation.primitive.get_bind_params(equation.params)
        results = equation.primitive.bind(*operands, **params)
        many = equation.primitive.multiple_results
        values.update(zip(outputs, results if many else [results], strict=True))


class Split:
    """`f(*fixed, *moving)` on flat arrays, in three parts.

    With `kept = before(*fixed)` it is `after(*kept, *moving, *drawn(kept, moving))`.
    """

    def __init__(self, closed: ClosedJaxpr, num_fixed: int, name: str):
        self.name = name
        self.has_effects = bool(closed.effects)
        flat = Flattened(closed)
        self.num_inputs = len(closed.jaxpr.invars)
        self.num_fixed = num_fixed
        self.outputs = flat.outputs
        known, spread, given = set(range(num_fixed)), set(), range(self.num_inputs)
        self.early, self.draws, self.late = [], [], []
        for e in flat.equations:
            inputs = {x for x in e.inputs if not isinstance(x, Constant)}
            if inputs <= known | spread:
                self.early.append(e)
                if not _grows(e, spread):
                    known.update(e.outputs)
                    continue
                spread.update(e.outputs)
            if e.equation.primitive.name in _DRAWS and inputs <= known.union(given):
                self.draws.append(e)
            else:
                self.late.append(e)
        read = [x for e in (*self.draws, *self.late) for x in e.inputs] + list(self.outputs)
        self.kept = sorted({x for x in read if isinstance(x, int) and x in known})

    def before(self, *fixed) -> list[Any]:
        """What the loop needs of the fixed arguments."""
        values = dict(enumerate(fixed))
        run(self.early, values)
        return [values[x] for x in self.kept]

    def drawn(self, kept: Sequence[Any], moving: Sequence[Any], impl: str) -> Iterator[Any]:
        """What is drawn for all neurons at once, by the implementation `impl`."""
        values = self._values(kept, moving)
        for equation, inputs, _ in self.draws:
            operands = [x.value if isinstance(x, Constant) else values[x] for x in inputs]
            params = {**equation.params, "impl": impl}
            yield from equation.primitive.bind(*align_varying(*operands), **params)

    def after(self, *given) -> tuple[Any, ...]:
        """The result, from what was kept, the moving arguments, and what was drawn."""
        num_kept, num_moving = len(self.kept), self.num_inputs - self.num_fixed
        values = self._values(given[:num_kept], given[num_kept : num_kept + num_moving])
        drawn = [x for e in self.draws for x in e.outputs]
        values.update(zip(drawn, given[num_kept + num_moving :], strict=True))
        run(self.late, values)
        return tuple(x.value if isinstance(x, Constant) else values[x] for x in self.outputs)

    def _values(self, kept: Sequence[Any], moving: Sequence[Any]) -> dict[int, Any]:
        values = dict(zip(self.kept, kept, strict=True))
        values.update(zip(range(self.num_fixed, self.num_inputs), moving, strict=True))
        return values


@functools.cache
def split(f: Callable, avals: tuple[Any, ...], num_fixed: int, name: str) -> Split:
    """`f` split behind its first `num_fixed` arguments; equal arguments give the same object.

    **Arguments:**

    - `f`: a hashable function of flat arrays, returning a tuple of arrays.
    - `avals`: the abstract values of its arguments.
    - `name`: what a person calls it.
    """
    return Split(jax.make_jaxpr(f)(*map(jax.ShapeDtypeStruct.like, avals)), num_fixed, name)
