"""Delivery on networks that no one would write: against sums made one by one in NumPy.

Sizes of zero and one and about the blocks in which events are sought, populations that project
nowhere, empty and long rows, repeated targets, weights and spikes that are NaN, infinite or -0,
batches of every kind. Native code has the bits of the ordered sum, for a ring, for a history, with
tables of groups and without, on one thread and on several. Derivatives are those of the formulas.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ops.structures import Wiring, empty, narrowed, run, wire

from brainjax.ops import History, Ring, _deliver_history, deliver, group_tables

SIZES = (5, 64, 130, 1, 65, 63, 0)
KINDS = ("many", "many", "many", "one row", "one target", "one delay", "few", "none")
SPECIAL = (0.0, -0.0, np.nan, np.inf, -np.inf, 1.0)


class Example(NamedTuple):
    """A network, what goes on in it, and how it is run."""

    wiring: Wiring
    spikes: tuple[np.ndarray, ...]  # per population: examples of (steps, size)
    weights: tuple[np.ndarray, ...]  # per projection: examples of () or (synapses,)
    batched: tuple[bool, bool]  # whether spikes, weights have an example each, or share the first
    start: int
    threads: bool


def example_of(rng: np.random.Generator, special: bool) -> Example:
    """A network of random shape; `special` values of weights and spikes or ordinary ones."""
    sizes = tuple(int(n) for n in rng.choice(SIZES, rng.choice([1, 2, 3])))
    num_slots = int(rng.integers(1, 10))
    width, num_ports = int(rng.choice([1, 4, 40])), int(rng.integers(1, 3))
    drawn, ports = [], []
    for _ in range(rng.integers(1, 7)):
        source, port = int(rng.integers(len(sizes))), int(rng.integers(num_ports))
        kind = rng.choice(KINDS)
        count = {"none": 0, "few": 3}.get(kind, 200) if sizes[source] else 0
        pre = rng.integers(0, max(sizes[source], 1), count)
        post = port * width + rng.integers(0, width, count)
        delay = rng.integers(1, num_slots + 1, count)
        if kind in ("one row", "one target", "one delay") and count:
            held = {"one row": pre, "one target": post, "one delay": delay}[kind]
            held[:] = held[0]
        drawn.append((source, pre, post, delay, 1.0 if rng.random() < 0.3 else np.ones(count)))
        ports.append(port)
    sizes = sizes[: 1 + max(d[0] for d in drawn)]
    wiring = wire(sizes, width * num_ports, drawn, num_slots)
    if rng.random() < 0.5:
        wiring = narrowed(wiring, [port * width for port in ports])
    if rng.random() < 0.5:
        layout = wiring.layout._replace(ports=tuple(ports), sizes=(width,) * num_ports)
        wiring = wiring._replace(layout=layout)
    steps, number = int(rng.integers(1, 13)), int(rng.integers(1, 4))

    def contents(shape, silence):
        values = rng.normal(size=(number, *shape))
        values[rng.random(values.shape) < silence] = 0
        strange = rng.random(values.shape) < (0.03 if special else 0)
        return np.where(strange, rng.choice(SPECIAL, values.shape), values).astype(np.float32)

    return Example(
        wiring,
        tuple(contents((steps, n), rng.choice([0.0, 0.7, 0.97])) for n in sizes),
        tuple(contents(np.shape(w), 0) for w in wiring.weights),
        (bool(rng.integers(2)), bool(rng.integers(2))),
        int(rng.choice([0, 1, 8, 2**20 + 3])),
        bool(rng.integers(2)),
    )


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


# Those of the first number run by default, natively; all of them run with `make slow`.
SEEDS = {"values": (12, 300), "derivatives": (8, 200)}


def seeds(of: str):
    """Implementations and seeds as the parameters of a test."""
    often, all_of_them = SEEDS[of]
    chosen = [
        pytest.param(impl, i, marks=() if impl == "native" and i < often else pytest.mark.slow)
        for impl in ("native", "jax")
        for i in range(all_of_them if impl == "native" else all_of_them // 10)
    ]
    return pytest.mark.parametrize(("impl", "seed"), chosen, indirect=["impl"])


@seeds("values")
def test_values(impl, seed, monkeypatch):
    """All forms have the bits of the ordered sum, natively; in JAX its value."""
    example = example_of(np.random.default_rng(seed), special=True)
    monkeypatch.setattr(_deliver_history, "WORTH_SHARING", 0 if example.threads else 10**9)
    got = delivered(example, impl)
    number = len(example.spikes[0]) if any(example.batched) else 1
    for e, ways in enumerate(np.moveaxis(got.reshape(3, number, *got.shape[-2:]), 1, 0)):
        spikes, weights = (
            tuple(x[e if b else 0] for x in values)
            for b, values in zip(example.batched, (example.spikes, example.weights), strict=True)
        )
        expected = ordered_sum(example.wiring, spikes, weights)
        for way in ways:
            if impl == "native":
                np.testing.assert_array_equal(bits(way), bits(expected))
            else:
                np.testing.assert_allclose(way, expected, rtol=1e-5, atol=1e-5)


def of_all(function, *trees):
    return jax.tree.map(lambda *x: np.asarray(function(*x)), *trees)


@seeds("derivatives")
def test_derivatives(impl, seed, x64):
    """Forward and backward, of one step into a ring, for its currents, spikes and weights."""
    rng = np.random.default_rng(seed)
    example = example_of(rng, special=False)
    wiring, layout = example.wiring, example.wiring.layout
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
        ring, due, _ = deliver(Ring(slots), spikes, wiring.rows, weights, slack, **how)
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
        (x, w), (dx, dw) = ((m[1][p], m[2][j]) for m in (primals, moves))
        np.add.at(expected_moved, (slot, post), w * dx[pre] + dw * x[pre])
        np.add.at(expected_x[p], pre, w * seen[slot, post])
        of_synapse = x[pre] * seen[slot, post]
        close(w_bar[j], of_synapse if np.ndim(w) else of_synapse.sum())
    close(due, expected_moved[now])
    expected_moved[now] = 0
    close(moved, expected_moved)
    close(slots_bar, seen)
    jax.tree.map(close, list(x_bar), expected_x)


close = functools.partial(np.testing.assert_allclose, rtol=1e-11, atol=1e-11)
