"""Delivery on networks that no one would write: against sums made one by one in NumPy.

Sizes of zero and one and about the blocks in which events are sought, populations that project
nowhere, every format, empty and long rows, repeated targets, weights and spikes that are NaN,
infinite or -0, batches of every kind. Native code has the bits of the ordered sum, for a ring, for
a history, with tables of groups and without, on one thread and on several. Derivatives are those of
the formulas.
"""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ops.examples import Example, examples
from ops.structures import Wiring, empty, in_type, run

from brainjax.ops import History, Ring, _deliver_history, deliver, group_tables


def ordered_sum(wiring: Wiring, spikes, weights):
    """What is due in each step: terms added one by one, in the order of the contract."""
    layout = wiring.layout
    delay, source, pre, projection, post, weight = (
        np.concatenate(parts)
        for parts in zip(
            *(
                (d, np.full(len(i), p), i, np.full(len(i), j), t, np.broadcast_to(w, len(i)))
                for j, (p, (i, t, d), w) in enumerate(
                    zip(layout.sources, wiring.synapses, weights, strict=True)
                )
            ),
            strict=True,
        )
    )
    order = np.lexsort((np.arange(len(pre)), projection, pre, source, -delay))
    due = np.zeros((len(spikes[0]), layout.num_targets), np.float32)
    for k, sums in enumerate(due):
        for p, x in enumerate(spikes):
            assert x.shape == (len(due), wiring.sizes[p])
        terms = [s for s in order if k + 1 >= delay[s]]
        values = np.array([spikes[source[s]][k + 1 - delay[s], pre[s]] for s in terms], np.float32)
        audible = values != 0
        with np.errstate(all="ignore"):
            np.add.at(sums, post[terms][audible], weight[terms][audible] * values[audible])
    return due


def delivered(example: Example, impl: str) -> np.ndarray:
    """What is due by a ring, by a history, and by a history with tables: three, side by side."""
    wiring, batched = example.wiring, example.batched
    tables = group_tables(wiring.rows, wiring.layout.sources)

    def f(spikes, weights):
        how = {"layout": wiring.layout, "impl": impl}
        ways = [(Ring, ()), (History, ()), (History, tables)]
        return [
            run(empty(form, wiring, np.float32), spikes, wiring.rows, weights, start, t, **how)[1]
            for form, t in ways
        ]

    start = jnp.int32(example.start)
    given = [
        tuple(jnp.asarray(x if b else x[0]) for x in values)
        for b, values in zip(batched, (example.spikes, example.weights), strict=True)
    ]
    if any(batched):
        f = jax.vmap(f, tuple(0 if b else None for b in batched))
    return np.asarray(jax.jit(f)(*given))


def bits(x: np.ndarray) -> np.ndarray:
    """Numbers as integers, all NaNs as one."""
    return np.where(np.isnan(x), np.float32(np.nan), x).view(np.int32)


def fuzz(check, number: int, *of) -> None:
    """Check examples, always the same ones; one that fails is shrunk. `of`: as of `examples`."""
    settings = hypothesis.settings(
        max_examples=number,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
    )
    settings(hypothesis.given(examples(*of))(check))()


def numbers(often: int, native: int, jax: int):
    """How many examples an implementation is tried with, by default and with `make slow`."""
    slow = [pytest.param(*p, marks=pytest.mark.slow) for p in (("native", native), ("jax", jax))]
    params = [("native", often), *slow]
    return pytest.mark.parametrize(("impl", "number"), params, indirect=["impl"])


@numbers(12, 300, 30)
def test_values(impl, number, monkeypatch):
    """All forms have the bits of the ordered sum, natively; in JAX its value."""

    def check(example):
        monkeypatch.setattr(_deliver_history, "WORTH_SHARING", 0 if example.threads else 10**9)
        values_are_right(impl, example)

    fuzz(check, number, np.float32, True)


def values_are_right(impl, example):
    got, operands = delivered(example, impl), (example.spikes, example.weights)
    number = len(example.spikes[0]) if any(example.batched) else 1
    for e, ways in enumerate(np.moveaxis(got.reshape(3, number, *got.shape[-2:]), 1, 0)):
        spikes, weights = (
            tuple(x[e if b else 0] for x in values)
            for b, values in zip(example.batched, operands, strict=True)
        )
        with np.errstate(all="ignore"):
            expected = ordered_sum(example.wiring, spikes, example.each(weights))
        for way in ways:
            if impl == "native":
                np.testing.assert_array_equal(bits(way), bits(expected))
            else:
                np.testing.assert_allclose(way, expected, rtol=1e-5, atol=1e-5)


def of_all(function, *trees):
    return jax.tree.map(lambda *x: np.asarray(function(*x)), *trees)


@numbers(8, 200, 20)
def test_derivatives(impl, number):
    """Forward and backward, of one step into a ring, for its currents, spikes and weights."""
    with jax.enable_x64(True):
        fuzz(lambda example: derivatives_are_right(impl, example), number, np.float64, False)


def derivatives_are_right(impl, example):
    rng, wiring, layout = np.random.default_rng(0), example.wiring, example.wiring.layout
    rows = in_type(wiring.rows, float)
    primals = (
        rng.normal(size=(layout.num_slots, layout.num_targets)),
        tuple(x[0, 0].astype(float) for x in example.spikes),
        tuple(w[0].astype(float) for w in example.weights),
    )
    moves = of_all(lambda x: rng.normal(size=np.shape(x)), primals)
    index = np.int32(example.start)

    def f(slots, spikes, weights):
        slack = tuple(w - jax.lax.stop_gradient(w) for w in weights)
        how = {"index": index, "layout": layout, "impl": impl}
        ring, due, _ = deliver(Ring(slots), spikes, rows, weights, slack, **how)
        return ring.slots, due

    def both(primals, moves, bars):
        out, pull = jax.vjp(f, *primals)
        return jax.jvp(f, primals, moves)[1], pull(bars)

    bars = (rng.normal(size=primals[0].shape), rng.normal(size=layout.num_targets))
    (moved, due), (slots_bar, x_bar, w_bar) = of_all(
        np.asarray, jax.jit(both)(primals, moves, bars)
    )

    now = example.start % layout.num_slots
    expected_moved, seen = moves[0].copy(), bars[0].copy()
    seen[now] = bars[1]
    expected_x = [np.zeros(n) for n in wiring.sizes]
    for j, (p, (pre, post, delay)) in enumerate(zip(layout.sources, wiring.synapses, strict=True)):
        slot = (example.start - 1 + delay) % layout.num_slots
        made = example.listed[j]
        (x, w), (dx, dw) = ((m[1][p], made.weights(m[2][j])) for m in (primals, moves))
        np.add.at(expected_moved, (slot, post), w * dx[pre] + dw * x[pre])
        np.add.at(expected_x[p], pre, w * seen[slot, post])
        close(w_bar[j], made.collected(x[pre] * seen[slot, post], w_bar[j]))
    close(due, expected_moved[now])
    expected_moved[now] = 0
    close(moved, expected_moved)
    close(slots_bar, seen)
    jax.tree.map(close, list(x_bar), expected_x)


close = functools.partial(np.testing.assert_allclose, rtol=1e-11, atol=1e-11)
