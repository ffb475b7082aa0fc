"""How many things of a row are of which class: the laws of multinomial numbers, with controls."""

import numpy as np
import pytest
from connect.helpers import check, goodness
from scipy import stats

from brainjax.connect import _row_counts
from brainjax.connect._row_counts import binomial_numbers
from brainjax.connect._split_counts import split_counts
from brainjax.core._host_random import HostStream

SEEDS = range(4)
UPTO = np.array([0, 5, 5, 20, 21, 60, 100])  # a class that never comes, and a rare one
CHANCE = np.diff(UPTO) / 100


def split(stream, counts, upto=UPTO, first=0):
    """Rows by class."""
    out = np.zeros((counts.size, upto.size - 1), np.int64)
    for label, rows, numbers in split_counts(stream, counts, upto, first):
        assert numbers.min() > 0 and (np.diff(rows) > 0).all()
        out[rows, label] += numbers
    return out


@pytest.mark.parametrize("total", [1, 7, 300, 10**6])
def test_each_class_is_binomial(total):
    p = []
    for seed in SEEDS:
        made = split(HostStream((1, seed)).child(total), np.full(20_000, total))
        assert (made.sum(axis=1) == total).all() and not made[:, 1].any()
        p += [goodness(made[:, i], stats.binom(total, CHANCE[i])) for i in (0, 2, 3, 4, 5)]
    check(p)


def spread(made):
    """The p-value of how far rows are from what is expected, together: chi-square in each row."""
    total, expected = made.sum(axis=1), made.sum(axis=1)[:, None] * CHANCE[CHANCE > 0]
    x = ((made[:, CHANCE > 0] - expected) ** 2 / expected).sum(axis=1)
    # Of multinomial numbers it has this mean and variance (Pearson; Haldane 1937).
    k = expected.shape[1]
    variance = 2 * (k - 1) + ((1 / CHANCE[CHANCE > 0]).sum() - k**2 - 2 * k + 2) / total
    z = (x - (k - 1)).sum() / variance.sum() ** 0.5
    return 2 * stats.norm.sf(abs(z))


def test_classes_are_multinomial():
    rng = np.random.default_rng(0)
    counts = rng.integers(50, 2000, 30_000)
    check([spread(split(HostStream((2, seed)), counts)) for seed in SEEDS])
    # Control: binomial numbers that do not know of each other.
    apart = np.stack([rng.binomial(counts, p) for p in CHANCE], axis=1)
    assert spread(apart) < 1e-6


def test_rows_do_not_depend_on_blocks(monkeypatch):
    stream, counts = HostStream((3, 3)), np.arange(3000) % 701
    whole = split(stream, counts)
    parts = [split(stream, counts[i : i + 999], first=i) for i in range(0, 3000, 999)]
    assert np.array_equal(whole, np.concatenate(parts))
    monkeypatch.setattr(_row_counts, "_CELLS", 500)
    assert np.array_equal(whole, split(stream, counts))


def test_binomial_numbers_of_many_trials():
    """Rows of all lengths, at the quantiles that SciPy says."""
    trials = np.repeat([0, 1, 2, 30, 5000, 10**7], 500)
    u = HostStream((4, 4)).uniform(trials.size)
    for p in (1e-9, 0.003, 0.5, 0.97):
        got = binomial_numbers(u, trials, p)
        assert got.min() >= 0 and (got <= trials).all()
        assert np.array_equal(got, stats.binom.ppf(u, trials, p).clip(0))
    assert not binomial_numbers(u, trials, 0.0).any()
    assert np.array_equal(binomial_numbers(u, trials, 1.0), trials)


def test_the_ends_of_the_interval():
    """Numbers next to 0 and 1 give neither too few nor too many, in whichever row."""
    trials = np.arange(2000)
    for u in (0.0, 2.0**-53, 1 - 2.0**-53):
        got = binomial_numbers(np.full(2000, u), trials, 0.25)
        far = (got - trials / 4) / np.maximum(trials * 3 / 16, 1) ** 0.5
        assert np.abs(far).max() < 15
