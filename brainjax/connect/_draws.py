"""Random values of weights and delays, one per synapse, drawn when a network is built."""

import abc
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.special import ndtr

from ..core._errors import explain
from ..core._host_random import HostStream
from ._bounds import (
    Outside,
    check_bounds,
    check_factor,
    check_not_negative,
    check_outside,
    log_probability,
    standard_mean,
    standard_quantile,
    standardise,
)
from ._checks import check_real

_REACH = 8.3  # standard normal numbers of a stream are smaller than this
_LOG_MAX = math.log(np.finfo(np.float64).max)


@dataclass(frozen=True)
class Distribution(abc.ABC):
    """What a random weight or delay is drawn from.

    A value is a function of the stream and its index alone: not of how many are drawn, nor in
    which portions.
    """

    @abc.abstractmethod
    def sample(self, stream: HostStream, n: int, start: int = 0) -> Float64[np.ndarray, "n"]:
        """The values of the synapses `start..start + n`.

        **Arguments:**

        - `stream`: the stream kept for these values.
        - `n`: how many.
        - `start`: the index of the first.

        **Returns:** `float64[n]` on the host, in the unit of the distribution's parameters.
        """

    def unclipped_quantile(self, u: Float64[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
        """The values below which a share `u` of all lies, before any is set to a bound.

        Connections that are not stored need it. Between the bounds it is smooth, as tables wish.

        **Arguments:**

        - `u`: `float64[n]` within 0..1, both excluded.

        **Returns:** `float64[n]`, rising with `u`.

        **Raises:** `TypeError` if the distribution does not define it.
        """
        mend = "Define unclipped_quantile, or store the connections."
        raise TypeError(
            explain("Distribution", got=self, expected="one with a quantile function", mend=mend)
        )

    def bounds(self) -> tuple[float, float]:
        """The least and the largest value; the quantile is the unclipped one within these."""
        return -math.inf, math.inf

    @abc.abstractmethod
    def expectation(self) -> float:
        """The mean of the values that `sample` draws, bounds and all."""

    @abc.abstractmethod
    def scaled(self, factor: float) -> "Distribution":
        """The distribution of `factor` times the values.

        **Raises:** `ValueError` unless `factor` is above 0.
        """


@dataclass(frozen=True)
class Uniform(Distribution):
    """Uniform between `low` and `high`.

    **Arguments:**

    - `low`, `high`: the ends, in the unit of what is drawn (pA, nS, mV; ms for a delay).

    **Raises:** `ValueError` unless both are finite and `low < high`.

    ```python
    delay = Uniform(0.5, 2.5)
    ```
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        check_real("Uniform: low", self.low)
        check_real("Uniform: high", self.high)
        low, high = check_bounds("Uniform", self.low, self.high)
        check_real("Uniform: high - low", high - low)
        _set(self, low=low, high=high)

    def sample(self, stream: HostStream, n: int, start: int = 0) -> Float64[np.ndarray, "n"]:
        values = self.unclipped_quantile(stream.uniform(n, start))
        return np.minimum(values, self.high, out=values)  # the sum may round up

    def unclipped_quantile(self, u: Float64[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
        values = u * (self.high - self.low)
        values += self.low
        return values

    def bounds(self) -> tuple[float, float]:
        return self.low, self.high

    def expectation(self) -> float:
        return (self.low + self.high) / 2

    def scaled(self, factor: float) -> "Uniform":
        factor = check_factor("Uniform.scaled", factor)
        return Uniform(self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Normal(Distribution):
    """Normal with `mean` and `std`, within `low` and `high`.

    **Arguments:**

    - `mean`, `std`: of the normal before it is bounded, in the unit of what is drawn.
    - `low`, `high`: the bounds, infinite by default.
    - `outside`: what becomes of a value beyond them. `"redraw"`: it is drawn anew until it is
      inside, which gives the truncated normal; `"clip"`: it is set to the bound.

    **Raises:** `ValueError` for numbers that are not finite, `std < 0`, `low >= high`, or if a
    redraw would hardly ever succeed (with a probability below 1e-6).

    Redrawing is done in one go, by the inverse of the truncated distribution function: the
    distribution is the same, and the cost does not depend on the bounds.

    ```python
    delay = Normal(1.5, 0.75, low=0.1)
    weight = Normal(87.8, 8.78, low=0.0, outside="clip")
    ```
    """

    mean: float
    std: float
    low: float = -math.inf
    high: float = math.inf
    outside: Outside = "redraw"

    def __post_init__(self) -> None:
        mean = check_real("Normal: mean", self.mean)
        std = check_not_negative("Normal: std", self.std)
        low, high = check_bounds("Normal", self.low, self.high)
        _set(self, mean=mean, std=std, low=low, high=high)
        check_outside("Normal", self.outside, (low, high), self._standard_bounds())

    def sample(self, stream: HostStream, n: int, start: int = 0) -> Float64[np.ndarray, "n"]:
        values = self.unclipped_quantile(stream.uniform_open(n, start))
        return np.clip(values, self.low, self.high, out=values)

    def unclipped_quantile(self, u: Float64[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
        values = standard_quantile(u, *self._standard_bounds(), self.outside)
        values *= self.std
        values += self.mean
        return values

    def bounds(self) -> tuple[float, float]:
        return self.low, self.high

    def expectation(self) -> float:
        if self.std == 0:
            return min(max(self.mean, self.low), self.high)
        return self.mean + self.std * standard_mean(*self._standard_bounds(), self.outside)

    def scaled(self, factor: float) -> "Normal":
        factor = check_factor("Normal.scaled", factor)
        mean, std, low, high = (x * factor for x in (self.mean, self.std, self.low, self.high))
        return Normal(mean, std, low, high, self.outside)

    def _standard_bounds(self) -> tuple[float, float]:
        low, high = (standardise(x, self.mean, self.std) for x in (self.low, self.high))
        return low, high


@dataclass(frozen=True)
class LogNormal(Distribution):
    """The exponential of a normal with mean `mu` and standard deviation `sigma`.

    **Arguments:**

    - `mu`, `sigma`: mean and standard deviation of the *logarithm* of the values (the convention
      of NumPy), not of the values: their mean is exp(mu + sigma^2 / 2). See `from_mean_std`.
    - `low`, `high`: bounds of the values, in their unit; 0 and infinity by default.
    - `outside`: `"redraw"` or `"clip"`, as in `Normal`.

    **Raises:** `ValueError` for numbers that are not finite, `sigma < 0`, `low >= high`, `high <=
    0`, values beyond the range of a double, or if a redraw would hardly ever succeed.

    ```python
    weight = LogNormal.from_mean_std(0.5, 0.5, high=5.0)
    ```
    """

    mu: float
    sigma: float
    low: float = 0.0
    high: float = math.inf
    outside: Outside = "redraw"

    def __post_init__(self) -> None:
        mu = check_real("LogNormal: mu", self.mu)
        sigma = check_not_negative("LogNormal: sigma", self.sigma)
        low, high = check_bounds("LogNormal", self.low, self.high)
        if high <= 0:
            raise ValueError(
                explain("LogNormal: high", got=high, expected="more than 0, as its values are")
            )
        if mu + _REACH * sigma > _LOG_MAX:
            raise ValueError(
                explain(
                    "LogNormal: mu, sigma",
                    got=(mu, sigma),
                    expected="values that a double can hold; mu and sigma are of their logarithm",
                    mend=f"LogNormal.from_mean_std({mu!r}, {sigma!r}) takes those of the values.",
                )
            )
        _set(self, mu=mu, sigma=sigma, low=low, high=high)
        check_outside("LogNormal", self.outside, (low, high), self._standard_bounds())

    @classmethod
    def from_mean_std(
        cls,
        mean: float,
        std: float,
        low: float = 0.0,
        high: float = math.inf,
        outside: Outside = "redraw",
    ) -> "LogNormal":
        """The log-normal whose values, before they are bounded, have this mean and deviation.

        sigma^2 = ln(1 + (std / mean)^2), mu = ln(mean) - sigma^2 / 2.

        **Raises:** `ValueError` unless `mean > 0` and `std >= 0`, and as the class does.
        """
        mean = check_real("LogNormal.from_mean_std: mean", mean)
        std = check_not_negative("LogNormal.from_mean_std: std", std)
        if mean <= 0:
            raise ValueError(
                explain("LogNormal.from_mean_std: mean", got=mean, expected="more than 0")
            )
        ratio = std / mean
        variance = math.log1p(ratio * ratio)
        return cls(math.log(mean) - variance / 2, math.sqrt(variance), low, high, outside)

    def sample(self, stream: HostStream, n: int, start: int = 0) -> Float64[np.ndarray, "n"]:
        values = self.unclipped_quantile(stream.uniform_open(n, start))
        return np.clip(values, self.low, self.high, out=values)

    def unclipped_quantile(self, u: Float64[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
        values = standard_quantile(u, *self._standard_bounds(), self.outside)
        values *= self.sigma
        values += self.mu
        return np.exp(values, out=values)

    def bounds(self) -> tuple[float, float]:
        return self.low, self.high

    def expectation(self) -> float:
        # The part of the mean that comes from z in low..high is exp(mu + sigma^2 / 2) times the
        # probability of low - sigma..high - sigma. Logarithms, as the one may be huge and the
        # other tiny.
        if self.sigma == 0:
            return min(max(math.exp(self.mu), self.low), self.high)
        low, high = self._standard_bounds()
        log_part = log_probability(low - self.sigma, high - self.sigma)
        log_part += self.mu + self.sigma**2 / 2
        if self.outside == "redraw":
            log_part -= log_probability(low, high)
        part = math.exp(log_part) if log_part < _LOG_MAX else math.inf
        if self.outside == "clip":
            part += self.low * float(ndtr(low)) if self.low > 0 else 0.0
            part += self.high * float(ndtr(-high)) if self.high < math.inf else 0.0
        return min(max(part, self.low), self.high)

    def scaled(self, factor: float) -> "LogNormal":
        factor = check_factor("LogNormal.scaled", factor)
        low, high = self.low * factor, self.high * factor
        return LogNormal(self.mu + math.log(factor), self.sigma, low, high, self.outside)

    def _standard_bounds(self) -> tuple[float, float]:
        logs = (math.log(x) if x > 0 else -math.inf for x in (self.low, self.high))
        low, high = (standardise(x, self.mu, self.sigma) for x in logs)
        return low, high


def _set(draw: Distribution, **values: float) -> None:
    for name, value in values.items():
        object.__setattr__(draw, name, value)
