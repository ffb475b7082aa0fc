"""Delays that are trained: on the grid they are delays, between steps they have a gradient."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import brainjax as bj

DT, SIZE, STEPS = 0.1, 12, 60
LONGEST = 2.0


def network(delay, weight=None):
    population = bj.Population(SIZE, bj.LIF(), {"in": bj.ExponentialCurrent(1.0)})
    neurons = np.tile(np.arange(SIZE), 2)
    times = np.concatenate([0.5 + 0.1 * np.arange(SIZE), 2.0 + 0.2 * np.arange(SIZE)])
    source = bj.Population(SIZE, bj.SpikeSource(times, neurons))
    weight = bj.Normal(300.0, 60.0) if weight is None else weight
    return bj.Network(
        {"source": source, "cell": population},
        [
            bj.Projection("source", "cell.in", bj.FixedProbability(0.4), weight, delay, name="p"),
            bj.Projection("cell", "cell.in", bj.FixedOutDegree(3), -40.0, 0.7, name="q"),
        ],
    )


def built_with(delay, **how):
    return bj.build(network(delay, **how), dt=DT, key=jax.random.key(5))


def voltages(built):
    state = built.init_state(key=jax.random.key(0))
    record = {"v": bj.Trace("cell", "v")}
    return bj.rollout(built, state, {}, num_steps=STEPS, record=record)[1]["v"].value


@pytest.fixture(scope="module")
def count():
    return built_with(0.3).projections["p"].num_synapses


def test_on_the_grid_it_is_a_delay(count):
    steps = np.random.default_rng(0).integers(1, 20, count)
    fixed = voltages(built_with(steps * DT))
    trained = voltages(built_with(bj.TrainableDelay(steps * DT, LONGEST)))
    np.testing.assert_allclose(trained, fixed, rtol=1e-6)
    other = voltages(built_with(bj.TrainableDelay(np.roll(steps, 1) * DT, LONGEST)))
    assert np.abs(other - fixed).max() > 0.1  # the control


def test_between_steps_it_is_the_mean_of_its_neighbours(count):
    """As long as no cell fires all is linear."""
    low = np.random.default_rng(0).integers(1, 19, count) * DT
    ends = [voltages(built_with(low + d, weight=30.0)) for d in (0.0, DT)]
    share = 0.3
    between = voltages(built_with(bj.TrainableDelay(low + share * DT, LONGEST), weight=30.0))
    assert np.abs(ends[0] - ends[1]).max() > 0.01
    np.testing.assert_allclose(between, (1 - share) * ends[0] + share * ends[1], atol=3e-5)


@pytest.mark.usefixtures("x64")
def test_gradients_are_differences(count):
    """By delays and by weights, of a network whose cells do not fire."""
    initial = np.random.default_rng(1).uniform(0.15, 1.9, count)
    initial = np.where(np.abs(initial / DT - np.round(initial / DT)) < 0.1, initial + 0.03, initial)
    built = built_with(bj.TrainableDelay(initial, LONGEST), weight=np.full(count, 30.0))
    chosen = bj.trainable(built, lambda b: [b.projections["p"].delay, b.projections["p"].weight])
    moving, fixed = eqx.partition(built, chosen)

    @eqx.filter_jit
    def loss(moving):
        return jnp.mean(jnp.sin(voltages(eqx.combine(moving, fixed)) * 3.0))

    gradient = eqx.filter_grad(loss)(moving)
    rng = np.random.default_rng(2)
    for leaf in ("delay", "weight"):
        at = lambda b, leaf=leaf: getattr(b.projections["p"], leaf)  # noqa: E731
        direction = jnp.asarray(rng.normal(size=count))
        step = 1e-5
        ends = [
            loss(eqx.tree_at(at, moving, at(moving) + sign * step * direction)) for sign in (1, -1)
        ]
        along = float(jnp.vdot(at(gradient), direction))
        assert abs(along) > 1e-6
        assert along == pytest.approx(float(ends[0] - ends[1]) / (2 * step), rel=1e-4)


def test_simulate_runs_what_rollout_runs():
    built = built_with(bj.TrainableDelay(bj.Uniform(0.2, 1.8), LONGEST))
    record = {"v": bj.Trace("cell", "v")}
    result = bj.simulate(built, STEPS * DT, key=jax.random.key(0), record=record, chunk=17)
    np.testing.assert_allclose(result.records["v"].value, voltages(built), rtol=1e-6)


def test_delays_are_read_back(count):
    initial = np.random.default_rng(1).uniform(0.15, 1.9, count)
    built = built_with(bj.TrainableDelay(initial, LONGEST))
    np.testing.assert_allclose(built.delays("p"), initial, rtol=1e-6)
    np.testing.assert_allclose(built.delays("q"), np.full(3 * SIZE, 0.7), rtol=1e-6)
    assert built.edges("p").pre.size == count


def test_training_finds_a_delay():
    """One synapse, whose spike must come later; the control is a step against the gradient."""
    population = bj.Population(1, bj.LIF(), {"in": bj.ExponentialCurrent(1.0)})
    described = bj.Network(
        {"source": bj.Population(1, bj.SpikeSource([0.2], [0])), "cell": population},
        [bj.Projection("source", "cell.in", bj.OneToOne(), 50.0, bj.TrainableDelay(0.5, 3.0), "p")],
    )
    built = bj.build(described, dt=DT, key=jax.random.key(0))
    goal = eqx.tree_at(lambda b: b.projections["p"].delay, built, jnp.array([1.75]))
    target = voltages_of(goal)
    moving, fixed = eqx.partition(built, bj.trainable(built, lambda b: b.projections["p"].delay))

    @eqx.filter_jit
    def gradient(moving):
        return eqx.filter_grad(
            lambda m: jnp.mean(jnp.square(voltages_of(eqx.combine(m, fixed)) - target))
        )(moving)

    delay = moving.projections["p"].delay
    for k in range(60):
        moving = eqx.tree_at(lambda m: m.projections["p"].delay, moving, delay)
        slope = gradient(moving).projections["p"].delay
        delay = delay - 0.1 * jnp.sign(slope) * 0.95**k
    assert float(delay[0]) == pytest.approx(1.75, abs=0.05)


def voltages_of(built):
    state = built.init_state(key=jax.random.key(0))
    record = {"v": bj.Trace("cell", "v")}
    return bj.rollout(built, state, {}, num_steps=50, record=record)[1]["v"].value


def test_bad_delays_are_refused():
    for initial in (0.05, 2.5):
        with pytest.raises(ValueError, match="expected dt = 0.1 ms to longest = 2.0 ms"):
            built_with(bj.TrainableDelay(initial, LONGEST))
    with pytest.raises(ValueError, match="one per synapse"):
        built_with(bj.TrainableDelay(np.ones(3), LONGEST))
    with pytest.raises(ValueError, match="positive"):
        bj.TrainableDelay(1.0, -1.0)


def test_a_delay_that_left_its_range_is_reported():
    built = built_with(bj.TrainableDelay(0.5, LONGEST))
    built = eqx.tree_at(lambda b: b.projections["p"].delay, built, replace_fn=lambda d: d + 2.0)
    with pytest.raises(bj.NonFiniteState):
        bj.simulate(built, 4.0, key=jax.random.key(0))
