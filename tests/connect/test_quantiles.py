"""Factors of connections that are not stored: quantile functions, and the tables made from them."""

# Misuse is what is tested, so the types are wrong.
# pyright: reportAssignmentType=false

import numpy as np
import pytest
from connect.helpers import DRAWS, STREAM, truncated
from scipy import stats

from brainjax.connect import (
    Distribution,
    FixedOutDegree,
    FixedProbability,
    LogNormal,
    Normal,
    Uniform,
)
from brainjax.connect._procedural import materialise, rows
from brainjax.connect._procedural_rules import procedural
from brainjax.connect._quantiles import quantile_table
from brainjax.core._host_random import HostStream
from brainjax.ops import _procedural as arithmetic

# And a lower tail alone, and a heavy one.
DRAWS = [*DRAWS, Normal(0.0, 1.0, low=-4.5, high=-4.0), LogNormal(-1.0, 2.0)]


@pytest.mark.parametrize("draw", DRAWS, ids=repr)
def test_quantiles_invert_the_distribution_function(draw):
    u = np.array([1e-9, 1e-3, 0.2, 0.5, 0.7, 0.999, 1 - 1e-9])
    if isinstance(draw, Uniform):
        law = stats.uniform(-1.5, 4.0)
    else:
        law = truncated(draw)
    exact = np.exp(law.ppf(u)) if isinstance(draw, LogNormal) else law.ppf(u)
    np.testing.assert_allclose(draw.unclipped_quantile(u), exact, rtol=1e-9, atol=1e-9)
    assert draw.bounds() == (draw.low, draw.high)


def test_a_distribution_without_quantile_is_named():
    class Fixed(Distribution):
        sample = expectation = scaled = None

    with pytest.raises(TypeError, match=r"got .*Fixed.*one with a quantile.*store the connections"):
        quantile_table(Fixed(), np.float32)


def made_values(draw, dtype, words):
    """What `factors` makes of random words, and the exact quantile at their probability."""
    table = quantile_table(draw, dtype)
    cell, x = arithmetic._cell(words, table.dtype)
    c0, c1, c2, c3 = table[cell].T
    values = np.clip(((c3 * x + c2) * x + c1) * x + c0, table[-1, 0], table[-1, 1])
    distance = (words >> np.uint32(1) | np.uint32(1)) * 2.0**-32
    u = np.where(words & np.uint32(1), 1 - distance, distance)
    return values, np.clip(draw.unclipped_quantile(u), *draw.bounds())


@pytest.mark.parametrize("draw", DRAWS, ids=repr)
def test_tables_are_near_the_quantile_function(draw):
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 2**32, 60_000, dtype=np.int64) >> rng.integers(0, 31, 60_000)
    words = np.concatenate([deep, 2**32 - 1 - deep]).astype(np.uint32)
    plain = rng.integers(0, 2**32, 200_000, dtype=np.uint32)
    deviation = made_values(draw, np.float64, plain)[1].std()
    for dtype in (np.float64, np.float32):
        values, exact = made_values(draw, dtype, words)
        assert values.dtype == dtype
        assert values.min() >= dtype(draw.low) and values.max() <= dtype(draw.high)
        error = np.abs(values - exact)
        rounding = 2 * np.finfo(dtype).eps * np.abs(exact)
        # Where a log-normal is far out its error is relative to the value.
        scale = np.maximum(deviation, exact) if isinstance(draw, LogNormal) else deviation
        bound = 3e-6 if isinstance(draw, LogNormal) else 5e-7
        assert (error <= bound * scale + rounding).all(), (error / scale).max()


@pytest.mark.parametrize("draw", DRAWS, ids=repr)
def test_factors_are_of_the_distribution(draw):
    """Moments and shape of the factors of a matrix, against samples and the mean."""
    made = procedural(FixedOutDegree(500), 400, 50, STREAM, same=False)
    pre, post, values = materialise(made, quantile_table(draw, np.float32))
    assert values.dtype == np.float32 and values.size == pre.size == 200_000
    samples = draw.sample(HostStream((8, 8)), 200_000)
    z = (values.mean(dtype=float) - draw.expectation()) / (samples.std() / 200_000**0.5)
    assert abs(z) < 4
    assert stats.ks_2samp(values[::4], samples[::4]).pvalue > 1e-4
    other = draw.scaled(1.2).sample(STREAM, 50_000)  # control
    assert stats.ks_2samp(values[::4], other).pvalue < 1e-6
    # Nothing links a weight to its pair, nor to that of the synapse before.
    ranks = stats.rankdata(values)
    for other in (pre, post, np.roll(ranks, 1)):
        assert abs(np.corrcoef(ranks, other)[0, 1]) < 4.5 / 200_000**0.5


def test_factors_go_with_their_synapses():
    made = procedural(FixedProbability(0.2), 50, 400, STREAM, same=False)
    table = quantile_table(Normal(1.0, 0.3), np.float64)
    pre, post, values = rows(made, 0, 50, table)
    order = np.lexsort((post, pre))
    for got, want in zip(materialise(made, table), (pre, post, values), strict=True):
        assert np.array_equal(got, want[order])


def test_a_distribution_without_deviation_is_constant():
    for dtype in (np.float32, np.float64):
        made = procedural(FixedOutDegree(9), 9, 9, STREAM, same=False)
        _, _, values = materialise(made, quantile_table(Normal(0.1, 0.0), dtype))
        assert (values == dtype(0.1)).all()
