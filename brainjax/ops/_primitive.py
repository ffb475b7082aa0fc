"""What the ops need of JAX's machinery for primitives. The one file that knows it.

Every op of the library is a `Primitive` with a lowering in plain JAX, the definition of what it
computes, and for some a second lowering to a handler of the native library. Batching is one rule
for all: an op has `batch` leading axes, each operand has all of them, and an axis along which an
operand does not vary has length one.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ..core import explain
from ._native import cuda_library, native_library

_CONFIG: Any = jax.config  # JAX makes its options at run time: type checkers do not see them
IMPLEMENTATIONS = ("auto", "jax", "native")


def check_impl(impl: str) -> str:
    """`impl` if it names an implementation that is there, else a clear error."""
    if impl not in IMPLEMENTATIONS:
        raise ValueError(explain("impl", got=impl, expected=f"one of {IMPLEMENTATIONS}"))
    if impl == "native" and native_library() is None and cuda_library() is None:
        raise ValueError(
            explain(
                "impl",
                got=impl,
                expected="the native library to be installed",
                mend="Reinstall where a C++17 compiler is at hand, or use impl='auto'.",
            )
        )
    return impl


def _varying_axes(x) -> frozenset:
    return frozenset(jax.typeof(x).manual_axis_type.varying)


def is_varying(x) -> bool:
    """Whether a value differs between the devices of a `shard_map`."""
    return bool(_varying_axes(x))


def align_varying(*args):
    """Operands typed as varying over the same axes of a `shard_map`, as primitives want them."""
    axes = frozenset().union(*map(_varying_axes, args))
    missing = [tuple(sorted(axes - _varying_axes(x))) for x in args]
    return [
        jax.lax.pcast(x, m, to="varying") if m else x for x, m in zip(args, missing, strict=True)
    ]


def varying_alike(tree, *others):
    """`tree` with arrays typed as varying over all mesh axes that it or `others` vary over.

    What a scan carries must have this type from the start, zeros too.
    """
    leaves, structure = jax.tree.flatten(tree)
    rest = [x for x in jax.tree.leaves(others) if isinstance(x, jax.Array)]
    return jax.tree.unflatten(structure, align_varying(*leaves, *rest)[: len(leaves)])


def like(aval, shape: Sequence[int], dtype=None):
    """An abstract value of another shape that varies over the same mesh axes as `aval`."""
    return aval.update(shape=tuple(shape), dtype=dtype or aval.dtype, weak_type=False)


def _one_device_each(ctx) -> bool:
    """Whether the program being lowered runs on one device, or is manual over all mesh axes.

    Only then is an opaque call safe: under automatic sharding XLA would replicate it silently.
    """
    context = ctx.module_context.axis_context
    if isinstance(context, mlir.SPMDAxisContext):
        return set(context.manual_axes) == set(context.mesh.axis_names)
    return isinstance(context, mlir.ShardingContext) and context.num_devices == 1


def new_primitive(name: str, abstract_eval: Callable, reference: Callable) -> Primitive:
    """A primitive of several results, defined by `reference` in plain JAX on every platform."""
    primitive = Primitive(f"brainjax_{name}")
    primitive.multiple_results = True
    primitive.def_abstract_eval(abstract_eval)

    @functools.cache
    def compiled(params):
        return jax.jit(lambda *args: primitive.bind(*args, **dict(params)))

    def impl(*args, **params):
        if _CONFIG.jax_disable_jit:
            return reference(*args, **params)
        return compiled(tuple(sorted(params.items())))(*args)

    primitive.def_impl(impl)
    mlir.register_lowering(primitive, mlir.lower_fun(reference, multiple_results=True))
    return primitive


# Primitives made of others, as which they run wherever they are not differentiated.
MADE_OF: dict[Primitive, Callable] = {}
# Primitives that one handler of the native library computes: `(target, attributes, aliases)`.
NATIVE_CALLS: dict[Primitive, tuple[str, Callable, Callable]] = {}


def lower_natively(
    primitive: Primitive, reference: Callable, target: str, attributes: Callable, aliases: Callable
) -> None:
    """Lower `primitive` on the CPU to the handler `target` where that is safe.

    **Arguments:**

    - `attributes`: maps the types of the operands and the parameters of a call to the attributes of
      the handler, or to `None` where there is no native implementation of this call.
    - `aliases`: maps the same to `{operand: result}`, the buffers that are updated in place.
    """

    def native(avals_in, avals_out, **params):
        given = attributes(avals_in, **params)
        if given is None:
            return None
        inside = aliases(avals_in, **params)
        return functools.partial(
            jax.ffi.ffi_lowering(target, operand_output_aliases=inside), **given
        )

    NATIVE_CALLS[primitive] = target, attributes, aliases
    _lower_on("cpu", native_library, primitive, reference, native)


def lower_to_calls(primitive: Primitive, reference: Callable, native: Callable) -> None:
    """Lower `primitive` on the CPU to a function that calls handlers, where that is safe.

    **Arguments:**

    - `native`: maps the types of the operands, those of the results, and the parameters of a call
      to a function in JAX, or to `None` where there is no native implementation of this call.
    """

    _lower_on("cpu", native_library, primitive, reference, _as_lowering(native))


def lower_on_gpu(
    primitive: Primitive, reference: Callable, native: Callable, platform: str = "cuda"
) -> None:
    """Lower `primitive` on a GPU to a function that calls handlers, where that is safe.

    `native` is as of `lower_to_calls`.
    """
    _lower_on(platform, lambda: cuda_library(), primitive, reference, _as_lowering(native))


def _as_lowering(native: Callable) -> Callable:
    def lowered(avals_in, avals_out, **params):
        f = native(avals_in, avals_out, **params)
        return f and mlir.lower_fun(f, multiple_results=True)

    return lowered


def _lower_on(
    platform: str, library: Callable, primitive: Primitive, reference: Callable, native: Callable
) -> None:
    plain = mlir.lower_fun(reference, multiple_results=True)

    def rule(ctx, *operands, **params):
        platforms = ctx.module_context.platforms
        usable = library() is not None and len(platforms) == 1 and _one_device_each(ctx)
        call = None
        if params["impl"] != "jax" and usable:
            call = native(ctx.avals_in, ctx.avals_out, **params)
        return call(ctx, *operands) if call else plain(ctx, *operands, **params)

    mlir.register_lowering(primitive, rule, platform=platform)


def batch_by_leading_axis(primitive: Primitive, expanded: Callable) -> None:
    """Give `primitive` the batching rule of this library.

    **Arguments:**

    - `expanded`: maps the parameters of a call to the operands (a set of positions) that must have
      the full length of every batch axis, because they are updated in place.
    """

    def rule(args, dims, *, batch, **params):
        size = next(x.shape[d] for x, d in zip(args, dims, strict=True) if d is not None)
        full = expanded(**params)
        moved = []
        for i, (x, d) in enumerate(zip(args, dims, strict=True)):
            x = jnp.expand_dims(x, 0) if d is None else jnp.moveaxis(x, d, 0)
            moved.append(jnp.broadcast_to(x, (size, *x.shape[1:])) if i in full else x)
        outs = primitive.bind(*moved, batch=batch + 1, **params)
        same = [x.shape[0] != size for x in outs]
        return (
            [jnp.squeeze(x, 0) if s else x for x, s in zip(outs, same, strict=True)],
            [None if s else 0 for s in same],
        )

    batching.primitive_batchers[primitive] = rule


def over_batch(f: Callable, batch: int, args: Sequence) -> list:
    """`f(*args)` mapped over `batch` leading axes; axes of length one are shared."""
    if batch == 0:
        return f(*args)
    axes = [None if x.shape[0] == 1 else 0 for x in args]
    if all(a is None for a in axes):
        outs = over_batch(f, batch - 1, [x[0] for x in args])
        return [x[None] for x in outs]
    inner = [x[0] if a is None else x for x, a in zip(args, axes, strict=True)]
    return jax.vmap(lambda *a: over_batch(f, batch - 1, a), in_axes=axes)(*inner)


def is_zero(tangent) -> bool:
    """Whether a tangent is symbolically zero."""
    return isinstance(tangent, ad.Zero)


def dense(tangent):
    """A tangent as an array, zeros if it is symbolically zero."""
    return ad.instantiate_zeros(tangent)


def zero_tangent(x):
    """The symbolic zero tangent of a value."""
    return ad.Zero(jax.typeof(x).to_tangent_aval())


def is_linear(operand) -> bool:
    """Whether an operand of a transpose rule is one that the op is linear in."""
    return ad.is_undefined_primal(operand)


def aval_of(operand):
    """The type of an operand of a transpose rule."""
    return operand.aval if is_linear(operand) else jax.typeof(operand)


def set_jvp(primitive: Primitive, rule: Callable) -> None:
    """Register the forward-mode rule of a primitive."""
    ad.primitive_jvps[primitive] = rule


def set_constant(primitive: Primitive) -> None:
    """Register that the results of a primitive are integers, which do not move."""

    def rule(primals, tangents, **params):
        outs = primitive.bind(*primals, **params)
        return outs, [zero_tangent(x) for x in outs]

    set_jvp(primitive, rule)


def sum_to(x, shape: Sequence[int]):
    """The sum of `x` over the axes along which an operand of `shape` had length one, kept."""
    shared = tuple(i for i, (a, b) in enumerate(zip(x.shape, shape, strict=True)) if a != b)
    return jnp.sum(x, axis=shared, keepdims=True) if shared else x


def set_by_definition(primitive: Primitive, reference: Callable) -> None:
    """Let a primitive be differentiated and batched as what defines it."""

    def jvp(primals, tangents, **params):
        moving = [k for k, t in enumerate(tangents) if not is_zero(t)]

        def of_moving(*given):
            args = list(primals)
            for k, x in zip(moving, given, strict=True):
                args[k] = x
            return reference(*args, **params)

        given = [primals[k] for k in moving]
        return jax.jvp(of_moving, given, [tangents[k] for k in moving])

    def batched(args, dims, **params):
        outs = jax.vmap(lambda *a: reference(*a, **params), in_axes=dims)(*args)
        return outs, [0] * len(outs)

    set_jvp(primitive, jvp)
    set_batching(primitive, batched)


def set_transpose(primitive: Primitive, rule: Callable) -> None:
    """Register the transpose rule of a primitive."""
    ad.primitive_transposes[primitive] = rule


def set_batching(primitive: Primitive, rule: Callable) -> None:
    """Register a batching rule of its own for a primitive."""
    batching.primitive_batchers[primitive] = rule
