"""A small recurrent network, for derivatives through a scan, by the library and by matrices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ops.structures import random_wiring

from brainjax.ops import Ring, deliver

STEPS = 12
SIZES = (5, 4)
RNG = np.random.default_rng(7)
WIRING = random_wiring(
    RNG, SIZES, sum(SIZES), [(0, 22, 4, False), (1, 14, 3, True), (0, 0, 1, False)], 4
)
# Most neurons are silent in most steps, yet their spikes have derivatives, as surrogates do.
AUDIBLE = RNG.random((STEPS, sum(SIZES))) < 0.4


def parameters(seed=0):
    """`(weights, first spikes, ring, inputs)`."""
    rng = np.random.default_rng(seed)
    weights = tuple(jnp.asarray(w + 0.1 * rng.normal(size=np.shape(w))) for w in WIRING.weights)
    first = tuple(jnp.asarray(rng.normal(size=n)) for n in SIZES)
    ring = jnp.asarray(rng.normal(size=(WIRING.layout.num_slots, sum(SIZES))))
    return weights, first, ring, jnp.asarray(0.3 * rng.normal(size=(STEPS, sum(SIZES))))


def step_of(impl):
    """One delivery into a ring, by an implementation, or `"dense"`: all synapses in every step."""
    return dense_step if impl == "dense" else functools.partial(library_step, impl)


def library_step(impl, ring, spikes, weights, slack, k, live=()):
    """`(ring, due, slack)`"""
    how = {"index": k, "layout": WIRING.layout, "live": live, "impl": impl}
    pending, due, slack = deliver(Ring(ring), spikes, WIRING.rows, weights, slack, **how)
    return pending.slots, due, slack


def dense_step(ring, spikes, weights, slack, k, live=()):
    """The same in plain JAX, for which who is live makes no difference."""
    del live
    slots = WIRING.layout.num_slots
    for source, (pre, post, delay), w, s in zip(
        WIRING.layout.sources, WIRING.synapses, weights, slack, strict=True
    ):
        slot = jnp.mod(k - 1 + delay, slots)
        ring = ring.at[slot, post].add((w + s) * spikes[source][pre])
    now = jnp.mod(k, slots)
    return ring.at[now].set(0.0), ring[now], slack


def with_slack(step, weights):
    """The weights that a step takes, and the zeros that carry their derivative through a scan."""
    slack = tuple(w - jax.lax.stop_gradient(w) for w in weights)
    return (jax.lax.stop_gradient(weights) if step is dense_step else weights), slack


def assert_close(got, expected, tolerance=1e-11):
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance), got, expected
    )


# Compiling the reference takes long; what the two share is tested on the native one in each run.
SELDOM_JAX = pytest.mark.parametrize(
    "impl", [pytest.param("jax", marks=pytest.mark.slow), "native"], indirect=True
)
