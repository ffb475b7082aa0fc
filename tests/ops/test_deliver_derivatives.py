"""Derivatives of delivery in a scan with feedback, against a dense model differentiated by JAX."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from ops.recurrent import (
    AUDIBLE,
    SELDOM_JAX,
    SIZES,
    WIRING,
    assert_close,
    parameters,
    step_of,
    with_slack,
)

from brainjax.ops import History, deliver, empty_history

pytestmark = pytest.mark.usefixtures("x64")


def simulate(step, route, remat, audible, weights, first, ring, inputs):
    """A scalar of a network whose spikes follow from what was due."""
    if route == "slack":
        weights, slack = with_slack(step, weights)
    else:
        slack = tuple(map(jnp.zeros_like, weights))

    def body(carry, now):
        ring, spikes, slack = carry
        k, current, audible = now
        ring, due, slack = step(ring, spikes, weights, slack, k)
        graded = jnp.tanh(due + current)
        spiked = jnp.where(audible, graded, graded - jax.lax.stop_gradient(graded))
        return (ring, (spiked[: SIZES[0]], spiked[SIZES[0] :]), slack), jnp.sum(jnp.sin(2 * due))

    body = jax.checkpoint(body) if remat else body
    steps = 3 + jnp.arange(len(inputs), dtype=jnp.int32)
    xs = (steps, inputs, jnp.asarray(audible)[: len(inputs)])
    (ring, _, _), out = jax.lax.scan(body, (ring, first, slack), xs)
    return jnp.sum(out) + jnp.sum(ring**3)


def loss(impl, route="slack", remat=False, audible=AUDIBLE):
    return functools.partial(simulate, step_of(impl), route, remat, audible)


@functools.cache
def derivative(impl, route, kind):
    """A jitted derivative: gradients take `*parameters`, others `(parameters, direction)`."""
    f = loss(impl, route, kind == "checkpoint")
    every = (0, 1, 2, 3)
    gradient = jax.grad(f, every)

    def moved(p, v):
        return jax.jvp(f, p, v)[1]

    def dot(a, b):
        return sum(jax.tree.leaves(jax.tree.map(jnp.vdot, a, b)))

    kinds = {
        "grad": jax.value_and_grad(f, every),
        "checkpoint": jax.value_and_grad(f, every),
        "jvp": moved,
        "linearize": lambda p, v: jax.linearize(f, *p)[1](*v),
        "forward over reverse": lambda p, v: jax.jvp(lambda *q: gradient(*q), p, v)[1],
        "reverse over forward": lambda p, v: jax.grad(lambda q: moved(q, v))(p),
        "reverse over reverse": lambda p, v: jax.grad(lambda q: dot(gradient(*q), v))(p),
        "forward over forward": lambda p, v: jax.jvp(lambda q: moved(q, v), (p,), (v,))[1],
    }
    return jax.jit(kinds[kind])


ROUTES = pytest.mark.parametrize("route", ["slack", "direct"])


@ROUTES
@pytest.mark.parametrize("kind", ["grad", "checkpoint"])
def test_gradient(impl, route, kind):
    """With respect to weights, first spikes, ring and inputs; values too."""
    p = parameters()
    value, gradient = derivative(impl, route, kind)(*p)
    expected_value, expected = derivative("dense", "direct", "grad")(*p)
    np.testing.assert_allclose(value, expected_value, rtol=1e-12)
    assert all(np.any(np.asarray(g) != 0) for g in jax.tree.leaves(expected) if g.size)
    assert_close(gradient, expected)


@SELDOM_JAX
@ROUTES
@pytest.mark.parametrize("kind", ["jvp", "linearize"])
def test_forward_mode(impl, route, kind):
    p, v = parameters(), parameters(1)
    expected = derivative("dense", "direct", "jvp")(p, v)
    assert_close(derivative(impl, route, kind)(p, v), expected)


@SELDOM_JAX
@ROUTES
@pytest.mark.parametrize(
    "kind", ["forward over reverse", "reverse over forward", "reverse over reverse"]
)
def test_hessian_vector_product(impl, route, kind):
    p, v = parameters(), parameters(1)
    expected = derivative("dense", "direct", "forward over reverse")(p, v)
    assert_close(derivative(impl, route, kind)(p, v), expected, 1e-10)


@pytest.mark.pure
@pytest.mark.parametrize("impl", ["jax"], indirect=True)
def test_hessian_vector_product_of_the_reference(impl):
    p, v = parameters(), parameters(1)
    expected = derivative("dense", "direct", "forward over reverse")(p, v)
    assert_close(derivative(impl, "slack", "reverse over reverse")(p, v), expected, 1e-10)


@SELDOM_JAX
@ROUTES
def test_second_directional_derivative(impl, route):
    p, v = parameters(), parameters(1)
    expected = derivative("dense", "direct", "forward over forward")(p, v)
    assert_close(derivative(impl, route, "forward over forward")(p, v), expected, 1e-10)


@SELDOM_JAX
def test_derivative_of_third_order(impl):
    """The rules are closed: push and pull are all there is, at any order."""
    p, v = parameters(), parameters(1)
    short = (*p[:3], p[3][:4]), (*v[:3], v[3][:4])

    def third(which, route):
        f = loss(which, route)

        def first(q):
            return jax.jvp(f, q, short[1])[1]

        return jax.jit(jax.grad(lambda q: jax.jvp(first, (q,), (short[1],))[1]))(short[0])

    expected = third("dense", "direct")
    assert_close(third(impl, "direct"), expected, 1e-9)
    assert_close(third(impl, "slack"), expected, 1e-9)


def test_against_finite_differences(impl):
    """Independent of what JAX makes of the dense model; no surrogates."""
    p = parameters()
    f = loss(impl, "direct", audible=np.ones_like(AUDIBLE))
    check_grads(jax.jit(lambda *q: f(*q, p[3][:5])), p[:3], 1, modes=("fwd", "rev"), rtol=1e-6)


# ---- with vmap -----------------------------------------------------------------------------------


@SELDOM_JAX
@ROUTES
@pytest.mark.parametrize("shared", ["weights", "spikes", "nothing"])
def test_vmap_of_grad(impl, route, shared):
    """A gradient for each example is the loop over examples."""
    many = [parameters(seed) for seed in range(3)]
    batch = jax.tree.map(lambda *a: jnp.stack(a), *many)
    held = {"weights": (0,), "spikes": (1, 2, 3), "nothing": ()}[shared]
    args = tuple(many[0][i] if i in held else batch[i] for i in range(4))
    axes = tuple(None if i in held else 0 for i in range(4))
    got = jax.jit(jax.vmap(jax.grad(loss(impl, route), (0, 1, 2, 3)), axes))(*args)
    one = derivative("dense", "direct", "grad")
    for e, example in enumerate(many):
        expected = one(*[many[0][i] if i in held else example[i] for i in range(4)])[1]
        assert_close(jax.tree.map(lambda g, e=e: g[e], got), expected)


@SELDOM_JAX
@ROUTES
@pytest.mark.parametrize("shared", ["weights", "spikes"])
def test_grad_of_vmap(impl, route, shared):
    """What the examples share collects from all of them."""
    many = [parameters(seed) for seed in range(3)]
    batch = jax.tree.map(lambda *a: jnp.stack(a), *many)
    held = {"weights": (0,), "spikes": (1, 2, 3)}[shared]
    args = tuple(many[0][i] if i in held else batch[i] for i in range(4))
    axes = tuple(None if i in held else 0 for i in range(4))
    batched = jax.vmap(loss(impl, route), axes)
    got = jax.jit(jax.grad(lambda *p: jnp.sum(batched(*p)), (0, 1, 2, 3)))(*args)
    one = derivative("dense", "direct", "grad")
    each = [one(*[many[0][i] if i in held else m[i] for i in range(4)])[1] for m in many]
    for i in range(4):
        parts = [g[i] for g in each]
        combine = (lambda *a: sum(a)) if i in held else (lambda *a: np.stack(a))
        assert_close(got[i], jax.tree.map(combine, *parts))


@SELDOM_JAX
@ROUTES
def test_nested_vmap_and_hessian(impl, route):
    """Weights over one axis, spikes over the other; a product with the Hessian inside."""
    two, three = [parameters(s) for s in (0, 1)], [parameters(s) for s in (2, 3, 4)]
    weights = jax.tree.map(lambda *a: jnp.stack(a), *[p[0] for p in two])
    first = jax.tree.map(lambda *a: jnp.stack(a), *[p[1] for p in three])
    ring, inputs = two[0][2], two[0][3][:6]
    ones = jax.tree.map(jnp.ones_like, (two[0][0], two[0][1]))

    def product(which, way):
        f = loss(which, way)

        def inner(w, x):
            gradient = jax.grad(lambda *q: f(*q, ring, inputs), (0, 1))
            return jax.jvp(gradient, (w, x), ones)[1]

        return jax.jit(jax.vmap(jax.vmap(inner, (None, 0)), (0, None)))(weights, first)

    assert_close(product(impl, route), product("dense", "direct"), 1e-10)


@SELDOM_JAX
def test_second_derivative_of_a_batch(impl):
    """Shared weights, examples summed, reverse over reverse."""
    p, v = parameters(), parameters(1)
    first = jax.tree.map(lambda *a: jnp.stack(a), p[1], v[1])

    def product(which, route):
        f = jax.vmap(lambda w, x: loss(which, route)(w, x, p[2], p[3][:6]), (None, 0))

        def slope(w, x):
            gradient = jax.grad(lambda *q: jnp.sum(f(*q)), (0, 1))(w, x)
            return sum(jnp.sum(jnp.sin(g)) for g in jax.tree.leaves(gradient))

        return jax.jit(jax.grad(slope, (0, 1)))(p[0], first)

    expected = product("dense", "direct")
    assert_close(product(impl, "slack"), expected, 1e-10)
    assert_close(product(impl, "direct"), expected, 1e-10)


# ---- without jit, and without derivatives --------------------------------------------------------


@SELDOM_JAX
def test_gradient_without_jit(impl):
    p = parameters()
    short = (*p[:3], p[3][:1])
    expected = jax.grad(loss("dense", "direct"), (0, 1, 2, 3))(*short)
    assert_close(jax.grad(loss(impl), (0, 1, 2, 3))(*short), expected)
    with jax.disable_jit():
        assert_close(jax.grad(loss(impl), (0, 1, 2, 3))(*short), expected)


def test_a_history_has_no_derivative(impl):
    def due(weights, mode):
        history = empty_history(WIRING.layout, SIZES, jnp.float64)
        first, slack = parameters()[1], tuple(map(jnp.zeros_like, weights))
        _, due, _ = deliver(
            history, first, WIRING.rows, weights, slack, index=jnp.int32(0), layout=WIRING.layout,
            impl=impl,
        )  # fmt: skip
        assert isinstance(history, History)
        return jnp.sum(due)

    weights = parameters()[0]
    for go in (
        lambda: jax.grad(due)(weights, None),
        lambda: jax.jvp(lambda w: due(w, None), (weights,), (weights,)),
        lambda: jax.jit(jax.vmap(jax.grad(due), (None, 0)))(weights, jnp.zeros(2)),
    ):
        with pytest.raises(NotImplementedError, match="rollout"):
            go()
