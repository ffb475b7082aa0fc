"""Random streams: the generator to the bit, its names, and what is drawn from it."""

import math
from functools import partial

import jax
import jax.extend.random
import jax.numpy as jnp
import numpy as np
import pytest

from brainjax.core import Stream, fold, key_words, threefry2x32
from brainjax.stimuli._poisson import largest_count, poisson_thresholds

SEEDS = (0, 1, 2)
GOLDEN = {
    "words": [2098992034, 2919706841],
    "fold": [4048017914, 490246429],
    "bits": [1302164958, 3860393753, 2541108174],
}


def stream(seed, size, first=0):
    return Stream(key_words(jax.random.key(seed)), first + jnp.arange(size, dtype=jnp.int32))


@pytest.mark.pure
def test_is_jax_s_threefry():
    rng = np.random.default_rng(0)
    counter = jnp.asarray(rng.integers(0, 2**32, 200, dtype=np.uint32))
    for seed in SEEDS:
        key = key_words(jax.random.key(seed))
        expected = jax.extend.random.threefry_2x32(key, counter)
        got = threefry2x32((key[0], key[1]), (counter[:100], counter[100:]))
        np.testing.assert_array_equal(jnp.concatenate(got), expected)


@pytest.mark.pure
def test_published_vectors():
    """The known answers of Random123 (kat_vectors) for Threefry-2x32 with 20 rounds."""
    ones = 0xFFFFFFFF
    for counter, key, expected in (
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((ones, ones), (ones, ones), (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ):
        words = [tuple(map(jnp.uint32, pair)) for pair in (key, counter)]
        assert tuple(map(int, threefry2x32(*words))) == expected


@pytest.mark.pure
def test_golden_values():
    """A stream names its numbers: these may never change."""
    drawn = stream(42, 3)
    assert [int(x) for x in drawn.words] == GOLDEN["words"]
    assert [int(x) for x in fold(drawn.words, "noise")] == GOLDEN["fold"]
    assert [int(x) for x in drawn.bits("noise", jnp.int32(7))] == GOLDEN["bits"]


def test_names_are_independent():
    """Another key, purpose or step: nothing in common, and no correlation."""
    size, step = 4000, jnp.int32(0)
    base = stream(0, size).uniform("noise", step)
    others = [
        stream(1, size).uniform("noise", step),
        stream(0, size).uniform("other", step),
        stream(0, size).uniform("noise", jnp.int32(1)),
        stream(0, size, 1).uniform("noise", step),
    ]
    for other in others:
        assert np.sum(np.asarray(base) == np.asarray(other)) < 5
        assert abs(np.corrcoef(base, other)[0, 1]) < 5 / math.sqrt(size)
    assert np.corrcoef(base, stream(0, size).uniform("noise", step))[0, 1] > 0.999


def test_neighbouring_counters_are_uncorrelated():
    """One bit of the counter flips half of the bits of the result."""
    for seed in SEEDS:
        bits = np.asarray(stream(seed, 4096).bits("noise", jnp.int32(seed)))
        flipped = np.bitwise_count(bits[::2] ^ bits[1::2])
        assert abs(flipped.mean() - 16) < 5 * math.sqrt(8 / len(flipped))
        u = bits / 2.0**32
        assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 5 / math.sqrt(len(u))
    control = np.arange(4096, dtype=np.uint32)
    assert abs(np.bitwise_count(control[::2] ^ control[1::2]).mean() - 16) > 1


def chi_square(observed, expected):
    """The statistic in units of its standard deviation, above its mean."""
    degrees = len(expected) - 1
    return (np.sum((observed - expected) ** 2 / expected) - degrees) / math.sqrt(2 * degrees)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform(dtype, x64):
    size, bins = 50_000, 100
    for seed in SEEDS:
        u = np.asarray(stream(seed, size).uniform("noise", jnp.int32(0), dtype))
        assert u.dtype == dtype
        assert u.min() >= 0
        assert u.max() < 1
        assert abs(u.mean() - 1 / 2) < 5 / math.sqrt(12 * size)
        assert abs((u.astype(float) ** 2).mean() - 1 / 3) < 5 * math.sqrt(4 / 45 / size)
        counts = np.histogram(u, bins, (0, 1))[0]
        assert chi_square(counts, np.full(bins, size / bins)) < 5
        control = np.histogram(u**1.1, bins, (0, 1))[0]
        assert chi_square(control, np.full(bins, size / bins)) > 5
    u = np.asarray(stream(9, size).uniform("noise", jnp.int32(0), dtype))
    resolution = 2.0**24 if dtype == "float32" else 2.0**52
    np.testing.assert_array_equal(u * resolution, np.floor(u * resolution))
    if dtype == "float64":  # all of its digits are random
        assert len(np.unique(u)) == size
        assert abs(np.mean(np.floor(u * resolution) % 2) - 0.5) < 5 / math.sqrt(4 * size)


MEANS = (0.01, 0.3, 2.3, 20.0, 50.0)


@partial(jax.jit, static_argnums=2)
def draw_poisson(bits, mean, most):
    return sum((bits < t).astype(jnp.int32) for t in poisson_thresholds(mean, most))


def poisson_deviation(counts, mean):
    """Chi-square against the Poisson distribution, cells of at least ten expected."""
    n = np.arange(int(mean + 12 * math.sqrt(mean) + 12))
    log_p = n * math.log(mean) - mean - np.array([math.lgamma(k + 1) for k in n])
    expected = len(counts) * np.exp(log_p)
    observed = np.bincount(counts.astype(int), minlength=len(n))[: len(n)]
    inside = expected >= 10
    rest = len(counts) - np.sum(expected[inside]), len(counts) - np.sum(observed[inside])
    cells = np.append(expected[inside], max(rest[0], 1.0)), np.append(observed[inside], rest[1])
    return chi_square(cells[1], cells[0])


@pytest.mark.parametrize("mean", MEANS)
def test_poisson_counts(mean):
    size, most = 20_000, largest_count(max(MEANS))
    other = jnp.float32(mean * (1.4 if mean < 0.1 else 1.1))
    for seed in SEEDS:
        bits = stream(seed, size).bits("poisson", jnp.int32(3))
        counts = np.asarray(draw_poisson(bits, jnp.float32(mean), most))
        assert abs(counts.mean() - mean) < 5 * math.sqrt(mean / size)
        assert poisson_deviation(counts, mean) < 5
        wrong = np.asarray(draw_poisson(bits, other, most))
        assert poisson_deviation(wrong, mean) > 5


def test_poisson_rates_of_each_neuron():
    """Vectors of means; a rate of zero gives none, whatever the bits."""
    size = 20_000
    means = jnp.asarray(np.repeat(np.float32([0.0, 0.3, 2.3, 20.0]), size))
    bits = stream(0, 4 * size).bits("p", jnp.int32(0))
    counts = draw_poisson(bits, means, largest_count(20))
    by_mean = np.asarray(counts).reshape(4, size)
    np.testing.assert_array_equal(by_mean[0], 0)
    for mean, drawn in zip((0.3, 2.3, 20.0), by_mean[1:], strict=True):
        assert poisson_deviation(drawn, mean) < 5
    zero = draw_poisson(jnp.zeros(3, jnp.uint32), jnp.float32(0), 4)
    np.testing.assert_array_equal(zero, 0)


@pytest.mark.pure
@pytest.mark.parametrize("mean", [0.01, 2.3, 50.0])
def test_poisson_is_the_inverse_of_the_survival_function(mean, x64):
    """At every threshold, one word below and above."""
    most = largest_count(mean)
    survival = 1.0 - np.cumsum(
        [math.exp(n * math.log(mean) - mean - math.lgamma(n + 1)) for n in range(most)]
    )
    survival = survival[survival > 1e-6]
    words = np.floor(survival * 2.0**32)
    words = words[words < 2.0**32 - 512]
    near = np.concatenate([words - 64, words + 64]).clip(0, 2**32 - 1).astype(np.uint32)
    counts = draw_poisson(jnp.asarray(near), jnp.float64(mean), most)
    expected = np.sum(near[:, None] / 2.0**32 < survival[None, :], axis=1)
    np.testing.assert_array_equal(counts, expected)
