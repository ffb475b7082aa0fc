"""The host's random stream: a pure function of key, path and index, with an oracle of its own."""

# Misuse is what is tested, so the types are wrong.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

import numpy as np
import pytest
from scipy import stats

from brainjax.core import _host_random
from brainjax.core._host_random import HostStream, check_integer

STREAM = HostStream((7, 42))
METHODS = {
    "bits": lambda s, n, start: s.bits(n, start),
    "uniform": lambda s, n, start: s.uniform(n, start),
    "uniform_open": lambda s, n, start: s.uniform_open(n, start),
    "integers": lambda s, n, start: s.integers(n, 1000, start),
    "normal": lambda s, n, start: s.normal(n, start),
}


def philox(counter: int, key: list[int]) -> list[int]:
    """Philox-4x64-10 as printed in Salmon et al. 2011, in Python's integers."""
    mask = 2**64 - 1
    x0, x1, x2, x3 = (counter >> 64 * i & mask for i in range(4))
    k0, k1 = key
    for _ in range(10):
        a, b = 0xD2E7470EE14C6C93 * x0, 0xCA5A826395121157 * x2
        x0, x1, x2, x3 = (b >> 64) ^ x1 ^ k0, b & mask, (a >> 64) ^ x3 ^ k1, a & mask
        k0, k1 = k0 + 0x9E3779B97F4A7C15 & mask, k1 + 0xBB67AE8584CAA73B & mask
    return [x0, x1, x2, x3]


def test_bits_are_philox():
    key = [int(word) for word in STREAM._philox_key()]
    expected = [word for counter in range(1, 6) for word in philox(counter, key)]
    assert STREAM.bits(20).tolist() == expected
    assert STREAM.bits(3, start=4 * (2**70) + 1).tolist() == philox(2**70 + 1, key)[1:]


def test_bits_never_change():
    assert STREAM.bits(2).tolist() == [0xF32D09EC6AF53180, 0xDBCABE6BFBFFF92]
    assert STREAM.child("exc", 3).bits(2).tolist() == [0xEC36E5C21267B8A4, 0x937FDA2186269B0D]


@pytest.mark.parametrize("name", METHODS)
def test_numbers_depend_on_their_index_alone(name, monkeypatch):
    method = METHODS[name]
    monkeypatch.setattr(_host_random, "_BLOCK", 16)
    whole = method(STREAM, 100, 0)
    for start in (0, 1, 3, 4, 15, 16, 17, 95):
        for n in (0, 1, 2, 5):
            assert np.array_equal(method(STREAM, n, start), whole[start : start + n])
    monkeypatch.undo()
    assert np.array_equal(method(STREAM, 100, 0), whole)


def test_uniform_is_the_top_53_bits():
    expected = [(raw >> 11) / 2**53 for raw in STREAM.bits(1000).tolist()]
    assert STREAM.uniform(1000).tolist() == expected


def test_uniform_open_keeps_off_its_ends():
    extreme = _host_random._open(np.array([0, 2**64 - 1], np.uint64))
    assert extreme.tolist() == [2.0**-53, 1 - 2.0**-53]
    assert np.isfinite(_host_random.ndtri(extreme)).all()
    assert np.abs(STREAM.uniform_open(1000) - STREAM.uniform(1000)).max() < 2.0**-51


@pytest.mark.parametrize(
    "high", [1, 2, 3, 1000, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 6_000_000_007, 2**62 + 3, 2**63]
)
def test_integers_are_the_exact_high_word(high):
    raw = [0, 1, 2**32 - 1, 2**32, 2**63, 2**64 - 1, *STREAM.bits(1000).tolist()]
    got = _host_random._multiply_high(np.array(raw, np.uint64), high)
    assert got.tolist() == [x * high >> 64 for x in raw]
    drawn = STREAM.integers(1000, high)
    assert drawn.dtype == np.int64
    assert drawn.tolist() == [x * high >> 64 for x in raw[6:]]


@pytest.mark.parametrize("seed", range(5))
def test_distributions(seed):
    stream = HostStream((0, seed))
    n = 100_000
    assert stats.kstest(stream.uniform(n), "uniform").pvalue > 1e-3
    assert stats.kstest(stream.normal(n), "norm").pvalue > 1e-3
    counts = np.bincount(stream.integers(n, 37), minlength=37)
    assert stats.chisquare(counts).pvalue > 1e-3
    # Controls: a bias of a few percent is seen.
    assert stats.kstest(stream.uniform(n) ** 1.05, "uniform").pvalue < 1e-6
    assert stats.kstest(1.05 * stream.normal(n) + 0.02, "norm").pvalue < 1e-6
    uneven = np.bincount((37 * stream.uniform(n) ** 1.05).astype(int), minlength=37)
    assert stats.chisquare(uneven).pvalue < 1e-6


def test_children_are_independent():
    n = 20_000
    names = [("a",), ("b",), ("a", "b"), ("b", "a"), ("ab",), ("a", 1), ("a", "1"), (1,), (-1,)]
    streams = [STREAM, HostStream((42, 7)), HostStream((8, 42))]
    streams += [STREAM.child(*name) for name in names]
    drawn = np.stack([stream.normal(n) for stream in streams])
    correlation = np.corrcoef(drawn) - np.eye(len(drawn))
    assert np.abs(correlation).max() < 5 / n**0.5
    # Nor is one another's shifted by a few places.
    for shift in (1, 4):
        moved = np.corrcoef(drawn[:, shift:], drawn[:, :-shift])
        assert np.abs(moved[: len(drawn), len(drawn) :]).max() < 5 / n**0.5
    # Control: a common part of five percent is seen.
    mixed = np.corrcoef(drawn[0], drawn[1] + 0.05 * drawn[0])[0, 1]
    assert abs(mixed) > 5 / n**0.5


def test_a_path_is_its_names():
    assert STREAM.child("a", 1) == STREAM.child("a").child(1)
    assert hash(STREAM.child("a")) == hash(STREAM.child("a"))
    same = {STREAM.child(*p).bits(1)[0] for p in [("ab", "c"), ("a", "bc"), ("abc",), (1,), ("1",)]}
    assert len(same) == 5


def test_the_order_of_calls_does_not_matter():
    one = HostStream((1, 2))
    first, second = one.child("x").uniform(5), one.child("y").uniform(5)
    other = HostStream((1, 2))
    other.bits(1000)
    assert np.array_equal(other.child("y").uniform(5), second)
    assert np.array_equal(other.child("x").uniform(5), first)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (
            lambda: HostStream(3),
            TypeError,
            r"key: got 3, expected a tuple of two .*key_data",
        ),
        (lambda: HostStream((1, 2, 3)), ValueError, r"key: got \(1, 2, 3\), expected two"),
        (
            lambda: HostStream((1, 2**32)),
            ValueError,
            r"a word: got 4294967296, .* 0\.\.4294967295",
        ),
        (lambda: HostStream((1, 0.5)), TypeError, r"a word: got 0\.5"),
        (lambda: STREAM.child(), ValueError, r"one name or more.*stream\.child\('weight'\)"),
        (
            lambda: STREAM.child(1.5),
            TypeError,
            r"a name: got 1\.5, expected a string or an",
        ),
        (lambda: STREAM.child(True), TypeError, r"a name: got True"),
        (lambda: STREAM.bits(-1), ValueError, r"HostStream: n: got -1, expected .* at least 0"),
        (lambda: STREAM.bits(2, start=-1), ValueError, r"HostStream: start: got -1"),
        (lambda: STREAM.uniform(2.0), TypeError, r"HostStream: n: got 2\.0, .* Write 2\."),
        (lambda: STREAM.integers(3, 0), ValueError, r"high: got 0, expected an integer in 1\.\."),
        (lambda: STREAM.integers(3, 2**63 + 1), ValueError, r"high: got 9223372036854775809"),
        (lambda: check_integer("size", True), TypeError, r"size: got True, expected an integer"),
    ],
)
@pytest.mark.usefixtures("own_checks")
def test_misuse(make, error, match):
    with pytest.raises(error, match=match):
        make()


@pytest.mark.usefixtures("own_checks")
def test_numpy_integers_are_integers():
    stream = HostStream((np.uint32(7), np.uint32(42)))
    assert stream == STREAM and repr(stream) == repr(STREAM)
    assert STREAM.child(np.int64(1)) == STREAM.child(1)
    assert np.array_equal(STREAM.bits(np.int64(3), np.int32(2)), STREAM.bits(3, 2))
