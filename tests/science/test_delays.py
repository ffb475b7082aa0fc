"""A spike over a delay of d steps arrives exactly d steps later, whatever drew the synapse."""

import functools

import jax
import numpy as np
import pytest
from science.runs import run, trace

import brainjax as bj

DT, SIZE, LONGEST = 0.1, 64, 64
APART = LONGEST + 2  # steps between the probes: one spike of one source at a time
PROBE_STEPS, BUSY_STEPS = SIZE * APART, 400
NUM_STEPS = PROBE_STEPS + BUSY_STEPS + LONGEST + 1
WAYS = [
    ("simulate", "auto"),
    ("simulate", "jax"),
    ("rollout", "auto"),
    ("rollout", "jax"),
]


def rules():
    rng = np.random.default_rng(5)
    explicit = bj.Explicit(rng.integers(0, SIZE, 300), rng.integers(0, SIZE, 300))
    return {
        "one_to_one": bj.OneToOne(),
        "all_to_all": bj.AllToAll(),
        "probability": bj.FixedProbability(0.1),
        "total": bj.FixedTotalNumber(500),
        "in_degree": bj.FixedInDegree(6),
        "out_degree": bj.FixedOutDegree(6),
        "explicit": explicit,
        "drawn_delay": bj.FixedProbability(0.1),
    }


def source_spikes():
    """`(step, source, value)`: each source alone first, then all of them at random, some graded."""
    rng = np.random.default_rng(6)
    probes = np.zeros((NUM_STEPS, SIZE))
    probes[np.arange(SIZE) * APART, np.arange(SIZE)] = 1
    probes[PROBE_STEPS : PROBE_STEPS + BUSY_STEPS] = rng.poisson(0.05, (BUSY_STEPS, SIZE))
    step, source = np.nonzero(probes)
    return step, source, probes[step, source].astype(int)


def network(values):
    """A target population with a receptor for each rule that adds up all that ever arrives.

    `values`: rule to `(weight, delay in ms)`, each a number or one per synapse.
    """
    step, source, value = source_spikes()
    sources = bj.SpikeSource(np.repeat((step + 1) * DT, value), np.repeat(source, value))
    receptors = {name: bj.ExponentialCurrent(1e30) for name in rules()}
    return bj.Network(
        {
            "src": bj.Population(SIZE, sources),
            "cell": bj.Population(SIZE, bj.LIF(v_th=1e9), receptors),
        },
        [
            bj.Projection("src", f"cell.{name}", rule, *values[name], name=name)
            for name, rule in rules().items()
        ],
    )


@functools.cache
def connections():
    """Per rule `(pre, post, weight, delay in steps)` as handed to the library, in its order."""
    drawn = bj.Uniform(0.1, LONGEST * DT)
    first = bj.build(network(dict.fromkeys(rules(), (1.0, drawn))), dt=DT, key=jax.random.key(3))
    found = {}
    for name in rules():
        pre, post, delay = first.edges(name)
        if name != "drawn_delay":
            rng = np.random.default_rng(len(found))
            delay = rng.integers(1, LONGEST + 1, pre.size)
            delay[:LONGEST] = np.arange(1, LONGEST + 1)[: delay.size]  # every delay
        # Whole numbers: sums are exact in float32, whatever their order.
        weight = 1.0 + np.random.default_rng(7).permutation(pre.size)
        found[name] = pre, post, weight, delay
    return found


@functools.cache
def built(impl):
    values = {}
    for name, (_, _, weight, delay) in connections().items():
        if name == "explicit":  # a list of the user's: values go with the list, not the order
            order = np.argsort(rules()[name].order)
            weight, delay = weight[order], delay[order]
        values[name] = (
            weight,
            bj.Uniform(0.1, LONGEST * DT) if name == "drawn_delay" else delay * DT,
        )
    return bj.build(network(values), dt=DT, key=jax.random.key(3), impl=impl)


@functools.cache
def arrivals(driver, impl):
    """Per rule what arrived, `(steps, targets)`."""
    record = {name: bj.Trace("cell", f"{name}.i") for name in rules()}
    records = run(built(impl), NUM_STEPS, driver=driver, record=record)
    return {n: np.diff(trace(r), axis=0, prepend=0.0) for n, r in records.items()}


@pytest.mark.parametrize("rule", rules())
@pytest.mark.parametrize(("driver", "impl"), WAYS)
def test_a_spike_arrives_after_its_delay(driver, impl, rule):
    pre, post, weight, delay = connections()[rule]
    assert pre.size >= SIZE
    assert delay.min() >= 1
    assert delay.max() <= LONGEST
    if rule != "drawn_delay":
        assert set(delay.tolist()) == set(range(1, LONGEST + 1))
    expected = np.zeros((NUM_STEPS + LONGEST, SIZE))
    for step, source, value in zip(*source_spikes(), strict=True):
        mine = pre == source
        np.add.at(expected, (step + delay[mine], post[mine]), value * weight[mine])
    got = arrivals(driver, impl)[rule]
    assert got.shape == (NUM_STEPS, SIZE)
    np.testing.assert_array_equal(got, expected[:NUM_STEPS])
    assert not expected[NUM_STEPS:].any()


@pytest.mark.parametrize("rule", rules())
def test_edges_and_weights_say_what_arrives(rule):
    # Read back from the probes alone: source s spikes in step s * APART, with nobody else.
    probes = arrivals("simulate", "auto")[rule][:PROBE_STEPS].reshape(SIZE, APART, SIZE)
    network = built("auto")
    pre, post, delay = network.edges(rule)
    weight = np.asarray(network.weights(rule))
    coo = np.zeros_like(probes)
    np.add.at(coo, (pre, delay, post), weight)
    np.testing.assert_array_equal(probes, coo)
    np.testing.assert_array_equal(probes.sum(axis=1), network.weights(rule, as_="dense"))
    expected = connections()[rule]
    for got, given in zip((pre, post), expected, strict=False):
        np.testing.assert_array_equal(got, given)
    # Copies of a pair are listed by delay: the same synapses, perhaps in another order.
    rows = np.stack([pre, post, delay, weight])
    given = np.stack([expected[0], expected[1], expected[3], expected[2]])
    np.testing.assert_array_equal(rows[:, np.lexsort(rows)], given[:, np.lexsort(given)])


def test_drawn_delays_are_rounded_to_the_grid():
    # One key draws the same delays in ms whatever dt: on two grids they differ by rounding alone.
    values = {name: (1.0, bj.Uniform(0.1, LONGEST * DT)) for name in rules()}
    size = {}
    for dt in (0.1, 0.025):
        fine = bj.build(network(values), dt=dt, key=jax.random.key(3))
        size[dt] = fine.edges("all_to_all").delay * dt
    assert np.all(np.abs(size[0.1] - size[0.025]) <= 0.05 + 0.0125 + 1e-9)
    nearest = np.floor(size[0.025] / 0.1 + 0.5) * 0.1
    assert np.mean(np.isclose(nearest, size[0.1])) > 0.7  # truncation would give half
    standard_error = LONGEST * DT / np.sqrt(12 * SIZE * SIZE)
    assert abs(size[0.1].mean() - (0.1 + LONGEST * DT) / 2) < 4 * standard_error


def test_what_cannot_be_a_delay_is_refused():
    for delay, message in ((0.0, "at least"), (0.25, "multiple"), (-0.1, "at least")):
        values = dict.fromkeys(rules(), (1.0, delay))
        with pytest.raises(ValueError, match=message):
            bj.build(network(values), dt=DT, key=jax.random.key(0))
