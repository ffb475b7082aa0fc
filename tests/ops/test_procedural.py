"""Targets and factors of connections that are not stored: three implementations, one arithmetic."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from connect.helpers import digest
from ops import procedural_oracle

from brainjax.connect._procedural import ProceduralMatrix, rows
from brainjax.ops import _procedural, native_library
from brainjax.ops._procedural import (
    CELLS,
    OCTAVES,
    Procedural,
    factors,
    permutation,
    positions,
    targets,
)

WORDS = np.array([0x01234567, 0x89ABCDEF], np.uint32)
LENGTHS = np.array([40, 0, 1, 700, 59, 600, 13])  # rows longer than a block of native code
IMPLEMENTATIONS = ["numpy", "native"]


def row_ptr(lengths, start=0):
    ends = start + np.concatenate([[0], np.cumsum(lengths)])
    return ends.astype("<i8").view("<i4").reshape(-1, 2)


def matrix(kind, num_post, lengths=LENGTHS, start=0, **of):
    shape = Procedural(kind, len(lengths), num_post, int(max(lengths)), **of)
    return ProceduralMatrix(shape, WORDS, row_ptr(lengths, start))


def on_grid(periodic, hollow, grouped=False):
    """A grid of 9 x 12, and a mask of 5 x 7."""
    shape = Procedural("distance", 108, 108, 35, hollow, 0, (9, 12), (2, 3), periodic, grouped)
    thresholds = (np.arange(35) * (2**31 // 40)).astype(np.uint32)
    thresholds[[0, 17, 34]] = 2**31  # always
    return ProceduralMatrix(shape, WORDS, thresholds)


# The matrices, and the digest of their indices as generated: they must not change between versions,
# machines or implementations, or networks of old keys are others.
MATRICES = {
    "with replacement": (matrix("with_replacement", 1000), "32b735c2a9c7131c"),
    "with replacement, hollow": (matrix("with_replacement", 7, hollow=True), "9ef945e07b922d00"),
    "without replacement": (matrix("without_replacement", 5000), "0b9eacc1f94d4cb5"),
    "without replacement, few": (matrix("without_replacement", 701), "7406a5576c7a4e6f"),
    "without replacement, hollow": (
        matrix("without_replacement", 800, hollow=True),
        "58a987bf043d0faa",
    ),
    "without replacement, 2^31 - 1": (matrix("without_replacement", 2**31 - 1), "db0d0988be61bf0e"),
    "in-degree": (matrix("in_degree", 157, degree=9), "aa546090d0900ea0"),
    "in-degree, one each": (matrix("in_degree", 1413, degree=1), "1d168bb2c2259618"),
    "in-degree, beyond 2^32": (
        matrix("in_degree", 2**31 - 1, start=2**32 - 300, degree=11),
        "45ae1962ff95ac53",
    ),
    "in-degree, near 2^62": (
        matrix("in_degree", 2**31 - 1, start=2**61 + 2**40, degree=2**31 - 1),
        "56fe2ca9a37be37a",
    ),
    "distance": (on_grid(False, False), "802708c60009a591"),
    "distance, torus, hollow": (on_grid(True, True), "c57e4b4b65be682a"),
    "distance, grouped": (on_grid(False, True, grouped=True), "67834281e126aa95"),
}
KINDS = {name: made for name, (made, _) in MATRICES.items()}
QUICK = {
    "with replacement",
    "without replacement, few",
    "in-degree, near 2^62",
    "distance",
    "distance, grouped",
}
each_matrix = pytest.mark.parametrize("made", KINDS.values(), ids=KINDS)


def table(dtype, seed=3):
    """Coefficients like those of a distribution, and bounds that some of the values meet."""
    rng = np.random.default_rng(seed)
    made = rng.normal(size=(2 * OCTAVES * CELLS + 1, 4)) * [1.0, 0.3, 0.1, 0.03]
    made[-1] = [-1.5, 1.25, 0, 0]
    return made.astype(dtype)


def made_by(implementation, made, of=None):
    native = implementation == "native"
    if native and native_library() is None:
        pytest.skip("no native library")
    return rows(made, 0, made.shape.num_pre, of, native=native)


def position(made, source, place):
    return procedural_oracle.position(made.shape, made.words, source, place)


def of_oracle(made, source, place):
    at = position(made, source, place)
    return procedural_oracle.target(made.shape, made.words, made.where, source, at)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@each_matrix
def test_targets_are_those_of_the_oracle(made, implementation):
    pre, post, _ = made_by(implementation, made)
    for source in {0, 2, 3, 5, made.shape.num_pre - 1}:
        mine = post[pre == source].tolist()
        if made.shape.kind == "distance":
            expected = [of_oracle(made, source, k) for k in range(35)]
            assert mine == [t for t in expected if t is not None]
        else:
            for k in {0, 1, len(mine) // 2, len(mine) - 2, len(mine) - 1}:
                if 0 <= k < len(mine):
                    assert mine[k] == of_oracle(made, source, k)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", MATRICES)
def test_targets_never_change(name, implementation):
    made, golden = MATRICES[name]
    pre, post, _ = made_by(implementation, made)
    assert pre.dtype == post.dtype == np.int32 and pre.size > 0
    assert post.min() >= 0 and post.max() < made.shape.num_post
    assert digest(pre, post) == golden


@pytest.mark.pure
@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in MATRICES]
)
def test_jax_makes_the_same(name):
    """The row of a traced source, as delivery asks for it, in a loop and in a batch."""
    made = KINDS[name]
    places = jnp.arange(made.shape.longest, dtype=jnp.int32)
    sources = jnp.arange(made.shape.num_pre, dtype=jnp.int32)

    def targets_at(words, where, source, place):
        at = positions(made.shape, words, source, place)
        return targets(made.shape, words, where, source, at)

    @jax.jit
    def in_a_loop(words, where):
        return jax.lax.map(lambda i: targets_at(words, where, i, places), sources)

    @jax.jit
    def in_a_batch(words, where):
        return targets_at(words, where, sources[:, None], places[None])

    pre, post, _ = rows(made, 0, made.shape.num_pre, native=False)
    for run in (in_a_loop, in_a_batch):
        target, valid = run(made.words, made.where)
        assert target.dtype == jnp.int32 and valid.dtype == jnp.bool_
        assert np.array_equal(np.nonzero(valid)[0], pre)
        assert np.array_equal(target[valid], post)
        assert np.all(((target >= 0) & (target < made.shape.num_post)) | ~valid)


# ---- the permutation -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [*range(1, 70), 255, 256, 257, 1000, 1025, 4097, 77169, 2**17])
def test_a_row_in_full_is_a_permutation(size):
    made = matrix("without_replacement", size, [size] * 3)
    pre, post, _ = rows(made, 0, 3, native=size > 5000)
    for row in post.reshape(3, size):
        assert np.array_equal(np.sort(row), np.arange(size))
    assert size < 20 or (post[:size] != post[size : 2 * size]).mean() > 0.8
    assert pre.tolist()[:: max(size, 1)] == [0, 1, 2]


@pytest.mark.parametrize(("num_post", "degree"), [(1, 5), (3, 1), (50, 20), (999, 101), (5, 3000)])
def test_every_target_has_its_in_degree(num_post, degree):
    lengths = np.full(5, num_post * degree // 5)
    lengths[0] += num_post * degree % 5
    _, post, _ = rows(matrix("in_degree", num_post, lengths, degree=degree), 0, 5, native=False)
    assert np.array_equal(np.bincount(post, minlength=num_post), np.full(num_post, degree))


def test_permutations_fit_their_halves():
    for size in [*range(1, 3000), 2**31 - 1, 2**31, 2**32 + 1, 2**61 + 1, 2**62 - 1, 2**62]:
        bits, left, tail, turns = permutation(size)
        assert ((left - 1) << bits) + tail == size and 1 <= tail <= 1 << bits
        assert left <= 2**31 and bits < 32 and turns % 2 == 0 and 6 <= turns <= 32
        assert (left << bits) - size < max(left, 1 << bits)


def test_products_and_quotients_are_exact():
    rng = np.random.default_rng(0)
    edges = np.array([0, 1, 2**16 - 1, 2**16, 2**31, 2**32 - 1], np.uint32)
    a = np.concatenate([np.repeat(edges, 6), rng.integers(0, 2**32, 1000, dtype=np.uint32)])
    b = np.concatenate([np.tile(edges, 6), rng.integers(0, 2**32, 1000, dtype=np.uint32)])
    expected = [int(x) * int(y) >> 32 for x, y in zip(a, b, strict=True)]
    assert _procedural._multiply_high(a, b).tolist() == expected
    for divisor in (1, 2, 3, 7, 1000, 2**16 + 1, 2**30, 2**31 - 1):
        most = min(2**62, divisor * (2**31 - 1))
        x = np.unique([0, 1, divisor - 1, divisor, most - divisor, most - 1])
        x = np.concatenate([x, rng.integers(0, most, 500)])
        x = np.concatenate([x, x // divisor * divisor, np.maximum(x // divisor * divisor - 1, 0)])
        words = (x >> 32).astype(np.uint32), (x & 0xFFFFFFFF).astype(np.uint32)
        assert np.array_equal(_procedural._divided(words, divisor), x // divisor)


@pytest.mark.parametrize("native", [True, False])
def test_grouped_places_hold_the_same_synapses(native):
    """In another order, which differs from source to source."""
    made, plain = on_grid(True, False, grouped=True), on_grid(True, False)
    ours, theirs = (rows(m, 0, 108, table(np.float64), native=native) for m in (made, plain))
    assert not np.array_equal(ours[1], theirs[1])
    order, expected = (np.lexsort((s[2], s[1], s[0])) for s in (ours, theirs))
    for a, b in zip(ours, theirs, strict=True):
        assert np.array_equal(a[order], b[expected])
    places = np.arange(35, dtype=np.int32)
    orders = [positions(made.shape, WORDS, np.full(35, i, np.int32), places) for i in range(108)]
    assert all(np.array_equal(np.sort(o), places) for o in orders)
    assert len({tuple(o) for o in orders}) == 108


# ---- factors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each_matrix
def test_native_factors_are_those_of_numpy(made, dtype):
    of = table(dtype)
    numpy, native = (made_by(which, made, of) for which in IMPLEMENTATIONS)
    assert numpy[2].dtype == dtype
    assert all(np.array_equal(x, y) for x, y in zip(numpy, native, strict=True))
    assert (numpy[2] == of[-1, 0]).any() and (numpy[2] == of[-1, 1]).any()
    places = [k for k in range(35) if of_oracle(made, 3, k) is not None]
    expected = [procedural_oracle.factor(WORDS, of, 3, position(made, 3, k)) for k in places]
    assert numpy[2][numpy[0] == 3][: len(places)].tolist() == expected
    bare = made_by("native", made)
    assert bare[2] is None and np.array_equal(bare[1], native[1])


@pytest.mark.pure
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_jax_makes_the_same_factors(dtype, x64):
    made = KINDS["without replacement"]
    of = table(dtype)
    pre, _, expected = rows(made, 0, made.shape.num_pre, of, native=False)
    assert expected is not None
    at = jnp.arange(made.shape.longest, dtype=jnp.int32)
    got = jax.jit(factors)(made.words, of, jnp.int32(3), at)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected[pre == 3], rtol=0, atol=4 * np.finfo(dtype).eps)


def test_cells_are_octaves_of_both_tails():
    """A cell, and the place in it, against the leading bit of Python's integers."""
    rng = np.random.default_rng(1)
    edges = [0, 1, 2, 3, 4, 5, 2**31, 2**32 - 1, 2**32 - 2, 2**25 - 1, 2**26 - 1, 2**30 - 1]
    words = np.array([*edges, *(2**32 >> rng.integers(1, 32, 200)), *rng.integers(0, 2**32, 1000)])
    cell, x = _procedural._cell(words.astype(np.uint32), np.dtype(np.float64))
    for word, c, place in zip(words.tolist(), cell.tolist(), x.tolist(), strict=True):
        distance = word >> 1 | 1
        octave = distance.bit_length() - 1
        at = (distance / 2**octave - 1) * CELLS
        assert c == ((word & 1) * OCTAVES + octave) * CELLS + int(at)
        assert place == at - int(at)


def test_factors_are_their_own_numbers():
    """Neither of the key, nor of the source, nor of the position do they leave out a bit."""
    of = table(np.float64)
    i, k = np.arange(300, dtype=np.int32), np.full(300, 2, np.int32)
    first = factors(WORDS, of, i, k)
    others = [
        factors(WORDS ^ np.uint32(1), of, i, k),
        factors(WORDS ^ np.array([1 << 31, 0], np.uint32), of, i, k),
        factors(WORDS, of, i + np.int32(1 << 20), k),
        factors(WORDS, of, i, k + np.int32(1 << 30)),
        factors(WORDS, of, k, i),
    ]
    for other in others:
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.3
    word = _procedural.threefry2x32(_procedural._key(WORDS, 1), (i.view(np.uint32),) * 2)[0]
    again = _procedural.threefry2x32(_procedural._key(WORDS, 2), (i.view(np.uint32),) * 2)[0]
    assert abs(np.corrcoef(word, again)[0, 1]) < 0.3


def test_the_shape_is_static():
    shape = KINDS["in-degree"].shape
    assert hash(shape) == hash(replace(shape)) and shape == replace(shape)
    assert shape.numbers().tolist() == [2, 7, 157, 0, 9, 0, 0, 0, 0, 0, 0]
    grid = KINDS["distance, torus, hollow"].shape
    assert grid.numbers().tolist() == [3, 108, 108, 1, 0, 9, 12, 2, 3, 1, 0]
