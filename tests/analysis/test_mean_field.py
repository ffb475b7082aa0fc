"""Stationary rates against 40 digits, against quadrature, and against published networks."""

import inspect
import math
import re
import textwrap
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from scipy import integrate, optimize
from scipy.special import erfcx, ndtri

import brainjax as bj
from brainjax.analysis import _mean_field, mean_field, siegert
from brainjax.analysis._moments import weight_moments

NEURON = {"tau_m": 20.0, "t_ref": 2.0, "v_th": 20.0, "v_reset": 10.0}

# Made with mpmath 1.4.1:
#   mp.dps = 40
#   shift = sqrt(2) * abs(zeta(mpf(1) / 2)) / 2 * sqrt(tau_syn / tau_m)
#   low, high = (v_reset - mean) / std + shift, (v_th - mean) / std + shift
#   total = quad(lambda u: exp(u * u) * erfc(-u), breaks between low and high)
#   rate = 1000 / (t_ref + tau_m * sqrt(pi) * total)
# with breaks at 0, at the numbers around it up to +-1e6, and at high - 2^k / (1 + high).
EXACT = [  # mean, std, tau_m, t_ref, v_th, v_reset, tau_syn, rate
    (25.0, 5.0, 20.0, 2.0, 20.0, 10.0, 0.0, 47.217443304138136),
    (15.0, 5.0, 20.0, 2.0, 20.0, 10.0, 0.0, 9.460799805759127),
    (20.0, 5.0, 20.0, 2.0, 20.0, 10.0, 0.0, 27.340567353077265),
    (10.0, 5.0, 20.0, 2.0, 20.0, 10.0, 0.0, 0.8819234559756666),
    (5.0, 5.0, 20.0, 2.0, 20.0, 10.0, 0.0, 0.009775677077429433),
    # deep below threshold
    (0.0, 2.0, 20.0, 2.0, 20.0, 0.0, 0.0, 1.044113154084624e-41),
    (0.0, 0.8, 20.0, 2.0, 20.0, 10.0, 0.0, 2.5937956281522728e-269),
    (0.0, 0.77, 10.0, 0.0, 20.0, 19.9, 0.0, 1.4770002197150926e-290),
    (-50.0, 5.0, 20.0, 2.0, 20.0, 10.0, 0.0, 2.9763883796663328e-83),
    (-2000.0, 100.0, 20.0, 2.0, 20.0, 19.9, 0.0, 8.883574467873918e-174),
    # next to no noise
    (20.0, 0.001, 20.0, 2.0, 20.0, 10.0, 0.0, 4.858097220978916),
    (20.001, 0.001, 20.0, 2.0, 20.0, 10.0, 0.0, 5.467493507273811),
    (20.1, 0.001, 20.0, 0.0, 20.0, 10.0, 0.0, 10.834011944212207),
    (30.0, 0.001, 20.0, 2.0, 20.0, 10.0, 0.0, 63.040002339667964),
    # strong drive, strong noise
    (10000.0, 1.0, 20.0, 0.0, 20.0, 0.0, 0.0, 24974.991783448055),
    (1000.0, 300.0, 10.0, 0.0, 20.0, 0.0, 0.0, 5159.8960693869),
    (15.0, 1000.0, 20.0, 2.0, 20.0, 0.0, 0.0, 369.6826829510573),
    (10.0, 10000.0, 20.0, 2.0, 20.0, 19.9, 0.0, 499.9112934601426),
    # filtered input
    (-60.0, 8.0, 10.0, 2.0, -50.0, -65.0, 0.5, 7.640877382084989),
    (-56.0, 3.0, 10.0, 2.0, -50.0, -65.0, 0.5, 0.7472006874172862),
    (-48.0, 3.0, 10.0, 2.0, -50.0, -65.0, 2.0, 39.767047789327215),
    (-45.0, 0.1, 10.0, 0.0, -50.0, -65.0, 0.5, 71.95935960201189),
]


@pytest.fixture(autouse=True)
def no_floating_point_errors():
    """Nothing overflows or is NaN on the way, which a final `where` would hide."""
    with np.errstate(all="raise", under="ignore"):
        yield


# ---- siegert


@pytest.mark.parametrize("row", EXACT, ids=lambda row: f"{row[0]:g}+-{row[1]:g}")
def test_rate_to_twelve_digits(row):
    mean, std, tau_m, t_ref, v_th, v_reset, tau_syn, rate = row
    found = siegert(
        mean, std, tau_m=tau_m, t_ref=t_ref, v_th=v_th, v_reset=v_reset, tau_syn=tau_syn
    )
    assert found == pytest.approx(rate, rel=1e-12, abs=0)


def by_quadrature(mean, std, tau_m, t_ref, v_th, v_reset):
    """The rate by the textbook formula; good where exp(u^2) does not overflow."""
    low, high = (v_reset - mean) / std, (v_th - mean) / std
    total, _ = integrate.quad(lambda u: erfcx(-u), low, high, epsabs=0, epsrel=1e-12, limit=500)
    return 1000.0 / (t_ref + tau_m * math.sqrt(math.pi) * total)


@pytest.mark.parametrize("seed", range(3))
def test_rate_is_the_integral(seed):
    """Limits on both sides of every seam of the implementation: 0, 10, and a narrow interval."""
    rng = np.random.default_rng(seed)
    high = rng.uniform(-15, 15, 300)
    width = 10.0 ** rng.uniform(-2, 1.2, 300)
    std = 10.0 / width
    rates = siegert(20.0 - high * std, std, **NEURON)
    pairs = zip(20.0 - high * std, std, strict=True)
    expected = [by_quadrature(*pair, *NEURON.values()) for pair in pairs]
    np.testing.assert_allclose(rates, expected, rtol=1e-10)


@pytest.mark.parametrize("t_ref", [0.0, 2.0])
def test_without_noise_it_is_the_rate_under_constant_current(t_ref):
    mean = np.array([20.000001, 20.5, 25.0, 100.0, 1e6, 1e12])
    expected = 1000 / (t_ref + 20 * np.log1p(10 / (mean - 20)))
    neuron = NEURON | {"t_ref": t_ref}
    for std in (0.0, 1e-300, 1e-12):
        np.testing.assert_allclose(siegert(mean, std, **neuron), expected, rtol=1e-9)
        filtered = siegert(mean, std, **neuron, tau_syn=1.0)
        np.testing.assert_allclose(filtered, expected, rtol=1e-6)
    below = siegert([20.0, 19.99, 0.0, -1e6], 0.0, **neuron)
    np.testing.assert_array_equal(below, 0.0)


def test_rate_underflows_smoothly():
    mean = 20.0 - np.arange(20.0, 40.0, 0.01)
    rates = siegert(mean, 1.0, **NEURON)
    assert np.all(rates >= 0) and np.all(np.diff(rates) <= 0) and rates[0] > 1e-180
    assert 0 < rates[rates > 0].min() < 1e-300 and rates[-1] == 0
    assert siegert(-1e300, 1e-300, **NEURON) == 0
    assert siegert(1e15, 0.0, **NEURON) == pytest.approx(500.0)


def test_rate_grows_with_the_input():
    mean, std = np.linspace(0, 60, 400)[:, None], np.geomspace(1.0, 50.0, 60)
    rates = siegert(mean, std, **NEURON)
    assert rates.shape == (400, 60)
    assert np.all(np.diff(rates, axis=0) > 0)
    assert np.all(np.diff(rates[mean[:, 0] <= 10], axis=1) > 0)  # noise helps below threshold
    assert np.all(rates < 500)
    for name, more in [("tau_m", 25.0), ("t_ref", 3.0), ("v_th", 21.0)]:
        assert siegert(15.0, 5.0, **NEURON | {name: more}) < siegert(15.0, 5.0, **NEURON)
    assert siegert(15.0, 5.0, **NEURON | {"v_reset": 11.0}) > siegert(15.0, 5.0, **NEURON)
    assert siegert(15.0, 5.0, **NEURON, tau_syn=1.0) < siegert(15.0, 5.0, **NEURON)


def test_shapes_types_and_the_zero_of_potentials():
    one = siegert(15.0, 5.0, **NEURON)
    assert isinstance(one, np.float64)
    many = siegert([[15.0], [16.0]], np.float32([5.0, 6.0, 7.0]), **NEURON | {"t_ref": [2, 2, 3]})
    assert many.shape == (2, 3) and many.dtype == np.float64 and many[0, 0] == one
    assert siegert([], 5.0, **NEURON).shape == (0,)
    absolute = siegert(15.0 - 70, 5.0, tau_m=20.0, t_ref=2.0, v_th=-50.0, v_reset=-60.0)
    assert absolute == pytest.approx(one, rel=1e-13)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mean": [1.0, np.nan]}, "siegert: mean: got nan, expected a finite number"),
        ({"std": np.inf}, "siegert: std: got inf, expected a finite number"),
        ({"std": [1.0, -1.0]}, "siegert: std: got -1.0, expected 0 or more"),
        ({"t_ref": -2.0}, "siegert: t_ref: got -2.0, expected 0 or more"),
        ({"tau_syn": -2.0}, "siegert: tau_syn: got -2.0, expected 0 or more"),
        ({"tau_m": 0.0}, "siegert: tau_m: got 0.0, expected more than 0 ms"),
        ({"v_reset": [10.0, 20.0]}, "siegert: v_reset: got 20.0, expected a potential below v_th"),
    ],
)
def test_siegert_refuses(wrong, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        siegert(**{"mean": 15.0, "std": 5.0, **NEURON, **wrong})


# ---- weights


def test_moments_of_numbers():
    np.testing.assert_allclose(weight_moments(-0.5, ""), [-0.5, 0.25])
    np.testing.assert_allclose(weight_moments([1.0, 2.0, 6.0], ""), [3.0, 41 / 3])
    np.testing.assert_allclose(weight_moments(bj.Normal(3.0, 0.0, low=0.0), ""), [3.0, 9.0])
    clipped = bj.Normal(3.0, 0.0, low=4.0, outside="clip")
    np.testing.assert_allclose(weight_moments(clipped, ""), [4.0, 16.0])


def test_moments_in_closed_form():
    np.testing.assert_allclose(weight_moments(bj.Uniform(2.0, 5.0), ""), [3.5, 13.0], rtol=1e-13)
    np.testing.assert_allclose(weight_moments(bj.Normal(2.0, 3.0), ""), [2.0, 13.0], rtol=1e-12)
    half = math.sqrt(2 / math.pi)
    np.testing.assert_allclose(weight_moments(bj.Normal(0.0, 1.0, low=0.0), ""), [half, 1.0])
    clipped = weight_moments(bj.Normal(0.0, 1.0, low=0.0, outside="clip"), "")
    np.testing.assert_allclose(clipped, [half / 2, 0.5])
    for sigma in (0.1, 1.0, 3.0):
        expected = [math.exp(0.5 + sigma**2 / 2), math.exp(1 + 2 * sigma**2)]
        np.testing.assert_allclose(
            weight_moments(bj.LogNormal(0.5, sigma), ""), expected, rtol=1e-10
        )


BOUNDED = [
    bj.Normal(1.0, 2.0, low=0.0, high=2.5),
    bj.Normal(1.0, 2.0, low=0.0, high=2.5, outside="clip"),
    bj.Normal(-3.0, 2.0, low=0.0, outside="clip"),
    bj.Normal(100.0, 2.0, high=0.0, outside="clip"),
    bj.LogNormal(0.3, 0.8, low=0.5, high=4.0),
    bj.LogNormal(0.3, 0.8, low=0.5, high=4.0, outside="clip"),
]


@pytest.mark.parametrize("weight", BOUNDED, ids=repr)
def test_moments_of_bounded_weights(weight):
    """Against the mean over two million equally likely values, of which some are outside."""
    z = ndtri((np.arange(2_000_000) + 0.5) / 2_000_000)
    if isinstance(weight, bj.Normal):
        values = weight.mean + weight.std * z
    else:
        values = np.exp(weight.mu + weight.sigma * z)
    if weight.outside == "redraw":
        values = values[(values >= weight.low) & (values <= weight.high)]
    values = np.clip(values, weight.low, weight.high)
    expected = [values.mean(), (values**2).mean()]
    np.testing.assert_allclose(weight_moments(weight, ""), expected, rtol=1e-4, atol=1e-12)


# ---- networks


def brunel(g, eta, v_reset=10.0):
    """Brunel's (2000) model A: what is outside fires at eta times the rate that reaches v_th."""
    cell = bj.LIF(tau_m=20.0, e_l=0.0, v_th=20.0, v_reset=v_reset, t_ref=2.0)
    populations = {
        name: bj.Population(size, cell, {"in": bj.Delta()})
        for name, size in {"exc": 10_000, "inh": 2500}.items()
    }
    projections = [
        bj.Projection(source, f"{target}.in", bj.FixedInDegree(number), weight, 1.5)
        for source, number, weight in (("exc", 1000, 0.1), ("inh", 250, -0.1 * g))
        for target in populations
    ]
    outside = [bj.PoissonInput(f"{name}.in", eta * 10_000.0, 0.1) for name in populations]
    return bj.Network(populations, projections, outside)


@pytest.mark.parametrize(
    ("g", "eta", "v_reset", "rate"),
    [(6.0, 4.0, 10.0, 55.8), (5.0, 2.0, 10.0, 37.95), (4.5, 0.9, 10.0, 6.52), (5, 2, 0, 32.03)],
)
def test_brunel_2000(g, eta, v_reset, rate):
    rates = mean_field(brunel(g, eta, v_reset))
    assert list(rates) == ["exc", "inh"] and rates["exc"] == pytest.approx(rates["inh"], rel=1e-9)
    assert rates["exc"] == pytest.approx(rate, rel=1e-3)


@pytest.mark.parametrize(("g", "eta"), [(3.0, 2.0), (6.0, 4.0), (5.0, 2.0), (4.5, 0.9)])
def test_brunel_2000_by_bisection(g, eta):
    """All of it anew in one dimension, with the equations of the paper."""

    def excess(nu):
        mean = 1000 * 0.1 * 0.02 * (eta * 10 + nu * (1 - g / 4))
        std = math.sqrt(1000 * 0.1**2 * 0.02 * (eta * 10 + nu * (1 + g**2 / 4)))
        return by_quadrature(mean, std, *NEURON.values()) - nu

    expected = optimize.brentq(excess, 1.0, 499.0, xtol=1e-12)
    assert mean_field(brunel(g, eta))["exc"] == pytest.approx(expected, rel=1e-9)


SIZES = {"L23E": 20683, "L23I": 5834, "L4E": 21915, "L4I": 5479}
SIZES |= {"L5E": 4850, "L5I": 1065, "L6E": 14395, "L6I": 2948}
SYNAPSES = """
45499805 22323577 20253647  9670918 3293578       0  2271404        0
17443694  5018763  4105338  1690074 2221213       0   353461        0
 3503670   756561 24482849 17413576  714524    7003 14624432        0
 8114254    92832  9933538  5223272   87836       0  8810905        0
10613575  1817058  5507804   151900 2040738 2407889  1438969        0
 1241436   169424   607667    12851  319602  430444   132414        0
 4681225   556108  6727570  1320234 4112225  305029  8372649 10827677
 2260836    17207   220033     8078  401638   25218  2888426  1354320
"""  # INM-6/microcircuit-PD14-model; target by source


def microcircuit():
    """The cortical column of Potjans and Diesmann (2014), with Poisson input."""
    cell = bj.LIF(c_m=250.0, tau_m=10.0, e_l=-65.0, v_th=-50.0, v_reset=-65.0, t_ref=2.0)
    receptors = {"syn": bj.ExponentialCurrent(0.5)}
    projections = []
    for target, line in zip(SIZES, SYNAPSES.strip().splitlines(), strict=True):
        for source, number in zip(SIZES, map(int, line.split()), strict=True):
            weight = 87.80849 * (2 if (source, target) == ("L4E", "L23E") else 1)
            drawn = bj.Normal(weight, weight / 10, low=0.0)
            if source.endswith("I"):
                drawn = bj.Normal(-4 * weight, 0.4 * weight, high=0.0)
            rule = bj.FixedTotalNumber(number)
            projections.append(bj.Projection(source, f"{target}.syn", rule, drawn, 1.5))
    outside = dict(zip(SIZES, (1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100), strict=True))
    return bj.Network(
        {name: bj.Population(size, cell, receptors) for name, size in SIZES.items()},
        projections,
        [bj.PoissonInput(f"{name}.syn", 8.0 * k, 87.80849) for name, k in outside.items()],
    )


def test_microcircuit():
    """Against simulations with NEST (INM-6/microcircuit-PD14-model), full scale, Poisson input."""
    nest = dict(zip(SIZES, (0.903, 2.965, 4.414, 5.876, 7.569, 8.633, 1.105, 7.829), strict=True))
    rates = mean_field(microcircuit())
    for name in SIZES:
        assert rates[name] == pytest.approx(nest[name], rel=0.17), name
    total = sum(SIZES[name] * rates[name] for name in SIZES)
    assert total == pytest.approx(sum(SIZES[name] * nest[name] for name in SIZES), rel=0.05)


def cells(receptor=None, size=1000, **parameters):
    parameters = {"tau_m": 20.0, "e_l": -70.0, "v_th": -50.0, "v_reset": -60.0, **parameters}
    return bj.Population(size, bj.LIF(**parameters), {"in": receptor or bj.Delta()})


def single(population, *stimuli, projections=(), **others):
    return bj.Network({"cells": population, **others}, list(projections), list(stimuli))


NOISE = bj.PoissonInput("cells.in", 9500.0, 0.1)


def test_inputs_of_one_population():
    """One neuron under Poisson input is `siegert`; what is the same input gives the same rate."""
    (rate,) = mean_field(single(cells(), NOISE)).values()
    std = math.sqrt(0.02 * 9500 * 0.01)
    expected = siegert(-51.0, std, tau_m=20.0, t_ref=2.0, v_th=-50.0, v_reset=-60.0)
    assert rate == pytest.approx(expected, rel=1e-9)
    halves = [bj.PoissonInput("cells.in", 4750.0, 0.1)] * 2
    assert mean_field(single(cells(), *halves))["cells"] == pytest.approx(rate, rel=1e-9)
    # Sources in a population of their own: 400 of 23.75 Hz each.
    source = bj.Population(1600, bj.PoissonSource(23.75))
    rule = bj.FixedInDegree(400)
    sources = bj.Projection("noise", "cells.in", rule, 0.1, 1.0)
    network = single(cells(), projections=[sources], noise=source)
    assert mean_field(network) == pytest.approx({"cells": rate}, rel=1e-9)


def test_currents_are_potentials():
    # 100 pA through 20 ms / 250 pF are 8 mV.
    expected = mean_field(single(cells(e_l=-62.0), NOISE))["cells"]
    assert expected > 20
    for population, stimuli in [(cells(i_e=100.0), []), (cells(), [bj.DC("cells", 100.0)])]:
        rate = mean_field(single(population, NOISE, *stimuli))["cells"]
        assert rate == pytest.approx(expected, rel=1e-9)


def recurrent(rule, weight, receptor=None, outside=NOISE):
    projection = bj.Projection("cells", "cells.in", rule, weight, 1.0)
    return single(cells(receptor), outside, projections=[projection])


def test_a_short_current_is_a_jump():
    """What counts is the charge w tau_syn / c_m; and that it is spread lowers the rate."""
    rule = bj.FixedInDegree(100)
    jumps = mean_field(recurrent(rule, -0.2))["cells"]
    previous = 0.0
    for tau_syn in (2.0, 0.5, 1e-2, 1e-8):
        scale = 250.0 / tau_syn
        outside = bj.PoissonInput("cells.in", 9500.0, 0.1 * scale)
        receptor = bj.ExponentialCurrent(tau_syn)
        rate = mean_field(recurrent(rule, -0.2 * scale, receptor, outside))["cells"]
        assert previous < rate < jumps
        previous = rate
    assert previous == pytest.approx(jumps, rel=1e-4)


def test_in_degree_is_that_of_the_rule():
    rates = [
        mean_field(recurrent(rule, -0.2))["cells"]
        for rule in (
            bj.FixedInDegree(50),
            bj.FixedOutDegree(50),
            bj.FixedTotalNumber(50_000),
            bj.FixedProbability(0.05),
            bj.Explicit(np.arange(50_000) % 1000, np.arange(50_000) // 50),
        )
    ]
    np.testing.assert_allclose(rates, rates[0], rtol=1e-9)
    assert mean_field(recurrent(bj.FixedInDegree(51), -0.2))["cells"] < rates[0] * (1 - 1e-3)
    # Without an autapse it is one less.
    hollow = mean_field(recurrent(bj.AllToAll(autapses=False), -0.2))["cells"]
    assert hollow == pytest.approx(mean_field(recurrent(bj.FixedInDegree(999), -0.2))["cells"])


def test_the_spread_of_weights_is_noise():
    rule = bj.FixedInDegree(400)
    narrow, drawn, listed = (
        mean_field(recurrent(rule, weight))
        for weight in (-0.05, bj.Normal(-0.05, 0.2), np.tile([-0.25, 0.15], 200_000))
    )
    assert drawn["cells"] > 1.1 * narrow["cells"]
    assert drawn == pytest.approx(listed, rel=1e-9)  # one mean, one variance


def test_a_bistable_network_ends_where_it_starts():
    network = recurrent(bj.AllToAll(), 0.1, outside=bj.PoissonInput("cells.in", 7000.0, 0.1))
    low, high = mean_field(network), mean_field(network, start=300.0)
    assert low["cells"] < 0.1 and 400 < high["cells"] < 500
    assert mean_field(network, start={"cells": 300.0}) == high
    assert mean_field(network, start=high) == pytest.approx(high, rel=1e-9)


def test_what_has_no_input_is_silent():
    assert mean_field(single(cells())) == {"cells": 0.0}
    assert mean_field(bj.Network({"noise": bj.Population(3, bj.PoissonSource(5.0))})) == {}


def test_no_state_found(monkeypatch):
    """Neither relaxed long enough nor polished."""
    monkeypatch.setattr(_mean_field, "_DURATION", 0.5)
    monkeypatch.setattr(optimize, "root", lambda function, x, **_: SimpleNamespace(x=x))
    message = r"'cells' at [\d.]+ Hz: got 'a response that differs by [\d.]+ Hz', .* Start nearer"
    with pytest.raises(RuntimeError, match=message):
        mean_field(single(cells(), NOISE))


CONDUCTANCE = bj.ExponentialConductance()
SPIKES = bj.Population(1, bj.SpikeSource([5.0], [0]))
BURST = bj.Population(1, bj.PoissonSource(5.0, stop=100.0))
UNEVEN = bj.Population(2, bj.PoissonSource([5.0, 6.0]))


def driven_by(source, weight=0.1):
    projection = bj.Projection("source", "cells.in", bj.AllToAll(), weight, 1.0)
    return single(cells(), projections=[projection], source=source)


def two_filters(first, second):
    population = bj.Population(10, bj.LIF(), {"a": first, "b": second})
    return single(population, *(bj.PoissonInput(f"cells.{r}", 100.0, 1.0) for r in "ab"))


REFUSED = {
    "conductances": (
        lambda: single(cells(CONDUCTANCE), NOISE),
        "PoissonInput('cells.in'): target: got 'ExponentialConductance', expected a Delta or",
    ),
    "conductances in a projection": (
        lambda: single(
            cells(CONDUCTANCE),
            projections=[bj.Projection("cells", "cells.in", bj.AllToAll(), 0.1, 1.0)],
        ),
        "Projection 'cells->cells.in': target: got 'ExponentialConductance'",
    ),
    "two time constants": (
        lambda: two_filters(bj.ExponentialCurrent(1.0), bj.ExponentialCurrent(2.05)),
        "population 'cells': tau_syn: got [1.0, 2.05], expected one time constant",
    ),
    "a filter and none": (
        lambda: two_filters(bj.ExponentialCurrent(1.0), bj.Delta()),
        "population 'cells': tau_syn: got [0.0, 1.0], expected one time constant",
    ),
    "uneven neurons": (
        lambda: single(cells(size=3, v_th=[-50.0, -50.0, -49.0])),
        "population 'cells': v_th: got '2 different values', expected one value",
    ),
    "uneven input": (
        lambda: single(cells(size=2), bj.PoissonInput("cells.in", [1.0, 2.0], 0.1)),
        "PoissonInput('cells.in'): rate: got '2 different values'",
    ),
    "uneven sources": (
        lambda: driven_by(UNEVEN),
        "population 'source': rate: got '2 different values'",
    ),
    "input that ends": (
        lambda: single(cells(), bj.DC("cells", 10.0, stop=100.0)),
        "DC('cells'): start, stop: got (0.0, 100.0), expected input that does not change in time",
    ),
    "input that begins": (
        lambda: single(cells(), bj.PoissonInput("cells.in", 10.0, 0.1, start=50.0)),
        "PoissonInput('cells.in'): start, stop: got (50.0, inf)",
    ),
    "sources that end": (
        lambda: driven_by(BURST),
        "population 'source': start, stop: got (0.0, 100.0)",
    ),
    "input to some": (
        lambda: single(cells(), bj.DC("cells", 10.0, num_targets=7)),
        "DC('cells'): num_targets: got 7, expected all 1000 neurons",
    ),
    "a current in steps": (
        lambda: single(cells(), bj.StepCurrent("cells", [0.0], [1.0])),
        "StepCurrent('cells'): got 'StepCurrent', expected DC, PoissonInput or PoissonSource",
    ),
    "given spikes": (
        lambda: driven_by(SPIKES),
        "population 'source': got 'SpikeSource', expected DC, PoissonInput or PoissonSource",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_mean_field_refuses(case):
    network, message = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(f"mean_field: {message}")):
        mean_field(network())


def test_mean_field_refuses_other_neurons_and_distributions():
    with pytest.raises(ValueError, match="population 'x': got 'SimpleNamespace', expected LIF"):
        _mean_field._cell("x", SimpleNamespace(tau_m=10.0))

    class Fixed(bj.Distribution):
        def sample(self, stream, n, start=0):
            return np.zeros(n)

        def expectation(self):
            return 0.0

        def scaled(self, factor):
            return self

    with pytest.raises(ValueError, match="weight: got .*Fixed.*, expected Uniform, Normal"):
        mean_field(driven_by(bj.Population(1, bj.PoissonSource(5.0)), Fixed()))


def test_mean_field_refuses_what_is_no_description():
    network = single(cells(), NOISE)
    built = bj.build(network, dt=0.1, key=jax.random.key(0))
    with pytest.raises(TypeError, match=r"got 'BuiltNetwork', expected a bj.Network.*bj.build"):
        mean_field(built)
    with pytest.raises(ValueError, match=r"start: got 'cell', .*Did you mean 'cells'\?"):
        mean_field(network, start={"cell": 1.0})
    for wrong in (-1.0, float("nan"), float("inf"), "fast", [1.0]):
        with pytest.raises(ValueError, match="start of 'cells': got .* expected a rate in Hz, 0"):
            mean_field(network, start=wrong)


def test_mean_field_refuses_what_is_traced():
    def rate(weight):
        return mean_field(single(cells(), bj.PoissonInput("cells.in", 8000.0, weight)))["cells"]

    with pytest.raises(ValueError, match="weight: got 'a traced value', expected a number that is"):
        jax.jit(rate)(0.1)


@pytest.mark.parametrize("function", [mean_field, siegert])
def test_example_runs(function):
    (code,) = re.findall(r"```python\n(.*?)```", inspect.getdoc(function), re.DOTALL)
    exec(textwrap.dedent(code), {})
