"""Integrals of decaying currents over a step, accurate for all time constants, equal ones too."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

_TERMS = 14


def exponential_moment(order: int, x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The integral of u^order exp(x u) over u from 0 to 1, for order 0 or 1.

    Its closed forms `expm1(x) / x` and `(exp(x) (x - 1) + 1) / x^2` cancel near zero, where the
    membrane and the synapse have the same time constant. There the series
    `sum_n x^n / (n! (n + order + 1))` is used: below 1/2 its 14 terms reach float64, and its
    derivative is as good.
    """
    small = jnp.abs(x) < 0.5
    near = jnp.where(small, x, 0)
    far = jnp.where(small, 1, x)
    series = jnp.zeros_like(x)
    for n in reversed(range(_TERMS)):
        series = series * near + 1 / (math.factorial(n) * (n + order + 1))
    closed = (
        jnp.expm1(far) / far if order == 0 else (jnp.exp(far) * (far - 1) + 1) / jnp.square(far)
    )
    return jnp.where(small, series, closed)


def decayed(x: Float[Array, "..."], dt: Float[Array, ""], tau: Float[Array, "..."]):
    """`x exp(-dt / tau)`, as `x + x expm1(-dt / tau)`.

    The factor would be rounded the same way in every step, which in float32 adds up to 1e-5 over a
    few hundred steps; the correction is rounded relative to itself.
    """
    return x + x * jnp.expm1(-dt / tau)
