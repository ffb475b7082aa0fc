"""Memory for large arrays that the host fills and the engine then reads in no order."""

import contextlib
import math
import mmap
from typing import Any

import numpy as np

_ALIGNMENT = 64  # bytes: JAX takes such an array over on the CPU, without a copy
_LARGE_PAGE = 1 << 21  # bytes


def host_empty(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array to be filled, of unspecified contents.

    What is larger than a large page lies in such pages, where the system has them: rows that are
    read at random from gigabytes of small pages take a search for the page each time.

    **Arguments:**

    - `shape`, `dtype`: as of `numpy.empty`.
    """
    shape = (shape,) if isinstance(shape, int) else shape
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size >= _LARGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
        raw = _in_large_pages(size)
    else:
        raw = np.empty(size + _ALIGNMENT, np.uint8)
        raw = raw[-raw.ctypes.data % _ALIGNMENT :][:size]
    return raw.view(dtype).reshape(shape)


def _in_large_pages(size: int) -> np.ndarray:
    held = mmap.mmap(-1, size + _LARGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    raw = np.frombuffer(held, np.uint8)
    skip = -raw.ctypes.data % _LARGE_PAGE
    # A kernel without large pages says so: small ones are slower and nothing else.
    with contextlib.suppress(OSError):
        held.madvise(mmap.MADV_HUGEPAGE, skip, size - size % _LARGE_PAGE)
    return raw[skip : skip + size]
