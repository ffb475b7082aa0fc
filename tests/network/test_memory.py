"""What a network is said to take is what it takes."""

import time
import tracemalloc

import jax
import numpy as np
import pytest

import brainjax as bj
from brainjax.network import memory_of
from brainjax.network._projection import build_projection

DT = 0.1
DELAY = bj.Normal(1.5, 0.75, low=0.05)
WEIGHT = bj.Normal(5.0, 1.0)
RULES = {
    "one to one": (bj.OneToOne(), WEIGHT, DELAY),
    "all to all": (bj.AllToAll(), WEIGHT, DELAY),
    "one to one, one delay": (bj.OneToOne(), WEIGHT, 0.3),
    "all to all, one delay": (bj.AllToAll(), WEIGHT, 0.3),
    "out-degree, one delay": (bj.FixedOutDegree(31), 1.0, 0.3),
    "convolution": (bj.Convolution((10, 10, 4), channels=4, kernel_size=(3, 3)), WEIGHT, 0.3),
    "all to all, one number": (bj.AllToAll(autapses=False), 1.0, 0.3),
    "sparse": (bj.FixedProbability(0.002), WEIGHT, DELAY),
    "dense": (bj.FixedProbability(0.3, autapses=False), WEIGHT, DELAY),
    "one weight": (bj.FixedProbability(0.05), 1.0, DELAY),
    "one delay": (bj.FixedProbability(0.05), WEIGHT, 1.5),
    "total": (bj.FixedTotalNumber(40_000), WEIGHT, bj.LogNormal.from_mean_std(1.0, 2.0, 0.1, 60.0)),
    "total, distinct": (
        bj.FixedTotalNumber(40_000, multapses=False),
        WEIGHT,
        bj.Uniform(0.1, 20.0),
    ),
    "in-degree": (bj.FixedInDegree(7), WEIGHT, DELAY),
    "in-degree, distinct": (bj.FixedInDegree(90, multapses=False), WEIGHT, DELAY),
    "out-degree": (bj.FixedOutDegree(3), WEIGHT, DELAY),
    "listed": (
        bj.Explicit(np.repeat(np.arange(50), 200), np.tile(np.arange(200), 50)),
        np.ones(10_000),
        np.repeat(np.arange(1, 51), 200) * DT,
    ),
    "listed, delays drawn": (
        bj.Explicit(np.repeat(np.arange(50), 200), np.tile(np.arange(200), 50)),
        WEIGHT,
        DELAY,
    ),
    "listed unevenly": (
        bj.Explicit(np.repeat(np.arange(400), np.arange(400) // 4), np.zeros(19_800, int)),
        WEIGHT,
        DELAY,
    ),
    "nothing": (bj.FixedTotalNumber(0), WEIGHT, DELAY),
}


def network(rule, weight, delay, size=400):
    population = bj.Population(
        size,
        bj.LIF(v_th=np.full(size, -50.0)),
        {"in": bj.ExponentialCurrent(), "other": bj.AlphaConductance(e_rev=-80.0)},
    )
    return bj.Network(
        {"a": population}, [bj.Projection("a", "a.in", rule, weight, delay)], [bj.DC("a", 10.0)]
    )


def num_bytes(tree):
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree) if hasattr(x, "dtype"))


@pytest.mark.parametrize("name", RULES)
def test_what_is_built_is_what_was_said(name):
    described = network(*RULES[name])
    said = memory_of(described, DT)
    built = bj.build(described, dt=DT, key=jax.random.key(3))
    (projection,) = built.projections.values()
    assert said.synapses == pytest.approx(projection.num_synapses, rel=0.15)
    assert said.groups == pytest.approx(projection.rows.groups()[0].size, rel=0.1)
    assert said.bytes_built == pytest.approx(num_bytes(built), rel=0.1)
    state = jax.eval_shape(lambda: built.init_state(key=jax.random.key(0), history=True))
    assert said.bytes_state == pytest.approx(num_bytes(state), rel=0.2)
    assert said.bytes_peak_of_build >= said.bytes_built


def test_a_network_of_several_projections():
    described = bj.experiments.load("coba").network
    said = memory_of(described, DT)
    built = bj.build(described, dt=DT, key=jax.random.key(3))
    assert said.bytes_built == pytest.approx(num_bytes(built), rel=0.05)
    state = jax.eval_shape(lambda: built.init_state(key=jax.random.key(0), history=True))
    assert said.bytes_state == pytest.approx(num_bytes(state), rel=0.05)


@pytest.mark.parametrize("rule", ["all", "total", "in"])
def test_the_peak_of_a_build_is_what_was_said(rule):
    """NumPy tells tracemalloc what it allocates. Blocks in the cache, some 15 MB, come on top."""
    size = 4000 if rule == "all" else 20_000
    rules = {
        "all": bj.AllToAll(),
        "total": bj.FixedTotalNumber(16_000_000),
        "in": bj.FixedInDegree(800),
    }
    described = network(rules[rule], WEIGHT, DELAY, size)
    (projection,) = described.projections
    said = memory_of(described, DT).bytes_peak_of_build
    tracemalloc.start()
    try:
        built = build_projection(projection, described.populations, 0, DT, (1, 2))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert built.num_synapses == 16_000_000
    assert said == pytest.approx(peak, rel=0.2)


def test_a_brain_costs_nothing_to_ask_about():
    """1e12 synapses: no more than a moment, and no array of any of its sizes."""
    described = bj.Network(
        {"a": bj.Population(90_000_000, bj.LIF(), {"in": bj.ExponentialCurrent()})},
        [bj.Projection("a", "a.in", bj.FixedInDegree(12_000), WEIGHT, DELAY)],
    )
    memory_of(network(*RULES["dense"]), DT)  # what JAX imports and traces once
    tracemalloc.start()
    try:
        start = time.perf_counter()
        said = memory_of(described, DT)
        took = time.perf_counter() - start
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert said.synapses == 1.08e12
    assert 8 * 1.08e12 < said.bytes_built < 8.1e12 * 1.08
    assert said.bytes_peak_of_build > 12 * 1.08e12
    assert said.bytes_state > 90e6 * 4 * 3
    assert took < 5 and peak < 30e6


@pytest.mark.parametrize("dt", [0.0, -1.0, float("nan")])
def test_a_step_is_checked(dt):
    with pytest.raises(ValueError, match="positive number in ms"):
        memory_of(network(*RULES["dense"]), dt)
