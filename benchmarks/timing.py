"""Timing contenders side by side, and saying on what. Nothing here imports JAX."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path


def pin(core: int | None) -> str:
    """Confine this process and its children to one core; must come before JAX is imported.

    XLA, Brian2 and numpy size their thread pools by the cores they may run on: one thread each.

    **Returns:**

    How many threads can run, in words.
    """
    if not hasattr(os, "sched_setaffinity"):
        return "not pinned: this system cannot"
    allowed = sorted(os.sched_getaffinity(0))
    core = allowed[-1] if core is None else core
    os.sched_setaffinity(0, {core})
    return f"one thread, pinned to core {core}"


def machine() -> str:
    """The processor, in words."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores"


def seconds(f: Callable[[], object]) -> float:
    """The wall time of one call, which must not return before its work is done."""
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def interleave(
    contenders: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, list[float]]:
    """Each contender once a round (A B C A B C), so that drift of the machine meets all alike.

    **Arguments:**

    - `contenders`: name to a call that returns the seconds it took.
    - `rounds`: how many.

    **Returns:**

    The seconds of each contender, one a round.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            taken[name].append(run())
    return taken


def ratio(a: list[float], b: list[float]) -> tuple[float, float]:
    """How much longer `a` took than `b`: the ratio of minima, the median of the rounds' ratios."""
    return min(a) / min(b), statistics.median(x / y for x, y in zip(a, b, strict=True))


def markdown(rows: list[tuple[str, ...]]) -> str:
    """Rows as a Markdown table, the first the heading, all columns but the first to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rule = ["-" * widths[0], *("-" * (w - 1) + ":" for w in widths[1:])]
    lines = [
        [row[0].ljust(widths[0]), *(x.rjust(w) for x, w in zip(row[1:], widths[1:], strict=True))]
        for row in rows
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [lines[0], rule, *lines[1:]])
