"""Pairs of neurons as numbers, and random subsets of them; what the rules are made of.

Everything here is in integers, or in floating-point operations that IEEE 754 defines to the last
bit, so the indices drawn are the same on every machine.
"""

import decimal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64, Integer

from ..core._errors import explain
from ..core._host_random import HostStream, check_integer
from ..core._sort import PART, sorted_parts

Indices: TypeAlias = Int32[np.ndarray, "nnz"]

_BLOCK = PART
_MAX_SIZE = 2**31 - 1
_MAX_PAIRS = 2**53  # leaves room in an int64 for the sums of `skips`


@dataclass(frozen=True)
class Pairs:
    """The pairs (pre, post) that a rule may connect, numbered in canonical order.

    Pair (i, j) has the number `i * width + j`, where `width` is the number of targets a source may
    have. Without autapses that is one less, and the targets above `i` move down by one.

    **Arguments:**

    - `num_pre`, `num_post`: the sizes of the two populations.
    - `hollow`: whether the pairs (i, i) are left out.
    """

    num_pre: int
    num_post: int
    hollow: bool = False

    @property
    def width(self) -> int:
        """The number of targets a source may have."""
        return self.num_post - self.hollow

    @property
    def height(self) -> int:
        """The number of sources a target may have."""
        return self.num_pre - self.hollow

    @property
    def total(self) -> int:
        """The number of pairs."""
        return self.num_pre * self.width

    def split(self, flat: Int64[np.ndarray, "nnz"]) -> tuple[Indices, Indices]:
        """The sources and targets of the pairs numbered `flat`: two `int32[nnz]`."""
        parts = (flat[i : i + _BLOCK] for i in range(0, flat.size, _BLOCK))
        return self.split_parts(parts, flat.size)

    def split_unsorted(
        self, blocks: Iterable[Int64[np.ndarray, "_"]], nnz: int
    ) -> tuple[Indices, Indices]:
        """As `split`, of `nnz` numbers that come in blocks and in any order, once sorted."""
        return self.split_parts(sorted_parts(blocks, nnz, max(self.total, 1)), nnz)

    def split_parts(
        self, parts: Iterable[Integer[np.ndarray, "_"]], nnz: int
    ) -> tuple[Indices, Indices]:
        """As `split`, of `nnz` numbers that come in parts."""
        pre, post = (np.empty(nnz, np.int32) for _ in range(2))
        done = 0
        for flat in parts:
            here = slice(done, done + flat.size)
            source = flat // self.width
            target = flat - source * self.width
            if self.hollow:
                target += target >= source
            pre[here], post[here] = source, target
            done += flat.size
        return pre, post


def check_sizes(num_pre: object, num_post: object, same: bool, drawn: bool) -> tuple[int, int]:
    """The two sizes as `int`.

    **Raises:** `TypeError` or `ValueError` unless both are integers of at least 1, and equal if
    source and target are the `same` population; where pairs are `drawn`, unless both are below
    `2**31`, with at most `2**53` pairs.
    """
    high = _MAX_SIZE if drawn else None
    num_pre = check_integer("Rule.draw: num_pre", num_pre, low=1, high=high)
    num_post = check_integer("Rule.draw: num_post", num_post, low=1, high=high)
    if drawn and num_pre * num_post > _MAX_PAIRS:
        expected = "at most 2**53 pairs"
        raise ValueError(
            explain("Rule.draw: num_pre, num_post", got=(num_pre, num_post), expected=expected)
        )
    if same and num_pre != num_post:
        expected = "equal sizes, source and target being the same population"
        raise ValueError(
            explain(
                "Rule.draw: num_pre, num_post",
                got=(num_pre, num_post),
                expected=expected,
                mend="Set same=False.",
            )
        )
    return num_pre, num_post


def skips(stream: HostStream, p: float, total: int) -> Int64[np.ndarray, "nnz"]:
    """The successes among `total` independent trials of probability `p`, in rising order.

    The number of failures before a success is geometric, P(at least k) = (1 - p)^k, so it is
    floor(log u / log(1 - p)) for a uniform u: the cost is that of the successes alone (Batagelj
    and Brandes 2005, 'Efficient generation of large random networks',
    doi:10.1103/PhysRevE.71.036113).
    """
    if p == 0 or total == 0:
        return np.empty(0, np.int64)
    if p == 1:
        return np.arange(total)
    with decimal.localcontext(prec=60):  # right to the last bit, whatever the C library
        log_failure = -p if p < 1e-17 else float((1 - decimal.Decimal(p)).ln())
    found, last, drawn = [], -1, 0
    while True:
        # As many as will pass the end nearly always, but not more than a block.
        expected = (total - 1 - last) * p
        n = int(min(expected + 5 * expected**0.5 + 16, _BLOCK))
        with np.errstate(over="ignore"):
            gaps = _log(stream.uniform_open(n, drawn)) / log_failure
        gaps = np.minimum(gaps, total).astype(np.int64)
        gaps += 1
        gaps[0] += last
        # A sum stays below n * (37 / p + 1) and, `total * p` being about n, below 2^63.
        successes = np.cumsum(gaps, out=gaps)
        drawn += n
        last = int(successes[-1])
        if last >= total:
            found.append(successes[: np.searchsorted(successes, total)])
            return np.concatenate(found)
        found.append(successes)


def _log(x: Float64[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
    """The natural logarithm of positive numbers, by arithmetic that is the same everywhere.

    `np.log` is the machine's: its last bit differs between processors, and one bit may move an
    index. Here x = m 2^e with m in [sqrt(1/2), sqrt(2)), and with s = (m - 1) / (m + 1) it is
    log m = 2 (s + s^3/3 + s^5/5 + ...), where s^2 < 0.0295: ten terms give a double.
    """
    m, e = np.frexp(x)
    small = m < 0.5**0.5
    m[small] *= 2
    e = e - small
    s = (m - 1) / (m + 1)
    square = s * s
    series = np.full_like(s, 1 / 19)
    for odd in range(17, 0, -2):
        series *= square
        series += 1 / odd
    return e * 0.6931471805599453 + 2 * s * series


def integer_blocks(stream: HostStream, n: int, total: int) -> Iterator[Int64[np.ndarray, "_"]]:
    """`stream.integers(n, total)` in blocks."""
    return (stream.integers(min(_BLOCK, n - i), total, i) for i in range(0, n, _BLOCK))


def distinct(stream: HostStream, n: int, total: int) -> Int64[np.ndarray, "n"]:
    """A uniform subset of `n` of the numbers `0..total - 1`, in rising order.

    It is the first `n` distinct ones of a stream of uniform numbers. Each round draws as many as
    are missing, so that none is ever one too many. Of more than half, the complement is drawn.
    """
    if 2 * n > total:
        return np.flatnonzero(~_marked(stream, total - n, total))
    if total <= 8 * n:
        return np.flatnonzero(_marked(stream, n, total))
    kept, drawn = np.empty(0, np.int64), 0
    while kept.size < n:
        missing = n - kept.size
        kept = np.concatenate([kept, stream.integers(missing, total, drawn)])
        kept.sort()
        kept = kept[np.diff(kept, prepend=-1) > 0]
        drawn += missing
    return kept


def _marked(stream: HostStream, n: int, total: int) -> Bool[np.ndarray, "total"]:
    mask, count, drawn = np.zeros(total, bool), 0, 0
    while count < n:
        mask[stream.integers(n - count, total, drawn)] = True
        drawn += n - count
        count = int(np.count_nonzero(mask))
    return mask


def partners(
    stream: HostStream, num_rows: int, n: int, total: int, *, multapses: bool
) -> Iterator[tuple[Int64[np.ndarray, "rows 1"], Int64[np.ndarray, "rows n"]]]:
    """Blocks of the neurons `0..num_rows - 1`, and for each of them `n` numbers below `total`.

    With `multapses` the numbers are independent; without they are distinct and in rising order.
    """
    step = max(1, _BLOCK // max(n, 1))
    given = None if multapses else distinct_rows(stream, num_rows, n, total)
    for first in range(0, num_rows, step):
        neurons = np.arange(first, min(first + step, num_rows))[:, None]
        if given is None:
            numbers = stream.integers(neurons.size * n, max(total, 1), first * n)
            yield neurons, numbers.reshape(neurons.size, n)
        else:
            yield neurons, given[first : first + step]


def distinct_rows(
    stream: HostStream, num_rows: int, n: int, total: int
) -> Int64[np.ndarray, "num_rows n"]:
    """For each row a uniform subset of `n` of the numbers `0..total - 1`, in rising order.

    As in `distinct`, for all rows at once: whatever repeats another number of its row is drawn
    anew. The first rows are the same however many rows there are.
    """
    if 2 * n > total:
        return _complements(distinct_rows(stream, num_rows, total - n, total), total)
    rows = stream.integers(num_rows * n, total).reshape(num_rows, n)
    rows.sort(axis=1)
    where = np.flatnonzero((rows[:, 1:] == rows[:, :-1]).any(axis=1))
    redo, turn = rows[where], 0
    while where.size:
        repeats = redo[:, 1:] == redo[:, :-1]
        unfinished = repeats.any(axis=1)
        rows[where] = redo
        where, redo, repeats = where[unfinished], redo[unfinished], repeats[unfinished]
        missing = int(np.count_nonzero(repeats))
        redo[:, 1:][repeats] = stream.child("redraw", turn).integers(missing, total)
        redo.sort(axis=1)
        turn += 1
    return rows


def _complements(
    rows: Int64[np.ndarray, "num_rows n"], total: int
) -> Int64[np.ndarray, "num_rows m"]:
    num_rows, n = rows.shape
    out = np.empty((num_rows, total - n), np.int64)
    step = max(1, (1 << 24) // total)  # a mask of 16 MiB at a time
    for first in range(0, num_rows, step):
        block = rows[first : first + step]
        mask = np.ones((len(block), total), bool)
        np.put_along_axis(mask, block, False, axis=1)
        out[first : first + step] = np.nonzero(mask)[1].reshape(len(block), total - n)
    return out
