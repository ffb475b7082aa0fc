"""Initial values: numbers, arrays, or distributions drawn on the device from a population's stream.

Unlike connectivity, which is drawn once on the host, an initial state is drawn wherever
`init_state` is called: under `jit`, or under `vmap` over keys.
"""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..connect import Distribution, LogNormal, Normal, Uniform
from ..core import Stream, as_leaf, explain


class Drawn(eqx.Module):
    """An initial value that is drawn from a distribution, as a part of a PyTree."""

    distribution: Distribution = eqx.field(static=True)

    def draw(self, stream: Stream, field: str, dtype) -> Float[Array, " size"]:
        """One value per neuron."""
        zero = jnp.zeros((), jnp.int32)
        u = stream.uniform(f"initial.{field}", zero, dtype)
        return jax.lax.optimization_barrier(quantile(self.distribution, u))


def quantile(distribution: Distribution, u: Float[Array, " size"]) -> Float[Array, " size"]:
    """The value below which a fraction `u` of the distribution lies: uniforms to draws."""
    if isinstance(distribution, Uniform):
        return distribution.low + u * (distribution.high - distribution.low)
    if isinstance(distribution, LogNormal):
        low, high = (
            jnp.log(jnp.asarray(b, u.dtype)) for b in (distribution.low, distribution.high)
        )
        return jnp.exp(
            _normal(u, distribution.mu, distribution.sigma, low, high, distribution.outside)
        )
    if isinstance(distribution, Normal):
        low, high = (jnp.asarray(b, u.dtype) for b in (distribution.low, distribution.high))
        return _normal(u, distribution.mean, distribution.std, low, high, distribution.outside)
    raise TypeError(
        explain("initial value", got=distribution, expected="Uniform, Normal or LogNormal")
    )


def _normal(u, mean, std, low, high, outside):
    half = jnp.finfo(u.dtype).eps / 4  # u is a multiple of the spacing; never 0
    u = u + half
    if std == 0:
        return jnp.full_like(u, mean)
    if outside == "clip":
        return jnp.clip(mean + std * jax.scipy.special.ndtri(u), low, high)
    # Redrawing until inside is the truncated normal: invert its distribution function.
    below, above = (jax.scipy.special.ndtr((b - mean) / std) for b in (low, high))
    return jnp.clip(mean + std * jax.scipy.special.ndtri(below + u * (above - below)), low, high)


def initial_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers and arrays as leaves, distributions as `Drawn`."""
    return {k: Drawn(v) if isinstance(v, Distribution) else as_leaf(v) for k, v in values.items()}
