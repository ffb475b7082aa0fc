"""`trainable`: the filter that separates what is learned from what is not."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ..core import explain
from ..network import BuiltNetwork


def _weights(built: BuiltNetwork) -> list[Any]:
    return [built.projections[name].weight for name in built.projection_names]


def trainable(built: BuiltNetwork, where: Callable[[BuiltNetwork], Any] = _weights) -> BuiltNetwork:
    """A filter for `equinox.partition` and `equinox.filter_grad`: true for what is trained.

    **Arguments:**

    - `built`: a built network.
    - `where`: maps it to a leaf or a list of leaves, as in `equinox.tree_at`; by default the
      weights of all projections. Whatever is chosen must be floating-point: never indices, sizes or
      delays.

    **Returns:**

    A PyTree of the structure of `built` with `True` at the chosen leaves, `False` elsewhere.

    **Raises:**

    `TypeError` for a leaf that is not a floating-point array.

    !!! example

        ```python
        train, fixed = eqx.partition(built, bj.trainable(built))
        train, fixed = eqx.partition(
            built, bj.trainable(built, lambda b: b.populations["exc"].neuron.tau_m)
        )
        ```
    """
    chosen = jax.tree.leaves(where(built))
    for leaf in chosen:
        if not isinstance(leaf, jax.Array) or not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(
                explain(
                    "trainable: where",
                    got=getattr(leaf, "dtype", type(leaf).__name__),
                    expected="floating-point leaves: weights or parameters",
                )
            )
    nothing = jax.tree.map(lambda _: False, built)
    if not chosen:
        return nothing
    return eqx.tree_at(where, nothing, replace_fn=lambda _: True)
