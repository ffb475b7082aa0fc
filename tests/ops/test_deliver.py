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
    rng = np.random.default_rng(5)
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
    assert {d for s in made.synapses for d in s[2]} >= {1, 64}
    return made


@pytest.fixture(scope="module")
def spikes(wiring):
    return random_spikes(np.random.default_rng(1), wiring.sizes, STEPS)


# ---- values --------------------------------------------------------------------------------------


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
    """At every stage: with nothing under way, before the first slot is used again, and after."""
    convert = jax.jit(as_ring, static_argnames=("layout", "impl"))
    weights = tuple(jnp.asarray(w, jnp.float32) for w in wiring.weights)
    how = {"impl": impl, "dtype": np.float32}
    ring, history = (empty(form, wiring, np.float32) for form in (Ring, History))
    for begin in range(0, STEPS, 30):
        now = start + begin
        converted = convert(
            history, wiring.rows, weights, index=jnp.int32(now), layout=wiring.layout, impl=impl
        )
        np.testing.assert_array_equal(converted.slots, ring.slots)
        chunk = tuple(x[begin : begin + 30] for x in spikes)
        _, due = run_wiring(wiring, Ring, chunk, pending=converted, start=now, **how)
        ring, _ = run_wiring(wiring, Ring, chunk, pending=ring, start=now, **how)
        history, expected = run_wiring(wiring, History, chunk, pending=history, start=now, **how)
        np.testing.assert_array_equal(due, expected)


def sums_in_order(wiring, spikes, key):
    """Float32 sums into each target, its terms taken one by one in the order of `key`."""
    terms = [
        (-d, p, i, j, s, t, w)
        for j, (p, synapses) in enumerate(zip(wiring.layout.sources, wiring.synapses, strict=True))
        for s, (i, t, d) in enumerate(zip(*synapses, strict=True))
        for w in [np.broadcast_to(wiring.weights[j], len(synapses[0]))[s]]
    ]
    due = np.zeros((len(spikes[0]), wiring.layout.num_targets), np.float32)
    for minus_d, p, i, _, _, t, w in sorted(terms, key=key):
        for k in range(-minus_d - 1, len(due)):
            if spikes[p][k + 1 + minus_d, i]:
                due[k, t] += np.float32(w)
    return due


@pytest.mark.pure
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_order_of_the_sum(wiring, spikes, form, impl):
    """Longest delay, then source by population and index, then projection, then synapse."""
    fired = tuple((x != 0).astype(np.float64) for x in spikes)
    _, due = run_wiring(wiring, form, fired, impl=impl, dtype=np.float32)
    np.testing.assert_array_equal(due, sums_in_order(wiring, fired, lambda term: term[:5]))
    # Any two of the keys exchanged, or one turned round, would show.
    for key in (
        lambda t: (-t[0], *t[1:5]),
        lambda t: (t[1], t[2], t[0], *t[3:5]),
        lambda t: (t[0], t[2], t[1], *t[3:5]),
        lambda t: (t[0], t[3], t[1], t[2], t[4]),
        lambda t: (*t[:4], -t[4]),
    ):
        assert np.any(due != sums_in_order(wiring, fired, key))


@pytest.mark.pure
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_sum_that_its_order_decides(form, impl):
    """The long delay first: (1e8 + 1) - 1e8 is 0 in float32."""
    big = [(0, [0, 0, 0], [0, 0, 0], [3, 2, 1], [1e8, 1.0, -1e8])]
    for projections, expected in (
        (big, 0.0),
        ([(0, [0, 0, 0], [0, 0, 0], [1, 2, 3], [1.0, 1e8, -1e8])], 1.0),
    ):
        wiring = wire((1,), 1, projections, 3)
        _, due = run_wiring(wiring, form, (np.ones((3, 1)),), impl=impl, dtype=np.float32)
        assert due[-1, 0] == expected


# ---- two implementations -------------------------------------------------------------------------

needs_native = pytest.mark.skipif(native_library() is None, reason="no native library")


@needs_native
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("size", [1, 63, 64, 65, 128, 130])
def test_native_is_the_reference(form, size):
    """Sizes around the blocks of 64 in which native code looks for events; no synapses at all."""
    rng = np.random.default_rng(size)
    counts = (0, 3 * size) if size in (1, 64) else (2 * size, size)
    projections = [(i, c, rng.integers(1, 9), bool(i)) for i, c in enumerate(counts)]
    wiring = random_wiring(rng, (size, 3), rng.integers(1, 40), projections, 8)
    spikes = random_spikes(rng, wiring.sizes, 20)
    spikes[0][3], spikes[0][4] = 0, 1  # silence, and all at once
    due = [
        run_wiring(wiring, form, spikes, impl=impl, dtype=np.float32)[1]
        for impl in ("jax", "native")
    ]
    np.testing.assert_allclose(*due, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(due[1], dense_due(wiring, spikes), rtol=1e-4, atol=1e-5)


@pytest.mark.pure
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_what_counts_as_a_spike(form, impl):
    """-0 does not, NaN and infinities do; a weight that is infinite makes a silent -0 visible."""
    special = [0.0, -0.0, np.nan, np.inf, -np.inf, 1.0]
    size = 70
    spikes = np.zeros((2, size), np.float32)
    where = [0, 1, 5, 63, 64, 69]
    spikes[0, where] = special
    wiring = wire((size,), size, [(0, range(size), range(size), [1] * size, [np.inf] * size)], 2)
    _, due = run_wiring(wiring, form, (spikes,), impl=impl, dtype=np.float32)
    np.testing.assert_array_equal(due[0, where], [0, 0, np.nan, np.inf, -np.inf, np.inf])
    np.testing.assert_array_equal(due[1], 0)


# ---- vmap, and no jit ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    rng = np.random.default_rng(2)
    projections = [(0, 20, 4, False), (1, 12, 3, True), (0, 10, 4, False)]
    return random_wiring(rng, (6, 5), 7, projections, 4)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_vmap_is_a_loop_to_the_bit(small, form, impl):
    """Over spikes, weights and the step number at once, and one inside the other."""
    rng = np.random.default_rng(3)
    steps = 10
    many = [random_spikes(rng, small.sizes, steps) for _ in range(3)]
    xs = tuple(jnp.asarray(np.stack(x), jnp.float32) for x in zip(*many, strict=True))
    ws = tuple(
        jnp.asarray(w + rng.normal(size=(2, *np.shape(w))), jnp.float32) for w in small.weights
    )
    starts = jnp.array([0, 1, 7], jnp.int32)

    def f(x, w, start):
        pending = empty(form, small, jnp.float32)
        return run(pending, x, small.rows, w, start, layout=small.layout, impl=impl)[1]

    one = jax.jit(f)
    loop = np.array(
        [
            [one(tuple(x[i] for x in xs), tuple(w[j] for w in ws), starts[i]) for i in range(3)]
            for j in range(2)
        ]
    )
    pairs = jax.tree.map(lambda x: x[:2], (xs, starts))
    over_both = jax.jit(jax.vmap(f))(pairs[0], ws, pairs[1])
    np.testing.assert_array_equal(over_both, [loop[0, 0], loop[1, 1]])
    nested = jax.jit(jax.vmap(jax.vmap(f, (0, None, 0)), (None, 0, None)))(xs, ws, starts)
    np.testing.assert_array_equal(nested, loop)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_without_jit(form, impl):
    small = wire((3, 1), 2, [(0, [0, 2], [1, 1], [1, 2], [0.5, 2.0]), (1, [0], [0], [1], 3.0)], 2)
    spikes = random_spikes(np.random.default_rng(4), small.sizes, 2)
    _, expected = run_wiring(small, form, spikes, impl=impl, dtype=np.float32)
    weights = tuple(jnp.asarray(w, jnp.float32) for w in small.weights)
    slack = tuple(map(jnp.zeros_like, weights))
    how = {"layout": small.layout, "impl": impl}
    pending = empty(form, small, jnp.float32)
    for k in range(2):
        x = tuple(jnp.asarray(v[k], jnp.float32) for v in spikes)
        with jax.disable_jit(k == 1):
            pending, due, _ = deliver(
                pending, x, small.rows, weights, slack, index=jnp.int32(k), **how
            )
        np.testing.assert_allclose(due, expected[k], rtol=1e-6, atol=1e-6)


# ---- memory --------------------------------------------------------------------------------------


@needs_native
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_no_copy_of_what_is_pending_in_a_scan(form):
    """One megabyte of ring, or of history, is worked on where it lies."""
    slots, size = 64, 4096
    wiring = wire((size,), size, [(0, [0, 1], [1, 0], [slots, 1], 1.0)], slots)
    spikes = (jnp.zeros((5, size), jnp.float32),)
    pending = empty(form, wiring, jnp.float32)
    assert jax.tree.leaves(pending)[0].nbytes == 2**20
    compiled = run.lower(
        pending,
        spikes,
        wiring.rows,
        (jnp.float32(1),),
        jnp.int32(0),
        layout=wiring.layout,
        impl="native",
    ).compile()
    text = compiled.as_text() or ""
    assert "brainjax_" in text  # the native op is what was compiled
    [body] = set(re.findall(r"while\(.*body=%?([\w.\-]+)", text))
    lines = text[re.search(rf"^%?{re.escape(body)} ", text, re.M).start() :].partition("\n}")[0]
    assert f"[{slots},{size}]" in lines
    copies = [l for l in lines.splitlines() if re.search(rf"= \w+\[{slots},{size}\]\S* copy", l)]
    assert not copies
    assert compiled.memory_analysis().temp_size_in_bytes < 4 * 2**20
