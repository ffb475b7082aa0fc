"""Rules whose connections are not stored: counts, statistics with controls, misuse."""

# Misuse is what is tested, so the types are wrong.
# pyright: reportArgumentType=false

from functools import partial

import numpy as np
import pytest
from connect.helpers import STREAM, check, digest, goodness
from scipy import stats

from brainjax.connect import (
    AllToAll,
    DiscProfile,
    DistanceDependent,
    Explicit,
    ExponentialProfile,
    FixedInDegree,
    FixedOutDegree,
    FixedProbability,
    FixedTotalNumber,
    GaussianProfile,
    OneToOne,
    _procedural,
)
from brainjax.connect._procedural import materialise, rows
from brainjax.connect._procedural_rules import procedural
from brainjax.connect._row_counts import binomial_counts, multinomial_counts, subset_counts
from brainjax.core._host_random import HostStream
from brainjax.ops import _procedural as arithmetic

SEEDS = range(4)
TORUS = DistanceDependent((15, 20), GaussianProfile(0.9, 2.5), 5, autapses=False)
PLANE = DistanceDependent((15, 20), ExponentialProfile(1.0, 3.0), 6, periodic=False)

# Rule, size of both populations, whether they are one, and the digest of what STREAM gives in
# canonical order: it must not change between versions.
RULES = [
    (FixedProbability(0.1), 300, False, "8de8825e265a56b4"),
    (FixedProbability(0.7, autapses=False), 300, True, "9d6e6b4cfc91e960"),
    (FixedProbability(1.0, autapses=False), 40, True, "5a405bb25d91e6aa"),
    (FixedOutDegree(30), 300, False, "93d73ecc73884ba0"),
    (FixedOutDegree(30, autapses=False), 20, True, "9fd46ae9c26c8c68"),
    (FixedOutDegree(30, multapses=False), 300, False, "f1e14f2688b8e54e"),
    (FixedOutDegree(39, autapses=False, multapses=False), 40, True, "5a405bb25d91e6aa"),
    (FixedTotalNumber(9000), 300, False, "b83a85b95599dbae"),
    (FixedTotalNumber(9000, autapses=False), 300, True, "68cab012c0ffb56f"),
    (FixedTotalNumber(9000, multapses=False), 300, False, "b69a039705701e77"),
    (FixedTotalNumber(1500, autapses=False, multapses=False), 40, True, "cc0044e72d1179e6"),
    (FixedInDegree(30), 300, False, "d08c2ac048a6fa87"),
    (FixedInDegree(30), 300, True, "d08c2ac048a6fa87"),
    (TORUS, 300, True, "5d15d32e07d4c9e4"),
    (PLANE, 300, False, "da51d51c7e2502d7"),
]
IDS = [f"{rule!r}-{'same' if same else 'other'}" for rule, _, same, _ in RULES]
each_rule = pytest.mark.parametrize(("rule", "n", "same", "golden"), RULES, ids=IDS)


@each_rule
def test_what_a_rule_promises(rule, n, same, golden):
    made = procedural(rule, n, n, STREAM, same=same)
    pre, post, none = materialise(made)
    assert none is None and pre.dtype == post.dtype == np.int32
    pairs = pre.astype(np.int64) * n + post
    assert pairs.min() >= 0 and pairs.max() < n * n and (np.diff(pairs) >= 0).all()
    if not getattr(rule, "multapses", False):
        assert (np.diff(pairs) > 0).all()
    if same and not getattr(rule, "autapses", True):
        assert (pre != post).all()
    expected = rule.expected_number(n, n, same=same)
    if isinstance(rule, FixedProbability | DistanceDependent):
        assert abs(pre.size - expected) < 4 * max(expected, 1) ** 0.5
    else:
        assert pre.size == expected
    if isinstance(rule, FixedOutDegree):
        assert (np.bincount(pre, minlength=n) == rule.n).all()
    if isinstance(rule, FixedInDegree):
        assert (np.bincount(post, minlength=n) == rule.n).all()
    assert digest(pre, post) == golden


@each_rule
def test_blocks_do_not_show(rule, n, same, golden, monkeypatch):
    monkeypatch.setattr(_procedural, "_BLOCK", 100)
    assert digest(*materialise(procedural(rule, n, n, STREAM, same=same))[:2]) == golden


def test_memory_is_that_of_the_neurons():
    made = procedural(FixedInDegree(500_000), 1000, 10_000, STREAM, same=False)
    assert made.row_ptr[-1] == 5 * 10**9  # more than 2^32
    assert made.where.nbytes + made.words.nbytes < 10_000
    # The last row is there, and made of targets at random.
    pre, post, _ = rows(made, 999, 1000)
    assert (pre == 999).all() and pre.size == made.row_ptr[-1] - made.row_ptr[-2]
    assert abs(post.mean() - 4999.5) < 4 * 2887 / pre.size**0.5


# ---- statistics ----------------------------------------------------------------------------------


def test_uniform_over_all_subsets_of_few():
    """All orders of three out of five, as often as each other: nothing is coarse in small sizes."""
    check([orders_of_few(seed) for seed in SEEDS])


def test_control_few_rounds_are_seen(monkeypatch):
    made = arithmetic.permutation
    monkeypatch.setattr(arithmetic, "permutation", lambda n: made(n)._replace(rounds=6))
    assert max(orders_of_few(seed) for seed in SEEDS) < 1e-6


def orders_of_few(seed):
    made = procedural(
        FixedOutDegree(3, multapses=False), 30_000, 5, HostStream((1, seed)), same=False
    )
    _, post, _ = rows(made, 0, 30_000, native=False)
    a, b, c = post.reshape(-1, 3).T
    counts = np.bincount(25 * a + 5 * b + c, minlength=125)
    assert np.count_nonzero(counts) <= 60
    distinct = [i for i in range(125) if len({i // 25, i // 5 % 5, i % 5}) == 3]
    return stats.chisquare(counts[distinct]).pvalue


def in_degrees(made):
    """The p-value of in-degrees as binomial numbers, by their variance over mean."""
    num_pre, num_post = made.shape.num_pre, made.shape.num_post
    _, post, _ = rows(made, 0, num_pre, native=False)
    counts = np.bincount(post, minlength=num_post)
    mean = post.size / num_post
    variance = mean * (1 - mean / num_pre)
    statistic = ((counts - mean) ** 2).sum() / variance
    tail = stats.chi2(num_post - 1)
    return 2 * min(tail.sf(statistic), tail.cdf(statistic))


def overlaps(made):
    """The p-value of targets shared by neighbouring sources, as hypergeometric numbers."""
    num_pre, num_post = made.shape.num_pre, made.shape.num_post
    pre, post, _ = rows(made, 0, num_pre, native=False)
    marked = np.zeros((num_pre, num_post), bool)
    marked[pre, post] = True
    shared = (marked[1:] & marked[:-1]).sum(axis=1)
    degree = marked.sum(axis=1)
    law = stats.hypergeom(num_post, degree[1:], degree[:-1])
    z = (shared - law.mean()) / law.std()
    mean, spread = z.mean() * len(z) ** 0.5, (z**2).sum()
    tail = stats.chi2(len(z))
    return min(4 * stats.norm.sf(abs(mean)), 4 * min(tail.sf(spread), tail.cdf(spread)), 1.0)


def neighbours(made):
    """The p-value of the steps from one target of a row to the next, which are uniform."""
    num_pre, num_post = made.shape.num_pre, made.shape.num_post
    pre, post, _ = rows(made, 0, num_pre, native=False)
    steps = (np.diff(post) % num_post)[np.diff(pre) == 0]
    edges = np.linspace(0.5, num_post - 0.5, 200)
    counts = np.histogram(steps, bins=edges)[0]
    return stats.chisquare(counts, np.diff(np.ceil(edges)) * len(steps) / (num_post - 1)).pvalue


def matrices(seed):
    make = partial(procedural, num_pre=700, num_post=1200, stream=HostStream((2, seed)), same=False)
    return make(FixedProbability(0.07)), make(FixedOutDegree(90, multapses=False))


@pytest.mark.parametrize("law", [in_degrees, overlaps, neighbours])
def test_rows_are_random_subsets(law):
    check([law(made) for seed in SEEDS for made in matrices(seed)])


@pytest.mark.parametrize(
    ("bad", "law"),
    [
        (lambda x, key: x * np.uint32(0x9E3779B1) + (key & np.uint32(3)), in_degrees),
        (lambda x, key: x + key, overlaps),
        (lambda x, key: x + key, neighbours),
    ],
)
def test_control_a_bad_hash_is_seen(bad, law, monkeypatch):
    monkeypatch.setattr(arithmetic, "_mixed", bad)
    assert max(law(made) for seed in SEEDS for made in matrices(seed)) < 1e-6


@pytest.mark.parametrize("rule", [FixedOutDegree(400), FixedTotalNumber(200_000)], ids=repr)
def test_targets_with_replacement(rule):
    p = []
    for seed in SEEDS:
        pre, post, _ = materialise(procedural(rule, 500, 300, HostStream((3, seed)), same=False))
        p.append(stats.chisquare(np.bincount(post, minlength=300)).pvalue)
        blocks = np.bincount(pre // 25 * 20 + post // 15, minlength=400)
        p.append(stats.chi2_contingency(blocks.reshape(20, 20)).pvalue)
    check(p)


def test_in_degree_has_uniform_sources():
    """Out-degrees are multinomial, and sources and targets are not related."""
    p = []
    for seed in SEEDS:
        rule, stream = FixedInDegree(200), HostStream((4, seed))
        made = procedural(rule, 400, 1000, stream, same=False)
        out = np.diff(made.row_ptr)
        p.append(stats.chisquare(out).pvalue)
        pre, post, _ = materialise(made)
        table = np.bincount(pre // 20 * 25 + post // 40, minlength=500).reshape(20, 25)
        p.append(stats.chi2_contingency(table).pvalue)
        # How often a pair is connected: 200 000 synapses over 400 000 pairs.
        copies = np.bincount(np.bincount(pre.astype(np.int64) * 1000 + post, minlength=400_000))
        law = 400_000 * stats.poisson(0.5).pmf(np.arange(5))
        assert np.abs((copies[:5] - law) / law**0.5).max() < 4.5
    check(p)


def test_counts_of_rows():
    p = []
    for seed in SEEDS:
        stream = HostStream((5, seed))
        for trials, chance in [(10, 0.3), (2000, 0.05), (3000, 0.999), (10**6, 0.4)]:
            drawn = binomial_counts(stream.child(trials), 20_000, trials, chance)
            p.append(goodness(drawn, stats.binom(trials, chance)))
        drawn = np.array([multinomial_counts(stream.child(i), 3, 20) for i in range(500)])
        assert (drawn.sum(axis=1) == 20).all()
        p.append(goodness(drawn[:, seed % 3], stats.binom(20, 1 / 3)))
        drawn = np.array([subset_counts(stream.child(i), 3, 8, 10) for i in range(500)])
        assert (drawn.sum(axis=1) == 10).all() and drawn.max() <= 8
        p.append(goodness(drawn[:, seed % 3], stats.hypergeom(24, 8, 10)))
    check(p)
    # Control: a chance larger by two percent is seen.
    wrong = binomial_counts(HostStream((5, 0)), 20_000, 2000, 0.051)
    assert goodness(wrong, stats.binom(2000, 0.05)) < 1e-6


def test_counts_at_their_ends():
    stream = HostStream((1, 1))
    assert binomial_counts(stream, 4, 7, 0.0).tolist() == [0] * 4
    assert binomial_counts(stream, 4, 7, 1.0).tolist() == [7] * 4
    assert binomial_counts(stream, 4, 0, 0.5).tolist() == [0] * 4
    assert multinomial_counts(stream, 4, 0).tolist() == [0] * 4
    assert multinomial_counts(stream, 1, 10**10).tolist() == [10**10]
    assert subset_counts(stream, 3, 5, 15).tolist() == [5] * 3
    assert subset_counts(stream, 3, 5, 0).tolist() == [0] * 3


# ---- distance ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [TORUS, PLANE], ids=repr)
def test_stored_and_made_are_one_matrix(rule):
    drawn = rule.draw(300, 300, STREAM, same=True)
    made = materialise(procedural(rule, 300, 300, STREAM, same=True))
    assert np.array_equal(drawn[0], made[0]) and np.array_equal(drawn[1], made[1])
    assert rule == type(rule)(**vars(rule)) and hash(rule) == hash(type(rule)(**vars(rule)))


@pytest.mark.parametrize("rule", [TORUS, PLANE], ids=repr)
def test_probability_depends_on_distance(rule):
    num, z = 300, []
    hits, pairs = np.zeros(200), np.zeros(200)
    i = np.arange(num)
    dy, dx = (np.abs(x[:, None] - x) for x in (i // 20, i % 20))
    if rule.periodic:
        dy, dx = np.minimum(dy, 15 - dy), np.minimum(dx, 20 - dx)
    squared = np.where(np.maximum(dy, dx) <= rule.reach, dy**2 + dx**2, 199)
    if not rule.autapses:
        np.fill_diagonal(squared, 199)
    total = 0
    for seed in range(12):
        pre, post = rule.draw(num, num, HostStream((6, seed)), same=True)
        hits += np.bincount(squared[pre, post], minlength=200)
        pairs += np.bincount(squared.reshape(-1), minlength=200)
        total += pre.size
    assert hits[199] == 0
    some = np.flatnonzero(pairs[:199])
    d = some**0.5
    p = 0.9 * np.exp(-((d / 2.5) ** 2) / 2) if rule is TORUS else np.exp(-d / 3.0)
    if rule is PLANE:
        assert hits[0] == pairs[0]  # a probability of one is certain
    keep = p < 1
    z = (hits[some] - pairs[some] * p)[keep] / (pairs[some] * p * (1 - p))[keep] ** 0.5
    assert np.abs(z).max() < 4 and abs((z**2).mean() - 1) < 1
    expected = rule.expected_number(num, num, same=True)
    assert abs(total / 12 - expected) < 4 * (expected / 12) ** 0.5
    assert expected == pytest.approx((pairs[some] * p).sum() / 12, rel=1e-6)


def test_profiles():
    squared = np.array([0, 1, 2, 9, 10])
    gauss = GaussianProfile(0.5, 2.0).at(squared)
    np.testing.assert_allclose(gauss, 0.5 * np.exp(-squared / 8), rtol=1e-15)
    expo = ExponentialProfile(0.5, 2.0).at(squared)
    np.testing.assert_allclose(expo, 0.5 * np.exp(-np.sqrt(squared) / 2), rtol=1e-15)
    assert DiscProfile(0.25, 3.0).at(squared).tolist() == [0.25, 0.25, 0.25, 0.25, 0.0]
    assert GaussianProfile(1, 2) == GaussianProfile(1.0, 2.0) != ExponentialProfile(1.0, 2.0)


# ---- misuse --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "same", "match"),
    [
        (AllToAll(), False, r"connectivity: got AllToAll.*expected FixedProbability.* store"),
        (OneToOne(), False, r"got OneToOne"),
        (Explicit([0], [1]), False, r"got Explicit"),
        (FixedInDegree(3, multapses=False), False, r"with multapses.*FixedProbability\(0\.3"),
        (FixedInDegree(3, autapses=False), True, r"with autapses.*FixedProbability\(0\.33"),
        (FixedOutDegree(11, multapses=False), False, r"FixedOutDegree: n: got 11, .*at most 10"),
        (TORUS, False, r"got \(10, 10\), expected 300 neurons in both"),
    ],
)
def test_refused(rule, same, match):
    with pytest.raises(ValueError, match=match):
        procedural(rule, 10, 10, STREAM, same=same)


GAUSS = GaussianProfile(0.5, 2.0)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: DistanceDependent(10, GAUSS, 2), TypeError, r"grid: got 10, .*\(ny, nx\)"),
        (lambda: DistanceDependent((10, 0), GAUSS, 2), ValueError, r"grid: got 0"),
        (lambda: DistanceDependent((9, 9), np.exp, 2), TypeError, r"profile: .* a Profile"),
        (lambda: DistanceDependent((9, 9), GAUSS, 5), ValueError, r"reach: got 5, .*most 4"),
        (lambda: DistanceDependent((9, 9), GAUSS, 1.5), TypeError, r"reach: got 1\.5"),
        (lambda: DistanceDependent((9, 9), GAUSS, 1, "no"), TypeError, r"periodic: got 'no'"),
        (lambda: GaussianProfile(1.5, 2.0), ValueError, r"GaussianProfile: peak: got 1\.5"),
        (lambda: DiscProfile(0.5, 0.0), ValueError, r"DiscProfile: width: got 0\.0"),
    ],
)
@pytest.mark.usefixtures("own_checks")
def test_misuse(make, error, match):
    with pytest.raises(error, match=match):
        make()
