"""The equations of a loop's body as calls of a program."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from ._kernels import Compiled, compiled, kernel_of
from ._llvm import Untranslatable
from ._native import native_library
from ._primitive import NATIVE_CALLS
from ._program import Block, Program, Value, bytes_of
from ._rules import FUNCTIONS, RULES

# What gives its operand as it is, or a part of it.
_VIEWS = (
    "squeeze",
    "reshape",
    "expand_dims",
    "copy",
    "copy_p",
    "optimization_barrier",
    "slice",
    "split",
)
_ROWS = ("dynamic_slice", "dynamic_update_slice")
_VIEWS_OF_AS_MANY = ("convert_element_type", "broadcast_in_dim")


def _outs(equation) -> list[Any]:
    return [v.aval for v in equation.outvars]


# ---- compiled loops over neurons ----------------------------------------------------------------


def _map(p: Program, equation, operands: Sequence[Value]) -> list[Value]:
    params = equation.params
    if params["batch"]:
        raise Untranslatable("it contains a batch of mapped steps")
    avals = tuple(x.aval.update(weak_type=False) for x in operands)
    made = compiled(params["f"], avals, (None,) * len(avals))
    if made is None:
        raise Untranslatable("it contains a step that XLA must run")
    return _mapped(p, made, operands, _outs(equation))


def _mapped(p: Program, made: Compiled, operands: Sequence[Value], avals) -> list[Value]:
    kernel, call = made
    read, written = [operands[i] for (i,) in call.buffers], [avals[k] for k in call.results]
    # A neuron is read before it is written.
    shared = {
        (i, k) for i, x in enumerate(read) for k, y in enumerate(written) if _alike(x.aval, y)
    }
    attributes = {
        "cost": np.int64(call.cost),
        "digest": kernel.digest,
        "ir": kernel.ir,
        "size": np.int64(call.size),
    }
    results = p.call("map", read, written, attributes, shared)
    done = dict(zip(call.results, results, strict=True))
    for k, i in call.kept:
        if not _alike(operands[i].aval, avals[k]):
            raise Untranslatable("a result of a step is one number for all neurons")
        done[k] = operands[i]
    return [done[k] for k in range(len(avals))]


def _alike(x, y) -> bool:
    return (x.shape, x.dtype) == (y.shape, y.dtype)


def _elementwise(p: Program, equations, values: dict[Any, Value], wanted: set[Any]) -> None:
    """Elementwise equations of one shape as one loop."""
    made = [v for e in equations for v in e.outvars]
    operands = [v for e in equations for v in e.invars if not isinstance(v, Literal)]
    given = [v for v in dict.fromkeys(operands) if v not in made]
    results = [v for v in made if v in wanted]

    def f(*args):
        known = dict(zip(given, args, strict=True))
        for e in equations:
            read = [v.val if isinstance(v, Literal) else known[v] for v in e.invars]
            known[e.outvars[0]] = e.primitive.bind(*read, **e.params)
        return [known[v] for v in results]

    avals = [v.aval.update(weak_type=False) for v in given]
    if not equations[0].outvars[0].aval.shape:  # numbers: arrays of one
        avals, f = [a.update(shape=(1,)) for a in avals], jax.vmap(f, axis_size=1)
    kernel = kernel_of(jax.make_jaxpr(f)(*map(jax.ShapeDtypeStruct.like, avals)))
    places = _mapped(p, kernel, [values[v] for v in given], [v.aval for v in results])
    values.update(zip(results, places, strict=True))


# ---- memory -------------------------------------------------------------------------------------


def _view(p: Program, equation, operands: Sequence[Value]) -> list[Value]:
    return [x.as_type(out) for x, out in zip(operands, _outs(equation), strict=True)]


def _slice(p: Program, equation, operands: Sequence[Value]) -> list[Value]:
    (x,), (out,), params = operands, _outs(equation), equation.params
    contiguous = out.shape[1:] == x.aval.shape[1:]
    if not contiguous or any(s != 1 for s in params["strides"] or ()):
        raise Untranslatable("it contains slice of what does not lie together")
    row = int(np.prod(out.shape[1:])) * out.dtype.itemsize
    return [x.as_type(out, params["start_indices"][0] * row)]


def _split(p: Program, equation, operands: Sequence[Value]) -> list[Value]:
    if equation.params["axis"] != 0:
        raise Untranslatable("it contains split along another axis than the first")
    places, at = [], 0
    for out in _outs(equation):
        places.append(operands[0].as_type(out, at))
        at += bytes_of(out)
    return places


def _concatenate(p: Program, equation, operands: Sequence[Value]) -> list[Value]:
    (out,) = _outs(equation)
    if equation.params["dimension"] != 0:
        raise Untranslatable("it contains concatenate along another axis than the first")
    whole, at = Value(out, Block(bytes_of(out))), 0
    for x in operands:
        if x.block.number is not None or x.block.within or not x.is_all:
            (x,) = p.call("copy", [x], [x.aval])
        x.block.within = (whole.block, at)  # it is made where it is wanted
        at += x.block.size
    return [whole]


def _check_row(equation, whole, part, index: int) -> None:
    first, *rest = equation.invars[index:]
    varies = not isinstance(first, Literal) and first.aval.dtype == np.int32
    zeros = all(isinstance(v, Literal) and v.val == 0 for v in rest)
    a_row = part.shape[:1] == (1,) and part.shape[1:] == whole.shape[1:]
    if not (varies and zeros and a_row):
        raise Untranslatable(f"it contains {equation.primitive.name} of other than a row")


def _read_row(p: Program, equation, operands: Sequence[Value]) -> list[Value]:
    _check_row(equation, operands[0].aval, _outs(equation)[0], 1)
    return p.call("read_row", operands[:2], _outs(equation))


def _write_row(p: Program, equation, operands: Sequence[Value]) -> list[Value]:
    _check_row(equation, operands[0].aval, operands[1].aval, 2)
    return p.call("write_row", operands[:3], _outs(equation), shared=[(0, 0)])


def _take(p: Program, equation, operands: Sequence[Value]) -> list[Value]:
    x, index = operands
    numbers, mode = equation.params["dimension_numbers"], equation.params["mode"]
    form = numbers.offset_dims, numbers.collapsed_slice_dims, numbers.start_index_map
    modes = jax.lax.GatherScatterMode.PROMISE_IN_BOUNDS, jax.lax.GatherScatterMode.CLIP
    if form != ((), (0,), (0,)) or index.aval.dtype != np.int32 or mode not in modes:
        raise Untranslatable("it contains gather of other than numbers of a vector")
    return p.call("take", [x, index], _outs(equation))


def _sum(p: Program, equation, operands: Sequence[Value]) -> list[Value]:
    x = operands[0].aval
    if x.ndim != 1 or x.dtype not in (np.float32, np.float64):
        raise Untranslatable("it contains a sum of other than the numbers of a vector")
    return p.call("sum", operands, _outs(equation))


_CALLS: dict[str, Callable] = {
    "brainjax_map": _map,
    "concatenate": _concatenate,
    "dynamic_slice": _read_row,
    "dynamic_update_slice": _write_row,
    "gather": _take,
    "reduce_sum": _sum,
    **dict.fromkeys((*_VIEWS, *_VIEWS_OF_AS_MANY), _view),
    "slice": _slice,
    "split": _split,
}


def _handler(p: Program, equation, operands: Sequence[Value]) -> list[Value]:
    target, attributes, aliases = NATIVE_CALLS[equation.primitive]
    library: Any = native_library()
    if not library.brainjax_has_call(target.encode()):
        raise Untranslatable(f"it contains {equation.primitive.name}")
    avals = [x.aval for x in operands]
    given, shared = (f(avals, **equation.params) for f in (attributes, aliases))
    return p.call(target, operands, _outs(equation), given, shared.items())


# ---- order --------------------------------------------------------------------------------------


def _is_view(equation) -> bool:
    """Whether the results are the operands as they are, or parts of them."""
    name = equation.primitive.name
    if name in _VIEWS or name not in _VIEWS_OF_AS_MANY:
        return name in _VIEWS
    (x, *_), (out,) = equation.invars, _outs(equation)
    return not isinstance(x, Literal) and x.aval.dtype == out.dtype and x.aval.size == out.size


def _is_elementwise(equation) -> bool:
    name = equation.primitive.name
    if name not in RULES and name not in FUNCTIONS:
        return False
    (out,) = _outs(equation)
    return all(v.aval.shape in ((), out.shape) for v in equation.invars)


def reads_literals(equation) -> bool:
    """Whether operands of an equation may be literals: numbers, or the indices of a row."""
    return equation.primitive.name in _ROWS or _is_elementwise(equation)


def _kind(equation) -> tuple[int, ...]:
    """What is taken together; the least comes first."""
    if _is_view(equation):
        return (0,)
    if _is_elementwise(equation):
        return (4, *equation.outvars[0].aval.shape) if equation.outvars[0].aval.shape else (1,)
    if equation.primitive.name == "brainjax_map":
        return (5,)
    return (3,) if equation.primitive in NATIVE_CALLS else (2,)


# Threads share what a wave of these does, so none of it may need what another makes.
_INDEPENDENT = ((3,), (5,))


def has_form(equation) -> bool:
    """Whether an equation is of a kind that a program may hold; its details may still forbid it."""
    known = equation.primitive in NATIVE_CALLS or equation.primitive.name in _CALLS
    return known or _is_elementwise(equation)


def _waves(jaxpr) -> Iterator[tuple[int, list[Any]]]:
    """The equations in an order in which they can be run, those of one kind together."""
    known, left = set(jaxpr.invars), list(jaxpr.eqns)
    while left:
        ready = [e for e in left if _operands(e) <= known]
        kind = min(map(_kind, ready))
        chosen, made = [], set(known)
        for e in left:
            if _kind(e) == kind and _operands(e) <= (known if kind in _INDEPENDENT else made):
                chosen.append(e)
                made.update(e.outvars)
        yield kind[0], chosen
        known.update(v for e in chosen for v in e.outvars)
        done = set(map(id, chosen))
        left = [e for e in left if id(e) not in done]


def _operands(equation) -> set[Any]:
    return {v for v in equation.invars if not isinstance(v, Literal)}


def program_of(body: ClosedJaxpr, num_carried: int) -> dict[str, Any]:
    """The body of a loop as what csrc/loop.cc is told.

    **Arguments:**

    - `body`: of the index of a step (int32), of what is kept and of what is carried; its results
      are carried on. It has no constants, and its equations call no others.

    **Raises:**

    `Untranslatable`, with the reason.
    """
    jaxpr = body.jaxpr
    p = Program([v.aval for v in jaxpr.invars], num_carried)
    values: dict[Any, Value] = dict(zip(jaxpr.invars, p.inputs, strict=True))
    for kind, equations in _waves(jaxpr):
        p.wave += 1
        if kind in (1, 4):
            these = set(map(id, equations))
            others = (_operands(e) for e in jaxpr.eqns if id(e) not in these)
            wanted = set(jaxpr.outvars).union(*others)
            _elementwise(p, equations, values, wanted)
            continue
        for e in equations:
            # The only literals that may stand here are indices, which `_check_row` reads.
            operands = [values[v] for v in e.invars if not isinstance(v, Literal)]
            call = _handler if e.primitive in NATIVE_CALLS else _CALLS[e.primitive.name]
            values.update(zip(e.outvars, call(p, e, operands), strict=True))
    return p.attributes([values[v] for v in jaxpr.outvars])
