"""The microcircuit: every number of its specification, and its rates when it is downscaled."""

# Misuse is what is tested, so the types are wrong.
# pyright: reportArgumentType=false

import json
import math
from pathlib import Path

import numpy as np
import pytest
from oracles import closed_forms

import brainjax as bj
from brainjax.models import microcircuit
from brainjax.models._microcircuit import current_per_potential

FOLDER = Path(__file__).parent.parent
NAMES = ("L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I")
SIZES = (20683, 5834, 21915, 5479, 4850, 1065, 14395, 2948)
# From the authors' code; rows are targets.
NUMBERS = np.array(
    [
        [45499805, 22323577, 20253647, 9670918, 3293578, 0, 2271404, 0],
        [17443694, 5018763, 4105338, 1690074, 2221213, 0, 353461, 0],
        [3503670, 756561, 24482849, 17413576, 714524, 7003, 14624432, 0],
        [8114254, 92832, 9933538, 5223272, 87836, 0, 8810905, 0],
        [10613575, 1817058, 5507804, 151900, 2040738, 2407889, 1438969, 0],
        [1241436, 169424, 607667, 12851, 319602, 430444, 132414, 0],
        [4681225, 556108, 6727570, 1320234, 4112225, 305029, 8372649, 10827677],
        [2260836, 17207, 220033, 8078, 401638, 25218, 2888426, 1354320],
    ]
)
WEIGHT = 87.80849
NUM_EXTERNAL = (1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100)
CURRENTS = (561.974, 526.851, 737.591, 667.345, 702.468, 667.345, 1018.579, 737.591)


def numbers_of(network):
    """The numbers of synapses, by target and source."""
    found = np.zeros((8, 8), np.int64)
    for p in network.projections:
        assert isinstance(p.rule, bj.FixedTotalNumber) and p.rule.autapses and p.rule.multapses
        found[NAMES.index(p.target_population), NAMES.index(p.source)] += p.rule.n
    return found


def test_sizes_and_numbers_of_synapses():
    network = microcircuit()
    assert tuple(network.populations) == NAMES
    assert tuple(p.size for p in network.populations.values()) == SIZES
    numbers = numbers_of(network)
    np.testing.assert_array_equal(numbers, NUMBERS)
    assert numbers.sum() == 298_880_968
    assert len(network.projections) == np.count_nonzero(NUMBERS) == 55
    in_degrees = [4995.1, 5285.0, 2806.4, 5888.4, 4943.9, 2736.0, 2563.6, 2434.1]
    out_degrees = [4513.8, 5271.1, 3278.0, 6477.6, 2719.9, 2981.8, 2701.8, 4132.3]
    np.testing.assert_allclose(numbers.sum(axis=1) / SIZES, in_degrees, atol=0.05)
    np.testing.assert_allclose(numbers.sum(axis=0) / SIZES, out_degrees, atol=0.05)


def test_neurons_and_receptors():
    for population in microcircuit().populations.values():
        neuron = population.neuron
        assert type(neuron) is bj.LIF
        given = [neuron.c_m, neuron.tau_m, neuron.e_l, neuron.v_th, neuron.v_reset, neuron.t_ref]
        assert [float(x) for x in given] == [250.0, 10.0, -65.0, -50.0, -65.0, 2.0]
        assert float(neuron.i_e) == 0
        (receptor,) = population.receptors.values()
        assert type(receptor) is bj.ExponentialCurrent and float(receptor.tau_syn) == 0.5


def test_the_factor_gives_a_peak_of_one_millivolt():
    factor = current_per_potential(250.0, 10.0, 0.5)
    assert factor == pytest.approx(585.38996, abs=5e-6)
    peak = closed_forms.psp_exponential_peak(weight=factor, tau_syn=0.5, c_m=250.0, tau_m=10.0)
    assert peak[1] == pytest.approx(1.0, rel=1e-12)


def test_weights_and_delays():
    for p in microcircuit().projections:
        name, weight, delay = p.name, p.weight, p.delay
        assert name == f"{p.source}->{p.target}"
        inhibitory = p.source in ("L23I", "L4I", "L5I", "L6I")
        doubled = (p.source, p.target_population) == ("L4E", "L23E")
        expected = -4 * WEIGHT if inhibitory else (2 if doubled else 1) * WEIGHT
        assert weight.mean == pytest.approx(expected, abs=3e-5), name
        assert weight.std == pytest.approx(0.1 * abs(expected), abs=3e-6), name
        ends = (-math.inf, 0.0) if inhibitory else (0.0, math.inf)
        assert (weight.low, weight.high, weight.outside) == (*ends, "redraw")
        assert delay == (
            bj.Normal(0.75, 0.375, low=0.05) if inhibitory else bj.Normal(1.5, 0.75, low=0.05)
        )
        assert delay.expectation() == pytest.approx(0.777 if inhibitory else 1.547, abs=5e-4)


def test_poisson_drive():
    stimuli = microcircuit().stimuli
    assert [s.target for s in stimuli] == [f"{n}.syn" for n in NAMES]
    for stimulus, k in zip(stimuli, NUM_EXTERNAL, strict=True):
        assert type(stimulus) is bj.PoissonInput
        assert float(stimulus.rate) == 8 * k
        assert float(stimulus.weight) == pytest.approx(WEIGHT, abs=1e-5)


def test_constant_drive():
    network = microcircuit(drive="dc")
    assert not network.stimuli
    currents = [float(p.neuron.i_e) for p in network.populations.values()]
    np.testing.assert_allclose(currents, CURRENTS, atol=6e-4)
    half = microcircuit(drive="dc", rate_ext=4.0).populations.values()
    np.testing.assert_allclose([2 * float(p.neuron.i_e) for p in half], currents, rtol=1e-6)


def test_initial_values():
    def start(network):
        return [p.initial["v"].distribution for p in network.populations.values()]

    assert start(microcircuit(initial="original")) == [bj.Normal(-58.0, 10.0)] * 8
    optimised = start(microcircuit())
    assert optimised[0] == bj.Normal(-68.28, 5.36) and optimised[7] == bj.Normal(-61.43, 4.48)
    assert len(set(optimised)) == 8


def test_options_scale_what_they_name():
    network = microcircuit(psp=0.3, g=-5.0, rate_ext=10.0)
    weights = {p.name: p.weight.mean for p in network.projections}
    assert weights["L23E->L4E.syn"] == pytest.approx(2 * WEIGHT, rel=1e-6)
    assert weights["L4E->L23E.syn"] == pytest.approx(4 * WEIGHT, rel=1e-6)
    assert weights["L4I->L23E.syn"] == pytest.approx(-10 * WEIGHT, rel=1e-6)
    assert float(network.stimuli[0].rate) == 16_000
    assert float(network.stimuli[0].weight) == pytest.approx(2 * WEIGHT, rel=1e-6)


def test_thalamus():
    network = microcircuit(thalamus=True)
    thalamus = network.populations["TC"]
    assert (thalamus.size, type(thalamus.neuron)) == (902, bj.PoissonSource)
    neuron = thalamus.neuron
    assert [float(x) for x in (neuron.rate, neuron.start, neuron.stop)] == [120.0, 700.0, 710.0]
    synapses = {p.target: p.rule.n for p in network.projections if p.source == "TC"}
    assert synapses == {
        "L4E.syn": 2045393,
        "L4I.syn": 315791,
        "L6E.syn": 682419,
        "L6I.syn": 52636,
    }
    for p in network.projections:
        if p.source == "TC":
            assert p.weight.mean == pytest.approx(WEIGHT, abs=1e-5)
            assert p.weight.std == pytest.approx(WEIGHT / 10, abs=1e-5)
            assert p.delay == bj.Normal(1.5, 0.75, low=0.05)
    rest = [p for p in network.projections if p.source != "TC"]
    assert [p.name for p in rest] == [p.name for p in microcircuit().projections]


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"drive": "poison"}, ValueError, r"microcircuit: drive: got 'poison'.*mean 'poisson'"),
        ({"initial": "optimized"}, ValueError, r"microcircuit: initial: .*mean 'optimised'"),
        ({"rate_ext": -1.0}, ValueError, r"rate_ext: got -1\.0, .* of 0 or more, in Hz"),
        ({"rate_ext": math.inf}, ValueError, r"rate_ext: got inf, expected a finite number"),
        ({"psp": 0.0}, ValueError, r"psp: got 0\.0, expected a finite number above 0, in mV"),
        ({"psp": math.nan}, ValueError, r"psp: got nan"),
        ({"psp": "0.15"}, TypeError, r"psp: got '0\.15', expected a finite number"),
        ({"g": 4.0}, ValueError, r"g: got 4\.0, expected a finite number of 0 or less"),
        ({"thalamus": 1}, TypeError, r"thalamus: got 1, expected True or False"),
    ],
)
def test_misuse(arguments, error, match):
    with pytest.raises(error, match=match):
        microcircuit(**arguments)


def test_downscaled_rates_are_those_of_nest():
    """The config with a seed of its own, beside ten seeds of NEST."""
    nest = json.loads((FOLDER / "oracles/nest_microcircuit.json").read_text())["rate_hz"]
    experiment = bj.experiments.load("pd14_tenth", {"seed": 10, "record": {}})
    found = bj.experiments.summary_of(bj.experiments.run(experiment))["populations"]
    assert tuple(found) == NAMES
    for name, rates in nest.items():
        assert abs(found[name]["rate_hz"] - np.mean(rates)) < 4 * np.std(rates), name
