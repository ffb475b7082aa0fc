"""`map_neurons`: one function applied to every neuron of a population, as one op.

A population's whole step (membrane, receptors, threshold, random numbers) is elementwise over its
neurons. Keeping it one primitive lets the CPU run it as one compiled loop; plain JAX is the
definition, and what runs where a step cannot be translated. Differentiation binds the op again: for
the tangents, which are linear, and for their transpose. No `custom_vjp` is involved, so forward
mode, Hessians and checkpointing work.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive

from ..core import explain
from ._check_types import check_mapped
from ._fence import fence
from ._hoist import is_key, split
from ._kernels import compiled, name_of, seen
from ._primitive import (
    align_varying,
    batch_by_leading_axis,
    check_impl,
    dense,
    is_linear,
    is_zero,
    like,
    lower_to_calls,
    new_primitive,
    over_batch,
    set_jvp,
    set_transpose,
    sum_to,
    varying_alike,
    zero_tangent,
)

# Primitives that may mix neurons. A step that contains one is not elementwise.
_MIXING = tuple(
    "reduce_ argmax argmin cumsum cumprod cummax cummin cumlogsumexp sort top_k dot_general conv_"
    " gather scatter dynamic_ rev concatenate transpose psum all_gather ppermute fft cholesky"
    " iota pad split slice select_and_".split()
)


class _Flat:
    """`f` on the flattened leaves of its arguments; equal if `f` and the structure are equal."""

    def __init__(self, f: Callable, structure):
        self.f, self.structure = f, structure
        self.key = (f, structure)

    def __call__(self, *leaves):
        return tuple(jax.tree.leaves(self.f(*jax.tree.unflatten(self.structure, leaves))))

    def __eq__(self, other):
        return isinstance(other, _Flat) and self.key == other.key

    def __hash__(self):
        return hash(self.key)


def _reference(*args, f, num_linear, num_fixed, num_state, impl, batch):
    # The barriers keep XLA from fusing a step with its surroundings: what it computes should not
    # depend on what is recorded. Expressions of fixed arguments may still leave the loop.
    moving = jax.lax.optimization_barrier(args[num_fixed:])
    outs = over_batch(lambda *a: list(f(*a)), batch, (*args[:num_fixed], *moving))
    return jax.lax.optimization_barrier(tuple(outs))


def _of_example(aval, batch: int):
    """The type of an operand without its batch axes."""
    return like(aval, aval.shape[batch:])


def _abstract(*args, f, num_linear, num_fixed, num_state, impl, batch):
    given = [jax.ShapeDtypeStruct.like(_of_example(x, batch)) for x in args]
    axes = np.broadcast_shapes(*[x.shape[:batch] for x in args])
    return [like(o, (*axes, *o.shape)) for o in jax.make_jaxpr(f)(*given).out_avals]


def _native(avals, results, *, f, num_linear, num_fixed, num_state, impl, batch):
    """The op as a call of a compiled loop."""
    examples = tuple(_of_example(x, batch) for x in avals)
    # Each buffer of a call costs 17 ns. Numbers that do not change during a run share one: XLA
    # stacks them before the loop, and what is differentiated and batched are still the numbers.
    fixed = [i < num_fixed and x.shape == () for i, x in enumerate(examples)]
    bundles = tuple(
        (x.shape, _word(x.dtype)) if b else None for x, b in zip(avals, fixed, strict=True)
    )
    made = compiled(f, examples, bundles)
    if made is None:
        return None
    kernel, call = made
    attributes = {
        "batch": np.int64(batch),
        "cost": np.int64(call.cost),
        "digest": kernel.digest,
        "ir": kernel.ir,
        "size": np.int64(call.size),
    }
    written = [jax.ShapeDtypeStruct.like(results[k]) for k in call.results]
    # A state is updated in place.
    states = {num_fixed + k: place for place, k in enumerate(call.results) if k < num_state}
    aliases = {i: states[b[0]] for i, b in enumerate(call.buffers) if b[0] in states}
    loop = jax.ffi.ffi_call("brainjax_Map", written, input_output_aliases=aliases)

    def native(*operands):
        given = [_stacked([operands[i] for i in b]) for b in call.buffers]
        outs = dict(zip(call.results, loop(*given, **attributes), strict=True))
        outs |= {k: jnp.broadcast_to(operands[i], results[k].shape) for k, i in call.kept}
        return [outs[k] for k in range(len(results))]

    return native


def _word(dtype):
    """What a number of this type is in a buffer of numbers of several types."""
    return np.dtype(f"uint{8 * dtype.itemsize}") if dtype.itemsize >= 4 else dtype


def _stacked(numbers):
    """One buffer of several scalars, their bits as they are."""
    if len(numbers) == 1:
        return numbers[0]
    word = _word(numbers[0].dtype)
    return jnp.stack([jax.lax.bitcast_convert_type(x, word) for x in numbers], -1)


map_p: Primitive = new_primitive("map", _abstract, _reference)
lower_to_calls(map_p, _reference, _native)
batch_by_leading_axis(
    map_p, lambda *, num_fixed, num_state, **_: set(range(num_fixed, num_fixed + num_state))
)


@functools.cache
def _tangent_of(f, num_primals, in_mask, out_mask):
    """(primals, tangents of some) -> tangents of the floating outputs; linear in the tangents."""

    def tangent(*args):
        primals, given = args[:num_primals], iter(args[num_primals:])
        tangents = [
            next(given)
            if moves
            else np.zeros(x.shape, jax.dtypes.float0)
            if not jnp.issubdtype(x.dtype, jnp.inexact)
            else jnp.zeros_like(x)
            for x, moves in zip(primals, in_mask, strict=True)
        ]
        outs = jax.jvp(f, primals, tuple(tangents))[1]
        return tuple(o for o, floats in zip(outs, out_mask, strict=True) if floats)

    tangent.__name__ = f"derivative of {name_of(f)}"
    return tangent


def _jvp(primals, tangents, *, f, num_linear, num_state, **params):
    outs = map_p.bind(*primals, f=f, num_linear=num_linear, num_state=num_state, **params)
    in_mask = tuple(not is_zero(t) for t in tangents)
    out_mask = tuple(bool(jnp.issubdtype(o.dtype, jnp.inexact)) for o in outs)
    moving = [t for t in tangents if not is_zero(t)]
    f_dot = _tangent_of(f, len(primals), in_mask, out_mask)
    params |= {"num_linear": len(moving), "num_state": 0}
    out_dots = iter(map_p.bind(*primals, *moving, f=f_dot, **params))
    return outs, [
        next(out_dots) if m else zero_tangent(o) for o, m in zip(outs, out_mask, strict=True)
    ]


@functools.cache
def _transpose_of(f, num_primals, avals):
    def transposed(*args):
        primals, cotangents = args[:num_primals], args[num_primals:]
        linear = [jax.ShapeDtypeStruct.like(aval) for aval in avals]
        return tuple(jax.linear_transpose(lambda *l: f(*primals, *l), *linear)(tuple(cotangents)))

    transposed.__name__ = f"transpose of {name_of(f)}"
    return transposed


def _transpose(cotangents, *args, f, num_linear, num_state, batch, **params):
    num_primals = len(args) - num_linear
    primals, linear = args[:num_primals], args[num_primals:]
    if not all(is_linear(x) for x in linear):
        # Some tangents are known numbers: the op is affine in the others, and their part drops out.
        moving = tuple(is_linear(x) for x in linear)
        known = [x for x in linear if not is_linear(x)]
        f = _with_known(f, num_primals, moving)
        primals, linear = (*primals, *known), [x for x in linear if is_linear(x)]
    else:
        moving = (True,) * num_linear
    avals = tuple(_of_example(x.aval, batch) for x in linear)
    given = (*primals, *[dense(c) for c in cotangents])
    f_t = _transpose_of(f, len(primals), avals)
    params |= {"num_linear": len(cotangents), "num_state": 0}
    outs = map_p.bind(*given, f=f_t, batch=batch, **params)
    outs = iter([sum_to(x, a.aval.shape) for x, a in zip(outs, linear, strict=True)])
    return [None] * num_primals + [next(outs) if m else None for m in moving]


@functools.cache
def _with_known(f, num_primals, moving):
    num_known = moving.count(False)

    def rearranged(*args):
        primals = args[:num_primals]
        known = iter(jnp.zeros_like(x) for x in args[num_primals : num_primals + num_known])
        free = iter(args[num_primals + num_known :])
        return f(*primals, *[next(free) if m else next(known) for m in moving])

    rearranged.__name__ = name_of(f)
    return rearranged


set_jvp(map_p, _jvp)
set_transpose(map_p, _transpose)


def _equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for part in value if isinstance(value, tuple) else (value,):  # branches come as a tuple
                inner = getattr(part, "jaxpr", part)
                if hasattr(inner, "eqns"):
                    yield from _equations(inner)


def _per_neuron(aval) -> bool:
    """Whether a value may have one entry a neuron; the two words of a random key do not."""
    return aval.shape != () and not is_key(aval)


def check_elementwise(f: Callable, *args: Any, what: str) -> None:
    """Raise `ValueError` if `f(*args)` mixes the neurons of its arguments.

    **Arguments:**

    - `f`: the function one would map.
    - `args`: PyTrees of arrays or of their shapes; leaves have shape `(size,)` or `()`.
    - `what`: whose step it is, for the error.
    """
    for equation in _equations(jax.make_jaxpr(f)(*args).jaxpr):
        name = equation.primitive.name
        involved = [x.aval for x in (*equation.invars, *equation.outvars)]
        if (
            any(map(_per_neuron, involved))
            and name.startswith(_MIXING)
            and name != "reduce_precision"
        ):
            raise ValueError(
                explain(
                    f"{what}: its step must be elementwise over neurons",
                    got=name,
                    expected="no operation that mixes neurons",
                    mend="Neurons act on each other through a Projection; a model that must mix "
                    "them says `elementwise = False` in its class.",
                )
            )


def _num_state(args, out) -> int:
    """How many leaves a state has: a first argument that is the first result of the same types."""
    if not args or not isinstance(out, tuple) or not out:
        return 0
    types = [
        [(jnp.shape(x), jnp.result_type(x)) for x in jax.tree.leaves(t)] for t in (args[0], out[0])
    ]
    return len(types[0]) if types[0] == types[1] and all(s for s, _ in types[0]) else 0


def prepare_map(
    f: Callable, fixed: tuple, *args: Any, impl: str = "auto", name: str | None = None
) -> Callable:
    """`map_neurons` for a loop: what depends on `fixed` alone is computed now, once.

    **Arguments:**

    - `f`, `fixed`: as of `map_neurons`.
    - `args`: examples of the other arguments; only their shapes and types matter.
    - `impl`: which implementation runs. A step that has no native form runs in JAX under any, and
      so does one that prints or calls back (`jax.debug`), as its own equations.
    - `name`: what a person calls it, for `native_steps`; the name of `f` by default.

    **Returns:**

    A function of `args`.
    """
    check_impl(impl)
    check_mapped(f, fixed, args)
    num_fixed = len(jax.tree.leaves(fixed))
    leaves, structure = jax.tree.flatten((*fixed, *args))
    out = jax.eval_shape(f, *fixed, *args)
    out_structure, num_state = jax.tree.structure(out), _num_state(args, out)
    leaves = align_varying(*[jnp.asarray(x) for x in leaves])
    types = tuple(jax.typeof(x) for x in leaves)
    name = name or name_of(f)
    step = split(_Flat(f, structure), types, num_fixed, name)
    if step.has_effects:  # an op has none: what is printed from within would be dropped
        seen(name, "jax: it has side effects, as those of jax.debug.print")
        return functools.partial(f, *fixed)
    # Between fences: a propagator must have the same bits in every program that uses it.
    kept = fence(step.before(*fence(leaves[:num_fixed], impl=impl)), impl=impl)

    def mapped(*args):
        moving = varying_alike([jnp.asarray(x) for x in jax.tree.leaves(args)], leaves)
        settings = {"num_fixed": len(kept), "num_state": num_state, "impl": impl}
        moving += varying_alike(list(step.drawn(kept, moving, impl)), leaves)
        outs = map_p.bind(*kept, *moving, f=step.after, num_linear=0, batch=0, **settings)
        return jax.tree.unflatten(out_structure, outs)

    return mapped


def map_neurons(f: Callable, fixed: tuple, *args: Any, impl: str = "auto") -> Any:
    """`f(*fixed, *args)` for a function elementwise over neurons, as one op.

    **Arguments:**

    - `f`: a hashable function (one of a module, not a fresh closure: it names the op, and an equal
      `f` on arguments of equal structure is not traced again).
    - `fixed`: PyTrees that do not change during a run (parameters, dt).
    - `args`: PyTrees of the others. All leaves have shape `(size,)`, one number a neuron, or `()`.
    - `impl`: which implementation runs: `"auto"`, `"jax"` or `"native"`.

    **Returns:**

    What `f` returns. Differentiable in both modes to any order, batched by `vmap`.

    **Raises:**

    `TypeError` and `ValueError` for what is no function, and for leaves of more than one axis.
    """
    return prepare_map(f, fixed, *args, impl=impl)(*args)
