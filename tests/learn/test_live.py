"""`rollout` knows whose spikes have a derivative; its gradients are those of a loop without."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import brainjax as bj
from brainjax.core import Stream
from brainjax.neurons import LIFState, NeuronState
from brainjax.synapses import Drive

STEPS = 40
FIRST = bj.Instant(
    jnp.int32(0), jnp.float32(0.1), Stream(jnp.zeros(2, jnp.uint32), jnp.arange(4, dtype=jnp.int32))
)


def network(i_e=350.0):
    """A network in which most potentials are out of reach of the surrogate."""
    lif = bj.LIF(i_e=i_e, surrogate=bj.Triangle(width=1.0), t_ref=1.0)
    receptors = {"in": bj.ExponentialCurrent(tau_syn=2.0)}
    populations = {
        "input": bj.Population(10, bj.PoissonSource(100.0)),
        "cells": bj.Population(20, lif, receptors, {"v": bj.Uniform(-70.0, -55.0)}),
    }
    synapses = [
        bj.Projection("input", "cells.in", bj.FixedProbability(0.5), bj.Normal(80.0, 8.0), 0.3),
        bj.Projection("cells", "cells.in", bj.FixedProbability(0.3), bj.Normal(-30.0, 9.0), 0.2),
    ]
    return bj.build(bj.Network(populations, synapses), dt=0.1, key=jax.random.key(0))


def started(built):
    """A state amid activity, whose spikes a caller may differentiate by."""
    state = built.init_state(key=jax.random.key(1))
    state = eqx.filter_jit(bj.rollout)(built, state, num_steps=100)[0]
    rng = np.random.default_rng(0)
    spikes = {n: jnp.asarray(rng.random(x.shape), x.dtype) for n, x in state.spikes.items()}
    return state._replace(spikes=spikes)


def score(last, num_spikes):
    return jnp.sum(jnp.arange(20.0) * num_spikes) + jnp.sum(
        last.populations["cells"].neuron.membrane.u
    )


def by_rollout(rollout, both):
    built, state = both
    last, records = rollout(built, state, num_steps=STEPS, record={"n": bj.SpikeCount("cells")})
    return score(last, records["n"])


def by_hand(both):
    """A loop over `step`, for which every row is read."""
    built, state = both

    def step(carry, _):
        state, count = carry
        state, spikes = built.step(state)
        return (state, count + spikes["cells"]), None

    (last, count), _ = jax.lax.scan(step, (state, jnp.zeros(20)), length=STEPS)
    return score(last, count)


def gradient(f, built, state):
    f = functools.partial(by_rollout, bj.rollout) if f is by_rollout else f
    return eqx.filter_jit(eqx.filter_grad(f))((built, state))


def test_gradients_are_those_of_a_loop_that_reads_all_rows(x64):
    """By weights, parameters, the first state and the first spikes."""
    built = network()
    state = started(built)
    got, expected = gradient(by_rollout, built, state), gradient(by_hand, built, state)
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(got), jax.tree.leaves(expected), strict=True
    ):
        where = jax.tree_util.keystr(path)
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9, err_msg=where)
    of_state = got[1]
    # The first spikes are a caller's own: those of a Poisson source, too.
    for name in built.names:
        assert np.all(np.asarray(of_state.spikes[name]) != 0)
    assert np.any(np.asarray(got[0].projections["cells->cells.in"].weight))
    assert np.any(np.asarray(got[0].projections["input->cells.in"].weight))


def test_what_is_out_of_reach_of_the_surrogate_is_not_read():
    """NaN behind cells that never come near threshold: no spike, no gradient, no NaN."""
    below = jnp.arange(20) % 2 == 0
    built = network(i_e=jnp.where(below, -2000.0, 700.0))
    projection = "cells->cells.in"
    pre = jnp.asarray(built.edges(projection).pre)
    weight = built.weights(projection)
    poisoned = built.with_weights(projection, jnp.where(below[pre], jnp.nan, weight))
    start = {"cells": {"v": jnp.where(below, -70.0, -56.0)}}
    state = built.init_state(key=jax.random.key(1), initial=start)

    @jax.jit
    @jax.grad
    def of_weights(weight):
        changed = eqx.tree_at(lambda b: b.projections[projection].weight, built, weight)
        return by_rollout(bj.rollout, (changed, state))

    clean, got = (of_weights(b.projections[projection].weight) for b in (built, poisoned))
    assert np.any(np.asarray(clean))
    np.testing.assert_array_equal(got, clean)


def test_live_is_where_a_neuron_passes_a_gradient():
    """Not while it is held, not out of reach of its surrogate; whether it spikes or not."""
    neuron = bj.LIF(surrogate=bj.Triangle(width=2.0))
    v = jnp.linspace(-60.0, -50.0, 41)
    held = jnp.arange(41) % 3 == 0
    quiet = Drive({}, {}, jnp.zeros(()), {})

    def spikes(u):
        state = NeuronState(LIFState(u), held.astype(jnp.int32))
        _, spikes, live = neuron.live_step(state, quiet, at=FIRST)
        return spikes, live

    u = v + 70.0
    out, slope, live = jax.jvp(spikes, (u,), (jnp.ones_like(u),), has_aux=True)
    np.testing.assert_array_equal(live, slope != 0)
    assert not np.any(live & held)
    assert np.any(live & (out != 0))
    assert np.any(live & (out == 0))


def test_sources_say_whether_they_have_a_derivative():
    poisson, given = bj.PoissonSource(5000.0), bj.SpikeSource([0.1], [0]).prepared(0.1, 4)
    for source, alive in ((poisson, False), (given, True)):
        _, spikes, live = source.live_step(source.init_state((4,)), None, at=FIRST)
        assert spikes.shape == live.shape == (4,)
        assert np.all(np.asarray(live) == alive)


@pytest.mark.skipif(len(jax.devices()) < 2, reason="needs two devices")
def test_gradients_over_devices(x64):
    """What is live is gathered beside the spikes."""
    built = network()
    state = started(built)
    mesh = jax.make_mesh((2,), ("neurons",))

    def over_devices(weight):
        changed = eqx.tree_at(lambda b: b.projections["cells->cells.in"].weight, built, weight)
        return by_rollout(functools.partial(bj.parallel.rollout, mesh=mesh), (changed, state))

    weight = built.projections["cells->cells.in"].weight
    expected = gradient(functools.partial(by_rollout, bj.rollout), built, state)[0]
    np.testing.assert_allclose(
        jax.jit(jax.grad(over_devices))(weight),
        expected.projections["cells->cells.in"].weight,
        rtol=1e-9,
        atol=1e-9,
    )
