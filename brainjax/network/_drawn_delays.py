"""Delays of synapses that are not stored, drawn from a distribution: how many of each source.

Places of a procedural row say nothing of their targets, nor of their weights. So it is enough to
draw how many of a row have which delay, a multinomial number, and to give the first of them the
shortest: memory and time are in proportion to sources times delays, not to synapses.
"""

from typing import NamedTuple

import jax
import numpy as np

from ..connect import Distribution, split_counts
from ..core import HostStream
from ..core._sort import sorting_order
from ..ops import Groups, wide_pointers
from ._network import Projection
from ._values import drawn_steps

_BITS = 52  # a distribution is taken at so many of its quantiles: 2^52
_SOURCES = 1 << 17  # worked on at a time
_WIDE = 2**31  # from this many places on, offsets have 64 bits


class Law(NamedTuple):
    """A distribution of delays on the grid of steps."""

    least: int  # steps
    upto: np.ndarray  # int64 (delays + 1,), the probability of fewer than `least + i`, times 2^52


def law_of(projection: Projection, dt: float) -> Law:
    """How likely each delay is that a projection with a distribution may draw.

    Delays are those of stored synapses: the value at each of 2^52 equally likely quantiles, to the
    nearest step. How many quantiles give less than some number of steps is found by halving.

    **Raises:** `ValueError` if a delay may be less than dt, or longer than delays can be;
    `TypeError` if the distribution does not define its quantile.
    """
    draw = projection.delay
    assert isinstance(draw, Distribution), "the caller looked"

    def steps(quantile: np.ndarray) -> np.ndarray:
        values = draw.unclipped_quantile((quantile + 0.5) * 2.0**-_BITS)
        return drawn_steps(projection, np.clip(values, *draw.bounds()), dt)

    least, longest = steps(np.array([0, 2**_BITS - 1])).tolist()
    delay = np.arange(least, longest + 2)
    low, high = np.zeros(delay.size, np.int64), np.full(delay.size, 2**_BITS)
    for _ in range(_BITS + 1):
        middle = (low + high) // 2
        below = (middle < high) & (steps(np.minimum(middle, 2**_BITS - 1)) < delay)
        low, high = np.where(below, middle + 1, low), np.where(below, high, middle)
    return Law(least, low)


def group_places(row_ptr: np.ndarray, law: Law, stream: HostStream) -> Groups:
    """The places of rows grouped by delays that are drawn from `law`.

    **Arguments:**

    - `row_ptr`: where the places of each source begin, and behind the last; `(sources + 1,)`.
    - `stream`: of these delays.
    """
    parts = [
        _groups_of(np.diff(row_ptr[first : first + _SOURCES + 1]), law, stream, first)
        for first in range(0, row_ptr.size - 1, _SOURCES)
    ]
    of_source, delay, size = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    source_ptr, group_ptr = (np.append(0, np.cumsum(x)) for x in (of_source, size))
    if row_ptr[-1] >= _WIDE:
        group_ptr = wide_pointers(group_ptr)
    arrays = [x.astype(np.int32) for x in (source_ptr, delay, group_ptr)]
    with jax.ensure_compile_time_eval():  # inside jit too; `asarray` compiles for each shape
        return Groups(*map(jax.device_put, arrays), longest_group=int(size.max(initial=0)))


def _groups_of(
    lengths: np.ndarray, law: Law, stream: HostStream, first: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many groups each of some sources has; of each group its delay and number of places."""
    none = 0, np.empty(0, np.int64), np.empty(0, np.int64)
    parts = [none, *split_counts(stream, lengths, law.upto, first)]
    source, number = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
    delay = np.repeat([law.least + i for i, *_ in parts], [rows.size for _, rows, _ in parts])
    order = sorting_order(source, lengths.size)  # stable: delays of a source stay in order
    return np.bincount(source, minlength=lengths.size), delay[order], number[order]
