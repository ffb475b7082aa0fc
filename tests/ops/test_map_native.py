"""Mapped steps as compiled loops: every primitive against XLA, and what a program may rely on."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from ops.natively import FLOATS, runs_natively, same, values

import brainjax as bj
from brainjax.ops import heaviside, map_neurons, native_library, native_steps, switch

pytest.importorskip("llvmlite")
pytestmark = pytest.mark.skipif(native_library() is None, reason="this is a pure-JAX installation")

INTEGERS = (np.int32, np.uint32, np.int8, np.int64, np.uint64)
DTYPES = {
    "f": FLOATS,
    "i": INTEGERS,
    "n": FLOATS + INTEGERS,
    "b": (np.bool_,),
    "s": (np.int32, np.int8, np.int64),
    "ib": (*INTEGERS, np.bool_),
}

EXACT = {  # a function, and what its operands may be
    "add": (lambda x, y: x + y, "n"),
    "sub": (lambda x, y: x - y, "n"),
    "mul": (lambda x, y: x * y, "n"),
    "div": (lax.div, "n"),
    "rem": (lax.rem, "n"),
    "neg": (lambda x, y: -x, "n"),
    "square": (lambda x, y: lax.square(x), "n"),
    "max": (lax.max, "n"),
    "min": (lax.min, "n"),
    "clamp": (lambda x, y: lax.clamp(x, y, lax.max(x, lax.full_like(x, 3))), "n"),
    "abs": (lambda x, y: lax.abs(x), "f"),
    "abs of integers": (lambda x, y: lax.abs(x), "s"),
    "sign": (lambda x, y: lax.sign(x), "n"),
    "sqrt": (lambda x, y: lax.sqrt(x), "f"),
    "floor": (lambda x, y: lax.floor(x), "f"),
    "ceil": (lambda x, y: lax.ceil(x), "f"),
    "round to even": (lambda x, y: lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN), "f"),
    "round away": (lambda x, y: lax.round(x, lax.RoundingMethod.AWAY_FROM_ZERO), "f"),
    "eq": (lambda x, y: x == y, "n"),
    "ne": (lambda x, y: x != y, "n"),
    "lt": (lambda x, y: x < y, "n"),
    "le": (lambda x, y: x <= y, "n"),
    "gt": (lambda x, y: x > y, "n"),
    "ge": (lambda x, y: x >= y, "n"),
    "is_finite": (lambda x, y: lax.is_finite(x), "f"),
    "and": (lambda x, y: x & y, "ib"),
    "or": (lambda x, y: x | y, "ib"),
    "xor": (lambda x, y: x ^ y, "ib"),
    "not": (lambda x, y: ~x, "ib"),
    "shift_left": (lax.shift_left, "i"),
    "shift_right_logical": (lax.shift_right_logical, "i"),
    "shift_right_arithmetic": (lax.shift_right_arithmetic, "i"),
    "shift by a constant": (lambda x, y: x << lax.full_like(x, 3), "i"),
    "select_n": (lambda x, y: jnp.where(x > y, x, y), "n"),
    "select_n of truths": (lambda x, y: lax.select_n(x, y, ~y), "b"),
    "select_n of three": (
        lambda x, y: lax.select_n(
            (x > y).astype(jnp.int32) + (x == y).astype(jnp.int32) * 2, x, y, y + y
        ),
        "n",
    ),
    "integer_pow": (lambda x, y: (lax.integer_pow(x, 3), lax.integer_pow(x, 0)), "f"),
    "reciprocal": (lambda x, y: lax.integer_pow(x, -1), "f"),
    **{
        f"to {np.dtype(d).name}": (lambda x, y, d=d: x.astype(d), kinds)
        for d in (*FLOATS, *INTEGERS, np.bool_)
        for kinds in ("n", "b")
        if not (kinds == "b" and d is np.bool_)
    },
    "bits of float32": (
        lambda x, y: lax.bitcast_convert_type(x.astype(np.float32), np.uint32),
        "f",
    ),
}


def cases():
    for name, (_, kinds) in EXACT.items():
        for dtype in DTYPES[kinds]:
            yield pytest.param(name, dtype, id=f"{name}, {np.dtype(dtype).name}")


@pytest.mark.parametrize(("name", "dtype"), list(cases()))
def test_a_primitive_is_xlas(name, dtype, x64):
    f = EXACT[name][0]
    x, y = values(dtype, seed=1), values(dtype, seed=2)
    assert runs_natively(f, x, y)
    got = map_neurons(f, (), x, y)
    jax.tree.map(same, got, map_neurons(f, (), x, y, impl="jax"))


# ---- a step like a neuron's ----------------------------------------------------------------------


def step(parameters, state, current):
    """Membrane, surrogate spike, reset and refractoriness, with a scalar parameter or an array."""
    tau, threshold = parameters
    v, left = state
    moved = v * jnp.exp(-1 / tau) + jnp.log1p(current**2) * jnp.tanh(v)
    v = jnp.where(left == 0, moved, v)
    spike = heaviside(v - threshold, jnp.exp(-jnp.abs(v - threshold)))
    v = switch(spike, jnp.zeros_like(v), v)
    left = jnp.where(spike != 0, 3, jnp.maximum(left - 1, 0)).astype(jnp.int32)
    return (v, left), spike


def operands(size, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    parameters = (dtype(2.5), jnp.asarray(rng.uniform(0.5, 1, size), dtype))
    state = (jnp.asarray(rng.normal(size=size), dtype), jnp.asarray(rng.integers(0, 3, size), "i4"))
    return parameters, state, jnp.asarray(rng.normal(size=size), dtype)


def mapped(parameters, state, current, impl="auto"):
    return map_neurons(step, (parameters,), state, current, impl=impl)


def bits(tree):
    return [np.asarray(x).tobytes() for x in jax.tree.leaves(tree)]


@pytest.mark.parametrize("size", [1, 15, 16, 17, 31, 33, 64, 100, 257])
def test_bits_depend_neither_on_the_size_nor_on_the_place(size):
    (tau, threshold), (v, left), current = operands(300)
    whole = mapped((tau, threshold), (v, left), current)
    for start in (0, 1, 7, 300 - size):
        part = slice(start, start + size)
        got = mapped((tau, threshold[part]), (v[part], left[part]), current[part])
        assert bits(got) == bits(jax.tree.map(lambda x, p=part: x[p], whole))


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_step_is_xlas(dtype, x64):
    args = operands(1000, dtype=dtype)
    (got, spike), (expected, spike_expected) = mapped(*args), mapped(*args, impl="jax")
    np.testing.assert_array_equal(spike, spike_expected)
    np.testing.assert_array_equal(got[1], expected[1])
    rtol = 20 * np.finfo(dtype).eps
    np.testing.assert_allclose(got[0], expected[0], rtol=rtol, atol=rtol)
    assert native_steps()["step, 1000 neurons"].startswith("native, kernel ")


def test_vmap_is_a_loop_to_the_bit():
    """Over states, over a scalar that becomes one per example, over two axes."""
    many = [operands(37, seed) for seed in range(6)]
    shared = many[0][0]
    (_, states, currents) = jax.tree.map(lambda *x: jnp.stack(x), *many)
    taus = jnp.linspace(1, 3, 6)

    def one(tau, state, current):
        return mapped((tau, shared[1]), state, current)

    loop = [one(taus[i], *jax.tree.map(lambda x, i=i: x[i], (states, currents))) for i in range(6)]
    loop = jax.tree.map(lambda *x: jnp.stack(x), *loop)
    assert bits(jax.vmap(one)(taus, states, currents)) == bits(loop)
    folded = jax.tree.map(lambda x: x.reshape(2, 3, *x.shape[1:]), (taus, states, currents))
    twice = jax.vmap(jax.vmap(one))(*folded)
    assert bits(twice) == bits(loop)
    half = jax.vmap(jax.vmap(one, (0, None, None)), (None, 0, 0))(taus, states, currents)
    for i in range(6):
        assert bits(jax.tree.map(lambda x, i=i: x[i, i], half)) == bits(
            jax.tree.map(lambda x, i=i: x[i], loop)
        )


def total(impl, steps=5):
    def f(threshold, v, current):
        def body(state, _):
            return mapped((jnp.float64(2.5), threshold), state, current, impl)

        (v, _), spikes = lax.scan(body, (v, jnp.zeros(v.shape, jnp.int32)), length=steps)
        return jnp.sum(v**2) + jnp.sum(spikes)

    return f


@pytest.mark.parametrize("how", ["reverse", "forward", "batched", "second"])
def test_derivatives_run_natively_and_are_jaxs(how, x64):
    (_, threshold), (v, _), current = operands(20, dtype=np.float64)
    args = threshold, v, current
    every = (0, 1, 2)

    def derivative(f):
        if how == "reverse":
            return jax.grad(f, every)(*args)
        if how == "forward":
            return jax.jvp(f, args, args[::-1])
        if how == "batched":
            many = [jnp.stack([x, 2 * x]) for x in args[1:]]
            return jax.grad(lambda *a: jnp.sum(jax.vmap(f, (None, 0, 0))(*a)), every)(
                args[0], *many
            )
        return jax.jvp(jax.grad(f, every), args, args[::-1])

    native, plain = (jax.jit(lambda i=i: derivative(total(i)))() for i in ("native", "jax"))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-11, atol=1e-11), native, plain)
    name = "derivative of step" if how == "forward" else "transpose of derivative of step"
    assert "jax" not in native_steps()[f"{name}, 20 neurons"]


# ---- where it runs -------------------------------------------------------------------------------


def gammas(x):
    return lax.digamma(x)


def of_two_shapes(x, y):
    return jnp.ones_like(x), y * 2


def test_a_fallback_is_right_and_visible():
    x = jnp.arange(9, dtype=jnp.float32)
    for impl in ("auto", "native"):
        np.testing.assert_array_equal(
            map_neurons(gammas, (), x, impl=impl), jax.jit(lax.digamma)(x)
        )
    assert native_steps()["gammas, 9 neurons"] == "jax: it contains digamma"
    assert not runs_natively(gammas, x)
    map_neurons(of_two_shapes, (), x, x[:4])
    assert "shapes" in native_steps()["of_two_shapes, 9 neurons"]
    assert bj.info()["step: gammas, 9 neurons"] == "jax: it contains digamma"
    assert bj.info()["op: map_neurons"] == "native"


def test_jax_when_asked_for():
    lowered = jax.jit(partial(mapped, impl="jax")).lower(*operands(5))
    assert "brainjax_Map" not in (lowered.compile().as_text() or "")


def test_a_result_takes_the_place_of_its_state():
    """In a loop no state is copied."""
    args = operands(64)

    def loop(parameters, state, current):
        return lax.fori_loop(0, 3, lambda _, s: mapped(parameters, s, current)[0], state)

    text = jax.jit(loop).lower(*args).compile().as_text()
    body = text.partition('custom_call_target="brainjax_Map"')[0].rpartition("\n\n")[2]
    assert "copy(" not in body, body


def test_coba_spikes_as_in_jax():
    """Rates alike; the bits differ, and so, after a while, do the spikes."""
    network = bj.experiments.load("coba", {"scale": 0.25}).network
    counts = {}
    for impl in ("native", "jax"):
        built = bj.build(network, dt=0.1, key=jax.random.key(0), impl=impl)
        record = {n: bj.SpikeCount(n) for n in built.names}
        result = bj.simulate(built, 200.0, key=jax.random.key(1), record=record)
        counts[impl] = np.array([np.sum(result.records[n]) for n in built.names])
    assert counts["jax"].min() > 100
    np.testing.assert_allclose(counts["native"], counts["jax"], rtol=0.1)
