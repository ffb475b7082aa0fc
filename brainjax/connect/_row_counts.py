"""How many synapses each source has, where that is random; drawn without drawing the synapses.

All is in integers and in +, -, *, / of doubles, so the numbers are the same on every machine.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

from ..core._host_random import HostStream
from ._pairs import distinct

_CELLS = 1 << 19  # of distribution functions, worked on at a time: fewer than 2^14 functions
_NEGLIGIBLE = 1e-30  # of the probability of the mode; the resolution of a draw is 1e-16

_Ratio: TypeAlias = Callable[[Int64[np.ndarray, "_"]], Float64[np.ndarray, "_"]]


def binomial_counts(stream: HostStream, n: int, trials: int, p: float) -> Int64[np.ndarray, "n"]:
    """`n` independent binomial numbers of `trials` trials with probability `p`: `int64[n]`."""
    return binomial_numbers(stream.uniform(n), np.full(n, trials), p)


def binomial_numbers(
    uniform: Float64[np.ndarray, "n"], trials: Int64[np.ndarray, "n"], p: float
) -> Int64[np.ndarray, "n"]:
    """Binomial numbers of these `trials` with probability `p`, by inversion at `uniform`.

    Probabilities are right to 2^-38. What lies so far from the mode that numbers of 53 bits cannot
    tell it has none: by Bernstein's inequality a binomial number of variance v exceeds its mean by
    t with a probability of at most exp(-t^2 / (2 v + 2 t / 3)), which for t = 26 + 9 sqrt(v) is
    less than 2^-53.
    """
    if p in (0, 1) or not trials.size:
        return trials * int(p)
    uniform = np.minimum(uniform, 1 - 2.0**-38)  # so that none is rounded up to the next row
    numbers, some = np.empty_like(trials), np.unique(trials)
    reach = int(27 + 9 * (float(some[-1]) * p * (1 - p)) ** 0.5)
    width, begin = 2 * reach + 1, 0
    while begin < some.size:
        n = some[begin : begin + max(_CELLS // width, 1)]
        begin += n.size
        here = slice(None) if n.size == some.size else (trials >= n[0]) & (trials <= n[-1])
        mode = np.minimum(((n + 1) * p).astype(np.int64), n)
        law = _distribution_functions(n[:, None], mode[:, None], reach, p)
        row = np.searchsorted(n, trials[here])
        # One behind the other they are a rising sequence, in which all are looked up at once.
        law += np.arange(n.size)[:, None]
        at = np.searchsorted(law.reshape(-1), uniform[here] + row, side="right") - row * width
        low, high = np.maximum(mode - reach, 0), np.minimum(mode + reach, n)
        numbers[here] = np.clip(at + mode[row] - reach, low[row], high[row])
    return numbers


def _distribution_functions(n, mode, reach: int, p: float) -> Float64[np.ndarray, "n width"]:
    """Of binomial numbers of `n` trials, at the numbers from `mode - reach` to `mode + reach`."""
    odds = p / (1 - p)
    step = np.arange(reach)
    up, down = mode + step, mode - step
    # Beyond 0 and n a factor is 0, and so is what follows.
    above = np.cumprod(np.maximum(n - up, 0) / (up + 1) * odds, axis=1)
    below = np.cumprod(np.maximum(down, 0) / np.maximum(n - down + 1, 1) / odds, axis=1)
    law = np.concatenate([below[:, ::-1], np.ones_like(above[:, :1]), above], axis=1)
    law = np.cumsum(law, axis=1)
    return law / law[:, -1:]


def multinomial_counts(stream: HostStream, n: int, total: int) -> Int64[np.ndarray, "n"]:
    """How many of `total` balls fall into each of `n` bins, all alike: `int64[n]`.

    Independent Poisson numbers, given their sum, are that. The sum is brought to `total` by taking
    away balls at random, or throwing more; either way they are as many independent balls.
    """
    if total == 0:
        return np.zeros(n, np.int64)
    mean = total / n
    counts = _inverted(stream, n, int(mean), lambda k: mean / (k + 1), lambda k: k / mean)
    missing = total - int(counts.sum())
    if missing > 0:
        return counts + np.bincount(stream.child("add").integers(missing, n), minlength=n)
    return counts - _spread(stream.child("remove"), -missing, counts)


def subset_counts(stream: HostStream, n: int, width: int, total: int) -> Int64[np.ndarray, "n"]:
    """How many of a uniform subset of `total` places lie in each of `n` rows: `int64[n]`.

    Rows have `width` places. Independent binomial numbers, given their sum, are that. Of a uniform
    subset that is too large some are taken away at random, to one too small some others are added.
    """
    counts = binomial_counts(stream, n, width, total / (n * width) if total else 0.0)
    missing = total - int(counts.sum())
    if missing > 0:
        return counts + _spread(stream.child("add"), missing, width - counts)
    return counts - _spread(stream.child("remove"), -missing, counts)


def _spread(
    stream: HostStream, chosen: int, counts: Int64[np.ndarray, "n"]
) -> Int64[np.ndarray, "n"]:
    """How many of `chosen` different ones of all that are counted belong to each."""
    ends = np.cumsum(counts)
    where = np.searchsorted(ends, distinct(stream, chosen, int(ends[-1])), side="right")
    return np.bincount(where, minlength=counts.size)


def _inverted(
    stream: HostStream, n: int, mode: int, up: _Ratio, down: _Ratio
) -> Int64[np.ndarray, "n"]:
    """`n` numbers by inversion of their distribution function.

    **Arguments:**

    - `mode`: the number of the largest probability; others are found from it outwards.
    - `up`, `down`: the probability of k + 1, and of k - 1, relative to that of k.
    """
    above, below = _tail(up, mode, 1), _tail(down, mode, -1)
    ends = np.cumsum(np.concatenate([below[::-1], [1.0], above]))
    return (mode - below.size) + np.searchsorted(ends, stream.uniform(n) * ends[-1], side="right")


def _tail(ratio: _Ratio, k: int, step: int) -> Float64[np.ndarray, "_"]:
    """The probabilities beyond `k` in one direction, relative to that of `k`."""
    parts: list[np.ndarray] = []
    last, size = 1.0, 64
    while last > _NEGLIGIBLE:
        ratios = ratio(np.arange(k, k + step * size, step))
        ratios[0] *= last
        weights = np.cumprod(ratios)  # one product after the other, as is np.cumsum
        parts.append(weights[weights > _NEGLIGIBLE])
        last, k, size = weights[-1], k + step * size, 2 * size
    return np.concatenate(parts)
