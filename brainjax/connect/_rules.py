"""Connection rules: who is connected to whom.

The names are those of NEST and of Senk et al. 2022, 'Connectivity concepts in neuronal network
modeling', doi:10.1371/journal.pcbi.1010086. An *autapse* joins a neuron to itself; *multapses* are
several connections of one ordered pair.
"""

import abc
from dataclasses import dataclass

import numpy as np

from ..core._errors import explain
from ..core._host_random import HostStream
from ._checks import check_flag, check_real
from ._pairs import Indices, Pairs, check_sizes, skips


@dataclass(frozen=True)
class Rule(abc.ABC):
    """What decides which neurons are connected.

    A new rule defines `_draw` and `_expected`. If it has a field `autapses` and that is false, the
    pairs that these are given are without them.
    """

    def draw(
        self, num_pre: int, num_post: int, stream: HostStream, *, same: bool
    ) -> tuple[Indices, Indices]:
        """The connected pairs in canonical order: by source, then target, copies side by side.

        **Arguments:**

        - `num_pre`, `num_post`: sizes of the source and the target population, at least 1.
        - `stream`: the stream kept for the structure of this projection.
        - `same`: whether source and target are the same population; only then is a pair (i, i) an
          autapse.

        **Returns:** the indices of sources and targets, two arrays `int32[nnz]`. They are the same
        on every machine.

        **Raises:** `ValueError` if the rule cannot be met with these sizes.
        """
        pairs = self._pairs(num_pre, num_post, same, drawn=True)
        if not isinstance(stream, HostStream):
            raise TypeError(
                explain(
                    "Rule.draw: stream",
                    got=stream,
                    expected="a HostStream",
                    mend="HostStream(tuple(jax.random.key_data(key).tolist())).",
                )
            )
        return self._draw(pairs, stream)

    def expected_number(self, num_pre: int, num_post: int, *, same: bool) -> float:
        """The expected number of connections; nothing is drawn.

        **Arguments:**

        - `num_pre`, `num_post`, `same`: as of `draw`.

        **Returns:** the mean, over all streams, of the number of connections that `draw` makes.

        **Raises:** `ValueError` if the rule cannot be met with these sizes, however large they are.
        """
        return float(self._expected(self._pairs(num_pre, num_post, same, drawn=False)))

    def regular(self, num_pre: int, num_post: int, *, same: bool) -> tuple[int, int] | None:
        """How to count the connections, where that is possible.

        **Arguments:**

        - `num_pre`, `num_post`, `same`: as of `draw`.

        **Returns:** `(fan_out, stride)` if source i is connected to `stride * i` and the
        `fan_out - 1` targets behind it, else `None`.
        """
        del num_pre, num_post, same
        return None

    def _pairs(self, num_pre: int, num_post: int, same: bool, drawn: bool) -> Pairs:
        same = check_flag("Rule.draw: same", same)
        num_pre, num_post = check_sizes(num_pre, num_post, same, drawn)
        return Pairs(num_pre, num_post, same and not getattr(self, "autapses", True))

    @abc.abstractmethod
    def _draw(self, pairs: Pairs, stream: HostStream) -> tuple[Indices, Indices]:
        """As `draw`, given the pairs allowed."""

    @abc.abstractmethod
    def _expected(self, pairs: Pairs) -> float:
        """As `expected_number`, given the pairs allowed."""


@dataclass(frozen=True)
class OneToOne(Rule):
    """Neuron i of the source is connected to neuron i of the target.

    `draw` raises `ValueError` unless the populations are of equal size.
    """

    def regular(self, num_pre: int, num_post: int, *, same: bool) -> tuple[int, int] | None:
        self._check_sizes(self._pairs(num_pre, num_post, same, drawn=True))
        return 1, 1

    def _draw(self, pairs: Pairs, stream: HostStream) -> tuple[Indices, Indices]:
        self._check_sizes(pairs)
        each = np.arange(pairs.num_pre, dtype=np.int32)
        return each, each.copy()

    def _expected(self, pairs: Pairs) -> float:
        self._check_sizes(pairs)
        return pairs.num_pre

    def _check_sizes(self, pairs: Pairs) -> None:
        if pairs.num_pre != pairs.num_post:
            raise ValueError(
                explain(
                    "OneToOne: num_pre, num_post",
                    got=(pairs.num_pre, pairs.num_post),
                    expected="populations of equal size",
                    mend="Explicit(pre, post) joins any pairs.",
                )
            )


@dataclass(frozen=True)
class AllToAll(Rule):
    """Every source is connected once to every target.

    **Arguments:**

    - `autapses`: whether, within one population, a neuron is connected to itself too.
    """

    autapses: bool = True

    def __post_init__(self) -> None:
        check_flag("AllToAll: autapses", self.autapses)

    def regular(self, num_pre: int, num_post: int, *, same: bool) -> tuple[int, int] | None:
        pairs = self._pairs(num_pre, num_post, same, drawn=True)
        return None if pairs.hollow else (num_post, 0)

    def _draw(self, pairs: Pairs, stream: HostStream) -> tuple[Indices, Indices]:
        return pairs.split(np.arange(pairs.total))

    def _expected(self, pairs: Pairs) -> float:
        return pairs.total


@dataclass(frozen=True)
class FixedProbability(Rule):
    """Every ordered pair is connected with probability `p`, independently; once at most.

    **Arguments:**

    - `p`: the probability, 0..1.
    - `autapses`: whether, within one population, a neuron may be connected to itself.

    **Raises:** `ValueError` for a `p` outside 0..1 or NaN.

    The time it takes is proportional to the connections made, not to the pairs.

    ```python
    connectivity = FixedProbability(0.02, autapses=False)
    ```
    """

    p: float
    autapses: bool = True

    def __post_init__(self) -> None:
        p = check_real("FixedProbability: p", self.p)
        if not 0 <= p <= 1:
            mend = f"A percentage is divided by 100: p={p / 100!r}." if 1 < p <= 100 else ""
            raise ValueError(explain("FixedProbability: p", got=p, expected="0 to 1", mend=mend))
        object.__setattr__(self, "p", p)
        check_flag("FixedProbability: autapses", self.autapses)

    def _draw(self, pairs: Pairs, stream: HostStream) -> tuple[Indices, Indices]:
        return pairs.split(skips(stream, self.p, pairs.total))

    def _expected(self, pairs: Pairs) -> float:
        return self.p * pairs.total
