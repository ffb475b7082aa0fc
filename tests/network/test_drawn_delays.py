"""Delays drawn for synapses that are not stored: their law, and that they depend on nothing."""

from dataclasses import replace

import numpy as np
import pytest
from connect.helpers import check, digest, truncated
from scipy import stats

import brainjax as bj
from brainjax.connect import procedural, quantile_table
from brainjax.core import HostStream
from brainjax.network import _drawn_delays
from brainjax.network._drawn_delays import group_places, law_of
from brainjax.ops import pointers
from brainjax.ops._procedural import factors, positions, targets

DT, N, SEEDS = 0.1, 400, range(4)
DELAY = bj.Normal(1.5, 0.75, low=0.05)
GRID = bj.DistanceDependent((20, 20), bj.GaussianProfile(0.9, 2.5), 4, autapses=False)
# The digest is that of all groups: it must not change between versions.
RULES = {
    "probability": (bj.FixedProbability(0.1, autapses=False), "d9c7b4c21dcd1d11"),
    "in-degree": (bj.FixedInDegree(40), "44256b2826785456"),
    "out-degree": (bj.FixedOutDegree(40), "60fdb6b4a85b179d"),
    "out-degree, without": (bj.FixedOutDegree(40, multapses=False), "60fdb6b4a85b179d"),
    "total": (bj.FixedTotalNumber(16_000), "44256b2826785456"),
    "distance": (GRID, "22cfe38425fe6b4b"),
}


def law(delay=DELAY):
    return law_of(bj.Projection("a", "a.in", GRID, 1.0, delay, procedural=True), DT)


def drawn(rule, seed):
    """A matrix and its places, grouped by delays."""
    stream = HostStream((9, seed))
    matrix = procedural(rule, N, N, stream.child("rule"), same=True)
    groups = group_places(matrix.row_ptr, law(), stream.child("delay"))
    return replace(matrix, shape=replace(matrix.shape, grouped=True)), groups


def synapses(matrix, groups):
    """Source, target, delay and factor of each."""
    shape, words, row_ptr = matrix.shape, matrix.words, matrix.row_ptr
    source = np.repeat(np.arange(N, dtype=np.int32), np.diff(row_ptr))
    place = (np.arange(source.size) - row_ptr[source]).astype(np.int32)
    delay = np.repeat(np.asarray(groups.group_delay), np.diff(pointers(groups.group_ptr)))
    at = positions(shape, words, source, place)
    target, there = targets(shape, words, matrix.where, source, at)
    factor = factors(words, quantile_table(bj.Normal(1.0, 0.3), np.float64), source, at)
    return source[there], target[there], delay[there], factor[there]


def fit(delay, law):
    """The p-value of delays as those of a law."""
    expected = np.diff(law.upto) * 2.0**-52 * delay.size
    counts = np.bincount(delay - law.least, minlength=expected.size)
    enough = np.cumsum(expected) <= delay.size - 10  # the tail is one class
    counts, expected = (np.append(x[enough], x[~enough].sum()) for x in (counts, expected))
    return stats.chisquare(counts, expected).pvalue


def related(delay, other):
    """The p-value of delays and something else as independent, in six classes and some."""
    ends = np.quantile(delay, np.arange(1, 6) / 6)
    classes = np.searchsorted(ends, delay)
    table = np.zeros((6, other.max() + 1))
    np.add.at(table, (classes, other), 1)
    return stats.chi2_contingency(table[:, table.sum(0) > 0]).pvalue


def classes(source, target, factor):
    """What a delay might depend on: where a synapse ends, how far, its weight, its source."""
    across, down = (target - source) % 20, (target // 20 - source // 20) % 20
    far = np.minimum(across, 20 - across) ** 2 + np.minimum(down, 20 - down) ** 2
    weight = np.searchsorted(np.quantile(factor, np.arange(1, 10) / 10), factor)
    return {"target": target // 20, "distance": far // 4, "weight": weight, "source": source // 20}


@pytest.mark.parametrize(
    "delay",
    [
        DELAY,
        bj.Normal(1.5, 0.75, 0.1, 2.0, "clip"),
        bj.Uniform(0.12, 4.0),
        bj.LogNormal(0.3, 0.5, 0.2, 6.0),
    ],
    ids=repr,
)
def test_the_law_is_that_of_the_distribution(delay):
    """The probability of fewer steps, against the distribution function; as stored ones draw."""
    made = law(delay)
    assert made.upto[0] == 0 and made.upto[-1] == 2**52 and (np.diff(made.upto) >= 0).all()
    ends = (made.least - 0.5 + np.arange(made.upto.size))[1:-1] * DT
    if isinstance(delay, bj.Uniform):
        expected = stats.uniform(delay.low, delay.high - delay.low).cdf(ends)
    else:
        log = isinstance(delay, bj.LogNormal)
        expected = truncated(delay).cdf(np.log(ends) if log else ends)
    np.testing.assert_allclose(made.upto[1:-1] * 2.0**-52, expected, rtol=0, atol=1e-12)
    stored = np.floor(delay.sample(HostStream((1, 1)), 20_000) / DT + 0.5).astype(int)
    assert stored.min() >= made.least and fit(stored, made) > 1e-3


def test_a_distribution_of_one_delay():
    made = law(bj.Normal(0.3, 0.0))
    assert made.least == 3 and made.upto.tolist() == [0, 2**52]


def test_delays_have_their_law():
    for rule, _ in RULES.values():
        check([fit(synapses(*drawn(rule, seed))[2], law()) for seed in SEEDS])
    # Control: a mean that is larger by 5 % is seen.
    other = law(bj.Normal(1.575, 0.75, low=0.05))
    assert fit(synapses(*drawn(GRID, 0))[2], other) < 1e-6


def test_delays_depend_on_nothing_else():
    for rule, _ in RULES.values():
        p = {name: [] for name in ("target", "distance", "weight", "source")}
        for seed in SEEDS:
            source, target, delay, factor = synapses(*drawn(rule, seed))
            for name, other in classes(source, target, factor).items():
                p[name].append(related(delay, other))
        for of_name in p.values():
            check(of_name)


@pytest.mark.parametrize("name", ["distance", "out-degree, without"])
def test_control_places_that_tell_of_targets_are_seen(name):
    """Places in the order of the mask, or of sorted targets: what rows must not be."""
    matrix, groups = drawn(RULES[name][0], 0)
    if name == "distance":
        matrix = replace(matrix, shape=replace(matrix.shape, grouped=False))
    source, target, delay, factor = synapses(matrix, groups)
    if name != "distance":
        target = target[np.lexsort((target, source))]
    by = "distance" if name == "distance" else "target"
    assert related(delay, classes(source, target, factor)[by]) < 1e-6


@pytest.mark.parametrize("name", RULES)
def test_groups_are_those_of_old_keys(name):
    matrix, groups = drawn(RULES[name][0], 3)
    assert np.array_equal(pointers(groups.group_ptr)[np.asarray(groups.source_ptr)], matrix.row_ptr)
    sizes = np.diff(pointers(groups.group_ptr))
    assert sizes.min() > 0 and sizes.max() == groups.longest_group
    delay = np.asarray(groups.group_delay)
    new = np.isin(np.arange(1, delay.size), np.asarray(groups.source_ptr))
    assert ((np.diff(delay) > 0) | new).all()
    assert digest(delay, sizes) == RULES[name][1]


def test_sources_do_not_depend_on_blocks(monkeypatch):
    _, whole = drawn(GRID, 0)
    monkeypatch.setattr(_drawn_delays, "_SOURCES", 37)
    _, parts = drawn(GRID, 0)
    for name in ("source_ptr", "group_delay", "group_ptr"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name))
