"""`map_neurons`: the function itself, under every transformation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from brainjax.core import Stream
from brainjax.ops import check_elementwise, heaviside, map_neurons, switch

SIZE = 5
TRACES = []


@jax.custom_jvp
def softened(x):
    return jnp.maximum(x, jnp.zeros_like(x))


@softened.defjvp
def _(primals, tangents):
    (x,), (x_dot,) = primals, tangents
    return softened(x), x_dot * jax.nn.sigmoid(x)


def neuron(parameters, state, current):
    """Two floats and a count; a PyTree in, another out."""
    tau, gain = parameters
    v = state["v"] * jnp.exp(-1 / tau) + gain * jnp.tanh(current) * state["u"]
    out = softened(v) + jnp.sin(state["u"] * v)
    spiked = (out > 0.3).astype(jnp.int32)
    return {"v": v, "u": out, "count": state["count"] + spiked}, spiked


def counted(parameters, x):
    TRACES.append(x.shape)
    return parameters * jnp.sin(x)


def arguments(dtype=jnp.float64, seed=0):
    rng = np.random.default_rng(seed)
    parameters = (jnp.asarray(rng.uniform(2, 3, SIZE), dtype), jnp.asarray(0.7, dtype))
    state = {
        "v": jnp.asarray(rng.normal(size=SIZE), dtype),
        "u": jnp.asarray(rng.normal(size=SIZE), dtype),
        "count": jnp.arange(SIZE, dtype=jnp.int32),
    }
    return parameters, state, jnp.asarray(rng.normal(size=SIZE), dtype)


def mapped(parameters, state, current):
    return map_neurons(neuron, (parameters,), state, current)


def scalar(step, steps=4, remat=False):
    """A number of a few steps: `f(parameters, v, u, current)`, all of them floats."""

    def f(parameters, v, u, current):
        def body(state, _):
            state, _ = step(parameters, state, current)
            return state, None

        state = {"v": v, "u": u, "count": jnp.zeros(SIZE, jnp.int32)}
        body = jax.checkpoint(body) if remat else body
        state, _ = jax.lax.scan(body, state, length=steps)
        return jnp.sum(state["v"] ** 2) + jnp.sum(state["u"])

    return f


def floats(seed=0):
    parameters, state, current = arguments(seed=seed)
    return parameters, state["v"], state["u"], current


def assert_close(got, expected, rtol=1e-12):
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=rtol, atol=1e-12), got, expected
    )


@pytest.mark.pure
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_is_the_function(dtype, x64):
    args = arguments(dtype)
    expected = jax.jit(neuron)(*args)
    for got in (mapped(*args), jax.jit(mapped)(*args)):
        assert jax.tree.map(jax.typeof, got) == jax.tree.map(jax.typeof, expected)
        np.testing.assert_array_equal(got[1], expected[1])
        assert_close(got[0], expected[0], 1e-6 if dtype == "float32" else 1e-12)
    with jax.disable_jit():
        assert_close(mapped(*args), expected, 1e-6)


def test_gradient_checkpoint_and_forward_mode(x64):
    """With respect to what is fixed and what is not."""
    p, v = floats(), floats(1)
    every = (0, 1, 2, 3)
    expected = jax.jit(jax.value_and_grad(scalar(neuron), every))(*p)
    for remat in (False, True):
        got = jax.jit(jax.value_and_grad(scalar(mapped, remat=remat), every))(*p)
        assert_close(got, expected)
    assert_close(
        jax.jit(lambda: jax.jvp(scalar(mapped), p, v))(),
        jax.jit(lambda: jax.jvp(scalar(neuron), p, v))(),
    )
    smooth = functools.partial(map_neurons, lambda a, x: jnp.sin(a * x), (jnp.full(3, 2.0),))
    check_grads(smooth, (jnp.arange(3.0),), order=3)


@pytest.mark.parametrize("kind", ["forward over reverse", "reverse over forward", "hessian"])
def test_second_derivatives(kind, x64):
    p = floats()

    def second(step, kind):
        f = scalar(step, 2)
        if kind == "hessian":
            backward = jax.jacfwd if step is neuron else jax.jacrev
            return jax.jit(jax.jacfwd(backward(lambda v: f(p[0], v, p[2], p[3]))))(p[1])
        gradient = jax.grad(f, (0, 1, 2, 3))
        if kind == "forward over reverse":
            return jax.jit(lambda q: jax.jvp(lambda *r: gradient(*r), q, floats(1))[1])(p)
        return jax.jit(jax.grad(lambda q: jax.jvp(f, q, floats(1))[1]))(p)

    # Of the plain function JAX 0.10.2 drops terms wherever reverse comes before forward.
    trusted = "hessian" if kind == "hessian" else "reverse over forward"
    assert_close(second(mapped, kind), second(neuron, trusted), 1e-10)


def test_known_tangents_drop_out_of_the_transpose(x64):
    """Linear in two arguments, transposed in one of them."""
    x, y = jnp.arange(3.0), jnp.ones(3)

    def product(a, b):
        return a * jnp.sin(b)

    def plain(x, y):
        return jax.jvp(product, (x, y), (y, x))[1]

    def f(x, y):
        return jax.jvp(lambda a, b: map_neurons(product, (), a, b), (x, y), (y, x))[1]

    for argument in (0, 1):
        got, expected = (
            jax.grad(lambda *a, g=g: jnp.sum(g(*a) ** 2), argument)(x, y) for g in (f, plain)
        )
        assert_close(got, expected)


@pytest.mark.parametrize("axes", ["all", "state", "parameters"])
def test_vmap(axes, x64):
    """Leaves that are batched beside ones that are not; derivatives of it, and in it."""
    p = floats()
    many = jax.tree.map(lambda a: jnp.stack([a, 2 * a, -a]), p)
    held = {"all": (), "state": (0, 3), "parameters": (1, 2, 3)}[axes]
    args = tuple(p[i] if i in held else many[i] for i in range(4))
    in_axes = tuple(None if i in held else 0 for i in range(4))

    def both(step):
        f = scalar(step, 2)
        inner = jax.vmap(jax.value_and_grad(f, (0, 1)), in_axes)
        outer = jax.grad(lambda *a: jnp.sum(jax.vmap(f, in_axes)(*a)), (0, 1, 2, 3))
        return jax.jit(lambda *a: (inner(*a), outer(*a)))(*args)

    assert_close(both(mapped), both(neuron))


def test_an_equal_call_is_not_traced_again():
    TRACES.clear()
    x = jnp.arange(7, dtype=jnp.float32)
    map_neurons(counted, (jnp.float32(2),), x)
    first = len(TRACES)
    assert first > 0
    map_neurons(counted, (jnp.float32(3),), x + 1)
    assert len(TRACES) == first
    map_neurons(counted, (jnp.float32(3),), jnp.arange(8, dtype=jnp.float32))
    assert len(TRACES) > first  # the counter counts


# ---- what is elementwise ------------------------------------------------------------------------

ALWAYS = np.True_
MIXING = {
    "cumsum": jnp.cumsum,
    "reduce_sum": jnp.mean,
    "dot_general": lambda x: jnp.dot(x, x) * x,
    "reduce_max": lambda x: x / jnp.max(x),
    "sort": jnp.sort,
    "rev": lambda x: x[::-1],
    "gather|dynamic_slice|slice": lambda x: x * x[1],
    "concatenate|slice": lambda x: jnp.roll(x, 1),
    "iota": lambda x: x * jnp.arange(SIZE, dtype=x.dtype),
    "reduce_min": lambda x: jax.lax.cond(ALWAYS, jnp.sin, lambda x: x - jnp.min(x), x),
    "reduce_prod": lambda x: jax.lax.fori_loop(0, 3, lambda i, x: x * jnp.prod(x), x),
}


@pytest.mark.parametrize("name", MIXING)
def test_mixing_is_refused_by_name(name):
    with pytest.raises(ValueError, match=rf"Population 'exc'(.|\n)*({name})"):
        check_elementwise(MIXING[name], jnp.ones(SIZE, jnp.float32), what="Population 'exc'")


def test_elementwise_is_accepted():
    x = jnp.ones(SIZE, jnp.float32)
    noise = Stream(jnp.array([1, 2], jnp.uint32), jnp.arange(SIZE, dtype=jnp.int32))

    def noisy(noise, x):
        return x + noise.uniform("noise", jnp.int32(3))

    accepted = {
        "where": lambda x: jnp.where(x > 0, x, -x),
        "clip": lambda x: jnp.clip(x, 0.0, 1.0),
        "surrogate": lambda x: switch(heaviside(x, jnp.exp(-x)), 0 * x, x),
        "precision": lambda x: jax.lax.reduce_precision(x, 8, 7),
        "loop": lambda x: jax.lax.fori_loop(0, 3, lambda i, x: jnp.sin(x), x),
        "scalar": lambda x: x * jnp.float32(3) + softened(x),
    }
    for f in accepted.values():
        check_elementwise(f, x, what="a test")
    check_elementwise(noisy, noise, x, what="a test")


@pytest.mark.parametrize("impl", ["auto", "jax"])
def test_what_a_step_prints_is_printed(impl):
    """In every step, and the numbers are those of the step that does not print."""
    seen = []

    def loud(x):
        jax.debug.callback(lambda v: seen.append(float(v.sum())), x)
        return quiet(x)

    def quiet(x):
        return x + 1.0

    def three(f):
        return jax.jit(
            lambda x: jax.lax.fori_loop(0, 3, lambda i, x: map_neurons(f, (), x, impl=impl), x)
        )(jnp.zeros(4))

    np.testing.assert_array_equal(three(loud), three(quiet))
    jax.effects_barrier()
    assert sorted(seen) == [0.0, 4.0, 8.0]
