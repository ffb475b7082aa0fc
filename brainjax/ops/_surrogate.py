"""The derivative of a spike: any slope one likes, with exact values.

A spike is the Heaviside function of the distance from threshold, whose derivative is zero almost
everywhere. Here its derivative is given beside it, in both modes of differentiation.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_jvp
def heaviside(x: Float[Array, "..."], slope: Float[Array, "..."]) -> Float[Array, "..."]:
    """1 where `x >= 0`, else 0, with the derivative `slope`.

    `slope` may depend on `x`: a second derivative differentiates it.
    """
    del slope
    return (x >= 0).astype(x.dtype)


@heaviside.defjvp
def _(primals, tangents):
    x, slope = primals
    return heaviside(x, slope), slope * tangents[0]


@jax.custom_jvp
def switch(
    spike: Float[Array, "..."], on: Float[Array, "..."], off: Float[Array, "..."]
) -> Float[Array, "..."]:
    """`on` where `spike` is not zero, else `off`; differentiated as `spike on + (1 - spike) off`.

    This is how a reset passes the gradient of the spike that caused it, with exact values.
    """
    return jnp.where(spike != 0, on, off)


@switch.defjvp
def _(primals, tangents):
    spike, on, off = primals
    spike_dot, on_dot, off_dot = tangents
    moved = jnp.where(spike != 0, on_dot, off_dot) + spike_dot * (on - off)
    return switch(spike, on, off), moved
