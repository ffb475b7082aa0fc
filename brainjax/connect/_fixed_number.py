"""Rules that fix how many connections there are: altogether, for each target, for each source."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from ..core._errors import explain
from ..core._host_random import HostStream, check_integer
from ._checks import check_flag
from ._pairs import Indices, Pairs, distinct, integer_blocks, partners
from ._rules import Rule


@dataclass(frozen=True)
class FixedTotalNumber(Rule):
    """`n` connections altogether, between random pairs.

    **Arguments:**

    - `n`: the number of connections.
    - `autapses`: whether, within one population, a neuron may be connected to itself.
    - `multapses`: whether a pair may be connected several times. If so, source and target of each
      connection are uniform and independent; if not, the pairs are a uniform subset of all.

    **Raises:** `TypeError` or `ValueError` unless `n` is an integer of at least 0; `draw` raises
    `ValueError` if there are too few pairs.
    """

    n: int
    autapses: bool = True
    multapses: bool = True

    def __post_init__(self) -> None:
        _check_number(self)

    def _expected(self, pairs: Pairs) -> float:
        _check_room(self, pairs.total, "pairs")
        return self.n

    def _draw(self, pairs: Pairs, stream: HostStream) -> tuple[Indices, Indices]:
        _check_room(self, pairs.total, "pairs")
        if not self.multapses:
            return pairs.split(distinct(stream, self.n, pairs.total))
        blocks = integer_blocks(stream, self.n, max(pairs.total, 1))
        return pairs.split_unsorted(blocks, self.n)


@dataclass(frozen=True)
class FixedInDegree(Rule):
    """Each target receives `n` connections, from random sources.

    **Arguments:**

    - `n`: the number of connections a target receives.
    - `autapses`: whether, within one population, a neuron may be connected to itself.
    - `multapses`: whether a pair may be connected several times. If so, the sources of a target
      are uniform and independent; if not, they are a uniform subset of all.

    **Raises:** `TypeError` or `ValueError` unless `n` is an integer of at least 0; `draw` raises
    `ValueError` if there are too few sources.

    ```python
    connectivity = FixedInDegree(80, autapses=False, multapses=False)
    ```
    """

    n: int
    autapses: bool = True
    multapses: bool = True

    def __post_init__(self) -> None:
        _check_number(self)

    def _expected(self, pairs: Pairs) -> float:
        _check_room(self, pairs.height, "sources of a target")
        return self.n * pairs.num_post

    def _draw(self, pairs: Pairs, stream: HostStream) -> tuple[Indices, Indices]:
        _check_room(self, pairs.height, "sources of a target")
        every = Pairs(pairs.num_pre, pairs.num_post)
        return every.split_unsorted(self._numbers(pairs, stream), self.n * pairs.num_post)

    def _numbers(self, pairs: Pairs, stream: HostStream) -> Iterator[Int64[np.ndarray, "_"]]:
        """Those of the pairs drawn, among all pairs, in blocks of targets."""
        drawn = partners(stream, pairs.num_post, self.n, pairs.height, multapses=self.multapses)
        for targets, sources in drawn:
            if pairs.hollow:
                sources += sources >= targets
            yield (sources * pairs.num_post + targets).reshape(-1)


@dataclass(frozen=True)
class FixedOutDegree(Rule):
    """Each source makes `n` connections, to random targets.

    **Arguments:**

    - `n`: the number of connections a source makes.
    - `autapses`: whether, within one population, a neuron may be connected to itself.
    - `multapses`: whether a pair may be connected several times. If so, the targets of a source
      are uniform and independent; if not, they are a uniform subset of all.

    **Raises:** `TypeError` or `ValueError` unless `n` is an integer of at least 0; `draw` raises
    `ValueError` if there are too few targets.
    """

    n: int
    autapses: bool = True
    multapses: bool = True

    def __post_init__(self) -> None:
        _check_number(self)

    def _expected(self, pairs: Pairs) -> float:
        _check_room(self, pairs.width, "targets of a source")
        return self.n * pairs.num_pre

    def _draw(self, pairs: Pairs, stream: HostStream) -> tuple[Indices, Indices]:
        _check_room(self, pairs.width, "targets of a source")
        drawn = partners(stream, pairs.num_pre, self.n, pairs.width, multapses=self.multapses)
        parts = (
            (np.sort(targets, axis=1) + sources * pairs.width).reshape(-1)
            for sources, targets in drawn
        )
        return pairs.split_parts(parts, self.n * pairs.num_pre)


def _check_number(rule: FixedTotalNumber | FixedInDegree | FixedOutDegree) -> None:
    name = type(rule).__name__
    object.__setattr__(rule, "n", check_integer(f"{name}: n", rule.n))
    check_flag(f"{name}: autapses", rule.autapses)
    check_flag(f"{name}: multapses", rule.multapses)


def _check_room(
    rule: FixedTotalNumber | FixedInDegree | FixedOutDegree, room: int, of_what: str
) -> None:
    """**Raises:** `ValueError` if `rule.n` connections do not fit into `room` places."""
    if rule.n <= room or (rule.multapses and room > 0):
        return
    without = "" if rule.autapses else ", autapses left out"
    if room == 0:
        expected, mend = f"0, as there are no {of_what}{without}", "Set autapses=True."
    else:
        expected = f"at most {room}, the number of {of_what}{without}"
        mend = "Set multapses=True to let a pair be connected several times."
    raise ValueError(explain(f"{type(rule).__name__}: n", got=rule.n, expected=expected, mend=mend))
