"""What this machine can do: bandwidth at a working set, and peak of arithmetic."""

import itertools
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np


def fastest(work: Callable[[], object], seconds: float = 0.05) -> float:
    """The least time of a call, of as many as fit into `seconds`, at least three."""
    least, start, calls = float("inf"), time.perf_counter(), 0
    while calls < 3 or time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        work()
        least, calls = min(least, time.perf_counter() - begin), calls + 1
    return least


def threads() -> int:
    """How many threads this process may run at a time."""
    can_say = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if can_say else os.cpu_count() or 1


def bandwidth(num_bytes: float) -> float:
    """Bytes a second of `a = b + c` in float32 over `num_bytes` in all, on the threads there are.

    The time of a call on empty arrays is taken off.
    """
    length = max(int(num_bytes) // 12, 256)
    a, b, c = (np.ones(length, np.float32) for _ in range(3))
    call = fastest(lambda: np.add(b[:0], c[:0], out=a[:0]))
    rates = [12 * length / max(fastest(lambda: np.add(b, c, out=a)) - call, 1e-9)]
    number = threads()
    if number > 1:
        bounds = np.linspace(0, length, number + 1).astype(int)
        parts = [slice(*pair) for pair in itertools.pairwise(bounds)]
        with ThreadPoolExecutor(number) as pool:
            taken = fastest(
                lambda: list(pool.map(lambda p: np.add(b[p], c[p], out=a[p]), parts)),
            )
        rates.append(12 * length / taken)
    return max(rates)


def arithmetic() -> float:
    """Operations a second of a product of float32 matrices; a product with its addition is two."""
    size = 1024
    a = np.ones((size, size), np.float32)
    return 2 * size**3 / fastest(lambda: a @ a, 0.3)
