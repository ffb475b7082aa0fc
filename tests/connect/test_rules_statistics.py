"""What the random rules draw has the distribution they claim; each test has its control."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from brainjax.connect import (
    FixedInDegree,
    FixedOutDegree,
    FixedProbability,
    FixedTotalNumber,
    _pairs,
)
from brainjax.core._host_random import HostStream

SEEDS = range(4)


def spread(counts, expected, variance, freedom):
    """The probability of a spread of `counts` as large or larger, by chi-square."""
    return stats.chi2.sf(((counts - expected) ** 2).sum() / variance, freedom)


def check(p_values):
    """Neither too much spread nor, which a wrong stream may give as well, too little."""
    assert min(p_values) > 1e-3 and max(p_values) < 1 - 1e-3, p_values


def degrees(rule, seed, num_pre, num_post):
    pre, post = rule.draw(num_pre, num_post, HostStream((1, seed)), same=False)
    return np.bincount(pre, minlength=num_pre), np.bincount(post, minlength=num_post)


def test_degrees_with_multapses_are_multinomial():
    p = []
    for seed in SEEDS:
        out, into = degrees(FixedTotalNumber(40_000), seed, 400, 1000)
        p += [spread(out, 100, 100, 399), spread(into, 40, 40, 999)]
        out, into = degrees(FixedInDegree(40), seed, 400, 1000)
        p += [spread(out, 100, 100, 399)]
        out, into = degrees(FixedOutDegree(100), seed, 400, 1000)
        p += [spread(into, 40, 40, 999)]
    check(p)


def test_degrees_without_multapses_are_hypergeometric():
    p = []
    for seed in SEEDS:
        for n in (40, 320):  # drawn, and drawn by their complement
            # A target chooses n of 400 sources, 1000 times over.
            f = n / 400
            out, _ = degrees(FixedInDegree(n, multapses=False), seed, 400, 1000)
            p.append(spread(out, 1000 * f, 1000 * f * (1 - f) * 400 / 399, 399))
            _, into = degrees(FixedOutDegree(n, multapses=False), seed, 1000, 400)
            p.append(spread(into, 1000 * f, 1000 * f * (1 - f) * 400 / 399, 399))
        for n in (4000, 40_000, 300_000):  # sparse, marked, complement
            f = n / 400_000
            out, into = degrees(FixedTotalNumber(n, multapses=False), seed, 400, 1000)
            p.append(spread(out, 1000 * f, 1000 * f * (1 - f), 399))
            p.append(spread(into, 400 * f, 400 * f * (1 - f), 999))
    check(p)


@pytest.mark.parametrize("p", [0.002, 0.1, 0.5, 0.97])
def test_degrees_of_fixed_probability_are_binomial(p):
    found = []
    for seed in SEEDS:
        out, into = degrees(FixedProbability(p), seed, 1500, 2000)
        found.append(spread(out, 2000 * p, 2000 * p * (1 - p), 1500))
        found.append(spread(into, 1500 * p, 1500 * p * (1 - p), 2000))
        total = stats.binom(1500 * 2000, p)
        found.append(total.sf(out.sum()))
    check(found)


def test_control_a_wrong_spread_is_seen():
    """The tests above fail for sources of uneven weight, and for the spread of another rule."""
    biased = np.floor(400 * HostStream((1, 1)).uniform(40_000) ** 1.1).astype(int)
    assert spread(np.bincount(biased, minlength=400), 100, 100, 399) < 1e-6
    out, _ = degrees(FixedInDegree(320, multapses=False), 0, 400, 1000)
    assert spread(out, 800, 800, 399) > 1 - 1e-6  # taken for multinomial: too little


def subsets(rows, total, n):
    """How often each subset of `n` out of `total` is among `rows`."""
    number = {subset: i for i, subset in enumerate(combinations(range(total), n))}
    counts = np.zeros(len(number), int)
    for row in rows:
        counts[number[tuple(row)]] += 1
    return counts


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6])
def test_partners_are_uniform_over_all_subsets(n):
    p = []
    for seed in SEEDS:
        pre, post = FixedOutDegree(n, multapses=False).draw(
            10_000, 7, HostStream((2, seed)), same=False
        )
        p.append(stats.chisquare(subsets(post.reshape(-1, n).tolist(), 7, n)).pvalue)
        pre, post = FixedInDegree(n, multapses=False).draw(
            7, 10_000, HostStream((3, seed)), same=False
        )
        rows = pre[np.argsort(post, kind="stable")].reshape(-1, n)
        p.append(stats.chisquare(subsets(rows.tolist(), 7, n)).pvalue)
    check(p)


@pytest.mark.parametrize(("num_pre", "num_post", "n"), [(2, 3, 2), (2, 3, 3), (2, 3, 5), (4, 5, 2)])
def test_total_number_is_uniform_over_all_subsets(num_pre, num_post, n):
    rule, total = FixedTotalNumber(n, multapses=False), num_pre * num_post
    rows = []
    for seed in range(4000):
        pre, post = rule.draw(num_pre, num_post, HostStream((4, seed)), same=False)
        rows.append((pre * num_post + post).tolist())
    counts = subsets(rows, total, n)
    check([stats.chisquare(counts).pvalue])
    # Control: five percent of the draws going to one subset are seen.
    counts[0] += 200
    assert stats.chisquare(counts).pvalue < 1e-4


@pytest.mark.parametrize(
    "rule",
    [
        FixedTotalNumber(8, autapses=False),
        FixedTotalNumber(8, autapses=False, multapses=False),
        FixedInDegree(2, autapses=False),
        FixedInDegree(2, autapses=False, multapses=False),
        FixedInDegree(3, autapses=False, multapses=False),
        FixedOutDegree(2, autapses=False),
        FixedOutDegree(2, autapses=False, multapses=False),
        FixedOutDegree(3, autapses=False, multapses=False),
        FixedProbability(0.4, autapses=False),
    ],
    ids=repr,
)
def test_pairs_without_autapses_are_uniform(rule):
    counts, sizes = np.zeros((5, 5), int), []
    for seed in range(2000):
        pre, post = rule.draw(5, 5, HostStream((5, seed)), same=True)
        np.add.at(counts, (pre, post), 1)
        sizes.append(pre.size)
    assert (np.diag(counts) == 0).all()
    off = counts[~np.eye(5, dtype=bool)]
    mean = np.mean(sizes) / 20
    # Counts of distinct pairs spread less than Poisson's by the factor 1 - mean.
    variance = 2000 * mean * (1 if getattr(rule, "multapses", False) else 1 - mean)
    freedom = {FixedTotalNumber: 19, FixedInDegree: 15, FixedOutDegree: 15, FixedProbability: 19}
    scale = 1.0
    if not getattr(rule, "multapses", True):
        groups = 20 if isinstance(rule, FixedTotalNumber) else 4
        scale = groups / (groups - 1)
    check([spread(off, 2000 * mean, variance * scale, freedom[type(rule)])])


@pytest.mark.parametrize("p", [0.3, 0.8])
def test_fixed_probability_is_exact_over_all_patterns(p):
    """Five pairs have 32 patterns; each of k connections has probability p^k (1 - p)^(5 - k)."""
    counts, n = np.zeros(32, int), 10_000
    for seed in range(n):
        _, post = FixedProbability(p).draw(1, 5, HostStream((6, seed)), same=False)
        counts[(1 << post).sum()] += 1
    ones = np.array([bin(pattern).count("1") for pattern in range(32)])
    check([stats.chisquare(counts, n * p**ones * (1 - p) ** (5 - ones)).pvalue])
    wrong = (p + 0.02) ** ones * (0.98 - p) ** (5 - ones)
    assert stats.chisquare(counts, n * wrong).pvalue < 1e-6  # control


def test_fixed_probability_at_its_ends():
    def size(p, n=1000):
        return FixedProbability(p).draw(n, n, HostStream((7, 0)), same=False)[0].size

    assert size(0.0) == size(5e-324) == size(1e-300) == size(1e-20) == 0
    assert size(1.0) == size(1 - 2**-53) == 1_000_000
    # One connection expected among 4e14 pairs: Poisson's, and no sum of gaps overflows.
    n = 20_000_000
    sizes = [
        FixedProbability(n**-2.0).draw(n, n, HostStream((8, seed)), same=False)[0].size
        for seed in range(1000)
    ]
    assert abs(np.mean(sizes) - 1) < 4 / 1000**0.5 and abs(np.var(sizes) - 1) < 0.2


def test_log_is_a_logarithm():
    x = np.concatenate(
        [HostStream((0, 1)).uniform_open(100_000), 2.0 ** -np.arange(54), [1 - 2.0**-53, 0.5**0.5]]
    )
    got = _pairs._log(x.copy())
    nonzero = x != 1
    assert np.abs(got[nonzero] / np.log(x[nonzero]) - 1).max() < 6e-16
    assert (got[~nonzero] == 0).all()
