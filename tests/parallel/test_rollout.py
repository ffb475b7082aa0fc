"""One network over two virtual devices: the spikes and states of one device, to the bit."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import brainjax as bj

NUM_STEPS = 200
RECORD = {
    "e": bj.Spikes("exc"),
    "v": bj.Trace("exc", "v"),
    "i": bj.Trace("exc", "in.i", neurons=[1, 31, 39]),
    "n": bj.SpikeCount("inh"),
    "r": bj.PopulationRate("inh", bin=1.0),
}


@pytest.fixture(scope="module")
def built():
    """Drive and weights per neuron and per synapse, several delays, noise, a source."""
    drive = np.linspace(350.0, 450.0, 40)
    network = bj.Network(
        {
            "exc": bj.Population(
                40,
                bj.LIF(i_e=drive),
                {"in": bj.ExponentialCurrent(2.0), "jump": bj.Delta()},
                {"v": bj.Uniform(-70.0, -55.0)},
            ),
            "inh": bj.Population(
                12, bj.LIF(i_e=420.0), {"in": bj.AlphaCurrent(2.0)}, {"v": bj.Normal(-65.0, 3.0)}
            ),
            "noise": bj.Population(6, bj.PoissonSource(400.0)),
        },
        [
            bj.Projection("exc", "exc.in", bj.FixedProbability(0.2), bj.Normal(60.0, 5.0), 1.5),
            bj.Projection("exc", "inh.in", bj.FixedInDegree(10), 40.0, bj.Uniform(0.1, 2.0)),
            bj.Projection("inh", "exc.in", bj.FixedTotalNumber(150), bj.Normal(-80.0, 8.0), 0.8),
            bj.Projection("noise", "exc.jump", bj.FixedOutDegree(5), 0.5, 0.3),
            bj.Projection("noise", "inh.in", bj.AllToAll(), bj.Normal(9.0, 1.0), 0.4),
            bj.Projection(
                "inh",
                "inh.in",
                bj.FixedProbability(0.3, autapses=False),
                bj.Normal(-9.0, 1.0),
                bj.Uniform(0.3, 0.9),
                procedural=True,
            ),
        ],
        [
            bj.PoissonInput("exc.in", rate=800.0, weight=30.0),
            # To the first neurons, on both sides of where the network is split.
            bj.PoissonInput("exc.in", rate=900.0, weight=20.0, num_targets=27),
            bj.DC("exc", 15.0, num_targets=31),
            bj.StepCurrent("inh", [5.0], [30.0]),
        ],
    )
    return bj.build(network, dt=0.1, key=jax.random.key(3))


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    return {
        "exc": rng.normal(0.0, 20.0, NUM_STEPS).astype(np.float32),
        "exc.in": rng.normal(0.0, 5.0, (NUM_STEPS, 40)).astype(np.float32),
    }


def equal(a, b) -> bool:
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(np.asarray(x), np.asarray(y)) for x, y in leaves)


@pytest.fixture(scope="module")
def on_one(built, inputs):
    state = built.init_state(key=jax.random.key(1))
    run = eqx.filter_jit(lambda b, s: bj.rollout(b, s, inputs, record=RECORD))
    return state, run(built, state)


@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
def test_equal_to_one_device(built, inputs, on_one, kind):
    state, (expected_state, expected) = on_one
    mesh = jax.make_mesh((2,), ("neurons",), axis_types=(getattr(jax.sharding.AxisType, kind),))
    run = jax.jit(lambda s: bj.parallel.rollout(built, s, inputs, record=RECORD, mesh=mesh))
    end, records = run(state)
    assert int(expected["e"].length) > 20  # the network is alive, or nothing is shown
    assert equal(end, expected_state)
    for name in RECORD:
        assert equal(records[name], expected[name]), name


def test_goes_on_where_one_device_stopped(built, inputs, on_one):
    state, (expected_state, _) = on_one
    mesh = jax.make_mesh((2,), ("neurons",))
    half = NUM_STEPS // 2
    first, last = ({k: v[s] for k, v in inputs.items()} for s in (slice(half), slice(half, None)))
    middle, _ = eqx.filter_jit(lambda b, s: bj.rollout(b, s, first))(built, state)
    end, _ = bj.parallel.rollout(built, middle, last, mesh=mesh)
    assert equal(end, expected_state)


@pytest.mark.parametrize("impl", ["auto", pytest.param("jax", marks=pytest.mark.slow)])
def test_gradient_equals_that_of_one_device(built, impl):
    """Parts are padded to one length: the padding must not be seen by either implementation."""
    built = dataclasses.replace(built, impl=impl)
    state = built.init_state(key=jax.random.key(1))
    mesh = jax.make_mesh((2,), ("neurons",))

    def loss(weight, run):
        changed = eqx.tree_at(lambda b: b.projections["exc->exc.in"].weight, built, weight)
        _, records = run(changed, state, num_steps=60, record={"v": RECORD["v"]})
        return jnp.mean(records["v"].value)

    def on_two(*args, **kwargs):
        return bj.parallel.rollout(*args, mesh=mesh, **kwargs)

    weight = built.projections["exc->exc.in"].weight
    expected = jax.jit(jax.grad(lambda w: loss(w, bj.rollout)))(weight)
    gradient = jax.jit(jax.grad(lambda w: loss(w, on_two)))(weight)
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


def test_a_batch_over_devices(built):
    """`rollout` itself inside a `shard_map` over examples."""
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    states = jax.vmap(lambda k: built.init_state(key=k))(jax.random.split(jax.random.key(0), 4))
    record = {"n": RECORD["n"], "e": RECORD["e"]}

    def run(states):
        return jax.vmap(lambda s: bj.rollout(built, s, num_steps=50, record=record))(states)

    P = jax.sharding.PartitionSpec
    sharded = jax.shard_map(run, mesh=mesh, in_specs=P("batch"), out_specs=P("batch"))
    assert equal(jax.jit(sharded)(states), jax.jit(run)(states))


def test_refuses_sizes_that_do_not_divide(built):
    network = bj.Network({"odd": bj.Population(5, bj.LIF())})
    odd = bj.build(network, dt=0.1, key=jax.random.key(0))
    mesh = jax.make_mesh((2,), ("neurons",))
    with pytest.raises(ValueError, match=r"Population 'odd'.*5 neurons.*multiple of 2.*Use 4"):
        bj.parallel.rollout(odd, odd.init_state(key=jax.random.key(0)), num_steps=1, mesh=mesh)


def test_refuses_a_mesh_of_two_axes(built):
    mesh = jax.make_mesh((2, 1), ("a", "b"))
    with pytest.raises(ValueError, match="one axis"):
        bj.parallel.rollout(built, None, num_steps=1, mesh=mesh)


def test_refuses_what_is_no_state(built):
    mesh = jax.make_mesh((2,), ("neurons",))
    with pytest.raises(TypeError, match=r"rollout: state: got 'int'.*NetworkState.*init_state"):
        bj.parallel.rollout(built, 3, num_steps=1, mesh=mesh)
