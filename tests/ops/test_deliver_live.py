"""Whose spikes have a derivative: rows of others are not read, and no gradient changes."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ops.recurrent import (
    SELDOM_JAX,
    SIZES,
    WIRING,
    assert_close,
    parameters,
    step_of,
    with_slack,
)
from ops.structures import random_wiring, wire

from brainjax.ops import Ring, deliver, heaviside, native_library

NARROW = 1.2  # about half of the potentials are nearer to threshold


def slope(x):
    """A surrogate of bounded support, smooth enough for the second derivative to exist."""
    return jnp.maximum(1 - jnp.square(x / NARROW), 0) ** 2


def loss(impl, masked, weights, first, ring, inputs):
    """A scalar of a network of spikes, some of whose derivatives are zero."""

    step = step_of(impl)
    weights, slack = with_slack(step, weights)

    def body(carry, now):
        ring, spikes, slack, live = carry
        k, current = now
        ring, due, slack = step(ring, spikes, weights, slack, k, live if masked else ())
        x = due + 3 * current
        spiked, alive = heaviside(x, slope(x)), slope(x) != 0
        cut = SIZES[0]
        carry = ring, (spiked[:cut], spiked[cut:]), slack, (alive[:cut], alive[cut:])
        return carry, (jnp.sum(jnp.sin(2 * due)), alive)

    steps = 3 + jnp.arange(len(inputs), dtype=jnp.int32)
    live = tuple(jnp.ones(n, bool) for n in SIZES)
    (ring, *_), (out, alive) = jax.lax.scan(body, (ring, first, slack, live), (steps, inputs))
    return jnp.sum(out) + jnp.sum(ring**3), alive


def gradient(impl, masked=True):
    def of(*p):
        return jax.grad(lambda *q: loss(impl, masked, *q), (0, 1, 2, 3), has_aux=True)(*p)

    return of


@pytest.mark.usefixtures("x64")
def test_gradient(impl):
    p = parameters()
    expected, alive = jax.jit(gradient("dense"))(*p)
    assert 0.2 < np.mean(alive) < 0.8
    assert all(np.any(np.asarray(g) != 0) for g in jax.tree.leaves(expected) if g.size)
    assert_close(jax.jit(gradient(impl))(*p)[0], expected)


@SELDOM_JAX
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kind", ["forward over reverse", "reverse over reverse"])
def test_second_derivative(impl, kind):
    p, v = parameters(), parameters(1)

    def product(which):
        def first(*q):
            return gradient(which)(*q)[0]

        if kind == "forward over reverse":
            return jax.jit(lambda p, v: jax.jvp(first, p, v)[1])

        def dot(*q):
            return sum(jax.tree.leaves(jax.tree.map(jnp.vdot, first(*q), v)))

        return jax.jit(lambda p, v: jax.grad(lambda q: dot(*q))(p))

    assert_close(product(impl)(p, v), product("dense")(p, v), 1e-10)


@SELDOM_JAX
@pytest.mark.usefixtures("x64")
def test_a_batch_has_its_own_live_spikes(impl):
    many = [parameters(seed) for seed in range(3)]
    batch = jax.tree.map(lambda *a: jnp.stack(a), *[p[1:] for p in many])
    each = jax.vmap(lambda *q: gradient(impl)(many[0][0], *q)[0])
    got = jax.jit(each)(*batch)
    for e, p in enumerate(many):
        expected = jax.jit(gradient("dense"))(many[0][0], *p[1:])[0]
        assert_close(jax.tree.map(lambda g, e=e: g[e], got), expected)


# ---- what is not live is not read ----------------------------------------------------------------


def pulled(impl, weights, spikes, live, *, wiring=WIRING, seed=0):
    """Cotangents of spikes and weights of one delivery."""
    rng = np.random.default_rng(seed)
    layout = wiring.layout
    ring = jnp.asarray(rng.normal(size=(layout.num_slots, layout.num_targets)), jnp.float32)

    def push(spikes, weights):
        slack = tuple(w - jax.lax.stop_gradient(w) for w in weights)
        pending, due, slack = deliver(
            Ring(jnp.zeros_like(ring)),
            spikes,
            wiring.rows,
            weights,
            slack,
            index=jnp.int32(5),
            layout=layout,
            live=live,
            impl=impl,
        )
        return jnp.vdot(pending.slots, ring) + jnp.sum(due * ring[0])

    return jax.jit(jax.grad(push, (0, 1)))(spikes, weights)


def test_rows_that_are_not_live_are_not_read(impl):
    """A weight of NaN behind a silent spike without a derivative reaches nothing."""
    live = tuple(jnp.arange(n) % 2 == 0 for n in SIZES)
    spikes = tuple(jnp.where(alive, 1.0, 0.0) for alive in live)
    weights, poisoned = [], []
    for source, (pre, _, _), w in zip(
        WIRING.layout.sources, WIRING.synapses, WIRING.weights, strict=True
    ):
        w = jnp.asarray(w, jnp.float32)
        dead = ~np.asarray(live[source])[pre]
        weights.append(w)
        poisoned.append(jnp.where(dead, jnp.nan, w) if w.ndim else w)
        assert not w.ndim or not w.size or dead.any()
    x_bar, w_bar = pulled(impl, tuple(weights), spikes, live)
    assert all(np.all(np.asarray(b)[~np.asarray(a)] == 0) for b, a in zip(x_bar, live, strict=True))
    assert any(np.any(np.asarray(b) != 0) for b in x_bar)
    all_live = tuple(jnp.ones(n, bool) for n in SIZES)
    full, same = pulled(impl, tuple(weights), spikes, all_live)
    assert any(np.any(np.asarray(b)[~np.asarray(a)]) for b, a in zip(full, live, strict=True))
    for got, whole, alive in zip(x_bar, full, live, strict=True):
        np.testing.assert_array_equal(got, np.where(alive, whole, 0))
    jax.tree.map(np.testing.assert_array_equal, w_bar, same)
    of_poisoned = pulled(impl, tuple(poisoned), spikes, live)
    jax.tree.map(np.testing.assert_array_equal, of_poisoned, (x_bar, w_bar))


def test_a_spike_that_is_not_live_is_delivered_and_teaches_its_weights(impl):
    """Values, and gradients of weights, depend on who spikes alone."""
    spikes = tuple(jnp.ones(n, jnp.float32) for n in SIZES)
    weights = tuple(jnp.asarray(w, jnp.float32) for w in WIRING.weights)
    none, every = (tuple(jnp.full(n, alive) for n in SIZES) for alive in (False, True))
    x_bar, w_bar = pulled(impl, weights, spikes, none)
    assert all(np.all(np.asarray(b) == 0) for b in x_bar)
    jax.tree.map(np.testing.assert_array_equal, w_bar, pulled(impl, weights, spikes, every)[1])


# ---- threads -------------------------------------------------------------------------------------

PULL = """
import hashlib
from brainjax.ops import _deliver_ring
from ops.test_deliver_live import many_sources

_deliver_ring.WORTH_SHARING = 0  # share what little there is
print(hashlib.sha256(b"".join(many_sources("native"))).hexdigest())
"""


def many_sources(impl):
    """The bytes of the cotangents of some hundred sources, in single precision."""
    rng = np.random.default_rng(11)
    wiring = random_wiring(rng, (700, 300), 50, [(0, 9000, 4, False), (1, 2000, 3, True)], 4)
    live = tuple(jnp.asarray(rng.random(n) < 0.7) for n in wiring.sizes)
    spikes = tuple(jnp.asarray(rng.random(n) < 0.1, jnp.float32) for n in wiring.sizes)
    weights = tuple(jnp.asarray(w, jnp.float32) for w in wiring.weights)
    bars = pulled(impl, weights, spikes, live, wiring=wiring)
    return [np.asarray(b).tobytes() for b in jax.tree.leaves(bars)]


@pytest.mark.skipif(native_library() is None, reason="no native library")
def test_threads_change_no_bit():
    """NPROC is how many threads XLA's pool has; the test itself shares nothing this small."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    expected = hashlib.sha256(b"".join(many_sources("native"))).hexdigest()
    for threads in (1, 3):
        done = subprocess.run(
            [sys.executable, "-c", PULL],
            env=os.environ | {"NPROC": str(threads), "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == expected


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 8, 131])
@pytest.mark.usefixtures("x64")
def test_rows_of_any_length(impl, length):
    """The sum of a row is made in parts; none may be lost."""
    rng = np.random.default_rng(length)
    post = rng.integers(0, 40, length)
    pre, delay, weight = np.ones(length, int), np.ones(length, int), rng.normal(size=length)
    wiring = wire((3,), 40, [(0, pre, post, delay, weight)], 1)
    bar = jnp.asarray(rng.normal(size=40))

    def push(x):
        _, due, _ = deliver(
            Ring(jnp.zeros((1, 40))),
            (x,),
            wiring.rows,
            tuple(map(jnp.asarray, wiring.weights)),
            (jnp.zeros(length),),
            index=jnp.int32(0),
            layout=wiring.layout,
            impl=impl,
        )
        return jnp.vdot(due, bar)

    got = jax.jit(jax.grad(push))(jnp.zeros(3))
    np.testing.assert_allclose(got, [0, weight @ np.asarray(bar)[post], 0], rtol=1e-12, atol=1e-12)
