"""The log of events: order, overflow, batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from brainjax.ops import log_events

SIZE, CAPACITY, STEPS = 130, 60, 5


def record(spikes, impl, capacity=CAPACITY):
    """Log the rows of `spikes`, one after the other."""

    def step(carry, x):
        return log_events(*carry, x, impl=impl), None

    empty = (jnp.full(capacity, -1, jnp.int32), jnp.zeros((), jnp.int32))
    return jax.lax.scan(step, empty, spikes)[0]


def draw(probability, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(STEPS, SIZE)) * (rng.random((STEPS, SIZE)) < probability)
    return jnp.asarray(values, dtype)


@pytest.mark.pure
@pytest.mark.parametrize("probability", [0.0, 0.05, 0.5])
def test_events_in_order_and_what_is_lost_is_counted(impl, probability):
    spikes = draw(probability)
    log, length = jax.jit(record, static_argnums=1)(spikes, impl)
    expected = np.concatenate([np.flatnonzero(row) for row in np.asarray(spikes)])
    assert (len(expected) > CAPACITY) == (probability == 0.5)
    assert length == len(expected)
    kept = expected[:CAPACITY]
    np.testing.assert_array_equal(log[: len(kept)], kept)
    np.testing.assert_array_equal(log[len(kept) :], -1)


def test_a_full_log_stays_as_it_is(impl):
    log, length = record(draw(1.0), impl, capacity=3)
    np.testing.assert_array_equal(log, [0, 1, 2])
    assert length == STEPS * SIZE


def test_float64_and_special_values(impl, x64):
    spikes = jnp.array([[0.0, -0.0, jnp.nan, -1.0, 0.0, jnp.inf]], jnp.float64)
    log, length = record(spikes, impl, capacity=4)
    np.testing.assert_array_equal(log, [2, 3, 5, -1])
    assert length == 3


def test_batches(impl):
    """Each example its own log, also where only the log or only the spikes are batched."""
    spikes = jnp.stack([draw(p, seed) for seed, p in enumerate((0.0, 0.1, 0.9))])
    batched = jax.jit(jax.vmap(lambda x: record(x, impl)))(spikes)
    for i in range(3):
        jax.tree.map(
            lambda all_of, one, i=i: np.testing.assert_array_equal(all_of[i], one),
            batched,
            record(spikes[i], impl),
        )
    logs = jnp.full((2, 4), -1, jnp.int32)
    out = jax.vmap(lambda log, n, x: log_events(log, n, x, impl=impl), (0, 0, None))(
        logs, jnp.array([0, 3], jnp.int32), jnp.array([1.0, 0.0, 1.0], jnp.float32)
    )
    np.testing.assert_array_equal(out[0], [[0, 2, -1, -1], [-1, -1, -1, 0]])
    np.testing.assert_array_equal(out[1], [2, 5])


def test_a_log_does_not_disturb_derivatives(impl):
    def f(x):
        log, length = log_events(
            jnp.zeros(4, jnp.int32), jnp.zeros((), jnp.int32), jnp.tanh(x), impl=impl
        )
        return jnp.sum(jnp.sin(x)) + 0.0 * jnp.sum(log + length).astype(x.dtype)

    x = jnp.array([0.0, 1.0, 2.0], jnp.float32)
    np.testing.assert_allclose(jax.jit(jax.grad(f))(x), np.cos(x), rtol=1e-6)
