"""Formats of connections: whatever holds the synapses, the same synapses give the same bits."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ops.formats import FORMATS, SLOTS, network_of, synapses
from ops.structures import FORMS, Wiring, dense_due, random_spikes, run_wiring

from brainjax.ops import (
    Layout,
    Ring,
    Rows,
    deliver,
    empty_history,
    group_tables,
    native_library,
    pointers,
    wide_pointers,
)

STEPS = 12


@pytest.mark.parametrize("scalar", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.pure
def test_same_bits_as_stored(form, scalar, impl):
    # One weight is all that procedural synapses ever have.
    names = [n for n, c in FORMATS.items() if not (scalar and c.by_row)]
    given, stored, _ = network_of(*names, scalar=scalar)
    spikes = random_spikes(np.random.default_rng(1), stored.sizes, STEPS)
    how = {"impl": impl, "dtype": np.float32}
    _, expected = run_wiring(stored, FORMS[form], spikes, **how)
    _, due = run_wiring(given, FORMS[form], spikes, **how)
    # XLA contracts multiplications and additions as the shapes of a program please it.
    atol = 0 if impl == "native" else 1e-5
    np.testing.assert_allclose(due, expected, rtol=0, atol=atol)
    np.testing.assert_allclose(due, dense_due(stored, spikes), atol=5e-5)
    if form == "history" and impl == "native":
        _, due = run_wiring(given, FORMS[form], spikes, tables=True, **how)
        np.testing.assert_array_equal(due, expected)


@pytest.mark.pure
@pytest.mark.parametrize("name", FORMATS)
def test_synapses_are_counted(name):
    connections = FORMATS[name]
    assert connections.num_synapses == synapses(connections).pre.size


def loss(wiring: Wiring, weights, spikes, impl):
    """A scalar of what is due, by the ring."""
    slots = jnp.zeros((SLOTS, wiring.layout.num_targets))
    slack = tuple(w - jax.lax.stop_gradient(w) for w in weights)

    def step(carry, now):
        ring, slack = carry
        k, x = now
        ring, due, slack = deliver(
            ring, x, wiring.rows, weights, slack, index=k, layout=wiring.layout, impl=impl
        )
        return (ring, slack), jnp.sum(jnp.sin(due * (k.astype(due.dtype) + 1)))

    steps = jnp.arange(STEPS, dtype=jnp.int32)
    return jnp.sum(jax.lax.scan(step, (Ring(slots), slack), (steps, spikes))[1])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("scalar", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_derivatives_are_those_of_stored_rows(scalar, impl):
    """First and second: by the weights, the spikes, and both."""
    names = ["dense", "band", "fixed fan-out", "strided convolution"]
    given, stored, listed = network_of(*names, scalar=scalar, dtype=np.float64)
    spikes = tuple(map(jnp.asarray, random_spikes(np.random.default_rng(1), stored.sizes, STEPS)))

    def of_format(weights, spikes):
        return loss(given, weights, spikes, impl)

    def of_rows(weights, spikes):
        each = list(weights)
        each[::2] = [made.weights(w) for made, w in zip(listed, weights[::2], strict=True)]
        return loss(stored, tuple(each), spikes, impl)

    weights = tuple(map(jnp.asarray, given.weights))
    direction = jax.tree.map(lambda x: jnp.cos(7 * x + 1), (weights, spikes))

    def second(f):
        gradient = jax.grad(f, (0, 1))
        return jax.jit(lambda *a: jax.jvp(gradient, a, direction))(weights, spikes)

    for got, expected in zip(
        jax.tree.leaves(second(of_format)), jax.tree.leaves(second(of_rows)), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


def test_batched_weights_and_events(impl):
    """`vmap` over both is a loop, to the bit in native code."""
    given, stored, _ = network_of("dense", "convolution", "fixed fan-out")
    rng = np.random.default_rng(2)
    spikes = random_spikes(rng, stored.sizes, STEPS)
    weights = [np.stack([w, 2 * w, w - 1]) for w in given.weights]
    how = {"impl": impl, "dtype": np.float32}

    def of(weights, spikes):
        wiring = given._replace(weights=tuple(weights))
        slack = tuple(map(jnp.zeros_like, wiring.weights))

        def step(pending, now):
            k, x = now
            pending, due, _ = deliver(
                pending, x, wiring.rows, wiring.weights, slack,
                index=k, layout=wiring.layout, impl=impl,
            )  # fmt: skip
            return pending, due

        ring = Ring(jnp.zeros((SLOTS, wiring.layout.num_targets), jnp.float32))
        steps = jnp.arange(STEPS, dtype=jnp.int32)
        return jax.lax.scan(step, ring, (steps, spikes))[1]

    stack = tuple(jnp.asarray(np.stack([x, -x, 0.5 * x]), jnp.float32) for x in spikes)
    batch = tuple(jnp.asarray(w, jnp.float32) for w in weights)
    together = jax.jit(jax.vmap(of))(batch, stack)
    for b in range(3):
        wiring = given._replace(weights=tuple(w[b] for w in weights))
        _, alone = run_wiring(wiring, Ring, [x[b] for x in stack], **how)
        same = 0 if impl == "native" else 1e-6
        np.testing.assert_allclose(together[b], alone, rtol=0, atol=same)


def test_wide_offsets_give_the_same_bits(impl):
    stored = network_of("band").stored
    spikes = random_spikes(np.random.default_rng(1), stored.sizes, STEPS)

    def widened():
        rows = [
            dataclasses.replace(r, group_ptr=jnp.asarray(wide_pointers(pointers(r.group_ptr))))
            for r in stored.rows
        ]
        return stored._replace(rows=tuple(rows))

    for form in FORMS.values():
        how = {"impl": impl, "dtype": np.float32}
        _, expected = run_wiring(stored, form, spikes, **how)
        _, due = run_wiring(widened(), form, spikes, **how)
        np.testing.assert_array_equal(due, expected)


@pytest.mark.slow  # it asks for 9 GB, and touches little of it
@pytest.mark.skipif(native_library() is None, reason="no native library")
@pytest.mark.parametrize("form", FORMS)
def test_more_synapses_than_32_bits_count(form):
    """A projection of 2^31 + 40 synapses, of which memory holds only those that are touched.

    All targets are zeros that the system has not given memory to. The sources whose synapses
    stand beyond 2^31 reach accumulator 0 with their number of synapses.
    """
    number = 2**31 + 40
    raw = np.zeros(4 * number + 64, np.uint8)  # aligned, JAX takes it over as it is
    target = raw[-raw.ctypes.data % 64 :][: 4 * number].view(np.int32)
    begin = np.array([0, 8, 2**31 - 8, 2**31 + 8, 2**31 + 33, number])
    rows = Rows(
        jnp.arange(6, dtype=jnp.int32), jnp.array([1, 2, 1, 2, 1], jnp.int32),
        jnp.asarray(wide_pointers(begin)), jnp.asarray(target), 2**31 - 16, 2**31 - 16,
    )  # fmt: skip
    layout = Layout(2, 2, (0,))
    assert group_tables([rows], (0,))[0].begin.size == 0
    pending = Ring(jnp.zeros((2, 2))) if form == "ring" else empty_history(layout, (5,), np.float32)
    spikes = jnp.array([1.0, 0.0, 1.0, 1.0, 1.0])  # all but the one with 2^31 synapses
    weight = (jnp.float32(0.5),)

    @jax.jit
    def of(pending, rows, x, k):
        return deliver(pending, (x,), (rows,), weight, weight, index=k, layout=layout)[:2]

    pending, due = of(pending, rows, spikes, jnp.int32(0))
    assert due.tolist() == [0.5 * (8 + 16 + 7), 0.0]
    _, due = of(pending, rows, 0 * spikes, jnp.int32(1))
    assert due.tolist() == [0.5 * 25, 0.0]
    with pytest.raises(ValueError, match="fewer than 2\\^31"):
        deliver(pending, (spikes,), (rows,), weight, weight, index=jnp.int32(0), layout=layout,
                impl="jax")  # fmt: skip
