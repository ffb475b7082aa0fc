"""Sorting by digits is sorting."""

import numpy as np
import pytest

from brainjax.core import _sort
from brainjax.core._sort import sorted_parts, sorting_order


@pytest.mark.parametrize("dtype", [np.int64, np.uint32])
@pytest.mark.parametrize("below", [1, 2, 255, 256, 65535, 65536, 65537, 2**31, 2**32, 2**53])
def test_sorting_order(below, dtype):
    if below > 2**32 and dtype is np.uint32:
        pytest.skip("not a number of 32 bits")
    rng = np.random.default_rng(0)
    few = rng.integers(0, below, 50)  # so that there are ties, whose order is seen
    for keys in (rng.integers(0, below, 1000), rng.choice(few, 1000), np.array([below - 1, 0])):
        keys = keys.astype(dtype)
        np.testing.assert_array_equal(
            sorting_order(keys, below), np.argsort(keys, kind="stable"), strict=True
        )
    assert sorting_order(np.empty(0, dtype), below).size == 0


@pytest.mark.parametrize("part", [1, 10, 300, 1 << 17])
@pytest.mark.parametrize("below", [1, 3, 255, 1000, 2**31 + 1, 2**32, 2**32 + 1, 2**53])
def test_sorted_parts(below, part, monkeypatch):
    monkeypatch.setattr(_sort, "PART", part)
    numbers = np.random.default_rng(0).integers(0, below, 2000)
    numbers[:2] = 0, below - 1
    parts = list(sorted_parts(np.array_split(numbers, 7), 2000, below))
    assert len(parts) <= 256
    assert {p.dtype for p in parts} == {np.dtype(np.uint32 if below <= 2**32 else np.int64)}
    np.testing.assert_array_equal(np.concatenate(parts), np.sort(numbers))
    assert list(sorted_parts([], 0, below)) == []
