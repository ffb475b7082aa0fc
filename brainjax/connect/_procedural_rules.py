"""Which rules make a matrix that need not be stored, and how."""

from functools import singledispatch
from typing import NoReturn

import numpy as np

from ..core._errors import explain
from ..core._host_random import HostStream
from ._distance import DistanceDependent
from ._fixed_number import FixedInDegree, FixedOutDegree, FixedTotalNumber
from ._pairs import Pairs
from ._procedural import ProceduralMatrix, matrix_of_rows
from ._row_counts import binomial_counts, multinomial_counts, subset_counts
from ._rules import FixedProbability, Rule

_MAX_SLOTS = 1 << 62


def procedural(
    rule: Rule, num_pre: int, num_post: int, stream: HostStream, *, same: bool
) -> ProceduralMatrix:
    """The matrix of a rule, as numbers from which its synapses are made when they are needed.

    It takes memory in proportion to the neurons. It has the distribution that `rule.draw` gives,
    but for `DistanceDependent` it is not the same matrix.

    **Arguments:**

    - `rule`: `FixedProbability`, `FixedOutDegree`, `FixedTotalNumber`, `FixedInDegree` (with
      multapses), or `DistanceDependent`.
    - `num_pre`, `num_post`, `stream`, `same`: as of `Rule.draw`.

    **Returns:** the description; `materialise` gives its synapses.

    **Raises:** `ValueError` if the rule cannot be met with these sizes, or not without storing.
    """
    pairs = rule._pairs(num_pre, num_post, same, drawn=True)
    rule._expected(pairs)  # raises if there is no room
    return _matrix(rule, pairs, stream)


@singledispatch
def _matrix(rule: Rule, pairs: Pairs, stream: HostStream) -> ProceduralMatrix:
    """The matrix that `rule` makes of the pairs allowed."""
    del pairs, stream
    _refuse(
        rule,
        "FixedProbability, FixedOutDegree, FixedTotalNumber, FixedInDegree or DistanceDependent",
        "",
    )


def _refuse(rule: Rule, expected: str, mend: str) -> NoReturn:
    mend = f"{mend} " if mend else ""
    raise ValueError(
        explain("procedural: connectivity", got=rule, expected=expected, mend=f"{mend}{_STORE}")
    )


_STORE = "Leave procedural=False to store the connections."


@_matrix.register
def _(rule: FixedProbability, pairs: Pairs, stream: HostStream) -> ProceduralMatrix:
    counts = binomial_counts(stream.child("count"), pairs.num_pre, pairs.width, rule.p)
    return _rows("without_replacement", pairs, counts, stream)


@_matrix.register
def _(rule: FixedOutDegree, pairs: Pairs, stream: HostStream) -> ProceduralMatrix:
    return _rows(_replacement(rule), pairs, np.full(pairs.num_pre, rule.n), stream)


@_matrix.register
def _(rule: FixedTotalNumber, pairs: Pairs, stream: HostStream) -> ProceduralMatrix:
    count = stream.child("count")
    if rule.multapses:
        counts = multinomial_counts(count, pairs.num_pre, rule.n)
    else:
        counts = subset_counts(count, pairs.num_pre, pairs.width, rule.n)
    return _rows(_replacement(rule), pairs, counts, stream)


@_matrix.register
def _(rule: FixedInDegree, pairs: Pairs, stream: HostStream) -> ProceduralMatrix:
    if not rule.multapses:
        expected = "FixedInDegree with multapses: the sources of a target are not known at a source"
        _refuse(rule, expected, f"Set multapses=True, or use {_alike(rule, pairs)}.")
    if pairs.hollow:
        expected = "FixedInDegree with autapses within one population"
        _refuse(rule, expected, f"Set autapses=True, or use {_alike(rule, pairs)}.")
    slots = rule.n * pairs.num_post
    if slots > _MAX_SLOTS:
        raise ValueError(
            explain("FixedInDegree: n", got=rule.n, expected="at most 2**62 synapses altogether")
        )
    counts = multinomial_counts(stream.child("count"), pairs.num_pre, slots)
    sizes = (pairs.num_pre, pairs.num_post)
    return matrix_of_rows("in_degree", *sizes, counts, stream, degree=rule.n)


@_matrix.register
def _(rule: DistanceDependent, pairs: Pairs, stream: HostStream) -> ProceduralMatrix:
    return rule.matrix(pairs, stream)


def _rows(kind: str, pairs: Pairs, counts: np.ndarray, stream: HostStream) -> ProceduralMatrix:
    sizes = (pairs.num_pre, pairs.num_post)
    return matrix_of_rows(kind, *sizes, counts, stream, hollow=pairs.hollow)


def _replacement(rule: FixedOutDegree | FixedTotalNumber) -> str:
    return "with_replacement" if rule.multapses else "without_replacement"


def _alike(rule: FixedInDegree, pairs: Pairs) -> str:
    return f"FixedProbability({rule.n / pairs.height:.6g}, autapses={bool(rule.autapses)})"
