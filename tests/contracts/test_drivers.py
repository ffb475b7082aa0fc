"""What the drivers promise, on a network of every model at once: nothing depends on the driver."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts.helpers import (
    CASES,
    DT,
    arrays,
    arrays_alone,
    assert_close,
    assert_same,
    built_zoo,
    compilations,
    floats,
    prepared,
    without_pending,
    zoo,
    zoo_record,
)

import brainjax as bj
from brainjax.ops import History

STEPS = 24


@functools.cache
def whole() -> bj.Result:
    """One run, in one chunk."""
    return bj.simulate(built_zoo(), STEPS * DT, key=jax.random.key(1), record=zoo_record())


@eqx.filter_jit
def rolled(built, state, num_steps: int):
    """The same by `rollout`."""
    return bj.rollout(built, state, num_steps=num_steps, record=zoo_record())


def assert_same_records(a, b):
    """Records are equal to the bit, whatever holds them."""
    assert a.keys() == b.keys()
    for name in a:
        assert_same(*(jax.tree.map(np.asarray, x[name]) for x in (a, b)), name)


@pytest.mark.pure
def test_the_zoo_is_alive():
    result = whole()
    assert result.records["spikes"].neuron.size > 0
    assert result.records["count"].sum() > 0
    assert result.records["sent"].value.sum() > 0
    assert np.all(result.records["g"].value[-1] > 0)
    assert len(set(result.state.populations["cell"].neuron.membrane.u.tolist())) > 1


@pytest.mark.pure
@pytest.mark.parametrize("chunk", [1, 7])
def test_bits_do_not_depend_on_the_chunk(chunk):
    result = bj.simulate(
        built_zoo(), STEPS * DT, key=jax.random.key(1), record=zoo_record(), chunk=chunk
    )
    assert_same(result.state, whole().state)
    assert_same_records(result.records, whole().records)


@pytest.mark.pure
def test_a_run_resumes_to_the_bit():
    first = bj.simulate(built_zoo(), 9 * DT, key=jax.random.key(1), record=zoo_record())
    second = bj.simulate(built_zoo(), (STEPS - 9) * DT, state=first.state, record=zoo_record())
    assert_same(second.state, whole().state)
    both = [first.records, second.records]
    np.testing.assert_array_equal(
        np.concatenate([r["v"].value for r in both]), whole().records["v"].value
    )
    np.testing.assert_array_equal(
        np.concatenate([r["v"].time for r in both]), whole().records["v"].time
    )
    for field in ("neuron", "time"):
        np.testing.assert_array_equal(
            np.concatenate([getattr(r["spikes"], field) for r in both]),
            getattr(whole().records["spikes"], field),
        )
    assert second.records["spikes"].t_start == first.records["spikes"].t_stop == 9 * DT
    counts = sum(np.asarray(r["count"]) for r in both)
    np.testing.assert_array_equal(counts, whole().records["count"])


def test_rollout_equals_simulate_to_the_bit():
    state, records = rolled(built_zoo(), built_zoo().init_state(key=jax.random.key(1)), STEPS)
    assert_same(without_pending(state), without_pending(whole().state))
    np.testing.assert_array_equal(records["v"].value, whole().records["v"].value)
    np.testing.assert_array_equal(records["count"], whole().records["count"])
    trains = records["spikes"].trains()
    assert_same(trains, whole().records["spikes"])


@pytest.mark.parametrize("at", [1, 9, 17])
def test_rollout_goes_on_from_where_simulate_ended(at):
    """The delivery rings of `rollout` are filled from the history that `simulate` leaves."""
    first = bj.simulate(built_zoo(), at * DT, key=jax.random.key(1), record=zoo_record())
    if bj.info()["ops"] == "native":
        assert isinstance(first.state.pending, History)
    state, records = rolled(built_zoo(), first.state, STEPS - at)
    assert_same(without_pending(state), without_pending(whole().state))
    np.testing.assert_array_equal(records["v"].value, whole().records["v"].value[at:])


def test_simulate_goes_on_from_where_rollout_ended():
    state, _ = rolled(built_zoo(), built_zoo().init_state(key=jax.random.key(1)), 9)
    rest = bj.simulate(built_zoo(), (STEPS - 9) * DT, state=state, record=zoo_record())
    assert_same(without_pending(rest.state), without_pending(whole().state))
    np.testing.assert_array_equal(rest.records["v"].value, whole().records["v"].value[9:])


@pytest.mark.pure
def test_other_durations_and_parameters_do_not_compile_anew():
    def run(built, duration):
        return bj.simulate(
            built, duration, key=jax.random.key(2), record=zoo_record(), chunk=16
        ).state

    built = built_zoo()
    run(built, 16 * DT)
    doubled = built.with_weights("source0->cell.delta", 2 * built.weights("source0->cell.delta"))
    other = eqx.tree_at(lambda b: b.populations["cell"].neuron.tau_m, built, jnp.float32(12.0))
    with compilations() as compiled:
        states = [run(built, 3 * DT), run(built, 40 * DT), run(doubled, 40 * DT)]
        states.append(run(other, 40 * DT))
    assert not [name for name in compiled if "run_chunk" in name or "init_state" in name]
    assert not np.array_equal(
        states[1].populations["cell"].neuron.membrane.u,
        states[3].populations["cell"].neuron.membrane.u,
    )


@pytest.mark.pure
def test_a_counter_of_compilations_counts():
    with compilations() as compiled:
        jax.jit(lambda x: x * 3 + whole_number())(1.0)
    assert len([name for name in compiled if "lambda" in name]) == 1


def whole_number() -> int:
    """A number that no other program has."""
    return 271828


def test_inputs_reach_simulate_and_rollout_alike():
    built, steps = built_zoo(), 16
    rng = np.random.default_rng(0)
    inputs = {
        "other0": rng.normal(50.0, 20.0, (steps, 3)),
        "cell.exponentialcurrent": rng.normal(0.0, 20.0, steps),
    }
    key = jax.random.key(1)
    result = bj.simulate(built, steps * DT, key=key, inputs=inputs, chunk=7)
    state, _ = jax.jit(lambda s: arrays_alone(bj.rollout(built, s, inputs)))(
        built.init_state(key=key)
    )
    assert_same(without_pending(result.state), without_pending(state))
    without = bj.simulate(built, steps * DT, key=key, chunk=7)
    assert np.any(
        np.asarray(without.state.populations["other0"].neuron.membrane.u)
        != np.asarray(state.populations["other0"].neuron.membrane.u)
    )


def test_checkpointing_changes_neither_values_nor_gradients():
    built, state, _ = prepared(CASES[0])

    def loss(neuron, checkpoint):
        changed = eqx.tree_at(lambda b: b.populations["cell"].neuron, built, neuron)
        record = {"n": bj.SpikeCount("cell"), "v": bj.Trace("cell", "v")}
        _, records = bj.rollout(changed, state, num_steps=18, record=record, checkpoint=checkpoint)
        return records["n"].sum() + records["v"].value.mean()

    neuron = built.populations["cell"].neuron
    with_it, without = (
        eqx.filter_jit(eqx.filter_value_and_grad(loss))(neuron, checkpoint)
        for checkpoint in (True, False)
    )
    assert_close(arrays(with_it), arrays(without), 1e-4)


def test_a_run_in_float64_keeps_its_type(x64):
    built = bj.build(zoo(), dt=DT, key=jax.random.key(0))
    result = bj.simulate(built, 4 * DT, key=jax.random.key(1), record=zoo_record())
    assert {x.dtype for x in floats(result.state)} == {jnp.dtype(jnp.float64)}
    assert result.records["v"].value.dtype == np.float64
    assert result.records["count"].dtype == np.float64
    assert result.records["spikes"].time.dtype == np.float64


def test_the_zoo_comes_back_from_a_file(tmp_path):
    half = bj.simulate(built_zoo(), 9 * DT, key=jax.random.key(1)).state
    eqx.tree_serialise_leaves(tmp_path / "run.eqx", (built_zoo(), half))
    skeleton = jax.tree.map(lambda x: x * 0 if eqx.is_array(x) else x, (built_zoo(), half))
    built, state = eqx.tree_deserialise_leaves(tmp_path / "run.eqx", skeleton)
    rest = bj.simulate(built, (STEPS - 9) * DT, state=state, record=zoo_record())
    assert_same(rest.state, whole().state)


def test_build_takes_traced_weights_and_parameters():
    """A network may be built inside `jit`; only its structure must be known."""

    def loss(weight, tau_m):
        cell = bj.Population(3, bj.LIF(tau_m=tau_m, i_e=500.0), {"syn": bj.ExponentialCurrent()})
        loop = bj.Projection("cell", "cell.syn", bj.FixedInDegree(2), weight, bj.Uniform(0.5, 2.0))
        network = bj.Network({"cell": cell}, [loop], [bj.PoissonInput("cell.syn", 2000.0, 50.0)])
        built = bj.build(network, dt=DT, key=key)
        state = built.init_state(key=key)
        record = {"v": bj.Trace("cell", "v")}
        return bj.rollout(built, state, num_steps=30, record=record)[1]["v"].value.mean()

    key = jax.random.key(0)
    values = jnp.linspace(100.0, 200.0, 6), jnp.asarray([10.0, 11.0, 12.0])
    value, gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(*values)
    np.testing.assert_allclose(value, loss(*values), rtol=1e-5)
    for part in gradient:
        assert np.all(np.isfinite(part)) and np.any(part)
