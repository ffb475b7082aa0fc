"""Stimuli: when they act to the step, and what random ones are distributed like."""

import functools

import jax
import numpy as np
import pytest
from oracles import closed_forms
from science.runs import DRIVERS, run, trace, whole_steps
from scipy import stats

import brainjax as bj

DT = 0.1


def counter(**receptors):
    """A neuron whose receptors add up, without decay, all that arrives."""
    return bj.LIF(v_th=1e12), {name: bj.ExponentialCurrent(1e30) for name in receptors}


def arrived(record):
    """What arrived in each step, from a trace of the sum."""
    return np.diff(trace(record), axis=0, prepend=0.0)


# ---- Poisson input ------------------------------------------------------------------------------

SIZE, NUM_STEPS, SEEDS = 400, 1000, 3
RATES = {"low": 50.0, "mid": 2000.0, "high": 25_000.0}  # 0.005, 0.2 and 2.5 events a step


@functools.cache
def poisson_arrivals():
    """Per seed and rate the events in each step, `(steps, neurons)`."""
    neuron, receptors = counter(low=0, mid=0, high=0, each=0, window=0)
    each = np.linspace(0.0, 8000.0, SIZE)
    network = bj.Network(
        {"cell": bj.Population(SIZE, neuron, receptors)},
        stimuli=[
            *(bj.PoissonInput(f"cell.{n}", rate=r, weight=2.0) for n, r in RATES.items()),
            bj.PoissonInput("cell.each", rate=each, weight=-1.0),
            bj.PoissonInput("cell.window", rate=2000.0, weight=1.0, start=20.0, stop=50.0),
        ],
    )
    built = bj.build(network, dt=DT, key=jax.random.key(0))
    record = {name: bj.Trace("cell", f"{name}.i") for name in receptors}
    found = []
    for seed in range(SEEDS):
        records = run(built, NUM_STEPS, record=record, seed=seed)
        found.append({n: arrived(r) for n, r in records.items()})
    return found


@pytest.mark.parametrize("name", RATES)
def test_poisson_counts_have_their_distribution(name):
    mean = RATES[name] * DT / 1000
    z = []
    for seed in poisson_arrivals():
        counts = seed[name] / 2.0
        np.testing.assert_array_equal(counts, np.round(counts))
        number = counts.size
        z.append((counts.mean() - mean) / np.sqrt(mean / number))
        # The sample variance of a Poisson number has variance (mean + 2 mean^2) / n.
        z.append((counts.var() - mean) / np.sqrt((mean + 2 * mean**2) / number))
        most = int(stats.poisson.isf(30 / number, mean))
        expected = stats.poisson.pmf(np.arange(most + 1), mean)
        expected = number * np.append(expected, 1 - expected.sum())
        observed = np.bincount(np.minimum(counts.ravel().astype(int), most + 1), minlength=most + 2)
        assert stats.chisquare(observed, expected).pvalue > 1e-3
    assert np.abs(z).max() < 4, z
    assert np.abs(np.mean(z)) < 2


def test_poisson_rates_may_differ_between_neurons():
    rates = np.linspace(0.0, 8000.0, SIZE)
    counts = -np.mean([seed["each"].sum(axis=0) for seed in poisson_arrivals()], axis=0)
    mean = rates * DT / 1000 * NUM_STEPS
    assert counts[0] == 0
    z = (counts[1:] - mean[1:]) / np.sqrt(mean[1:] / SEEDS)
    assert np.abs(z).max() < 4.5
    assert abs(z.mean()) * np.sqrt(SIZE) < 4
    assert 0.8 < z.std() < 1.2


def test_poisson_input_is_independent():
    first, second, _ = poisson_arrivals()
    counts = first["mid"] / 2.0
    number, bound = counts.size, 4.5

    def z(a, b):
        a, b = a - a.mean(), b - b.mean()
        return (a * b).mean() / (a.std() * b.std()) * np.sqrt(a.size)

    # Across neurons: pairs one by one, and the variance of the sum over the population.
    among = np.corrcoef(counts.T)[np.triu_indices(SIZE, 1)] * np.sqrt(NUM_STEPS)
    assert 0.97 < among.std() < 1.03
    assert np.abs(among).max() < 6.5  # of 79 800 pairs
    total = counts.sum(axis=1)
    fano = total.var() / total.mean()
    assert abs(fano - 1) < bound * np.sqrt(2 / NUM_STEPS)
    # Across steps, receptors and seeds.
    assert abs(z(counts[1:], counts[:-1])) < bound
    assert abs(z(counts[:, 1:], counts[:, :-1])) < bound
    assert abs(z(counts, first["high"])) < bound
    assert abs(z(counts, second["mid"])) < bound
    assert z(counts, counts + 0.1 * second["mid"]) > 0.9 * np.sqrt(number)  # it can tell


def test_poisson_input_acts_from_start_to_stop():
    for seed in poisson_arrivals():
        active = np.flatnonzero(seed["window"].any(axis=1))
        # 80 events a step in all: none is silent. Steps 200 to 499 start in 20 <= t < 50 ms.
        np.testing.assert_array_equal(active, np.arange(200, 500))


def test_two_poisson_inputs_to_one_receptor_are_independent():
    neuron, receptors = counter(syn=0)
    stimuli = [bj.PoissonInput("cell.syn", rate=2000.0, weight=w) for w in (1.0, -1.0)]
    network = bj.Network({"cell": bj.Population(200, neuron, receptors)}, stimuli=stimuli)
    built = bj.build(network, dt=DT, key=jax.random.key(0))
    counts = arrived(run(built, 200, record={"i": bj.Trace("cell", "syn.i")})["i"])
    # The variances add: 2 x 0.2 events a step. Drawn from the same bits they cancel, or double.
    assert abs(counts.var() - 0.4) < 0.05


@pytest.mark.parametrize("driver", DRIVERS)
def test_input_for_the_first_neurons_leaves_their_numbers_as_they_were(driver):
    """What the first seven receive is what they would receive among all; the others get nothing."""
    size, num_steps, first = 12, 200, 7
    neuron, receptors = counter(syn=0)
    rates = np.linspace(500.0, 2000.0, size)

    def records(num_targets):
        stimuli = [
            bj.PoissonInput("cell.syn", rates, 1.0, start=3.0, num_targets=num_targets),
            bj.DC("line", 5.0, start=3.0, stop=9.0, num_targets=num_targets),
        ]
        line = bj.LIF(c_m=DT, tau_m=1e12, v_th=1e12, e_l=0.0, v_reset=0.0)
        populations = {
            "cell": bj.Population(size, neuron, receptors),
            "line": bj.Population(size, line),
        }
        network = bj.Network(populations, stimuli=stimuli)
        built = bj.build(network, dt=DT, key=jax.random.key(0))
        record = {"events": bj.Trace("cell", "syn.i"), "current": bj.Trace("line", "v")}
        return {
            n: arrived(r) for n, r in run(built, num_steps, driver=driver, record=record).items()
        }

    every, some, whole = records(None), records(np.int64(first)), records(size)
    for name in every:
        assert (np.abs(every[name]).sum(axis=0) > 0).all()
        np.testing.assert_array_equal(some[name][:, :first], every[name][:, :first])
        np.testing.assert_array_equal(some[name][:, first:], 0)
        np.testing.assert_array_equal(whole[name], every[name])


@functools.cache
def shot_noise(seed):
    """v of 300 free membranes under excitatory and inhibitory Poisson input, every 30 ms."""
    receptors = {"ex": bj.ExponentialCurrent(2.0), "in": bj.AlphaCurrent(5.0)}
    neuron = bj.LIF(c_m=250.0, tau_m=10.0, v_th=1e9, i_e=50.0)
    network = bj.Network(
        {"cell": bj.Population(300, neuron, receptors)},
        stimuli=[
            bj.PoissonInput("cell.ex", rate=4000.0, weight=60.0),
            bj.PoissonInput("cell.in", rate=1000.0, weight=-35.0),
        ],
    )
    built = bj.build(network, dt=DT, key=jax.random.key(0))
    v = trace(run(built, 6000, record={"v": bj.Trace("cell", "v")}, seed=seed)["v"])
    return v[1500::300]  # apart by many time constants: independent samples


def test_shot_noise_has_the_moments_of_campbell():
    # Mean rate int psp dt and variance rate int psp^2 dt; the sums over steps are exact here.
    times = np.arange(1, 4000) * DT
    mean, variance = -70.0 + 50.0 * 10.0 / 250.0, 0.0
    common = {"c_m": 250.0, "tau_m": 10.0}
    for rate, psp in (
        (4.0, closed_forms.psp_exponential(times, weight=60.0, tau_syn=2.0, **common)),
        (1.0, closed_forms.psp_alpha(times, weight=-35.0, tau_syn=5.0, **common)),
    ):
        mean += rate * DT * psp.sum()
        variance += rate * DT * (psp**2).sum()
    # The same from the areas: weight tau_syn tau_m / c_m, and e times that for alpha.
    areas = 4.0 * 60.0 * 2.0 * 0.04 - 1.0 * 35.0 * 5.0 * np.e * 0.04
    assert abs(mean - (-68.0 + areas)) < 0.01
    z = []
    for seed in range(SEEDS):
        v = shot_noise(seed)
        number = v.size
        assert number > 4000
        z.append((v.mean() - mean) / np.sqrt(variance / number))
        kurtosis = stats.kurtosis(v, axis=None)
        z.append((v.var() / variance - 1) / np.sqrt((2 + kurtosis) / number))
    assert np.abs(z).max() < 4, z
    assert abs(np.mean(z)) < 2, z


# ---- currents and inputs ------------------------------------------------------------------------


@pytest.mark.parametrize("driver", DRIVERS)
def test_currents_start_and_stop_to_the_step(x64, driver):
    # Without a leak and without capacitance to speak of, the rise of v is the current.
    num_steps = 300
    neuron = bj.LIF(c_m=DT, tau_m=1e12, v_th=1e12, e_l=0.0, v_reset=0.0)
    times, amplitudes = [2.0, 5.0, 5.1, 20.0], [10.0, -3.0, 7.0, 0.0]
    k = np.arange(num_steps)
    levels = np.array([0.0, *amplitudes])[
        np.searchsorted(np.round(np.array(times) / DT), k, "right")
    ]
    each = np.stack([levels, -2 * levels], axis=1)
    each_dc = np.array([1.0, 2.5])
    names = ("dc", "steps", "both", "given", "one")
    network = bj.Network(
        {name: bj.Population(2, neuron) for name in names},
        stimuli=[
            bj.DC("dc", amplitude=each_dc, start=3.0, stop=7.0),
            bj.StepCurrent("steps", times=times, amplitudes=amplitudes),
            bj.DC("both", amplitude=4.0, start=29.9),
            bj.StepCurrent("both", times=times, amplitudes=amplitudes),
        ],
    )
    built = bj.build(network, dt=DT, key=jax.random.key(0))
    inputs = {"given": each, "one": levels, "both": 2 * levels}
    record = {name: bj.Trace(name, "v") for name in names}
    records = run(built, num_steps, driver=driver, inputs=inputs, record=record)
    current = {n: np.diff(trace(r), axis=0, prepend=0.0) for n, r in records.items()}
    within = ((k >= 30) & (k < 70))[:, None]
    column = np.stack([levels, levels], axis=1)
    expected = {
        "dc": within * each_dc,
        "steps": column,
        "both": 3 * column + np.where(k == 299, 4.0, 0.0)[:, None],
        "given": each,
        "one": column,
    }
    for name in names:
        np.testing.assert_allclose(current[name], expected[name], atol=1e-8, err_msg=name)


def test_inputs_equal_stimuli_and_sources(x64):
    # Arrivals given from outside equal those of a source one step of delay away; a current given
    # equals a StepCurrent. In every step, spikes too.
    num_steps = 500
    neuron, receptors = bj.LIF(tau_m=12.0), {"syn": bj.ExponentialCurrent(3.0)}
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.06, (num_steps, 5))
    step, unit = np.nonzero(counts[1:])
    value = counts[1:][step, unit]
    counts[0] = 0
    times, amplitudes = [5.0, 20.0, 33.3], [300.0, 550.0, -50.0]
    levels = np.array([0.0, *amplitudes])[
        np.searchsorted(np.round(np.array(times) / DT), np.arange(num_steps), "right")
    ]
    source = bj.SpikeSource(np.repeat((step + 1) * DT, value), np.repeat(unit, value))
    network = bj.Network(
        {
            "src": bj.Population(5, source),
            "inside": bj.Population(5, neuron, receptors),
            "outside": bj.Population(5, neuron, receptors),
        },
        [bj.Projection("src", "inside.syn", bj.OneToOne(), weight=90.0, delay=DT)],
        [bj.StepCurrent("inside", times=times, amplitudes=amplitudes)],
    )
    built = bj.build(network, dt=DT, key=jax.random.key(0))
    record = {f"{n} v": bj.Trace(n, "v") for n in ("inside", "outside")}
    record |= {f"{n} s": bj.Spikes(n) for n in ("inside", "outside")}
    inputs = {"outside": levels, "outside.syn": counts * 90.0}
    records = run(built, num_steps, record=record, inputs=inputs)
    assert records["inside s"].time.size >= 10
    np.testing.assert_array_equal(records["inside s"].time, records["outside s"].time)
    np.testing.assert_array_equal(records["inside s"].neuron, records["outside s"].neuron)
    np.testing.assert_allclose(
        trace(records["inside v"]), trace(records["outside v"]), rtol=0, atol=1e-12
    )


# ---- sources ------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", DRIVERS)
def test_spike_source_is_exact_and_graded(driver):
    # Unordered, with times that meet twice and thrice, in the first step and across chunks.
    times = [0.1, 7.3, 7.3, 120.0, 3.0, 7.3, 0.2, 119.9]
    units = [0, 2, 2, 1, 0, 2, 0, 1]
    built = bj.build(
        bj.Network({"src": bj.Population(4, bj.SpikeSource(times, units))}),
        dt=DT,
        key=jax.random.key(0),
    )
    record = {"s": bj.Spikes("src"), "value": bj.Trace("src", "spikes")}
    records = run(built, 1250, driver=driver, record=record)
    expected = np.zeros((1250, 4))
    np.add.at(expected, (np.round(np.array(times) / DT).astype(int) - 1, units), 1.0)
    assert expected.max() == 3
    np.testing.assert_array_equal(trace(records["value"]), expected)
    steps, neurons = whole_steps(records["s"], DT)
    np.testing.assert_array_equal(np.stack([steps, neurons]), np.nonzero(expected))


def test_poisson_source_has_its_rate():
    size, num_steps = 500, 2000
    rates = np.where(np.arange(size) < 250, 100.0, 400.0)
    sources = {
        "all": bj.Population(size, bj.PoissonSource(rate=rates)),
        "twin": bj.Population(size, bj.PoissonSource(rate=rates)),
        "window": bj.Population(size, bj.PoissonSource(rate=4000.0, start=30.0, stop=60.0)),
    }
    built = bj.build(bj.Network(sources), dt=DT, key=jax.random.key(0))
    records = run(built, num_steps, record={n: bj.Trace(n, "spikes") for n in sources})
    spikes = {n: trace(r) for n, r in records.items()}
    for name in ("all", "twin"):
        for part, rate in ((slice(250), 100.0), (slice(250, None), 400.0)):
            mean = rate * DT / 1000
            counts = spikes[name][:, part]
            assert abs(counts.mean() - mean) < 4 * np.sqrt(mean / counts.size)
            of_unit = counts.sum(axis=0)
            assert abs(of_unit.var() / of_unit.mean() - 1) < 4 * np.sqrt(2 / 250)
    # Populations of different names draw different numbers.
    for part in (slice(250), slice(250, None)):
        a, b = (spikes[n][:, part].ravel() for n in ("all", "twin"))
        assert abs(np.corrcoef(a, b)[0, 1]) < 4.5 / np.sqrt(a.size)
    active = np.flatnonzero(spikes["window"].any(axis=1))
    np.testing.assert_array_equal(active, np.arange(300, 600))
    assert spikes["window"].max() >= 2  # more than one event in a step is a graded spike
