"""Connections that are given, not drawn."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int32, Int64
from numpy.typing import ArrayLike

from ..core._errors import explain
from ..core._host_random import HostStream
from ._pairs import Indices, Pairs
from ._rules import Rule

_MAX_INDEX = 2**31 - 2


@dataclass(frozen=True, eq=False, init=False)
class Explicit(Rule):
    """The connections are listed: `pre[k]` is connected to `post[k]`.

    The list may have any order, autapses and multapses. Networks keep connections in canonical
    order, by source and then target, so values that belong to the connections of the list (one
    weight or delay each) must be brought into it as well, by `order`.

    **Arguments:**

    - `pre`, `post`: indices of sources and targets from 0, two integer arrays `[nnz]`. They are
      kept as read-only copies, `int32[nnz]`.

    **Raises:** `TypeError` if they are not integers, `ValueError` if they differ in length, are not
    one-dimensional or negative; `draw` raises `ValueError` if an index is beyond the population.

    ```python
    connectivity = Explicit([2, 0, 1], [0, 0, 5])
    weight = np.array([0.2, 0.0, 0.1])[connectivity.order]  # 0.0, 0.1, 0.2
    ```
    """

    pre: Int32[np.ndarray, "nnz"]
    post: Int32[np.ndarray, "nnz"]

    def __init__(self, pre: ArrayLike, post: ArrayLike) -> None:
        object.__setattr__(self, "pre", _indices("pre", pre))
        object.__setattr__(self, "post", _indices("post", post))
        if self.pre.size != self.post.size:
            raise ValueError(
                explain(
                    "Explicit: lengths of pre, post",
                    got=(self.pre.size, self.post.size),
                    expected="equal lengths, an entry of each for every connection",
                )
            )

    @cached_property
    def order(self) -> Int64[np.ndarray, "nnz"]:
        """The permutation into canonical order: `int64[nnz]`, read-only.

        `values[order]` are the values in the order of what `draw` returns. Copies of a pair keep
        the order in which they were given.
        """
        order = np.lexsort((self.post, self.pre))
        order.flags.writeable = False
        return order

    def _draw(self, pairs: Pairs, stream: HostStream) -> tuple[Indices, Indices]:
        self._check_range(pairs)
        return self.pre[self.order], self.post[self.order]

    def _expected(self, pairs: Pairs) -> float:
        self._check_range(pairs)
        return self.pre.size

    def _check_range(self, pairs: Pairs) -> None:
        _check_range("pre", self.pre, pairs.num_pre)
        _check_range("post", self.post, pairs.num_post)


def _indices(name: str, given: ArrayLike) -> Int32[np.ndarray, "nnz"]:
    what = f"Explicit: {name}"
    array = np.asarray(given)
    if array.ndim != 1:
        raise ValueError(
            explain(f"{what}.shape", got=array.shape, expected="one dimension, (nnz,)")
        )
    if array.size and not np.issubdtype(array.dtype, np.integer):
        mend = f"np.flatnonzero({name}) gives the indices of a mask." if array.dtype == bool else ""
        raise TypeError(
            explain(f"{what}.dtype", got=array.dtype.name, expected="integers", mend=mend)
        )
    if array.size and (array.min() < 0 or array.max() > _MAX_INDEX):
        at = int(np.flatnonzero((array < 0) | (array > _MAX_INDEX))[0])
        expected = f"indices in 0..{_MAX_INDEX}"
        raise ValueError(explain(f"{what}[{at}]", got=int(array[at]), expected=expected))
    array = array.astype(np.int32)
    array.flags.writeable = False
    return array


def _check_range(name: str, indices: np.ndarray, size: int) -> None:
    beyond = np.flatnonzero(indices >= size)
    if beyond.size:
        at = int(beyond[0])
        side = "source" if name == "pre" else "target"
        raise ValueError(
            explain(
                f"Explicit: {name}[{at}]",
                got=int(indices[at]),
                expected=f"an index in 0..{size - 1}, the {side} population having {size} neurons",
                mend="Indices start at 0." if int(indices[at]) == size else "",
            )
        )
