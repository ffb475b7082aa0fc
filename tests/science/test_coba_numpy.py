"""Whole spike trains of conductance-based networks, equal to those of `oracles.coba_numpy`."""

import jax
import numpy as np
import pytest
from oracles import coba_numpy
from science.runs import assert_same_spikes, by_step, run, whole_steps

import brainjax as bj

DT = 0.1
POPULATIONS = ("exc", "inh")


def small(over_step):
    """400 neurons, in-degree 80, with weights and delays (1 to 8 steps) drawn per synapse."""
    neuron = bj.LIF(
        c_m=200.0, tau_m=20.0, e_l=-60.0, v_th=-50.0, v_reset=-60.0, t_ref=5.0, i_e=200.0
    )
    receptors = {
        "ampa": bj.ExponentialConductance(5.0, 0.0, over_step=over_step),
        "gaba": bj.ExponentialConductance(10.0, -80.0, over_step=over_step),
    }
    start = {"v": bj.Uniform(-60.0, -50.0)}
    rule, delay = bj.FixedProbability(0.2), bj.Uniform(0.05, 0.85)
    return bj.Network(
        {
            "exc": bj.Population(320, neuron, receptors, start),
            "inh": bj.Population(80, neuron, receptors, start),
        },
        [
            bj.Projection(source, f"{target}.{receptor}", rule, bj.Uniform(w / 2, 3 * w / 2), delay)
            for source, receptor, w in (("exc", "ampa", 6.0), ("inh", "gaba", 67.0))
            for target in POPULATIONS
        ],
    )


def synapses(built):
    """All synapses with global indices, as `simulate_coba` takes them."""
    num_exc = built.populations["exc"].size
    first = {"exc": 0, "inh": num_exc}
    parts = []
    for name, projection in built.projections.items():
        pre, post, delay = built.edges(name)
        target = projection.target.partition(".")[0]
        weight = np.asarray(built.weights(name), np.float64)
        parts.append((pre + first[projection.source], post + first[target], weight, delay))
    names = ("pre", "post", "weight", "delay_steps")
    arrays = (np.concatenate(a) for a in zip(*parts, strict=True))
    return {**dict(zip(names, arrays, strict=True)), "num_exc": num_exc}


def initial_v(built, state):
    populations = (built.populations[n] for n in POPULATIONS)
    states = (state.populations[n] for n in POPULATIONS)
    return np.concatenate(
        [np.asarray(p.observe(s)["v"]) for p, s in zip(populations, states, strict=True)]
    )


def spikes_of(built, state, num_steps, driver="simulate"):
    record = {n: bj.Spikes(n) for n in POPULATIONS}
    records = run(built, num_steps, record=record, driver=driver, state=state)
    steps, neurons = zip(*(whole_steps(records[n], built.dt) for n in POPULATIONS), strict=True)
    inhibitory = neurons[1] + built.populations["exc"].size
    return by_step(np.concatenate(steps), np.concatenate([neurons[0], inhibitory]))


def compare(network, num_steps, at_least, *, impl="auto", driver="simulate", conductance="mean"):
    built = bj.build(network, dt=DT, key=jax.random.key(11), impl=impl)
    history = driver == "simulate" and impl == "auto"
    state = built.init_state(key=jax.random.key(12), history=history)
    v0 = initial_v(built, state)
    assert v0.dtype == np.float64
    assert -60 <= v0.min() < -59.9 < -50.1 < v0.max() < -50
    expected = coba_numpy.simulate_coba(
        **synapses(built), v0=v0, num_steps=num_steps, dt=DT, conductance=conductance
    )
    assert len(expected[0]) > at_least
    assert_same_spikes(spikes_of(built, state, num_steps, driver), expected)
    return expected


def test_coba_of_4000_neurons(x64):
    compare(bj.experiments.load("coba", {"precision": "float64"}).network, 3000, 10_000)


@pytest.mark.parametrize("driver", ["simulate", "rollout"])
def test_weights_and_delays_drawn_per_synapse(x64, driver):
    compare(small("mean"), 3000, 1000, driver=driver)


def test_conductance_at_the_start_of_the_step(x64):
    start = compare(small("start"), 3000, 1000, conductance="start")
    # The comparison tells the two apart.
    with pytest.raises(AssertionError, match="first difference"):
        compare(small("start"), 3000, 1000, conductance="mean")
    assert len(start[0])


@pytest.mark.parametrize("driver", ["simulate", "rollout"])
def test_plain_jax(x64, driver):
    compare(small("mean"), 2000, 700, impl="jax", driver=driver)
