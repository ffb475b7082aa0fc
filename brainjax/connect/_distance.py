"""Connections that depend on distance, between neurons on a grid."""

import abc
import decimal
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float64, Int64, UInt32

from ..core._errors import explain
from ..core._host_random import HostStream, check_integer
from ..ops._procedural import Procedural
from ._checks import check_flag, check_real
from ._pairs import Indices, Pairs
from ._procedural import ProceduralMatrix, key_words_of, materialise
from ._rules import Rule

_ONE = 1 << 31  # a probability is a multiple of 2^-31


@dataclass(frozen=True)
class Profile(abc.ABC):
    """How the probability of a connection depends on distance. A new profile defines `at`.

    **Arguments:**

    - `peak`: the probability at distance 0, 0..1.
    - `width`: the scale, in steps of the grid, above 0.
    """

    peak: float
    width: float

    def __post_init__(self) -> None:
        name = type(self).__name__
        peak = check_real(f"{name}: peak", self.peak)
        width = check_real(f"{name}: width", self.width)
        if not 0 <= peak <= 1:
            raise ValueError(explain(f"{name}: peak", got=peak, expected="0 to 1"))
        if width <= 0:
            raise ValueError(explain(f"{name}: width", got=width, expected="more than 0"))
        object.__setattr__(self, "peak", peak)
        object.__setattr__(self, "width", width)

    @abc.abstractmethod
    def exponent(self, ratio_squared: decimal.Decimal) -> decimal.Decimal:
        """-log(p / peak), where `ratio_squared` is the square of distance over width."""

    def at(self, squared: Int64[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
        """The probabilities at distances whose squares are given, in steps of the grid.

        In decimal arithmetic, so that they are the same on every machine.
        """
        with decimal.localcontext(prec=40):
            unit = decimal.Decimal(self.width) ** 2
            exponents = (self.exponent(decimal.Decimal(d) / unit) for d in squared.tolist())
            return np.array([float(decimal.Decimal(self.peak) * (-e).exp()) for e in exponents])


class GaussianProfile(Profile):
    """`peak exp(-d^2 / (2 width^2))` at distance d."""

    def exponent(self, ratio_squared: decimal.Decimal) -> decimal.Decimal:
        return ratio_squared / 2


class ExponentialProfile(Profile):
    """`peak exp(-d / width)` at distance d."""

    def exponent(self, ratio_squared: decimal.Decimal) -> decimal.Decimal:
        return ratio_squared.sqrt()


class DiscProfile(Profile):
    """`peak` up to the distance `width`, and 0 beyond it."""

    def exponent(self, ratio_squared: decimal.Decimal) -> decimal.Decimal:
        return decimal.Decimal(0 if ratio_squared <= 1 else "Infinity")


@lru_cache(maxsize=16)
def _thresholds_of(profile: Profile, reach: int) -> UInt32[np.ndarray, "positions"]:
    """The probabilities of the offsets (dy, dx), row by row, times 2^31; read-only."""
    steps = np.arange(-reach, reach + 1)
    distinct, which = np.unique(steps[:, None] ** 2 + steps**2, return_inverse=True)
    thresholds = np.rint(profile.at(distinct) * _ONE).astype(np.uint32)[which.reshape(-1)]
    thresholds.flags.writeable = False
    return thresholds


@dataclass(frozen=True)
class DistanceDependent(Rule):
    """Neurons on a grid, connected independently with a probability that depends on distance.

    Neuron `i` of either population is at row `i // nx` and column `i % nx` of a grid of `ny` rows
    and `nx` columns, one step from its neighbours.

    **Arguments:**

    - `grid`: `(ny, nx)`; both populations have `ny * nx` neurons.
    - `profile`: the probability by distance: `GaussianProfile`, `ExponentialProfile` or
      `DiscProfile`.
    - `reach`: how far, in rows and in columns, a connection goes at most; whatever lies in this
      square around a neuron is tried. The time to make a row is that of trying all of it.
    - `periodic`: whether the edges are joined, so that the grid is a torus.
    - `autapses`: whether, within one population, a neuron may be connected to itself.

    **Raises:** `TypeError` or `ValueError` for a grid or a reach that is none, or if on a torus the
    square would meet itself; `draw` raises `ValueError` unless the populations fill the grid.

    The same matrix comes out whether it is stored or made anew. Probabilities are multiples of
    2^-31.

    ```python
    connectivity = DistanceDependent((100, 100), GaussianProfile(0.3, 5.0), reach=15)
    ```

    Source: Senk et al. 2022, doi:10.1371/journal.pcbi.1010086.
    """

    grid: tuple[int, int]
    profile: Profile
    reach: int
    periodic: bool = True
    autapses: bool = True

    def __post_init__(self) -> None:
        what = "DistanceDependent"
        if not isinstance(self.grid, tuple) or len(self.grid) != 2:
            mend = "For example DistanceDependent((100, 100), ...)."
            expected = "a tuple (ny, nx)"
            raise TypeError(explain(f"{what}: grid", got=self.grid, expected=expected, mend=mend))
        grid = tuple(check_integer(f"{what}: grid", n, low=1, high=2**31 - 1) for n in self.grid)
        object.__setattr__(self, "grid", grid)
        if not isinstance(self.profile, Profile):
            mend = "For example GaussianProfile(0.3, 5.0)."
            expected = "a Profile"
            raise TypeError(
                explain(f"{what}: profile", got=self.profile, expected=expected, mend=mend)
            )
        reach = check_integer(f"{what}: reach", self.reach, high=2**14)
        object.__setattr__(self, "reach", reach)
        check_flag(f"{what}: periodic", self.periodic)
        check_flag(f"{what}: autapses", self.autapses)
        if self.periodic and 2 * reach + 1 > min(grid):
            expected = f"at most {(min(grid) - 1) // 2}, so that no target is tried twice"
            mend = "Make the grid larger, or set periodic=False."
            raise ValueError(explain(f"{what}: reach", got=reach, expected=expected, mend=mend))

    def matrix(self, pairs: Pairs, stream: HostStream) -> ProceduralMatrix:
        """The matrix drawn from `stream`, as the numbers it is made from."""
        self._check_sizes(pairs)
        shape = Procedural(
            "distance",
            pairs.num_pre,
            pairs.num_post,
            self._thresholds().size,
            hollow=pairs.hollow,
            grid=self.grid,
            reach=(self.reach, self.reach),
            periodic=bool(self.periodic),
        )
        return ProceduralMatrix(shape, key_words_of(stream), self._thresholds())

    def _thresholds(self) -> UInt32[np.ndarray, "positions"]:
        return _thresholds_of(self.profile, self.reach)

    def _draw(self, pairs: Pairs, stream: HostStream) -> tuple[Indices, Indices]:
        pre, post, _ = materialise(self.matrix(pairs, stream))
        return pre, post

    def _expected(self, pairs: Pairs) -> float:
        self._check_sizes(pairs)
        side = 2 * self.reach + 1
        p = self._thresholds().reshape(side, side) / _ONE
        if pairs.hollow:
            p[self.reach, self.reach] = 0
        # How many sources have a target at each offset.
        steps = np.abs(np.arange(-self.reach, self.reach + 1))
        rows, columns = (np.maximum(n - (0 if self.periodic else steps), 0) for n in self.grid)
        return float((p * (np.ones(side) * rows)[:, None] * columns).sum())

    def _check_sizes(self, pairs: Pairs) -> None:
        size = self.grid[0] * self.grid[1]
        if (pairs.num_pre, pairs.num_post) != (size, size):
            raise ValueError(
                explain(
                    "DistanceDependent: num_pre, num_post",
                    got=(pairs.num_pre, pairs.num_post),
                    expected=f"{size} neurons in both, a grid of {self.grid}",
                )
            )
