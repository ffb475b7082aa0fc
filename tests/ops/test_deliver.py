"""Delivery: values against matrices, the order of the sum, two forms, two implementations."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ops.structures import (
    FORMS,
    dense_due,
    empty,
    random_spikes,
    random_wiring,
    run,
    run_wiring,
    wire,
)

from brainjax.ops import History, Ring, as_ring, deliver, native_library

STEPS = 150
STARTS = (0, 5, 2**20 + 17)


@pytest.fixture(scope="module")
def wiring():
    """Three populations; projections with weights of both kinds, an empty one, multapses."""
    rng = np.random.default_rng(0)
    projections = [
        (0, 90, 64, False),
        (1, 70, 5, True),
        (0, 0, 1, False),
        (2, 40, 64, False),
        (1, 30, 1, False),
    ]
    made = random_wiring(rng, (9, 7, 1), 12, projections, 64)
    pairs = list(zip(*made.synapses[1][:2], strict=True))
    assert len(set(pairs)) < len(pairs)  # multapses
    assert max(s[2].max(initial=0) for s in made.synapses) == 64
    return made


@pytest.fixture(scope="module")
def spikes(wiring):
    return random_spikes(np.random.default_rng(1), wiring.sizes, STEPS)


# ---- values ---------------------------------------------------------------------------------------


@pytest.mark.pure
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_due_is_what_matrices_say(wiring, spikes, form, impl):
    expected = dense_due(wiring, spikes)
    for start in STARTS:
        _, due = run_wiring(wiring, form, spikes, impl=impl, dtype=np.float32, start=start)
        assert due.dtype == np.float32
        np.testing.assert_allclose(due, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_due_in_float64(wiring, spikes, form, impl, x64):
    _, due = run_wiring(wiring, form, spikes, impl=impl, dtype=np.float64)
    assert due.dtype == np.float64
    np.testing.assert_allclose(due, dense_due(wiring, spikes), rtol=1e-12, atol=1e-12)


@pytest.mark.pure
def test_ring_and_history_agree_to_the_bit(wiring, spikes, impl):
    for start in STARTS:
        due = [
            run_wiring(wiring, form, spikes, impl=impl, dtype=np.float32, start=start)[1]
            for form in (Ring, History)
        ]
        np.testing.assert_array_equal(*due)


@pytest.mark.pure
@pytest.mark.parametrize("start", STARTS)
def test_history_becomes_a_ring_to_the_bit(wiring, spikes, impl, start):
    """At every stage: before the first slot is used again, and after."""
    convert = jax.jit(as_ring, static_argnames=("layout", "impl"))
    weights = tuple(jnp.asarray(w, jnp.float32) for w in wiring.weights)
    how = {"impl": impl, "dtype": np.float32}
    for middle in (0, 30, 100):
        early, late = (tuple(x[s] for x in spikes) for s in (slice(middle), slice(middle, None)))
        straight, _ = run_wiring(wiring, Ring, early, start=start, **how)
        history, _ = run_wiring(wiring, History, early, start=start, **how)
        now = start + middle
        ring = convert(
            history, wiring.rows, weights, index=jnp.int32(now), layout=wiring.layout, impl=impl
        )
        np.testing.assert_array_equal(ring.slots, straight.slots)
        _, due = run_wiring(wiring, Ring, late, pending=ring, start=now, **how)
        _, expected = run_wiring(wiring, History, late, pending=history, start=now, **how)
        np.testing.assert_array_equal(due, expected)


@pytest.mark.pure
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    ("first", "then"), [("delay", "source"), ("source", "projection"), ("projection", "synapse")]
)
def test_order_of_the_sum(form, impl, first, then):
    """Longest delay, then source by population and index, then projection, then synapse.

    The sum (1e8 + 1) - 1e8 is 0 in float32, 1 + (1e8 - 1e8) is not: each target gets the three
    numbers along one of the four, in an order that gives 0, and the next key runs against it.
    """
    big, one, minus = 1e8, 1.0, -1e8
    if first == "delay":  # the longest delay is of the last source
        projections = [(0, [2, 1, 0], [0] * 3, [3, 2, 1], [big, one, minus])]
        sizes, times = (3,), {2: (2,), 1: (1,), 0: (0,)}
        fired = np.zeros((3, 3))
        fired[0, 2] = fired[1, 1] = fired[2, 0] = 1
        spikes = (fired,)
    elif first == "source":  # the last projection is of the first population
        projections = [
            (1, [0], [0], [1], [minus]),
            (0, [1], [0], [1], [one]),
            (0, [0], [0], [1], [big]),
        ]
        sizes, spikes = (2, 1), (np.ones((1, 2)), np.ones((1, 1)))
    else:
        projections = [
            (0, [0, 0], [0, 0], [1, 1], [big, one]),
            (0, [0], [0], [1], [minus]),
        ]
        sizes, spikes = (1,), (np.ones((1, 1)),)
        if first == "projection":  # the other way round something is left
            swapped = wire(sizes, 1, [projections[1], projections[0]], 3)
            _, due = run_wiring(swapped, form, spikes, impl=impl, dtype=np.float32)
            assert due[-1, 0] == np.float32(np.float32(minus + big) + one)
    wiring = wire(sizes, 1, projections, 3)
    _, due = run_wiring(wiring, form, spikes, impl=impl, dtype=np.float32)
    assert due[-1, 0] == 0
    backwards = wire(sizes, 1, [(s, *a, w[::-1]) for s, *a, w in projections], 3)
    assert then and backwards.layout == wiring.layout
