"""How many synapses of each source have which delay, drawn without drawing the synapses.

All is in integers and in +, -, *, / of doubles, so the numbers are the same on every machine.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64

from ..core._host_random import HostStream
from ._row_counts import binomial_numbers


def split_counts(
    stream: HostStream,
    counts: Int64[np.ndarray, "n"],
    upto: Int64[np.ndarray, "classes_plus_1"],
    first: int = 0,
) -> Iterator[tuple[int, np.ndarray, Int64[np.ndarray, "_"]]]:
    """Multinomial numbers: how many of the things of each row are of which class.

    Halves of a range of classes share what the range has by one binomial number a row, and so on.

    **Arguments:**

    - `stream`: numbers are functions of it and of the index of the row.
    - `counts`: how many things each row has.
    - `upto`: the classes before class c have the weights `upto[c]` together; from 0 on.
    - `first`: the index of the first row.

    **Yields:** each class that is met, in order; the rows that have it, and how many they have.
    """

    def split(low: int, high: int, rows: np.ndarray, counts: np.ndarray):
        if not rows.size:
            return
        if high - low == 1:
            yield low, rows, counts
            return
        middle = (low + high) // 2
        p = int(upto[middle] - upto[low]) / int(upto[high] - upto[low])
        uniform = stream.child(middle).uniform(size, first)[rows]
        lower = binomial_numbers(uniform, counts, p)
        for part, of_part, numbers in (
            (low, middle, lower),
            (middle, high, counts - lower),
        ):
            some = np.flatnonzero(numbers)
            yield from split(part, of_part, rows[some], numbers[some])

    size = counts.size
    some = np.flatnonzero(counts)
    yield from split(0, upto.size - 1, some, counts[some])
