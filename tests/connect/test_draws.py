"""Random weights and delays, against SciPy's distributions."""

# Misuse is what is tested, so the types are wrong.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

import math

import numpy as np
import pytest
from connect.helpers import DRAWS, truncated
from scipy import stats

from brainjax.connect import Distribution, LogNormal, Normal, Uniform
from brainjax.core._host_random import HostStream

SEEDS = range(4)


@pytest.mark.parametrize("draw", DRAWS, ids=repr)
def test_contract(draw):
    stream = HostStream((1, 2)).child("weight")
    assert isinstance(draw, Distribution)
    values = draw.sample(stream, 10)
    assert values.dtype == np.float64 and values.shape == (10,)
    assert np.array_equal(draw.sample(stream, 5, start=5), values[5:])
    assert np.array_equal(draw.sample(stream, 1_000)[:10], values)
    assert draw.sample(stream, 0).shape == (0,)
    assert not np.array_equal(draw.sample(stream.child("other"), 10), values)
    if not isinstance(draw, Uniform):
        many = draw.sample(stream, 10_000)
        assert many.min() >= draw.low and many.max() <= draw.high


@pytest.mark.parametrize("seed", SEEDS)
def test_uniform(seed):
    values = Uniform(-1.5, 2.5).sample(HostStream((0, seed)), 50_000)
    assert values.min() >= -1.5 and values.max() <= 2.5
    assert stats.kstest(values, stats.uniform(-1.5, 4.0).cdf).pvalue > 1e-3
    assert stats.kstest(values, stats.uniform(-1.5, 4.1).cdf).pvalue < 1e-6  # control


@pytest.mark.parametrize(
    "draw",
    [
        Normal(1.5, 0.75),
        Normal(1.5, 0.75, low=0.1),
        Normal(1.5, 0.75, high=1.0),
        Normal(1.5, 0.75, low=1.0, high=1.2),
        Normal(-2.0, 0.5, low=0.0),  # four deviations out, on either side
        Normal(2.0, 0.5, high=0.0),
    ],
    ids=repr,
)
@pytest.mark.parametrize("seed", SEEDS)
def test_normal_redrawn_is_truncated(draw, seed):
    n = 50_000
    values = draw.sample(HostStream((0, seed)), n)
    expected = truncated(draw)
    assert values.min() >= draw.low and values.max() <= draw.high
    assert stats.kstest(values, expected.cdf).pvalue > 1e-3
    assert abs(values.mean() - expected.mean()) < 4 * expected.std() / n**0.5
    kurtosis = expected.stats("k")
    error = expected.std() * ((kurtosis + 2) / n) ** 0.5 / 2
    assert abs(values.std() - expected.std()) < 4 * error
    # Control: with a deviation larger by a tenth it is another distribution, unless the cut is so
    # narrow that it hardly shows.
    if draw.high - draw.low > 0.5:
        other = truncated(Normal(draw.mean, 1.1 * draw.std, draw.low, draw.high))
        assert stats.kstest(values, other.cdf).pvalue < 1e-6


def test_a_redraw_is_what_redrawing_gives():
    """The inverse of the truncated distribution against drawing again and again."""
    draw, stream = Normal(1.5, 0.75, low=1.0, high=3.0), HostStream((0, 9))
    plain = Normal(1.5, 0.75).sample(stream.child("again"), 100_000)
    again = plain[(plain >= 1.0) & (plain <= 3.0)]
    assert stats.ks_2samp(draw.sample(stream, 50_000), again).pvalue > 1e-3
    assert stats.ks_2samp(draw.sample(stream, 50_000), plain).pvalue < 1e-6  # control


@pytest.mark.parametrize(
    ("plain", "clipped"),
    [
        (Normal(1.0, 0.5), Normal(1.0, 0.5, low=0.5, high=2.0, outside="clip")),
        (LogNormal(0.0, 0.5), LogNormal(0.0, 0.5, low=0.5, high=2.0, outside="clip")),
    ],
)
def test_clip_sets_to_the_bound(plain, clipped):
    stream = HostStream((3, 3))
    values, free = clipped.sample(stream, 10_000), plain.sample(stream, 10_000)
    assert (free < 0.5).any() and (free > 2.0).any()
    assert np.array_equal(values, np.clip(free, 0.5, 2.0))


@pytest.mark.parametrize("seed", SEEDS)
def test_log_normal(seed):
    stream, expected = HostStream((0, seed)), stats.lognorm(0.8, scale=math.exp(0.3))
    values = LogNormal(0.3, 0.8).sample(stream, 50_000)
    assert stats.kstest(values, expected.cdf).pvalue > 1e-3
    assert stats.kstest(values, stats.lognorm(0.84, scale=math.exp(0.3)).cdf).pvalue < 1e-6
    low, high = expected.cdf([1.0, 2.0])
    cut = LogNormal(0.3, 0.8, low=1.0, high=2.0).sample(stream, 50_000)
    assert stats.kstest(cut, lambda x: (expected.cdf(x) - low) / (high - low)).pvalue > 1e-3


def test_log_normal_from_mean_std():
    draw = LogNormal.from_mean_std(0.5, 0.8)
    mean, variance = stats.lognorm(draw.sigma, scale=math.exp(draw.mu)).stats("mv")
    assert mean == pytest.approx(0.5, rel=1e-14)
    assert variance == pytest.approx(0.8**2, rel=1e-13)
    values = draw.sample(HostStream((0, 0)), 1_000_000)
    assert abs(values.mean() - 0.5) < 4 * 0.8 / 1000
    assert LogNormal.from_mean_std(2.0, 0.0).sample(HostStream((0, 0)), 3) == pytest.approx(2.0)
    # So narrow that 1 + (std / mean)^2 is 1 in a double.
    assert LogNormal.from_mean_std(1.0, 1e-7).sigma == pytest.approx(1e-7, rel=1e-6)


def test_without_deviation_all_are_the_mean():
    stream = HostStream((0, 0))
    assert (Normal(1.5, 0.0).sample(stream, 4) == 1.5).all()
    assert (Normal(1.5, 0.0, low=1.5).sample(stream, 4) == 1.5).all()
    assert (Normal(1.5, 0.0, low=2.0, outside="clip").sample(stream, 4) == 2.0).all()


# Of every kind, with bounds that cut the half, nearly all, and hardly anything.
MEANS = [
    *DRAWS,
    Normal(1.5, 0.75, low=0.05),
    Normal(0.75, 0.375, low=0.05),
    Normal(87.8, 8.78, low=0.0),
    Normal(-2.0, 0.5, low=0.0),
    Normal(2.0, 0.5, high=0.0),
    Normal(1.0, 2.0, low=-0.5, high=1.5, outside="clip"),
    Normal(-3.0, 1.0, low=0.0, outside="clip"),
    Normal(1.5, 0.0),
    Normal(1.5, 0.0, low=2.0, outside="clip"),
    LogNormal(0.3, 0.8, low=3.0),
    LogNormal(0.3, 0.8, high=0.5),
    LogNormal(0.3, 0.8, low=2.0, outside="clip"),
    LogNormal(0.3, 0.8, low=0.5, high=1.0, outside="clip"),
    LogNormal(0.3, 0.0),
]


@pytest.mark.parametrize("draw", MEANS, ids=repr)
def test_expectation_is_the_mean_of_what_is_sampled(draw):
    n, z = 200_000, []
    for seed in SEEDS:
        values = draw.sample(HostStream((5, seed)), n)
        error = max(values.std() / n**0.5, 1e-14 * abs(values.mean()))
        z.append((values.mean() - draw.expectation()) / error)
    assert np.abs(z).max() < 4.5 and abs(np.mean(z)) < 2.5
    assert type(draw.expectation()) is float


@pytest.mark.parametrize(
    "draw",
    [d for d in MEANS if isinstance(d, Normal) and d.outside == "redraw" and d.std > 0]
    + [Normal(0.0, 1.0, low=4.6, high=4.9), Normal(0.0, 1.0, low=0.1, high=0.10001)],
    ids=repr,
)
def test_expectation_of_a_truncated_normal(draw):
    assert draw.expectation() == pytest.approx(truncated(draw).mean(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("draw", [d for d in MEANS if isinstance(d, LogNormal)], ids=repr)
def test_expectation_of_a_log_normal(draw):
    """By quadrature over the quantiles: the middle of a million intervals of probability."""
    low, high = draw._standard_bounds() if draw.outside == "redraw" else (-np.inf, np.inf)
    below, above = stats.norm.cdf([low, high])
    u = below + (np.arange(1_000_000) + 0.5) / 1_000_000 * (above - below)
    values = np.clip(np.exp(draw.mu + draw.sigma * stats.norm.ppf(u)), draw.low, draw.high)
    assert draw.expectation() == pytest.approx(values.mean(), rel=1e-5)


def test_expectation_of_wide_log_normals():
    # Beyond the range of a double without bounds, and yet finite within them.
    assert LogNormal(0.0, 85.0).expectation() == math.inf
    assert 1.0 < LogNormal(0.0, 85.0, low=1.0, high=3.0).expectation() < 3.0
    assert LogNormal(0.0, 85.0, high=3.0, outside="clip").expectation() == pytest.approx(
        1.5, rel=0.1
    )


@pytest.mark.parametrize("draw", MEANS, ids=repr)
def test_scaled_values_are_multiples(draw):
    stream = HostStream((6, 6))
    scaled = draw.scaled(3.0)
    assert type(scaled) is type(draw)
    np.testing.assert_allclose(scaled.sample(stream, 100), 3.0 * draw.sample(stream, 100), 1e-12)
    assert scaled.expectation() == pytest.approx(3.0 * draw.expectation(), rel=1e-12)
    with pytest.raises(ValueError, match=r"scaled: factor: got 0\.0, expected more than 0"):
        draw.scaled(0.0)


@pytest.mark.parametrize("end", [2.0**-53, 1 - 2.0**-53])
@pytest.mark.parametrize("bounds", [(4.7, math.inf), (0.0, math.inf), (-math.inf, -4.7)])
def test_the_ends_of_the_stream_stay_finite(end, bounds, monkeypatch):
    monkeypatch.setattr(HostStream, "uniform_open", lambda self, n, start=0: np.full(n, end))
    assert np.isfinite(Normal(0.0, 1.0, *bounds).sample(HostStream((0, 0)), 3)).all()


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (
            lambda: Uniform(2.0, 1.0),
            ValueError,
            r"low, high: got \(2\.0, 1\.0\).*low=1\.0",
        ),
        (lambda: Uniform(1.0, 1.0), ValueError, r"expected low < high"),
        (lambda: Uniform(0.0, math.inf), ValueError, r"Uniform: high: got inf, expected a finite"),
        (lambda: Uniform(-1.7e308, 1.7e308), ValueError, r"Uniform: high - low: got inf"),
        (lambda: Uniform("a", 1.0), TypeError, r"Uniform: low: got 'a', expected a finite number"),
        (lambda: Uniform(False, 1.0), TypeError, r"Uniform: low: got False"),
        (lambda: Normal(math.nan, 1.0), ValueError, r"Normal: mean: got nan"),
        (lambda: Normal(0.0, -1.0), ValueError, r"Normal: std: got -1\.0, expected 0 or more"),
        (lambda: Normal(0.0, 1.0, low=math.nan), ValueError, r"Normal: low: got nan"),
        (lambda: Normal(0.0, 1.0, 2.0, 1.0), ValueError, r"expected low < high.*low=1\.0, high=2"),
        (lambda: Normal(0.0, 1.0, outside="clib"), ValueError, r"got 'clib'.*mean 'clip'"),
        (lambda: Normal(1.0, 0.1, low=2.0), ValueError, r"\(it is 7.*\)\. Move the bounds.*'clip'"),
        (lambda: Normal(1.0, 0.0, low=2.0), ValueError, r"\(it is 0\)"),
        (lambda: Normal(1.0, 0.0, high=0.5), ValueError, r"\(it is 0\)"),
        (lambda: LogNormal(0.0, -0.5), ValueError, r"LogNormal: sigma: got -0\.5"),
        (lambda: LogNormal(0.0, 1.0, -2.0, -1.0), ValueError, r"LogNormal: high: got -1\.0"),
        (lambda: LogNormal(2000.0, 50.0), ValueError, r"from_mean_std\(2000\.0, 50\.0\)"),
        (lambda: LogNormal(0.0, 0.1, low=10.0), ValueError, r"a probability of at least 1e-06"),
        (lambda: LogNormal.from_mean_std(0.0, 1.0), ValueError, r"mean: got 0\.0, expected more"),
        (lambda: LogNormal.from_mean_std(1.0, -1.0), ValueError, r"std: got -1\.0"),
        (lambda: Uniform(0.0, 1.0).sample(HostStream((0, 0)), -3), ValueError, r"n: got -3"),
    ],
)
@pytest.mark.usefixtures("own_checks")
def test_misuse(make, error, match):
    with pytest.raises(error, match=match):
        make()
