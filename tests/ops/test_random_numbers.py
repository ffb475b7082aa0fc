"""What is drawn: the documented reference, distributions, neighbours, and equality of layouts."""

import functools
import math
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from brainjax.core import Stream, fold, key_words, standard_normal
from brainjax.ops import draw_poisson, map_neurons, native_library
from brainjax.stimuli._poisson import largest_count, poisson_counts, poisson_thresholds

SEEDS = (0, 1, 2)
PAGE = Path(__file__).parent.parent.parent / "docs" / "random.md"


def stream(seed, size, first=0):
    words = fold(key_words(jax.random.key(seed)), "population.exc")
    return Stream(words, first + jnp.arange(size, dtype=jnp.int32), jnp.int32(first))


@functools.partial(jax.jit, static_argnums=(1, 2, 4))
def drawn(stream, what, purpose, step, dtype=None):
    extra = () if dtype is None else (dtype,)
    return getattr(stream, what)(purpose, step, *extra)


thresholds_of = jax.jit(poisson_thresholds, static_argnums=1)


@functools.cache
def step_of(purpose, most):
    def add_counts(stream, mean, total, step):
        return total + poisson_counts(stream, purpose, step, mean, most)

    return jax.jit(lambda s, mean, total, step: map_neurons(add_counts, (s, mean), total, step))


def poisson(stream, mean, step=3, purpose="p"):
    """Poisson numbers as a mapped step draws them."""
    draw = step_of(purpose, largest_count(float(np.max(mean))) or 1)
    zero = jnp.zeros(stream.index.shape, jnp.asarray(mean).dtype)
    return np.asarray(draw(stream, jnp.asarray(mean), zero, jnp.int32(step)))


# ---- the reference -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference():
    """The functions that the page of the documentation defines."""
    found = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), found)
    return found


PLACES = ((0, 40, 0), (5, 700, 9), (2**31 - 90, 90, 2**31 - 1))  # first, size, step


@pytest.mark.pure
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_are_those_of_the_page(reference, dtype, place, x64):
    first, size, step = place
    key, index = reference["stream"](7, "exc", "noise"), first + np.arange(size)
    of, at = stream(7, size, first), jnp.int32(step)
    np.testing.assert_array_equal(
        reference["words"](key, index, step)[0], drawn(of, "bits", "noise", at), strict=True
    )
    uniform = reference["uniform"](key, index, step, dtype)
    np.testing.assert_array_equal(uniform, drawn(of, "uniform", "noise", at, dtype), strict=True)
    normal = drawn(of, "normal", "noise", at, dtype)
    assert normal.dtype == dtype
    tolerance = 1e-6 if dtype == np.float32 else 1e-14
    np.testing.assert_allclose(normal, reference["normal"](key, index, step, dtype), tolerance)


@pytest.mark.pure
@pytest.mark.parametrize("place", PLACES[1:])
@pytest.mark.parametrize("mean", [0.0, 0.02, 1.28, 9.0])
def test_counts_are_those_of_the_page(reference, mean, place):
    first, size, step = place
    thresholds = thresholds_of(jnp.float32(mean), largest_count(mean) or 1)
    exact = [stats.poisson.sf(n, mean) for n in range(len(thresholds))]
    np.testing.assert_allclose(np.array(thresholds) * 2.0**-32, exact, rtol=3e-5, atol=2e-7)
    key = reference["stream"](7, "exc", "p")
    expected = reference["poisson"](key, first + np.arange(size), step, thresholds)
    counts = poisson(stream(7, size, first), np.float32(mean), step)
    np.testing.assert_array_equal(counts, expected)


def test_the_native_op_counts_as_plain_jax(impl):
    """From any first neuron, over groups and threads; a rate for each; batched as in a loop."""
    thresholds = thresholds_of(jnp.float32(2.3), 14)
    words = fold(stream(3, 1).words, "p")
    for first, size in ((0, 1), (1, 253), (1003, 253), (2, 40_000)):
        of = stream(3, size, first)
        bits = drawn(of, "neighbour_bits", "p", jnp.int32(8))
        expected = np.sum(np.asarray(bits)[:, None] < np.array(thresholds), axis=1)
        got = draw_poisson(words, jnp.int32(8), jnp.int32(first), size, thresholds, impl=impl)
        assert got.dtype == np.uint8
        np.testing.assert_array_equal(got, expected)
    each = poisson(of, np.full(size, 2.3, np.float32), 8)
    np.testing.assert_array_equal(each, poisson(of, np.float32(2.3), 8))

    def draw(step, scale):
        some = [(t * scale).astype(jnp.uint32) for t in (t.astype(jnp.float32) for t in thresholds)]
        return draw_poisson(words, step, jnp.int32(0), 90, some, impl=impl)

    steps, scales = jnp.arange(3, dtype=jnp.int32), jnp.float32([0.5, 0.9])
    both = jax.jit(jax.vmap(jax.vmap(draw, (None, 0)), (0, None)))(steps, scales)
    one = jax.jit(draw)
    for i, j in np.ndindex(3, 2):
        np.testing.assert_array_equal(both[i, j], one(steps[i], scales[j]))


@pytest.mark.skipif(native_library() is None, reason="this is a pure-JAX installation")
def test_counts_are_drawn_ahead_of_the_loop():
    draw, of = step_of("p", 13), stream(0, 100)
    args = of, jnp.float32(1.28), jnp.zeros(100), jnp.int32(0)
    text = draw.lower(*args).compile().as_text()
    assert text.count('custom_call_target="brainjax_Poisson"') == 1
    assert text.count('custom_call_target="brainjax_Map"') == 1
    half = jnp.full(100, 0.5)
    moved = jax.jvp(lambda m, t: draw(of, m, t, jnp.int32(0)), args[1:3], (jnp.float32(1), half))
    np.testing.assert_array_equal(moved[1], 0.5)  # a count does not move with its rate


# ---- distributions -------------------------------------------------------------------------------


def moments_off(x, mean, central):
    """By how many standard errors the first four moments about the mean are off.

    `central` gives the central moments of the distribution, up to the eighth.
    """
    x = np.asarray(x, float).ravel() - mean
    errors = [math.sqrt((central[2 * k] - central[k] ** 2) / x.size) for k in range(1, 5)]
    return np.array([(np.mean(x**k) - central[k]) / errors[k - 1] for k in range(1, 5)])


UNIFORM = [0.0 if k % 2 else 0.5**k / (k + 1) for k in range(9)]
NORMAL = [0.0 if k % 2 else float(math.prod(range(1, k, 2))) for k in range(9)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moments_of_uniform_and_normal_numbers(dtype, x64):
    size, off = 10_000, []
    for seed in SEEDS:
        s = stream(seed, size)
        u, z = (
            np.stack([drawn(s, what, "noise", jnp.int32(k), dtype) for k in range(20)])
            for what in ("uniform", "normal")
        )
        off += [moments_off(u, 0.5, UNIFORM), moments_off(z, 0.0, NORMAL)]
        assert stats.kstest(np.ravel(z), "norm").pvalue > 1e-3
        # Controls: a power of a uniform number, the sum of three, another width.
        u = np.asarray(u, float).ravel()
        assert np.abs(moments_off(u**1.02, 0.5, UNIFORM)).max() > 5
        three = 2 * u[: u.size // 3 * 3].reshape(3, -1).sum(axis=0) - 3
        assert np.abs(moments_off(three, 0.0, NORMAL)).max() > 5
        assert stats.kstest(np.ravel(z) * 1.03, "norm").pvalue < 1e-3
    assert np.abs(off).max() < 4.5
    assert np.abs(np.mean(off, axis=0)).max() < 3.5


def test_normal_numbers_are_symmetric_monotone_and_finite(x64):
    rng = np.random.default_rng(0)
    near = np.arange(3000, dtype=np.uint32)
    first = np.sort(np.concatenate([near, ~near, near + 2**31, rng.integers(0, 2**32, 30_000)]))
    first, second = jnp.asarray(first, jnp.uint32), jnp.full(first.size, 2**32 - 1, jnp.uint32)
    for dtype, most in ((np.float32, 6.33), (np.float64, 8.29)):
        z = np.asarray(standard_normal((first, second), dtype))
        mirrored = np.asarray(standard_normal((~first, second), dtype))
        np.testing.assert_array_equal(z, -mirrored)
        # Where two pieces meet they may differ in the last digits.
        assert np.min(np.diff(z)) > -4 * np.finfo(dtype).eps
        assert most < z[0] * -1 < most + 0.01


def poisson_central(mean):
    n = np.arange(int(mean + 20 * math.sqrt(mean) + 20))
    p = stats.poisson.pmf(n, mean)
    return [float(np.sum(p * (n - mean) ** k)) for k in range(9)]


@pytest.mark.parametrize("mean", [0.3, 1.28, 20.0])
def test_moments_of_poisson_numbers(mean):
    off, rng = [], np.random.default_rng(0)
    for seed in SEEDS:
        s = stream(seed, 20_000)
        counts = np.stack([poisson(s, np.float32(mean), k) for k in range(5)])
        off.append(moments_off(counts, mean, poisson_central(mean)))
        number = int(10 * mean) + 2
        control = rng.binomial(number, mean / number, counts.shape)
        assert np.abs(moments_off(control, mean, poisson_central(mean))).max() > 5
    assert np.abs(off).max() < 4.5


# ---- neighbours ----------------------------------------------------------------------------------


def dependence(a, b):
    """Chi-square of independence of two arrays of small integers, in standard deviations."""
    table = np.zeros((5, 5))
    np.add.at(
        table, (np.minimum(a, 4).astype(int).ravel(), np.minimum(b, 4).astype(int).ravel()), 1
    )
    found = stats.chi2_contingency(table, correction=False)
    return (found.statistic - found.dof) / math.sqrt(2 * found.dof)


@pytest.mark.parametrize("draw", ["bits", "uniform", "normal", "poisson"])
def test_neighbours_in_every_direction_are_independent(draw):
    """Neurons next to each other (four share a block), steps, purposes and seeds."""
    size, most = 40_000, 5

    def numbers(seed, step, purpose="p"):
        s = stream(seed, size)
        if draw == "poisson":
            return poisson(s, np.float32(1.28), step, purpose)
        return np.asarray(drawn(s, draw, purpose, jnp.int32(step)), float)

    def cells(x):  # five classes of about equal size
        if draw == "poisson":
            return x
        return np.searchsorted(np.quantile(x, [0.2, 0.4, 0.6, 0.8]), x)

    for seed in SEEDS:
        x = numbers(seed, 3)
        others = {f"{k} further": (x[:-k], x[k:]) for k in (1, 2, 3, 4, 5, 64)}
        others["next step"] = x, numbers(seed, 4)
        others["purpose"] = x, numbers(seed, 3, "q")
        others["seed"] = x, numbers(seed + 10, 3)
        for name, (a, b) in others.items():
            assert abs(np.corrcoef(a, b)[0, 1]) * math.sqrt(a.size) < most, name
            assert dependence(cells(a), cells(b)) < most, name
        mixed = np.where(np.arange(size) % 20 == 0, x, numbers(seed, 4))  # the twentieth is shared
        assert dependence(cells(x), cells(mixed)) > most


# ---- layouts -------------------------------------------------------------------------------------


@pytest.mark.pure
@pytest.mark.parametrize("what", ["bits", "uniform", "normal", "neighbour_bits", "poisson"])
def test_a_shard_draws_the_numbers_of_the_whole(what):
    def draw(s):
        if what == "poisson":
            return poisson(s, np.float32(1.28), 5)
        return drawn(s, what, "p", jnp.int32(5))

    whole = draw(stream(1, 100))
    for cut in (1, 38):
        parts = [draw(stream(1, n, first)) for first, n in ((0, cut), (cut, 100 - cut))]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
