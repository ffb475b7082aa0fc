"""Programs of more than an op: a ring made of a history on several devices, a network's rollout."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from ops.structures import empty, random_spikes, random_wiring, run

import brainjax as bj
from brainjax.ops import History, Ring, _primitive, as_ring, native_library

STEPS = 6
PROJECTIONS = [(0, 20, 3, False), (1, 12, 2, True)]
WIRING = random_wiring(np.random.default_rng(0), (6, 5), 7, PROJECTIONS, 3)
WEIGHTS = tuple(jnp.asarray(w, jnp.float32) for w in WIRING.weights)


def batch(n):
    examples = [random_spikes(np.random.default_rng(i), WIRING.sizes, STEPS) for i in range(n)]
    return tuple(jnp.asarray(np.stack(x), jnp.float32) for x in zip(*examples, strict=True))


@pytest.fixture
def mesh():
    assert len(jax.devices()) == 2
    return jax.make_mesh((2,), ("batch",), axis_types=(AxisType.Auto,))


def test_history_becomes_a_ring_in_shard_map(mesh, impl):
    xs = batch(2)
    how = {"layout": WIRING.layout, "impl": impl}

    def slots(x):
        history, _ = run(empty(History, WIRING, jnp.float32), x, WIRING.rows, WEIGHTS, 0, **how)
        return as_ring(history, WIRING.rows, WEIGHTS, index=jnp.int32(STEPS), **how).slots

    def local(spikes):
        x = tuple(x[0] for x in spikes)
        varying = jax.tree.map(
            lambda a: jax.lax.pcast(a, "batch", to="varying"), empty(History, WIRING, jnp.float32)
        )
        history, _ = run(varying, x, WIRING.rows, WEIGHTS, 0, **how)
        return as_ring(history, WIRING.rows, WEIGHTS, index=jnp.int32(STEPS), **how).slots[None]

    sharded = jax.shard_map(local, mesh=mesh, in_specs=P("batch"), out_specs=P("batch"))
    expected = [slots(tuple(x[i] for x in xs)) for i in range(2)]
    assert np.any(expected[0] != 0)
    np.testing.assert_array_equal(jax.jit(sharded)(xs), expected)


def test_what_varies_may_not_leave_as_if_it_did_not(mesh):
    """An op that loses the type would return one shard for all, silently."""

    def local(spikes):
        ring = jax.lax.pcast(empty(Ring, WIRING, jnp.float32).slots, "batch", to="varying")
        x = tuple(x[0] for x in spikes)
        return run(Ring(ring), x, WIRING.rows, WEIGHTS, 0, layout=WIRING.layout, impl="auto")[1]

    wrong = jax.shard_map(local, mesh=mesh, in_specs=P("batch"), out_specs=P())
    with pytest.raises(ValueError, match="replicated|varying|vma"):
        jax.jit(wrong)(batch(2))


# ---- a network ----------------------------------------------------------------------------------


@functools.cache
def network(impl):
    """Two populations, receptors of two kinds, noise, delays; `(built, state)`."""
    described = bj.Network(
        {
            "exc": bj.Population(
                8, bj.LIF(i_e=480.0), {"in": bj.ExponentialCurrent(2.0), "jump": bj.Delta()}
            ),
            "inh": bj.Population(4, bj.LIF(i_e=500.0), {"in": bj.AlphaCurrent(2.0)}),
        },
        [
            bj.Projection("exc", "exc.in", bj.FixedProbability(0.5), bj.Normal(60.0, 5.0), 1.5),
            bj.Projection("exc", "inh.in", bj.AllToAll(), 40.0, bj.Uniform(0.5, 2.0)),
            bj.Projection("inh", "exc.jump", bj.FixedTotalNumber(20), -0.5, 0.5),
        ],
        [bj.PoissonInput("exc.in", rate=800.0, weight=30.0)],
    )
    built = bj.build(described, dt=0.5, key=jax.random.key(0), impl=impl)
    return built, built.init_state(key=jax.random.key(1))


def rollout(built, state, scale):
    """Voltages with all weights scaled, and the number of spikes."""
    weights = [p.weight * scale for p in built.projections.values()]
    scaled = eqx.tree_at(lambda b: [p.weight for p in b.projections.values()], built, weights)
    record = {"v": bj.Trace("exc", "v"), "n": bj.SpikeCount("exc")}
    return bj.rollout(scaled, state, num_steps=60, record=record)[1]


def mean_voltage(built, state, scale):
    return jnp.mean(rollout(built, state, scale)["v"].value)


PROGRAMS = {
    "rollout": lambda built, state: functools.partial(rollout, built, state),
    "gradient": lambda built, state: jax.value_and_grad(
        functools.partial(mean_voltage, built, state)
    ),
}
SCALE = jnp.float32(1.1)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_network_runs_natively_as_in_jax(name):
    if native_library() is None:
        pytest.skip("this is a pure-JAX installation")
    got = {}
    for impl in ("native", "jax"):
        program = jax.jit(PROGRAMS[name](*network(impl))).lower(SCALE).compile()
        assert ("brainjax_" in (program.as_text() or "")) == (impl == "native")
        got[impl] = program(SCALE)
    if name == "rollout":
        assert int(jnp.sum(got["native"]["n"])) > 8  # it spikes, or nothing is shown
    else:
        assert got["native"][1] != 0
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    jax.tree.map(close, got["native"], got["jax"])


@pytest.mark.pure
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_network_lowers_for_accelerators(name, monkeypatch):
    monkeypatch.setattr(_primitive, "cuda_library", lambda: None)
    traced = jax.jit(PROGRAMS[name](*network("auto"))).trace(SCALE)
    for platform in ("cuda", "tpu"):
        assert "brainjax_" not in traced.lower(lowering_platforms=(platform,)).as_text()
