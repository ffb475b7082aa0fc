"""Projections whose synapses are not stored: the same network as with its synapses stored."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import brainjax as bj
from brainjax.network import memory_of, stored

DT, STEPS, SIZE = 0.1, 150, 90
DRAWN = bj.Normal(0.6, 0.3, low=DT / 2)
GAUSS = bj.DistanceDependent((9, 10), bj.GaussianProfile(0.7, 2.0), reach=3)
RULES = {
    "probability": (bj.FixedProbability(0.1, autapses=False), bj.Normal(0.8, 0.3), DRAWN),
    "in-degree": (bj.FixedInDegree(8), bj.LogNormal.from_mean_std(0.8, 0.5), 0.5),
    "out-degree": (bj.FixedOutDegree(7, multapses=False), 0.9, bj.Uniform(0.1, 0.6)),
    "total": (bj.FixedTotalNumber(700), bj.Uniform(0.2, 1.4), 0.9),
    "distance": (GAUSS, bj.Normal(0.8, 0.3, low=0.0), DRAWN),
}


def described(names=tuple(RULES), procedural=True):
    """A ring of populations, driven from outside, with a projection of each rule."""
    population = bj.Population(SIZE, bj.LIF(i_e=380.0), {"in": bj.ExponentialCurrent()})
    names = list(names)
    pops = dict.fromkeys(names, population)
    projections = [
        bj.Projection(
            n,
            f"{names[(i + 1) % len(names)]}.in",
            RULES[n][0],
            RULES[n][1],
            RULES[n][2],
            name=n,
            procedural=procedural,
        )
        for i, n in enumerate(names)
    ]
    return bj.Network(pops, projections, [bj.PoissonInput(f"{n}.in", 3000.0, 60.0) for n in names])


@pytest.fixture(scope="module")
def built():
    return bj.build(described(), dt=DT, key=jax.random.key(3))


def as_stored(built):
    """The same network with its synapses listed."""
    projections = {n: stored(p) for n, p in built.projections.items()}
    return dataclasses.replace(built, projections=projections, tables=())


def run(built):
    """Who spiked, when, and all voltages."""
    record = {n: bj.Spikes(n) for n in built.names}
    record |= {f"v of {n}": bj.Trace(n, "v") for n in built.names}
    kept = bj.simulate(built, STEPS * DT, key=jax.random.key(1), record=record).records
    return {
        n: map(np.asarray, (kept[n].neuron, kept[n].time, kept[f"v of {n}"].value))
        for n in built.names
    }


def test_the_same_bits_as_stored(built):
    made, held = run(built), run(as_stored(built))
    for name in built.names:
        for ours, theirs in zip(made[name], held[name], strict=True):
            assert ours.size > 20
            np.testing.assert_array_equal(ours, theirs)


def test_other_spikes_with_another_matrix(built):
    """The control."""
    other = bj.build(described(), dt=DT, key=jax.random.key(4))
    ours, theirs = run(built), run(other)
    assert any(next(ours[n]).tolist() != next(theirs[n]).tolist() for n in built.names)


def test_gradients_are_those_of_stored_synapses(built):
    """By the weight of each projection: the sum over its synapses of factor times derivative."""
    names = built.projection_names

    def loss(network, scale):
        network = eqx.tree_at(
            lambda b: [b.projections[n].weight for n in names],
            network,
            [network.projections[n].weight * s for n, s in zip(names, scale, strict=True)],
        )
        near = {n: {"v": np.linspace(-56.0, -50.1, SIZE)} for n in network.names}
        state = network.init_state(key=jax.random.key(1), initial=near)
        record = {n: bj.Trace(n, "v") for n in network.names}
        _, kept = bj.rollout(network, state, {}, num_steps=40, record=record)
        return sum(jnp.mean(jnp.square(k.value + 60)) for k in kept.values())

    scale = jnp.ones(len(names))
    made, held = (jax.grad(loss, 1)(b, scale) for b in (built, as_stored(built)))
    assert np.all(np.abs(made) > 1e-4)
    np.testing.assert_allclose(made, held, rtol=2e-4)


@pytest.mark.parametrize("name", RULES)
def test_memory_is_that_of_neurons(name):
    network = described([name])
    (projection,) = bj.build(network, dt=DT, key=jax.random.key(0)).projections.values()
    held = sum(x.nbytes for x in jax.tree.leaves(projection))
    groups = 0
    if projection.rows.shape.grouped:
        longest = 60 if name == "distance" else projection.rows.shape.longest
        groups = projection.rows.delay.group_delay.size
        assert groups <= SIZE * min(longest, projection.longest_delay)
    assert held < 12 * (SIZE + 1) + 8 * groups + 4 * 49 + 4 * 4 * 497 + 200
    said = memory_of(network, DT)
    assert said.bytes_built < 2 * held + 8 * SIZE
    assert said.synapses == pytest.approx(projection.num_synapses, rel=0.15)


def test_a_number_of_synapses_beyond_memory():
    """4e12 synapses are built in no time; a spike of one source reaches 2e6 targets."""
    size = 2_000_000
    network = bj.Network(
        {"a": bj.Population(size, bj.LIF(), {"in": bj.Delta()})},
        [bj.Projection("a", "a.in", bj.FixedOutDegree(size), 1e-3, 0.1, procedural=True)],
    )
    built = bj.build(network, dt=DT, key=jax.random.key(0))
    (projection,) = built.projections.values()
    assert projection.num_synapses == size**2
    state = built.init_state(key=jax.random.key(0), history=True)
    state = state._replace(spikes={"a": state.spikes["a"].at[size - 1].set(1.0)})
    before = built.observe(state, "a", "v")
    after = built.observe(jax.jit(lambda s: built.step(s)[0])(state), "a", "v")
    gained = np.round(np.asarray(after - before, np.float64) / 1e-3)
    assert gained.sum() == size
    # The number of synapses of a pair is binomial with a mean and variance of 1.
    assert gained.var() == pytest.approx(1.0, abs=0.01)


def test_what_cannot_be_made_anew_is_refused():
    cases = {
        "delay: got 'one for each synapse'": {"delay": np.full(9, 0.1)},
        "delay: got -.*expected at least dt = 0.1 ms. Bound": {"delay": bj.Normal(1.0, 0.5)},
        "weight: got 'shape": {"weight": np.ones(9)},
        "FixedProbability": {"rule": bj.OneToOne()},
    }
    for message, given in cases.items():
        settings = {"rule": bj.FixedOutDegree(1), "weight": 1.0, "delay": 0.1, **given}
        population = bj.Population(9, bj.LIF(), {"in": bj.Delta()})
        projection = bj.Projection("a", "a.in", **settings, procedural=True)
        with pytest.raises(ValueError, match=message):
            bj.build(bj.Network({"a": population}, [projection]), dt=DT, key=jax.random.key(0))
