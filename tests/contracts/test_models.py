"""What every model promises, whatever it is: run inside a tiny network."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts.helpers import (
    CASES,
    MODELS,
    NUM_STEPS,
    SIZE,
    arrays,
    arrays_alone,
    assert_close,
    assert_same,
    built_of,
    compilations,
    floats,
    held_model,
    prepared,
    record_of,
    run,
    run_of,
    without_pending,
)

import brainjax as bj
from brainjax.core import parameters_of


def by_name(case):
    return case.name


every_case = pytest.mark.parametrize("case", CASES, ids=by_name)
every_model = pytest.mark.parametrize("case", MODELS, ids=by_name)


@pytest.mark.pure
@every_model
def test_the_case_is_alive(case):
    """Cells spike, and spikes arrive: else the other contracts would say nothing."""
    built, state, rollout = prepared(case)
    last, records = rollout(built, state)
    assert 2 <= records["n"].sum() < SIZE * NUM_STEPS / 2
    quiet = bj.build(
        bj.Network({"cell": built.populations["cell"]}), dt=built.dt, key=jax.random.key(0)
    )
    alone = quiet.init_state(key=jax.random.key(1))
    _, silent = bj.rollout(quiet, alone, num_steps=NUM_STEPS, record={"v": bj.Trace("cell", "v")})
    assert np.any(np.asarray(silent["v"].value) != np.asarray(records["v"].value))
    assert int(last.steps) == NUM_STEPS


@every_case
def test_jit_equals_no_jit(case):
    built, state, rollout = prepared(case)
    with jax.disable_jit():
        plain = run(case, built, state)
    assert_close(rollout(built, state), plain, 1e-4)


@pytest.mark.pure
@every_case
def test_no_tracer_leaks(case):
    built, state, _ = prepared(case)
    with jax.checking_leaks():
        # Traced anew, not compiled. A fresh function: a known one would not be traced.
        eqx.filter_make_jaxpr(lambda b, s: run(case, b, s))(built, state)
        step = functools.partial(built.step, at=None)
        jax.make_jaxpr(lambda s: step(s))(state)


@every_case
def test_vmap_over_states_equals_a_loop(case):
    built, _, rollout = prepared(case)
    keys = jax.random.split(jax.random.key(5), 3)
    states = jax.vmap(lambda k: built.init_state(key=k))(keys)
    together = jax.jit(jax.vmap(lambda state: arrays(run(case, built, state))))(states)
    for i, key in enumerate(keys):
        state = built.init_state(key=key)
        assert_same(jax.tree.map(lambda x, i=i: x[i], states), state, f"initial state, key {i}")
        one = [x[i] for x in together]
        assert_same(one, arrays(rollout(built, state)), f"key {i}")


@pytest.mark.parametrize("x64", [False, True], ids=["float32", "float64"])
@every_case
def test_dtypes_do_not_leak(case, x64):
    with jax.enable_x64(x64):
        built = built_of(case)
        state = built.init_state(key=jax.random.key(1))
        dtype = jnp.float64 if x64 else jnp.float32
        for leaf in floats((built, state)):
            assert leaf.dtype == dtype
            assert not leaf.weak_type
        signature = [(x.shape, x.dtype, x.weak_type) for x in arrays(state)]
        for form in (state, built.init_state(key=jax.random.key(1), history=True)):
            shapes = jax.eval_shape(lambda s: built.step(s)[0], form)
            after = [(x.shape, x.dtype, x.weak_type) for x in jax.tree.leaves(shapes)]
            assert after == [(x.shape, x.dtype, x.weak_type) for x in arrays(form)]
        last, records = jax.eval_shape(lambda s: arrays_alone(run(case, built, s)), state)
        after = [(x.shape, x.dtype, x.weak_type) for x in jax.tree.leaves(last)]
        assert after == signature
        kept = [x for x in jax.tree.leaves(records) if x.dtype != jnp.int32]
        assert all(x.dtype == dtype and not x.weak_type for x in kept), records


@every_model
def test_gradients_are_finite_and_reach_the_parameters(case):
    built, state, _ = prepared(case)

    def loss(both):
        last, records = run(case, *both)
        at_end = sum(jnp.sum(x) for x in floats(last.populations))
        return records["n"].sum() + jnp.mean(jnp.square(records["v"].value)) + at_end

    gradient = eqx.filter_jit(eqx.filter_grad(loss))((built, state))
    for (path, given), got in zip(
        jax.tree_util.tree_flatten_with_path(eqx.filter((built, state), eqx.is_inexact_array))[0],
        floats(gradient),
        strict=True,
    ):
        where = jax.tree_util.keystr(path)
        assert got.shape == given.shape, where
        assert np.all(np.isfinite(np.asarray(got))), where
    model = held_model(case, gradient[0])
    silent = {
        f.name for f in parameters_of(model) if not np.any(np.asarray(getattr(model, f.name)))
    }
    assert silent == set(case.flat)
    if case.cls is not bj.NoSurrogate:
        assert np.any(np.asarray(gradient[1].populations["cell"].neuron.membrane[0]))
    assert np.any(np.asarray(gradient[0].projections["source->cell.syn"].weight))


@pytest.mark.pure
@every_model
def test_parameters_are_arrays_not_python_numbers(case):
    model = case.make()
    for field in parameters_of(model):
        value = getattr(model, field.name)
        assert isinstance(value, jax.Array), field.name
        assert jnp.issubdtype(value.dtype, jnp.floating), field.name
    leaves = jax.tree.leaves(model)
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)


@every_model
def test_new_parameter_values_do_not_retrace(case):
    built, state, _ = prepared(case)
    traces = []

    @eqx.filter_jit
    def rollout(built, state):
        traces.append(1)
        return run(case, built, state)

    first = rollout(built, state)
    model = held_model(case, built)
    fields = [f.name for f in parameters_of(model)]
    if not fields:
        pytest.skip(f"{case.name} has no parameters")
    changed = eqx.tree_at(
        lambda b: [getattr(held_model(case, b), n) for n in fields],
        built,
        # NumPy's and JAX's numbers, as a user's loop would have them.
        [jnp.asarray(np.asarray(getattr(model, n)) * 1.01) for n in fields],
    )
    second = rollout(changed, state)
    assert len(traces) == 1
    assert (
        any(
            np.any(np.asarray(a) != np.asarray(b))
            for a, b in zip(arrays(first), arrays(second), strict=True)
        )
        or set(fields) <= case.flat
    )
    with compilations() as compiled:
        rollout(built_of(case), state)
    assert len(traces) == 1, "a network built anew retraces"
    assert not [name for name in compiled if "rollout" in name]


@pytest.mark.pure
@every_case
def test_pytree_round_trip(case):
    built, state, _ = prepared(case)
    for tree in (built, state, case.make()):
        leaves, structure = jax.tree.flatten(tree)
        again = jax.tree.unflatten(structure, leaves)
        assert bool(eqx.tree_equal(tree, again))
        assert jax.tree.structure(again) == structure
        assert hash(structure) == hash(jax.tree.structure(again))
        assert type(again) is type(tree)


@every_case
def test_serialised_leaves_come_back(case, tmp_path):
    built, state, rollout = prepared(case)
    last, _ = rollout(built, state)
    eqx.tree_serialise_leaves(tmp_path / "run.eqx", (built, last))
    skeleton = eqx.filter_eval_shape(lambda: (built_of_zeros(built), state))
    again = eqx.tree_deserialise_leaves(tmp_path / "run.eqx", skeleton)
    assert_same(arrays(again), arrays((built, last)))
    assert_same(arrays(rollout(*again)), arrays(rollout(built, last)), "runs on")


def built_of_zeros(built):
    """The network with its numbers forgotten: only shapes can come from here."""
    return jax.tree.map(lambda x: jnp.zeros_like(x) if eqx.is_array(x) else x, built)


@every_model
def test_parameters_may_differ_between_neurons(case):
    """Arrays of shape `(size,)` of equal numbers are the number; of others, they differ."""
    if (case.kind == "stimulus" and not case.cls.elementwise) or case.cls is bj.SpikeSource:
        pytest.skip(f"{case.name} has no parameters of neurons")
    built, state, rollout = prepared(case)
    model = case.make()
    fields = [f.name for f in parameters_of(model)]
    if not fields:
        pytest.skip(f"{case.name} has no parameters")
    size = 3 if case.kind == "source" else SIZE

    def spread(by):
        factors = 1 + by * jnp.arange(size, dtype=jnp.float32)
        values = [
            getattr(model, n) * (factors if n not in ("t_ref", "start", "stop") else jnp.ones(size))
            for n in fields
        ]
        return eqx.tree_at(lambda m: [getattr(m, n) for n in fields], model, values)

    same = built_of(case, spread(0.0))
    assert all(getattr(held_model(case, same), n).shape == (size,) for n in fields)
    run_arrays = eqx.filter_jit(run_of(case))
    assert_close(
        without_pending(run_arrays(same, state)[0]),
        without_pending(rollout(built, state)[0]),
        1e-4,
    )
    if case.kind in ("neuron", "receptor", "stimulus"):
        _, records = run_arrays(built_of(case, spread(0.01)), state)
        before = np.asarray(rollout(built, state)[1]["v"].value)
        differs = np.any(np.asarray(records["v"].value) != before, axis=0)
        assert differs[1:].any()


@every_case
def test_simulate_equals_rollout_to_the_bit(case):
    built, state, rollout = prepared(case)
    result = bj.simulate(
        built, NUM_STEPS * built.dt, state=state, record=record_of(case), chunk=1000
    )
    last, records = rollout(built, state)
    if "own" in records and hasattr(records["own"], "trains"):
        records = {"own": records["own"].trains()}
    assert_same(result.state, last)
    for name in records:
        for mine, theirs in zip(
            jax.tree.leaves(result.records[name]), jax.tree.leaves(records[name]), strict=True
        ):
            np.testing.assert_array_equal(
                np.asarray(mine, np.float32), np.asarray(theirs, np.float32), err_msg=name
            )
