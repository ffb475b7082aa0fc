"""Connection rules: contracts over all of them, explicit lists, and misuse."""

# Misuse is what is tested, so the types are wrong.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

import math

import numpy as np
import pytest
from connect.helpers import STREAM, digest

from brainjax.connect import (
    AllToAll,
    Explicit,
    FixedInDegree,
    FixedOutDegree,
    FixedProbability,
    FixedTotalNumber,
    OneToOne,
    Rule,
    _pairs,
)
from brainjax.core import _host_random, _sort
from brainjax.core._host_random import HostStream

# Rule, sizes, same population, and the digest of what it draws from STREAM: indices must not change
# between versions, or networks of old keys are others.
RULES = [
    (OneToOne(), 50, 50, True, "cc3550785b451ae0"),
    (AllToAll(), 20, 30, False, "c2366bcb2bcde83b"),
    (AllToAll(autapses=False), 20, 20, True, "3a71bfa4074d0ae6"),
    (FixedProbability(0.1), 200, 300, False, "0d7147cf9a695814"),
    (FixedProbability(0.7, autapses=False), 100, 100, True, "2944f68f0ae92e7b"),
    (FixedTotalNumber(5000), 200, 300, False, "0e040a29b64fcc8e"),
    (FixedTotalNumber(5000, autapses=False), 50, 50, True, "fd555c255ba3a5b6"),
    (FixedTotalNumber(500, multapses=False), 200, 300, False, "1d7b923029789b37"),
    (FixedTotalNumber(500, autapses=False, multapses=False), 40, 40, True, "17b0036bc1f0e412"),
    (FixedTotalNumber(1500, autapses=False, multapses=False), 40, 40, True, "a5e1f81c8d9f5b43"),
    (FixedInDegree(30), 50, 300, False, "d1b50df2ece75527"),
    (FixedInDegree(10, autapses=False), 20, 20, True, "9e84c145145f7486"),
    (FixedInDegree(20, multapses=False), 50, 300, False, "e2ca74660b3d3999"),
    (FixedInDegree(99, autapses=False, multapses=False), 101, 101, True, "273b9866c112f10e"),
    (FixedOutDegree(30), 300, 50, False, "f131789e336df2ec"),
    (FixedOutDegree(10, autapses=False), 20, 20, True, "163da1e953f3f649"),
    (FixedOutDegree(20, multapses=False), 300, 50, False, "8411cbb25e5bd697"),
    (FixedOutDegree(99, autapses=False, multapses=False), 101, 101, True, "71facc598693a09b"),
    (Explicit([3, 0, 0, 2], [1, 2, 0, 2]), 4, 3, False, "1954e133ad2ea48b"),
]
IDS = [f"{rule!r}-{'same' if same else 'other'}" for rule, _, _, same, _ in RULES]


def flat(pre, post, num_post):
    return pre.astype(np.int64) * num_post + post


@pytest.mark.parametrize(("rule", "num_pre", "num_post", "same", "golden"), RULES, ids=IDS)
def test_contract(rule, num_pre, num_post, same, golden):
    assert isinstance(rule, Rule)
    pre, post = rule.draw(num_pre, num_post, STREAM, same=same)
    assert pre.dtype == post.dtype == np.int32
    assert pre.ndim == 1 and pre.shape == post.shape and pre.size > 0
    assert pre.min() >= 0 and pre.max() < num_pre
    assert post.min() >= 0 and post.max() < num_post
    pairs = flat(pre, post, num_post)
    assert (np.diff(pairs) >= 0).all()
    if not getattr(rule, "multapses", False):
        assert (np.diff(pairs) > 0).all()
    if same and not getattr(rule, "autapses", True):
        assert (pre != post).all()
    # Another draw in between changes nothing.
    rule.draw(num_pre, num_post, STREAM.child("other"), same=same)
    again = rule.draw(num_pre, num_post, HostStream((7, 42)).child("exc->inh"), same=same)
    assert np.array_equal(again[0], pre) and np.array_equal(again[1], post)
    assert digest(pre, post) == golden


@pytest.mark.parametrize("rule", [r for r, *_ in RULES if not isinstance(r, Explicit)], ids=repr)
def test_rules_are_values(rule):
    assert rule == type(rule)(**vars(rule)) and hash(rule) == hash(type(rule)(**vars(rule)))


@pytest.mark.parametrize(("rule", "num_pre", "num_post", "same", "golden"), RULES, ids=IDS)
def test_memory_blocks_do_not_show(rule, num_pre, num_post, same, golden, monkeypatch):
    monkeypatch.setattr(_pairs, "_BLOCK", 64)
    monkeypatch.setattr(_sort, "PART", 64)
    monkeypatch.setattr(_host_random, "_BLOCK", 48)
    assert digest(*rule.draw(num_pre, num_post, STREAM, same=same)) == golden


@pytest.mark.parametrize(
    "rule", [AllToAll(False), FixedProbability(1.0, False), FixedInDegree(9, False, False)]
)
def test_autapses_are_those_of_one_population(rule):
    pre, post = rule.draw(10, 10, STREAM, same=True)
    assert pre.size == 90 and (pre != post).all()
    pre, post = rule.draw(10, 10, STREAM, same=False)
    assert (pre == post).any()


def test_deterministic_rules():
    pre, post = OneToOne().draw(4, 4, STREAM, same=False)
    assert pre.tolist() == post.tolist() == [0, 1, 2, 3]
    pre, post = AllToAll().draw(2, 3, STREAM, same=False)
    assert pre.tolist() == [0, 0, 0, 1, 1, 1] and post.tolist() == [0, 1, 2, 0, 1, 2]
    pre, post = AllToAll(autapses=False).draw(3, 3, STREAM, same=True)
    assert pre.tolist() == [0, 0, 1, 1, 2, 2] and post.tolist() == [1, 2, 0, 2, 0, 1]


@pytest.mark.parametrize("multapses", [True, False])
@pytest.mark.parametrize("n", [0, 1, 40, 99])
def test_numbers_are_exact(n, multapses):
    pre, post = FixedInDegree(n, False, multapses).draw(100, 100, STREAM, same=True)
    assert (np.bincount(post, minlength=100) == n).all() and pre.size == 100 * n
    pre, post = FixedOutDegree(n, False, multapses).draw(100, 100, STREAM, same=True)
    assert (np.bincount(pre, minlength=100) == n).all() and post.size == 100 * n
    pre, post = FixedTotalNumber(100 * n, False, multapses).draw(100, 100, STREAM, same=True)
    assert pre.size == post.size == 100 * n


@pytest.mark.parametrize("multapses", [True, False])
def test_more_targets_leave_the_first_as_they_were(multapses):
    rule = FixedInDegree(20, multapses=multapses)
    few, many = (rule.draw(50, n, STREAM, same=False) for n in (100, 300))
    first = many[1] < 100
    assert np.array_equal(many[0][first], few[0]) and np.array_equal(many[1][first], few[1])


@pytest.mark.parametrize(("rule", "num_pre", "num_post", "same", "golden"), RULES, ids=IDS)
def test_expected_number_is_that_of_what_is_drawn(rule, num_pre, num_post, same, golden):
    del golden
    expected = rule.expected_number(num_pre, num_post, same=same)
    assert type(expected) is float
    if not isinstance(rule, FixedProbability):
        assert expected == rule.draw(num_pre, num_post, STREAM, same=same)[0].size
        return
    drawn = [
        rule.draw(num_pre, num_post, STREAM.child("seed", i), same=same)[0].size for i in range(4)
    ]
    # Binomial: 5 sigma of the mean of the draws.
    bound = 5 * math.sqrt(expected * (1 - rule.p) / len(drawn))
    assert abs(np.mean(drawn) - expected) < bound


def test_expected_number_knows_of_autapses():
    for rule, number in (
        (AllToAll(False), 90),
        (FixedProbability(0.3, False), 0.3 * 90),
        (FixedInDegree(3, False), 30),
        (FixedOutDegree(3, False), 30),
    ):
        assert rule.expected_number(10, 10, same=True) == number
    assert AllToAll(False).expected_number(10, 10, same=False) == 100
    assert FixedProbability(0.3, False).expected_number(10, 10, same=False) == 0.3 * 100
    assert AllToAll().expected_number(70_000, 70_000, same=True) == 4.9e9  # nothing is drawn


@pytest.mark.parametrize(
    ("rule", "num_pre", "num_post", "same"),
    [
        (OneToOne(), 3, 4, False),
        (FixedInDegree(11, multapses=False), 10, 10, True),
        (FixedOutDegree(10, False, False), 10, 10, True),
        (FixedTotalNumber(91, False, False), 10, 10, True),
        (Explicit([0, 10], [0, 0]), 10, 10, True),
    ],
    ids=repr,
)
def test_expected_number_refuses_what_draw_refuses(rule, num_pre, num_post, same):
    with pytest.raises(ValueError) as drawing:
        rule.draw(num_pre, num_post, STREAM, same=same)
    with pytest.raises(ValueError) as expecting:
        rule.expected_number(num_pre, num_post, same=same)
    assert str(expecting.value) == str(drawing.value)


# ---------------------------------------------------------------------------------------- explicit


def test_explicit_keeps_values_with_their_connections():
    generator = np.random.default_rng(0)
    pre, post = generator.integers(0, 30, 5000), generator.integers(0, 40, 5000)
    weight = pre * 1000.0 + post
    rule = Explicit(pre, post)
    got = rule.draw(30, 40, STREAM, same=False)
    assert np.array_equal(got[0] * 1000.0 + got[1], weight[rule.order])
    assert np.array_equal(np.sort(weight), weight[rule.order])
    # Copies of a pair stay in the order given.
    number = np.arange(5000)[rule.order]
    copies = np.diff(weight[rule.order]) == 0
    assert copies.sum() > 100 and (np.diff(number)[copies] > 0).all()


def test_explicit_is_frozen():
    pre = np.array([1, 0])
    rule = Explicit(pre, [0, 0])
    pre[0] = 5
    assert rule.pre.tolist() == [1, 0]
    with pytest.raises(ValueError, match="read-only"):
        rule.pre[0] = 3
    with pytest.raises(AttributeError):
        rule.pre = pre
    assert rule.order is rule.order
    assert all(x.size == 0 for x in Explicit([], []).draw(1, 1, STREAM, same=False))


# ------------------------------------------------------------------------------------------ misuse


def draw(rule, num_pre=10, num_post=10, same=True):
    return rule.draw(num_pre, num_post, STREAM, same=same)


NUMBERED = [FixedTotalNumber, FixedInDegree, FixedOutDegree]


@pytest.mark.parametrize("rule", NUMBERED)
@pytest.mark.parametrize(
    ("n", "error", "match"),
    [
        (-1, ValueError, r": n: got -1, expected an integer of at least 0"),
        (80.0, TypeError, r": n: got 80\.0, expected an integer .* Write 80\."),
        (0.5, TypeError, r": n: got 0\.5, expected an integer of at least 0\.$"),
        (True, TypeError, r": n: got True"),
        (math.nan, TypeError, r": n: got nan"),
        ("80", TypeError, r": n: got '80'"),
    ],
)
@pytest.mark.usefixtures("own_checks")
def test_a_number_is_an_integer(rule, n, error, match):
    with pytest.raises(error, match=rule.__name__ + match):
        rule(n)
    assert rule(np.int64(80)) == rule(80) and type(rule(np.int64(80)).n) is int


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: FixedProbability(1.5), ValueError, r"p: got 1\.5, expected 0 to 1\..*p=0\.015"),
        (lambda: FixedProbability(-0.1), ValueError, r"p: got -0\.1, expected 0 to 1\.$"),
        (lambda: FixedProbability(math.nan), ValueError, r"p: got nan"),
        (lambda: FixedProbability("0.1"), TypeError, r"p: got '0\.1'.*concrete"),
        (lambda: FixedProbability(True), TypeError, r"p: got True"),
        (
            lambda: FixedProbability(0.1, autapses=0),
            TypeError,
            r"autapses: got 0, expected True",
        ),
        (lambda: AllToAll(autapses="no"), TypeError, r"AllToAll: autapses: got 'no'"),
        (lambda: FixedInDegree(3, multapses=1), TypeError, r"FixedInDegree: multapses: got 1"),
        (
            lambda: draw(FixedInDegree(11, multapses=False)),
            ValueError,
            r"FixedInDegree: n: got 11, expected at most 10, .* sources.* Set multapses=True",
        ),
        (
            lambda: draw(FixedOutDegree(10, False, False)),
            ValueError,
            r"FixedOutDegree: n: got 10, expected at most 9, .* targets.*, autapses left out\.",
        ),
        (
            lambda: draw(FixedTotalNumber(91, False, False)),
            ValueError,
            r"FixedTotalNumber: n: got 91, expected at most 90, the number of pairs",
        ),
        *(
            (
                lambda rule=rule: draw(rule(2, autapses=False), 1, 1),
                ValueError,
                rf"{rule.__name__}: n: got 2, expected 0, as there are no .* Set autapses=True",
            )
            for rule in NUMBERED
        ),
        (lambda: draw(OneToOne(), 3, 4, False), ValueError, r"OneToOne.*\(3, 4\).*equal size"),
        (lambda: draw(OneToOne(), 3, 4), ValueError, r"same population\. Set same=False"),
        (lambda: draw(OneToOne(), 0, 4), ValueError, r"num_pre: got 0, expected an integer in 1"),
        (lambda: draw(OneToOne(), 4, 2.5), TypeError, r"num_post: got 2\.5"),
        (lambda: draw(OneToOne(), 4, 2**31), ValueError, r"num_post: got 2147483648"),
        (lambda: draw(OneToOne(), 2**30, 2**30), ValueError, r"at most 2\*\*53 pairs"),
        (lambda: draw(OneToOne(), same=1), TypeError, r"same: got 1, expected True or False"),
        (lambda: OneToOne().draw(1, 1, 7, same=True), TypeError, r"stream: got 7.*HostStream\("),
        (lambda: Explicit([0, 1], [0]), ValueError, r"lengths of pre, post: got \(2, 1\)"),
        (lambda: Explicit([[0]], [0]), ValueError, r"pre\.shape: got \(1, 1\)"),
        (lambda: Explicit([0.0], [0]), TypeError, r"pre\.dtype: got 'float64', expected integers"),
        (lambda: Explicit([0], [True]), TypeError, r"post\.dtype: got 'bool'.*flatnonzero\(post\)"),
        (lambda: Explicit([0, 2, -1], [0, 0, 0]), ValueError, r"pre\[2\]: got -1"),
        (lambda: Explicit([0], [2**31]), ValueError, r"post\[0\]: got 2147483648"),
        (
            lambda: draw(Explicit([0, 10], [0, 0])),
            ValueError,
            r"pre\[1\]: got 10, expected an index in 0\.\.9, the source population.*start at 0",
        ),
        (lambda: draw(Explicit([0], [99])), ValueError, r"post\[0\]: got 99.*target population"),
    ],
)
@pytest.mark.usefixtures("own_checks")
def test_misuse(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_rules_with_nothing_to_connect():
    for rule in (AllToAll(False), FixedProbability(0.5, False), *(r(0, False) for r in NUMBERED)):
        pre, post = draw(rule, 1, 1)
        assert pre.size == post.size == 0 and pre.dtype == np.int32
