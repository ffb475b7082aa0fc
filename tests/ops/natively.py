"""What tests of compiled steps share: numbers to try, and how results are compared."""

from functools import partial

import jax
import numpy as np

from brainjax.ops import map_neurons

FLOATS = (np.float32, np.float64)


def values(dtype, number=4000, seed=0):
    """Special values, random bits, and numbers of ordinary size."""
    dtype, rng = np.dtype(dtype), np.random.default_rng(seed)
    if dtype.kind == "b":
        return rng.integers(0, 2, number).astype(bool)
    word = np.dtype(f"u{dtype.itemsize}")
    bits = rng.integers(0, np.iinfo(word).max, number, dtype=word, endpoint=True).view(dtype)
    if dtype.kind != "f":
        edge = np.iinfo(dtype)
        special = [0, 1, 2, 3, 31, 32, 33, 64, edge.max, edge.max - 1, edge.min, edge.min + 1]
        special = np.array([*special, -1 if edge.min else 5], dtype)
        small = rng.integers(0, 70, number).astype(dtype)
        return rng.permutation(np.concatenate([np.tile(special, 30), bits, small]))
    info = np.finfo(dtype)
    special = [0.0, 0.5, 1.0, 1.5, 2.5, 3e9, 1e20, np.inf, info.max, info.smallest_normal]
    special = np.array([*special, info.smallest_normal * 4, 0.49999997], dtype)
    special = np.concatenate([special, -special, [np.nan]]).astype(dtype)
    usual = rng.normal(size=number).astype(dtype) * 10
    bits = np.where(np.abs(bits) < info.smallest_normal, 0, bits)  # threads flush subnormals
    return rng.permutation(np.concatenate([np.tile(special, 30), bits, usual]))


def same(got, expected):
    """Equal to the bit, the bits of a NaN apart; what is subnormal may be zero."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype
    if got.dtype.kind == "f":
        tiny = np.finfo(got.dtype).smallest_normal
        got, expected = (
            np.where(np.abs(x) < tiny, np.copysign(0, x).astype(x.dtype), x)
            for x in (got, expected)
        )
        np.testing.assert_array_equal(np.signbit(got[got == 0]), np.signbit(expected[got == 0]))
    np.testing.assert_array_equal(got, expected)


def runs_natively(f, *args):
    compiled = jax.jit(partial(map_neurons, f, ())).lower(*args).compile()
    return 'custom_call_target="brainjax_Map"' in (compiled.as_text() or "")
