"""Larger and smaller networks: in-degrees, and mean and variance of the input, in closed form."""

# Misuse is what is tested, so the types are wrong.
# pyright: reportArgumentType=false

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import brainjax as bj
from brainjax.models import downscaled, microcircuit, resized

MICROCIRCUIT_RATES = bj.experiments.load("pd14").config["scaling"]["rates"]

RATES = {"exc": 7.0, "inh": 13.0}
NEURON = {"c_m": 200.0, "tau_m": 20.0}


def network(**changes):
    """Every rule and every receptor of currents whose numbers can be scaled; sources, stimuli."""
    receptors = {
        "fast": bj.ExponentialCurrent(2.0),
        "slow": bj.AlphaCurrent(5.0),
        "jump": bj.Delta(),
    }
    parts = {
        "populations": {
            "exc": bj.Population(
                800, bj.LIF(**NEURON, i_e=30.0), receptors, {"v": bj.Normal(-60, 3)}
            ),
            "inh": bj.Population(200, bj.LIF(**NEURON), receptors),
            "noise": bj.Population(100, bj.PoissonSource(50.0)),
            "pulse": bj.Population(50, bj.PoissonSource(80.0, start=20.0, stop=30.0)),
        },
        "projections": [
            bj.Projection("exc", "exc.fast", bj.FixedProbability(0.1, autapses=False), 20.0, 1.5),
            bj.Projection(
                "exc", "inh.fast", bj.FixedTotalNumber(20_000), bj.Normal(25, 5, low=20), 1.0
            ),
            bj.Projection("inh", "exc.slow", bj.FixedInDegree(40), bj.Uniform(-90, -60), 1.0),
            bj.Projection("inh", "inh.jump", bj.FixedOutDegree(30), -0.2, bj.Uniform(0.5, 1.5)),
            bj.Projection("noise", "exc.jump", bj.FixedTotalNumber(8000), 0.1, 1.0),
            bj.Projection("pulse", "inh.fast", bj.FixedInDegree(20), 15.0, 1.0),
        ],
        "stimuli": [
            bj.PoissonInput("exc.fast", 4000.0, 12.0),
            bj.PoissonInput("inh.slow", 1000.0, 9.0, start=5.0, stop=50.0),
            bj.PoissonInput("exc.fast", 300.0, 50.0, num_targets=50),
            bj.DC("inh", 40.0, num_targets=33),
            bj.StepCurrent("exc", [0.0, 5.0], [10.0, 20.0]),
        ],
    }
    return bj.Network(**(parts | changes))


# The charge of an input of weight 1, pA ms: the integral of the current, and c_m for 1 mV.
CHARGES = {
    bj.ExponentialCurrent: lambda r, n: float(r.tau_syn),
    bj.AlphaCurrent: lambda r, n: math.e * float(r.tau_syn),
    bj.Delta: lambda r, n: float(n.c_m),
}


def moments(weight):
    """The mean and the mean square of a weight, by sampling where it is drawn."""
    if not isinstance(weight, bj.Distribution):
        return weight, weight**2
    values = weight.sample(bj.core.HostStream((1, 1)), 400_000)
    return weight.expectation(), np.mean(values**2)


def charge_of(net, target):
    name, _, receptor = target.partition(".")
    population = net.populations[name]
    model = population.receptors[receptor]
    return CHARGES[type(model)](model, population.neuron)


def in_degree(net, p):
    num_pre, num_post = net.populations[p.source].size, net.populations[p.target_population].size
    return (
        p.rule.expected_number(num_pre, num_post, same=p.source == p.target_population) / num_post
    )


def rate_of(net, name, rates):
    return rates.get(name) if name in rates else float(net.populations[name].neuron.rate)


def recurrent(net, population, rates, moment):
    """Sum over the projections that end on a population, of charge^moment times events a ms."""
    return sum(
        charge_of(net, p.target) ** moment
        * moments(p.weight)[moment - 1]
        * in_degree(net, p)
        * rate_of(net, p.source, rates)
        / 1000
        for p in net.projections
        if p.target_population == population
    )


def external(net, population, moment):
    return sum(
        (charge_of(net, s.target) * float(s.weight)) ** moment * float(s.rate) / 1000
        for s in net.stimuli
        if isinstance(s, bj.PoissonInput) and s.target.partition(".")[0] == population
    )


def constant(net, population):
    return sum(
        float(s.amplitude) for s in net.stimuli if isinstance(s, bj.DC) and s.target == population
    )


# ---- resized ------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.5, 2.0, 0.25])
def test_resized_keeps_in_degrees(factor):
    old = network()
    new = resized(old, factor)
    for name, population in old.populations.items():
        assert new.populations[name].size == round(population.size * factor)
        assert new.populations[name].initial == population.initial
    for a, b in zip(old.projections, new.projections, strict=True):
        assert in_degree(new, b) == pytest.approx(in_degree(old, a), rel=5e-3), a.name
        assert (a.name, a.weight, a.delay, type(a.rule)) == (
            b.name,
            b.weight,
            b.delay,
            type(b.rule),
        )
    assert new.projections[0].rule == bj.FixedProbability(0.1 / factor, autapses=False)
    assert new.projections[1].rule == bj.FixedTotalNumber(round(20_000 * factor))
    assert new.projections[2].rule == bj.FixedInDegree(40)
    assert new.projections[3].rule == bj.FixedOutDegree(30)
    assert [getattr(s, "num_targets", None) for s in new.stimuli] == [
        *(None, None, round(50 * factor), round(33 * factor), None)
    ]
    assert float(new.stimuli[0].rate) == 4000
    bj.build(new, dt=0.1, key=jax.random.key(0))


def test_resized_one_to_one_and_all_to_all():
    cells = {"a": bj.Population(40, bj.LIF(), {"s": bj.Delta()}), "b": bj.Population(1, bj.LIF())}
    net = bj.Network(
        cells,
        [
            bj.Projection("a", "a.s", bj.OneToOne(), 0.1, 1.0),
            bj.Projection("b", "a.s", bj.AllToAll(), 0.1, 1.0),
        ],
    )
    new = resized(net, 0.5)
    assert [p.size for p in new.populations.values()] == [20, 1]  # never less than one
    assert [in_degree(new, p) for p in new.projections] == [1, 1]


def test_resized_coba_is_a_smaller_coba():
    coba = bj.experiments.load("coba").network
    new = resized(coba, 0.5)
    assert [p.size for p in new.populations.values()] == [1600, 400]
    assert [p.rule for p in new.projections] == [bj.FixedProbability(0.04)] * 4
    assert resized(new, 2.0).summary() == coba.summary()


def test_by_one_nothing_changes():
    net = network()
    assert resized(net, 1.0) is net
    assert downscaled(net, 1, rates=RATES) is net


# ---- downscaled ---------------------------------------------------------------------------------


# A third of 40 synapses is 13: of the variance, what rounding takes is lost.
@pytest.mark.parametrize(("factor", "tol"), [(0.5, 2e-3), (0.1, 2e-3), (0.33, 0.02)])
def test_downscaled_keeps_mean_and_variance_of_the_input(factor, tol):
    old = network()
    new = downscaled(old, factor, rates=RATES)
    for name in RATES:
        before, after = (
            recurrent(n, name, RATES, 1) + external(n, name, 1) + constant(n, name)
            for n in (old, new)
        )
        # Of the mean nothing is lost by rounding numbers of synapses.
        assert after == pytest.approx(before, rel=2e-6), name
        spread = [recurrent(n, name, RATES, 2) + external(n, name, 2) for n in (old, new)]
        assert spread[1] == pytest.approx(spread[0], rel=tol), name
        # It would not be kept by chance.
        uncorrected = recurrent(new, name, RATES, 1) + external(new, name, 1)
        assert abs(uncorrected + constant(old, name) - before) > 0.05 * abs(before)


def test_downscaled_numbers():
    new = downscaled(network(), 0.25, rates=RATES)
    assert [p.size for p in new.populations.values()] == [200, 50, 25, 12]
    rules = [p.rule for p in new.projections]
    assert rules == [
        bj.FixedProbability(0.1, autapses=False),
        bj.FixedTotalNumber(1250),
        bj.FixedInDegree(10),
        bj.FixedOutDegree(8),
        bj.FixedTotalNumber(500),
        bj.FixedInDegree(5),
    ]
    weights = [p.weight for p in new.projections]
    assert weights[0] == 40.0 and weights[1] == bj.Normal(50.0, 10.0, low=40.0)
    assert weights[2] == bj.Uniform(-180.0, -120.0)
    assert [p.delay for p in new.projections] == [p.delay for p in network().projections]
    inputs = [s for s in new.stimuli if isinstance(s, bj.PoissonInput)]
    assert [float(s.rate) for s in inputs] == [1000.0, 250.0, 75.0]
    assert [float(s.weight) for s in inputs] == [24.0, 18.0, 100.0]
    assert new.populations["exc"].neuron.i_e == 30.0
    bj.build(new, dt=0.1, key=jax.random.key(0))


def test_downscaled_currents_last_as_long_as_the_input():
    """With in-degrees that scale without rounding the current is 0.001 q w K r (1 - sqrt(f))."""
    new = downscaled(network(), 0.25, rates=RATES)
    added = {
        (s.target, float(s.start), float(s.stop), s.num_targets): float(s.amplitude)
        for s in new.stimuli[len(network().stimuli) :]
    }
    pulse = 0.001 * 2.0 * 15.0 * 20 * 80.0 * 0.5
    window = 0.001 * 5.0 * math.e * 9.0 * 1000.0 * 0.5
    some = 0.001 * 2.0 * 50.0 * 300.0 * 0.5
    assert added.keys() == {
        ("exc", 0.0, math.inf, None),
        ("inh", 0.0, math.inf, None),
        ("inh", 20.0, 30.0, None),
        ("inh", 5.0, 50.0, None),
        ("exc", 0.0, math.inf, 12),
    }
    assert added["inh", 20.0, 30.0, None] == pytest.approx(pulse, rel=1e-6)
    assert added["inh", 5.0, 50.0, None] == pytest.approx(window, rel=1e-6)
    assert added["exc", 0.0, math.inf, 12] == pytest.approx(some, rel=1e-6)


@pytest.mark.parametrize("drive", ["poisson", "dc"])
def test_downscaled_microcircuit_is_that_of_its_authors(drive):
    factor, root = 0.1, math.sqrt(0.1)
    full = microcircuit(drive=drive)
    new = downscaled(full, factor, rates=MICROCIRCUIT_RATES)
    sizes = [p.size for p in new.populations.values()]
    assert sizes == [2068, 583, 2192, 548, 485, 106, 1440, 295]
    total = sum(p.rule.n for p in new.projections)
    assert abs(total - 2_988_809.68) < 15
    for a, b in zip(full.projections, new.projections, strict=True):
        assert b.rule.n == round(a.rule.n * factor**2)
        assert b.weight.mean == pytest.approx(a.weight.mean / root, rel=1e-12)
        assert b.weight.std == pytest.approx(0.1 * abs(a.weight.mean) / root, rel=1e-12)
    # Their formula, which leaves out that sizes are rounded: that is up to half a percent in L5I.
    currents = {s.target: float(s.amplitude) for s in new.stimuli if isinstance(s, bj.DC)}
    for k, name in enumerate(full.populations):
        mean = sum(
            p.weight.mean * in_degree(full, p) * MICROCIRCUIT_RATES[p.source]
            for p in full.projections
            if p.target_population == name
        )
        if drive == "poisson":
            mean += float(full.stimuli[k].weight) * float(full.stimuli[k].rate)
        assert currents[name] == pytest.approx(0.001 * 0.5 * (1 - root) * mean, abs=1.0), name


def test_charges_are_those_of_the_receptors():
    """The current that makes up for lost input has the effect of that input on a membrane."""
    rate, factor, dt = 2000.0, 0.25, 0.1
    receptors = {"exp": bj.ExponentialCurrent(3.0), "alpha": bj.AlphaCurrent(4.0), "d": bj.Delta()}
    weights = {"exp": 10.0, "alpha": 4.0, "d": 0.15}
    neuron = bj.LIF(**NEURON, v_th=1e6)
    for name, receptor in receptors.items():
        cell = bj.Population(1, neuron, {name: receptor})
        net = bj.Network({"c": cell}, stimuli=[bj.PoissonInput(f"c.{name}", rate, weights[name])])
        (_, current) = downscaled(net, factor, rates={}).stimuli
        built = bj.build(bj.Network({"c": cell}), dt=dt, key=jax.random.key(0))
        # The mean of half the input that arrives in each step, against the current.
        inputs = {f"c.{name}": jnp.full(4000, 0.5 * rate * dt / 1000 * weights[name])}
        state = built.init_state(key=jax.random.key(0))
        record = {"v": bj.Trace("c", "v")}
        v = bj.rollout(built, state, inputs, record=record)[1]["v"].value[-1, 0]
        steady = float(neuron.e_l) + float(current.amplitude) * 20.0 / 200.0
        # Input in lumps, at the end of steps, is dt / 2 later or earlier than a current: 0.25 %.
        assert float(v) - float(neuron.e_l) == pytest.approx(steady - float(neuron.e_l), rel=6e-3)


def test_traced_weights_and_rates_stay_traced():
    def amplitude(weight, rate):
        net = bj.Network(
            {"c": bj.Population(10, bj.LIF(), {"s": bj.ExponentialCurrent(2.0)})},
            [bj.Projection("c", "c.s", bj.FixedInDegree(4), weight, 1.0)],
            [bj.PoissonInput("c.s", rate, 3.0, max_events=5)],
        )
        (_, current) = downscaled(net, 0.25, rates={"c": 50.0}).stimuli
        return current.amplitude

    value, slopes = jax.value_and_grad(amplitude, argnums=(0, 1))(5.0, 1000.0)
    # 4 synapses become 1, of twice the weight.
    assert float(value) == pytest.approx(0.002 * (5.0 * 50.0 * 2 + 3.0 * 1000 * 0.5), rel=1e-6)
    assert float(slopes[0]) == pytest.approx(0.002 * 50.0 * 2, rel=1e-6)
    assert float(slopes[1]) == pytest.approx(0.002 * 3.0 * 0.5, rel=1e-6)


# ---- misuse -------------------------------------------------------------------------------------


CELL = bj.Population(10, bj.LIF(), {"s": bj.Delta()})


def between(rule, weight=0.1, delay=1.0):
    return bj.Network({"a": CELL}, [bj.Projection("a", "a.s", rule, weight, delay)])


def shrunk(net):
    return downscaled(net, 0.5, rates=dict.fromkeys(net.populations, 5.0))


SPIKES = bj.Population(3, bj.SpikeSource([1.0], [0]))
LISTED = bj.Explicit([0], [1])


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: resized(network(), 0.0), ValueError, r"resized: factor: got 0\.0, .* above 0\."),
        (lambda: resized(network(), math.inf), ValueError, r"resized: factor: got inf"),
        (lambda: resized(network(), "2"), TypeError, r"resized: factor: got '2'"),
        (
            lambda: downscaled(network(), 2.0, rates=RATES),
            ValueError,
            r"downscaled: factor: got 2\.0, .* at most 1\. resized makes a network larger",
        ),
        (
            lambda: downscaled(network(), math.nan, rates=RATES),
            ValueError,
            r"downscaled: factor: got nan",
        ),
        (
            lambda: downscaled(network(), 0.5, rates={"exc": 5.0}),
            ValueError,
            r"downscaled: rates: got \['exc'\], expected the rate of 'inh' too",
        ),
        (
            lambda: downscaled(network(), 0.5, rates={**RATES, "ihn": 2.0}),
            ValueError,
            r"rates: got 'ihn', .*Did you mean 'inh'",
        ),
        (
            lambda: downscaled(network(), 0.5, rates={**RATES, "inh": -2.0}),
            ValueError,
            r"rates\['inh'\]: got -2\.0, expected a number of 0 or more, in Hz",
        ),
        (
            lambda: downscaled(network(), 0.5, rates=[7.0, 13.0]),
            TypeError,
            r"rates: got \[7\.0, 13\.0\], expected a mapping",
        ),
        (
            lambda: resized(between(bj.FixedProbability(0.6)), 0.5),
            ValueError,
            r"resized: Projection 'a->a\.s': rule: .*0\.6.*at most 1.*factor of at least 0\.6",
        ),
        (
            lambda: resized(between(bj.FixedInDegree(8, multapses=False)), 0.5),
            ValueError,
            r"resized: Projection 'a->a\.s': FixedInDegree: n: got 8, expected at most 5",
        ),
        (
            lambda: resized(between(bj.AllToAll()), 0.5),
            ValueError,
            r"'a->a\.s': rule: got AllToAll.*FixedInDegree\(10\) keeps it",
        ),
        (lambda: resized(between(LISTED), 0.5), TypeError, r"'a->a\.s': rule: got 'Explicit'"),
        (lambda: shrunk(between(LISTED)), TypeError, r"'a->a\.s': rule: got 'Explicit'"),
        (
            lambda: shrunk(between(bj.OneToOne())),
            TypeError,
            r"'a->a\.s': rule: got 'OneToOne'.*can be scaled\. resized keeps it",
        ),
        (
            lambda: resized(between(bj.OneToOne(), weight=[0.1] * 10), 0.5),
            ValueError,
            r"'a->a\.s': weight: got '10 values', expected one number or distribution",
        ),
        (
            lambda: shrunk(between(bj.FixedInDegree(2), delay=np.ones(20))),
            ValueError,
            r"'a->a\.s': delay: got '20 values'.*Scale first, then set",
        ),
        (
            lambda: resized(bj.Network({"a": bj.Population(4, bj.LIF(i_e=np.ones(4)))}), 0.5),
            ValueError,
            r"resized: Population 'a': neuron\.i_e: got '4 values', expected one number",
        ),
        (
            lambda: resized(
                bj.Network({"a": bj.Population(4, bj.LIF(), initial={"v": -60.0 * np.ones(4)})}),
                0.5,
            ),
            ValueError,
            r"resized: Population 'a': initial: v: got '4 values'",
        ),
        (
            lambda: resized(bj.Network({"a": CELL}, stimuli=[bj.DC("a", np.ones(10))]), 0.5),
            ValueError,
            r"resized: DC\('a'\)\.amplitude: got '10 values'",
        ),
        (
            lambda: resized(bj.Network({"s": SPIKES}), 0.5),
            TypeError,
            r"resized: Population 's': got 'SpikeSource'.*PoissonSource can be scaled",
        ),
        (
            lambda: shrunk(bj.experiments.load("coba").network),
            TypeError,
            r"downscaled: Projection 'exc->exc\.ampa': receptor 'exc\.ampa': "
            r"got 'ExponentialConductance', expected currents",
        ),
    ],
)
def test_misuse(make, error, match):
    with pytest.raises(error, match=match):
        make()
