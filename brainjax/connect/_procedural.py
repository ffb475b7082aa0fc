"""A matrix that is not stored, on the host: its description, and its synapses in full."""

from collections.abc import Iterator
from ctypes import c_int64, c_void_p
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int32, Int64, UInt32

from ..core._errors import explain
from ..core._host_random import HostStream
from ..ops._native import native_library
from ..ops._procedural import Procedural, factors, positions, targets
from ._pairs import Indices

_BLOCK = 1 << 20  # positions worked on at a time
_MAX_ROW = 2**31 - 1


@dataclass(frozen=True, eq=False)
class ProceduralMatrix:
    """Connections as the numbers they are made from; see `ops.Procedural`.

    **Arguments:**

    - `shape`: what the matrix looks like; static.
    - `words`: the key, `uint32[2]`.
    - `where`: the beginnings of rows, `int32[num_pre + 1, 2]`, each two halves of a 64-bit number,
      the lower one first; for the kind `"distance"` the thresholds, `uint32[positions]`.
    """

    shape: Procedural
    words: UInt32[np.ndarray, "2"]
    where: np.ndarray

    @property
    def row_ptr(self) -> Int64[np.ndarray, "rows"]:
        """Where the positions of each source begin, `int64[num_pre + 1]`."""
        if self.shape.kind == "distance":
            return np.arange(self.shape.num_pre + 1) * self.shape.longest
        return self.where.view("<i8")[:, 0].astype(np.int64)

    @property
    def num_synapses(self) -> int:
        """How many synapses there are; for `"distance"` they are made to be counted."""
        if self.shape.kind != "distance":
            return int(self.row_ptr[-1])
        return sum(rows(self, *block)[0].size for block in _row_blocks(self.row_ptr))


def matrix_of_rows(
    kind: str, num_pre: int, num_post: int, counts: Int64[np.ndarray, "_"], stream: HostStream, **of
) -> ProceduralMatrix:
    """The matrix in which source i has `counts[i]` synapses.

    **Arguments:**

    - `kind`, `num_pre`, `num_post`, and `of`: as of `ops.Procedural`.
    - `stream`: where its key comes from.

    **Raises:** `ValueError` if a row has more positions than an `int32` can number.
    """
    longest = int(counts.max(initial=0))
    if longest > _MAX_ROW:
        expected = f"at most {_MAX_ROW} synapses of a source"
        raise ValueError(explain("procedural: longest row", got=longest, expected=expected))
    row_ptr = np.zeros(num_pre + 1, "<i8")
    np.cumsum(counts, out=row_ptr[1:])
    shape = Procedural(kind, num_pre, num_post, longest, **of)  # pyright: ignore[reportArgumentType]
    return ProceduralMatrix(shape, key_words_of(stream), row_ptr.view("<i4").reshape(-1, 2))


def key_words_of(stream: HostStream) -> UInt32[np.ndarray, "2"]:
    """The key of the matrix whose structure is drawn from `stream`."""
    word = int(stream.child("procedural").bits(1)[0])
    return np.array([word >> 32, word & 0xFFFFFFFF], np.uint32)


def materialise(
    matrix: ProceduralMatrix, table: Float[np.ndarray, "cells 4"] | None = None
) -> tuple[Indices, Indices, Float[np.ndarray, "nnz"] | None]:
    """All synapses of a matrix, in canonical order: by source, then target, copies as generated.

    **Arguments:**

    - `matrix`: the matrix.
    - `table`: the quantile table of the factors, if there are any.

    **Returns:** the indices of sources and targets, `int32[nnz]`, and the factors, of the dtype of
    the table, or `None` without one.
    """
    parts = []
    for begin, end in _row_blocks(matrix.row_ptr):
        pre, post, factor = rows(matrix, begin, end, table)
        order = np.argsort((pre - begin) * np.int64(matrix.shape.num_post) + post, kind="stable")
        parts.append((pre[order], post[order], None if factor is None else factor[order]))
    pre, post, factor = zip(*parts, strict=True)
    return (
        np.concatenate(pre),
        np.concatenate(post),
        None if table is None else np.concatenate(factor),
    )


def _row_blocks(row_ptr: Int64[np.ndarray, "rows"]) -> Iterator[tuple[int, int]]:
    """Ranges of rows, of about `_BLOCK` positions each."""
    begin, last = 0, row_ptr.size - 1
    while begin < last:
        end = int(np.searchsorted(row_ptr, row_ptr[begin] + _BLOCK, side="right")) - 1
        end = min(max(end, begin + 1), last)
        yield begin, end
        begin = end


def rows(
    matrix: ProceduralMatrix,
    begin: int,
    end: int,
    table: Float[np.ndarray, "cells 4"] | None = None,
    *,
    native: bool = True,
) -> tuple[Int32[np.ndarray, "nnz"], Int32[np.ndarray, "nnz"], Float[np.ndarray, "nnz"] | None]:
    """The synapses of the sources `begin..end`, in the order in which they are generated.

    **Arguments:**

    - `matrix`, `table`: as of `materialise`.
    - `begin`, `end`: the first source, and the one behind the last.
    - `native`: whether the native library does it, if there is one; the bits are the same.

    **Returns:** as `materialise`, but for the order.
    """
    if native and native_library() is not None:
        return _native_rows(matrix, begin, end, table)
    row_ptr = matrix.row_ptr[begin : end + 1]
    lengths = np.diff(row_ptr)
    pre = np.repeat(np.arange(begin, end, dtype=np.int32), lengths)
    place = (np.arange(pre.size) - np.repeat(row_ptr[:-1] - row_ptr[0], lengths)).astype(np.int32)
    position = positions(matrix.shape, matrix.words, pre, place)
    post, valid = targets(matrix.shape, matrix.words, matrix.where, pre, position)
    pre, post, position = pre[valid], post[valid], position[valid]
    return pre, post, None if table is None else factors(matrix.words, table, pre, position)


def _native_rows(matrix, begin, end, table):
    library = native_library()
    assert library is not None
    row_ptr = matrix.row_ptr
    room = int(row_ptr[end] - row_ptr[begin])
    pre, post = np.empty(room, np.int32), np.empty(room, np.int32)
    factor = None if table is None else np.empty(room, table.dtype)
    inputs = (matrix.shape.numbers(), matrix.words, matrix.where, table)
    kept = [None if x is None else np.ascontiguousarray(x) for x in inputs]
    pointers = [None if x is None else c_void_p(x.ctypes.data) for x in (*kept, pre, post, factor)]
    call = library.brainjax_procedural_rows
    call.restype = c_int64
    width = c_int64(0 if table is None else table.dtype.itemsize)
    n = call(*pointers[:4], width, c_int64(begin), c_int64(end), *pointers[4:])
    return pre[:n], post[:n], None if factor is None else factor[:n]
