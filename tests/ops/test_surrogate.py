"""Surrogate derivatives: exact values, both modes, and the second derivative through a scan."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from brainjax.ops import heaviside, map_neurons, switch

STEPS = 6


def slope(x):
    """A derivative that has a derivative: 1 / (1 + x^2)."""
    return 1 / (1 + x * x)


def spike(x):
    return heaviside(x, slope(x))


@pytest.mark.pure
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_are_exact(dtype, x64):
    x = jnp.asarray([-np.inf, -1.0, -1e-30, -0.0, 0.0, 1e-30, np.inf, np.nan], dtype)
    out = jax.jit(spike)(x)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out, [0, 0, 0, 1, 1, 1, 1, 0])


@pytest.mark.pure
def test_both_modes(x64):
    """And what the slope depends on passes nothing by itself."""
    x, t = jnp.array([-2.0, -0.1, 0.0, 0.5]), jnp.array([1.0, 2.0, 3.0, -1.0])
    np.testing.assert_allclose(jax.jvp(spike, (x,), (t,))[1], slope(x) * t)
    np.testing.assert_allclose(jax.vjp(spike, x)[1](t)[0], slope(x) * t)
    np.testing.assert_allclose(jax.vmap(jax.grad(spike))(x), slope(x))
    np.testing.assert_allclose(jax.vmap(jax.grad(jax.grad(spike)))(x), -2 * x * slope(x) ** 2)
    of_slope = jax.grad(lambda s: jnp.sum(heaviside(x, s)))(slope(x))
    np.testing.assert_array_equal(of_slope, 0)


@pytest.mark.pure
def test_switch(x64):
    """Exact values; the derivative of `spike on + (1 - spike) off`."""
    spikes = jnp.array([0.0, 1.0, 1.0, 0.0])
    on, off = jnp.array([1.0, 2.0, np.inf, np.nan]), jnp.array([5.0, 6.0, 7.0, 8.0])
    np.testing.assert_array_equal(switch(spikes, on, off), [5, 2, np.inf, 8])
    on = jnp.array([1.0, 2.0, 3.0, 4.0])
    got = jax.vjp(switch, spikes, on, off)[1](jnp.ones(4))
    for g, expected in zip(got, (on - off, spikes, 1 - spikes), strict=True):
        np.testing.assert_array_equal(g, expected)
    # The value at a reset to a number, for one neuron and all.
    ones = jnp.ones(4)
    _, moved = jax.jvp(lambda s: switch(s, jnp.asarray(-3.0), off), (spikes,), (ones,))
    np.testing.assert_array_equal(moved, -3.0 - off)


def step(w, v):
    """A leaky membrane that a spike resets; `w` drives it."""
    v = 0.8 * v + w
    s = spike(v - 1)
    return v - 0.5 * s, s


def second_by_hand(w):
    """Value and first two derivatives with respect to `w` of the sum of `s v`, in plain numbers.

    With z = v - 1, s' = h(z) z' and s'' = h(z) z'' + h'(z) z'^2: the chain rule, nothing else.
    """
    v = v1 = v2 = 0.0
    total = np.zeros(3)
    for _ in range(STEPS):
        u, u1, u2 = 0.8 * v + w, 0.8 * v1 + 1.0, 0.8 * v2
        z = u - 1
        h, h1 = 1 / (1 + z * z), -2 * z / (1 + z * z) ** 2
        s, s1, s2 = float(z >= 0), h * u1, h * u2 + h1 * u1 * u1
        v, v1, v2 = u - 0.5 * s, u1 - 0.5 * s1, u2 - 0.5 * s2
        total += (s * v, s1 * v + s * v1, s2 * v + 2 * s1 * v1 + s * v2)
    return total


def total(w, mapped):
    def body(v, _):
        v, s = map_neurons(step, (w,), v) if mapped else step(w, v)
        return v, jnp.sum(s * v)

    return jnp.sum(jax.lax.scan(body, jnp.zeros(1), length=STEPS)[1])


def directional(f):
    return lambda w: jax.jvp(f, (w,), (jnp.ones_like(w),))[1]


ORDERS = {
    "forward over forward": lambda f: directional(directional(f)),
    "forward over reverse": lambda f: directional(jax.grad(f)),
    "reverse over forward": lambda f: jax.grad(directional(f)),
    "reverse over reverse": lambda f: jax.grad(jax.grad(f)),
}


@pytest.mark.parametrize("order", ORDERS)
def test_second_derivative_through_a_scan(order, x64):
    """In every order of the modes, with the step as one op. (JAX 0.10.2 alone drops terms.)"""
    for w in (0.37, 0.9):
        expected = second_by_hand(w)
        f = lambda w: total(w, True)  # noqa: E731
        np.testing.assert_allclose(f(w), expected[0], rtol=1e-12)
        np.testing.assert_allclose(jax.grad(f)(w), expected[1], rtol=1e-12)
        np.testing.assert_allclose(jax.jit(ORDERS[order](f))(w), expected[2], rtol=1e-11)


def test_the_oracle_sees_what_jax_computes(x64):
    """A control: without the op, forward over forward is right on every version of JAX."""
    got = ORDERS["forward over forward"](lambda w: total(w, False))(0.37)
    np.testing.assert_allclose(got, second_by_hand(0.37)[2], rtol=1e-11)
    assert abs(second_by_hand(0.37)[2]) > 0.01
