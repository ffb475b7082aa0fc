"""Statistics of spikes against closed forms: Poisson and gamma processes, clocks, shared events."""

import doctest
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest

from brainjax import analysis

SEEDS = (0, 1, 2)


class Train(NamedTuple):
    neuron: np.ndarray
    time: np.ndarray  # ms
    size: int
    t_start: float = 0.0
    t_stop: float = 1000.0


def train(neuron, time, size, t_stop=1000.0, t_start=0.0):
    order = np.argsort(time, kind="stable")
    return Train(np.asarray(neuron)[order], np.asarray(time)[order], size, t_start, t_stop)


def poisson(seed, size=100, hz=40.0, t_stop=20_000.0):
    rng = np.random.default_rng(seed)
    count = rng.poisson(size * hz * t_stop / 1000)
    return train(rng.integers(size, size=count), rng.uniform(0, t_stop, count), size, t_stop)


def renewal(seed, order, size=60, mean=20.0, num_spikes=800):
    """Gamma processes of an order k: intervals with a coefficient of variation of 1 / sqrt(k)."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.gamma(order, mean / order, (size, num_spikes)), axis=1)
    neuron = np.repeat(np.arange(size), num_spikes)
    return train(neuron, times.ravel(), size, float(times.max()))


def shared(seed, c, size=50, hz=20.0, t_stop=20_000.0):
    """Poisson neurons of which a share c of the spikes are common events: pairs correlate by c."""
    rng = np.random.default_rng(seed)
    own = poisson(seed + 100, size, (1 - c) * hz, t_stop)
    events = rng.uniform(0, t_stop, rng.poisson(c * hz * t_stop / 1000))
    neuron = np.concatenate([own.neuron, np.tile(np.arange(size), events.size)])
    return train(neuron, np.concatenate([own.time, np.repeat(events, size)]), size, t_stop)


# ---- rates


@pytest.mark.parametrize("seed", SEEDS)
def test_rate_of_poisson(seed):
    spikes = poisson(seed)
    error = np.sqrt(40.0 / (100 * 20))  # Hz, standard deviation of the estimate
    assert abs(analysis.rate(spikes) - 40.0) < 4 * error
    assert analysis.rate(spikes) == pytest.approx(analysis.rates(spikes).mean(), rel=1e-12)
    _, hz = analysis.population_rate(spikes, 10.0)
    assert hz.mean() == pytest.approx(analysis.rate(spikes), rel=1e-12)


def test_silent_neurons_count():
    spikes = train([0, 0, 3], [1.0, 2.0, 3.0], 4, 500.0)
    assert analysis.rate(spikes) == 3 / 4 / 0.5
    np.testing.assert_array_equal(analysis.rates(spikes), [4.0, 0.0, 0.0, 2.0])


def test_window_leaves_out_its_start_and_takes_its_stop():
    spikes = train([0, 0, 0], [100.0, 150.0, 200.0], 1)
    assert analysis.rate(spikes, start=100.0, stop=200.0) == 2 / 0.1


def test_edges_in_floating_point():
    """`index * dt` and `start + k * bin` name the same instant: 0.3 ms has three steps."""
    time = np.arange(1, 10_001) * 0.1
    spikes = train(np.zeros(time.size, int), time, 1)
    _, hz = analysis.population_rate(spikes, 0.3)
    np.testing.assert_allclose(hz, 10_000.0)
    for stop in (0.3, 0.7, 1.1):  # 3 * 0.1 > 0.3
        assert analysis.rate(spikes, stop=stop) == pytest.approx(10_000.0)


def test_population_rate_drops_the_unfinished_bin():
    spikes = train([0, 1, 1], [5.0, 20.0, 24.0], 2, 25.0)
    times, hz = analysis.population_rate(spikes, 10.0)
    np.testing.assert_array_equal(times, [5.0, 15.0])
    np.testing.assert_array_equal(hz, [50.0, 50.0])


# ---- intervals


def test_intervals_belong_to_their_neuron():
    spikes = train([1, 0, 1, 0, 1], [1.0, 2.0, 4.0, 7.0, 12.0], 3)
    neuron, interval = analysis.isi(spikes)
    np.testing.assert_array_equal(neuron, [0, 1, 1])
    np.testing.assert_array_equal(interval, [5.0, 3.0, 8.0])


@pytest.mark.parametrize("order", (1, 4, 16))
@pytest.mark.parametrize("seed", SEEDS)
def test_cv_of_gamma_processes(seed, order):
    assert analysis.cv_isi(renewal(seed, order)) == pytest.approx(order**-0.5, rel=0.02)


def test_cv_per_neuron_against_the_definition():
    spikes = poisson(5, size=8, hz=4.0, t_stop=1000.0)
    cv = analysis.cv_per_neuron(spikes)
    for neuron in range(8):
        interval = np.diff(spikes.time[spikes.neuron == neuron])
        wanted = interval.std() / interval.mean() if interval.size >= 2 else np.nan
        np.testing.assert_allclose(cv[neuron], wanted, rtol=1e-12)
    assert np.isnan(cv).any() and not np.isnan(cv).all()  # this draw tests both branches
    assert analysis.cv_isi(spikes) == pytest.approx(np.nanmean(cv))


def test_cv_of_clocks_and_of_too_few_spikes():
    clock = train([0] * 10, np.arange(1, 11) * 16.0, 1)
    assert analysis.cv_isi(clock) == 0.0
    assert np.isnan(analysis.cv_isi(clock, min_spikes=11))
    assert np.isnan(analysis.cv_isi(train([0, 0], [1.0, 2.0], 1)))


# ---- together


@pytest.mark.parametrize("seed", SEEDS)
def test_synchrony_of_poisson_is_one(seed):
    num_bins = 20_000 / 3
    assert abs(analysis.synchrony(poisson(seed)) - 1) < 4 * np.sqrt(2 / num_bins)


@pytest.mark.parametrize("size", (10, 500))
def test_synchrony_of_a_volley(size):
    """All fire once in a fraction p of the bins: variance / mean is N (1 - p), exactly."""
    volleys = np.arange(8) * 30.0 + 1.5  # 8 of the 100 bins
    spikes = train(np.tile(np.arange(size), 8), np.repeat(volleys, size), size, 300.0)
    assert analysis.synchrony(spikes) == pytest.approx(size * 0.92, rel=1e-12)
    assert np.isnan(analysis.synchrony(train([], [], 3)))


@pytest.mark.parametrize("c", (0.0, 0.1, 0.5))
@pytest.mark.parametrize("seed", SEEDS)
def test_correlation_of_shared_events(seed, c):
    assert analysis.correlation(shared(seed, c)) == pytest.approx(c, abs=0.02)


def test_correlation_is_the_mean_over_all_pairs():
    spikes = shared(1, 0.2, size=12, t_stop=2000.0)
    spikes = spikes._replace(size=14)  # two silent neurons, which have no correlation
    count = np.zeros((12, 400))
    np.add.at(count, (spikes.neuron, (spikes.time // 5.0).astype(int)), 1)
    pairs = np.corrcoef(count)[np.triu_indices(12, 1)]
    assert analysis.correlation(spikes, 5.0) == pytest.approx(pairs.mean(), rel=1e-9)


def test_correlation_at_its_limits():
    time = np.array([1.0, 7.0, 31.0])
    same = train([0, 0, 0, 1, 1, 1], np.tile(time, 2), 2, 100.0)
    assert analysis.correlation(same) == pytest.approx(1.0)
    turns = train([0, 0, 1, 1], [1.0, 5.0, 3.0, 7.0], 2, 8.0)
    assert analysis.correlation(turns) == pytest.approx(-1.0)
    assert np.isnan(analysis.correlation(train([0], [1.0], 2)))


@pytest.mark.parametrize("hz", (12.0, 40.0, 90.0))
def test_spectrum_peaks_where_the_rate_swings(hz):
    rng = np.random.default_rng(int(hz))
    spikes = poisson(3, size=200, hz=40.0, t_stop=10_000.0)
    kept = rng.uniform(size=spikes.time.size) < 0.5 + 0.4 * np.sin(2e-3 * np.pi * hz * spikes.time)
    frequency, power = analysis.spectrum(
        spikes._replace(neuron=spikes.neuron[kept], time=spikes.time[kept])
    )
    assert frequency[np.argmax(power)] == hz  # all three are on the grid of 2 Hz
    assert power.max() > 50 * np.median(power)


@pytest.mark.parametrize("seed", SEEDS)
def test_spectrum_of_poisson_is_flat(seed):
    frequency, power = analysis.spectrum(poisson(seed), segment=250.0)
    inside = power[2:-1]  # the mean is taken out, the last value has half the power
    assert inside.mean() == pytest.approx(2 * 40.0 / 100, rel=0.05)
    low, high = np.split(inside, [inside.size // 2])
    assert low.mean() == pytest.approx(high.mean(), rel=0.1)
    assert frequency[-1] == 500.0


def test_spectrum_of_a_short_recording_is_one_segment():
    frequency, _ = analysis.spectrum(poisson(0, t_stop=100.0))
    assert frequency[1] == pytest.approx(10.0)


# ---- the edges of use


FUNCTIONS = (
    analysis.rate,
    analysis.rates,
    analysis.isi,
    analysis.cv_isi,
    analysis.cv_per_neuron,
    analysis.population_rate,
    analysis.synchrony,
    analysis.correlation,
    analysis.spectrum,
)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_checks_its_window_and_changes_nothing(function):
    spikes = poisson(0, t_stop=1000.0)
    before = spikes.neuron.copy(), spikes.time.copy()
    first = function(spikes, start=200.0, stop=800.0)
    inside = (spikes.time > 200.0) & (spikes.time <= 800.0)
    alone = Train(spikes.neuron[inside], spikes.time[inside], 100, 200.0, 800.0)
    for a, b in zip(np.atleast_1d(first), np.atleast_1d(function(alone)), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(spikes.neuron, before[0])
    np.testing.assert_array_equal(spikes.time, before[1])
    with pytest.raises(ValueError, match=r"got \(500.0, 500.0\), expected stop > start"):
        function(spikes, start=500.0, stop=500.0)
    with pytest.raises(ValueError, match="inside the recording"):
        function(spikes, stop=2000.0)
    with pytest.raises(ValueError, match="expected stop > start"):
        function(spikes, start=float("nan"))
    with pytest.raises(ValueError, match="spikes.size: got 0"):
        function(spikes._replace(size=0))
    with pytest.raises(ValueError, match="indices within the population, 0 to 49"):
        function(spikes._replace(size=50))
    with pytest.raises(ValueError, match="one neuron and one time a spike"):
        function(spikes._replace(time=spikes.time[1:]))
    with pytest.raises(TypeError, match="got 'dict'.*pick one by name"):
        function({"exc": spikes})


@pytest.mark.parametrize("function", FUNCTIONS[-4:])
def test_every_binned_function_checks_its_bin(function):
    for bin in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected a positive width in ms"):
            function(poisson(0), bin)
    with pytest.raises(ValueError, match="at most the window, 1000 ms"):
        function(poisson(0, t_stop=1000.0), 1001.0)


def test_other_misuse():
    with pytest.raises(ValueError, match="min_spikes: got 2, expected at least 3"):
        analysis.cv_isi(poisson(0), 2)
    with pytest.raises(ValueError, match="segment: got 1.5"):
        analysis.spectrum(poisson(0), 1.0, segment=1.5)


def test_documentation_runs():
    result = doctest.testmod(analysis)
    assert result.attempted > 5 and result.failed == 0


def test_import_is_light():
    code = "import brainjax.analysis, sys; sys.exit('scipy.signal' in sys.modules)"
    # jax itself imports parts of scipy, of which signal is not one
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
