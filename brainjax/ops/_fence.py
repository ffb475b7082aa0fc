"""`fence`: the identity, across which XLA fuses and folds nothing.

XLA may round an expression differently where its surroundings differ: a product and a sum become
one instruction here and two there, a constant parameter is folded. What stands between fences is
computed as if nothing else were in the program. Natively a fence is a call that does nothing;
elsewhere it is an optimization barrier, which XLA honours less strictly. It costs a call and may
cost a copy, so it belongs outside loops and around small arrays.
"""

from typing import Any

import jax
from jax import lax

from ._primitive import lower_natively, new_primitive, set_batching, set_jvp


def _reference(*args, impl):
    return [lax.optimization_barrier(x) for x in args]


def _abstract(*args, impl):
    return list(args)


fence_p = new_primitive("fence", _abstract, _reference)
lower_natively(
    fence_p,
    _reference,
    "brainjax_Fence",
    lambda avals, *, impl: {},
    lambda avals, *, impl: {i: i for i in range(len(avals))},
)


def _jvp(primals, tangents, *, impl):
    return fence_p.bind(*primals, impl=impl), list(tangents)


def _batch(args, dims, *, impl):
    return fence_p.bind(*args, impl=impl), list(dims)


set_jvp(fence_p, _jvp)
set_batching(fence_p, _batch)


def fence(tree: Any, *, impl: str = "auto") -> Any:
    """`tree` itself, its arrays computed as if nothing else were; derivatives pass as they are.

    `impl` says which implementation runs.
    """
    leaves, structure = jax.tree.flatten(tree)
    return jax.tree.unflatten(structure, fence_p.bind(*leaves, impl=impl) if leaves else leaves)
