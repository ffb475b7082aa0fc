"""`repeat`: a loop whose number of steps is traced, as one op.

It is `lax.fori_loop`, and runs as that wherever it must. On the CPU a body of the
library's own ops, with a little arithmetic around them, becomes a program that the native library
runs from the first step to the last (csrc/loop.cc). XLA's loop takes 0.2 to 0.5 us an op and step
to say again where the same arrays lie.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from ._calls import has_form, program_of, reads_literals
from ._hoist import Constant, Equation, Flattened, run
from ._kernels import seen
from ._llvm import Untranslatable
from ._primitive import (
    MADE_OF,
    check_impl,
    is_varying,
    lower_natively,
    new_primitive,
    set_by_definition,
)


def _reference(num_steps, *operands, body, num_carried, impl):
    at = len(operands) - num_carried
    kept, f = operands[:at], jaxpr_as_fun(body)
    return lax.fori_loop(0, num_steps, lambda i, x: f(i, *kept, *x), list(operands[at:]))


def _abstract(num_steps, *operands, body, num_carried, impl):
    return list(operands[len(operands) - num_carried :])


_NAME = "loop over steps"

loop_p = new_primitive("loop", _abstract, _reference)


def _attributes(avals, *, body, num_carried, impl):
    try:
        program = program_of(body, num_carried)
    except Untranslatable as reason:
        seen(_NAME, f"jax: {reason}")
        return None
    seen(_NAME, f"native, {len(program['calls'])} calls a step")
    return program


def _aliases(avals, *, body, num_carried, impl):
    first = len(avals) - num_carried
    return {first + k: k for k in range(num_carried)}


lower_natively(loop_p, _reference, "brainjax_Loop", _attributes, _aliases)
set_by_definition(loop_p, _reference)


class _Body:
    """A body of flat arrays, `(index, *carried) -> carried`, taken apart.

    What is the same in every step is computed once (`early`) and kept beside what moves (`late`).
    """

    def __init__(self, closed: ClosedJaxpr):
        flat, num_carried = Flattened(closed, made_of=MADE_OF), len(closed.jaxpr.outvars)
        same = {1 + k for k in range(num_carried) if flat.outputs[k] == 1 + k}
        self.moving = [k for k in range(num_carried) if 1 + k not in same]
        self.outputs: list[Any] = [flat.outputs[k] for k in self.moving]
        self.constants: dict[int, Any] = {}
        self.early: list[Equation] = []
        self.late: list[Equation] = []
        self._next = flat.count
        effects = [e for e in flat.equations if e.equation.effects]
        needed = flat.needed([*self.outputs, *(x for e in effects for x in e.inputs)])
        for e in flat.equations:
            if not (needed.intersection(e.outputs) or e.equation.effects):
                continue
            known = all(isinstance(x, Constant) or x in same for x in e.inputs)
            if known and not e.equation.effects:
                same.update(e.outputs)
                self.early.append(e)
            else:
                inputs = tuple(self._held(x, e.equation) for x in e.inputs)
                self.late.append(e._replace(inputs=inputs))
        self.outputs = [self._held(x, None) for x in self.outputs]
        read = {x for e in self.late for x in e.inputs if isinstance(x, int)}
        self.kept = sorted((same | set(self.constants)) & read.union(self.outputs))

    def _held(self, x: Any, equation: Any) -> Any:
        """An operand; a constant that cannot be a literal there becomes a value."""
        if not isinstance(x, Constant):
            return x
        literal = equation is not None and reads_literals(equation)
        if literal and not isinstance(x.value, jax.Array):
            return x
        self.constants[self._next] = x.value
        self._next += 1
        return self._next - 1

    def before(self, carried: Sequence[Any]) -> list[Any]:
        """What is kept during a loop that begins with `carried`."""
        values = {1 + k: x for k, x in enumerate(carried)}
        values.update({k: jnp.asarray(x) for k, x in self.constants.items()})
        run(self.early, values)
        return [values[x] for x in self.kept]

    def after(self, index, *given) -> list[Any]:
        """What moves, of a step: of its index, what is kept, and what moves."""
        values = {0: index, **dict(zip(self.kept, given, strict=False))}
        moving = given[len(self.kept) :]
        values.update({1 + k: x for k, x in zip(self.moving, moving, strict=True)})
        run(self.late, values)
        return [values[x] for x in self.outputs]


def repeat(num_steps: Any, body: Callable, carry: Any, *, impl: str = "auto") -> Any:
    """`lax.fori_loop(0, num_steps, body, carry)`.

    **Arguments:**

    - `num_steps`: how often, int32; may be traced.
    - `body`: `(index, carry) -> carry`, index int32.
    - `carry`: a PyTree of arrays.
    - `impl`: which implementation runs: `"auto"`, `"jax"` or `"native"`. A body that has no native
      form runs in JAX under any; its ops run as they are told.

    **Returns:**

    The carry after the last step.
    """
    check_impl(impl)
    leaves, structure = jax.tree.flatten(carry)
    leaves = [jnp.asarray(x) for x in leaves]

    def flat(index, *carried):
        return jax.tree.leaves(body(index, jax.tree.unflatten(structure, carried)))

    def plain():
        return lax.fori_loop(0, num_steps, body, carry)

    if impl == "jax" or any(is_varying(x) for x in leaves):
        return plain()
    index = jax.ShapeDtypeStruct((), jnp.int32, weak_type=True)  # as `fori_loop` has it
    closed = jax.make_jaxpr(flat)(index, *leaves)
    outs = [(x.shape, x.dtype) for x in closed.out_avals]
    if outs != [(x.shape, x.dtype) for x in leaves]:
        return plain()  # which says what is wrong
    parts = _Body(closed)
    foreign = [e.equation.primitive.name for e in parts.late if not has_form(e.equation)]
    if foreign:
        seen(_NAME, f"jax: it contains {foreign[0]}")
        return plain()
    kept, moving = parts.before(leaves), [leaves[k] for k in parts.moving]
    moved = loop_p.bind(
        jnp.asarray(num_steps, jnp.int32),
        *kept,
        *moving,
        body=jax.make_jaxpr(parts.after)(index, *kept, *moving),
        num_carried=len(moving),
        impl=impl,
    )
    for k, x in zip(parts.moving, moved, strict=True):
        leaves[k] = x
    return jax.tree.unflatten(structure, leaves)
