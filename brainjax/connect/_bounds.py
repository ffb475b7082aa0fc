"""Normal numbers within bounds: how distributions are cut off, and which cuts are refused."""

import math
from typing import Literal

import numpy as np
from jaxtyping import Float64
from scipy.special import log_ndtr, ndtr, ndtri

from ..core._errors import explain, near_miss
from ._checks import check_real

# The least probability of the interval for which values are redrawn. Whoever asks for less has
# most likely mistaken a sign or a unit.
_LEAST = 1e-6

Outside = Literal["redraw", "clip"]


def standard_quantile(
    u: Float64[np.ndarray, "n"], low: float, high: float, outside: Outside
) -> Float64[np.ndarray, "n"]:
    """The quantile function of the standard normal, truncated to `low..high` to `"redraw"`.

    With F the distribution function it is F^-1(F(low) + u (F(high) - F(low))). For a uniform u that
    is what redrawing until it is inside comes to, without rounds. F is fine in its lower tail only,
    so an interval in the upper tail is mirrored.
    """
    if outside == "clip" or (low == -math.inf and high == math.inf):
        return ndtri(u)
    mirrored = low > 0
    first, last = _ends(low, high)
    values = 1 - u if mirrored else u.copy()
    values *= last - first
    values += first
    np.minimum(values, 1 - 2.0**-53, out=values)  # the sum may round up to 1
    ndtri(values, out=values)
    return np.negative(values, out=values) if mirrored else values


def _ends(low: float, high: float) -> tuple[float, float]:
    """F at the ends of the interval, or of its mirror image if it lies above 0."""
    if low > 0:
        low, high = -high, -low
    return float(ndtr(low)), float(ndtr(high))


def log_probability(low: float, high: float) -> float:
    """The logarithm of the probability of `low..high`, accurate however far out it lies."""
    if low > 0:
        low, high = -high, -low
    last, below = float(log_ndtr(high)), float(log_ndtr(low))
    return last + math.log1p(-math.exp(below - last)) if below < last else -math.inf


def density(x: float) -> float:
    """The density of the standard normal."""
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def standard_mean(low: float, high: float, outside: Outside) -> float:
    """The mean of a standard normal within `low..high`.

    Truncated it is (f(low) - f(high)) / (F(high) - F(low)), with the density f. Clipped it is
    h(low) - h(-high), where h(x) = E max(Z + x, 0) = f(x) + x F(x).
    """
    if outside == "redraw":
        mean = (density(low) - density(high)) / math.exp(log_probability(low, high))
        return min(max(mean, low), high)
    below, above = (density(x) + x * float(ndtr(x)) if x > -math.inf else 0.0 for x in (low, -high))
    return below - above


def standardise(bound: float, mean: float, std: float) -> float:
    """`(bound - mean) / std`; for `std = 0` infinite, or 0 if the bound is the mean itself."""
    distance = bound - mean
    if std > 0:
        return distance / std
    return math.copysign(math.inf, distance) if distance else 0.0


def check_bounds(what: str, low: object, high: object) -> tuple[float, float]:
    """The bounds as `float`. **Raises:** `ValueError` for NaN or unless `low < high`."""
    low = check_real(f"{what}: low", low, infinite=True)
    high = check_real(f"{what}: high", high, infinite=True)
    if not low < high:
        mend = f"Write low={high!r}, high={low!r}." if high < low else ""
        raise ValueError(
            explain(f"{what}: low, high", got=(low, high), expected="low < high", mend=mend)
        )
    return low, high


def check_not_negative(what: str, value: object) -> float:
    """`value` as a finite `float`. **Raises:** `ValueError` if it is below 0."""
    number = check_real(what, value)
    if number < 0:
        raise ValueError(explain(what, got=number, expected="0 or more"))
    return number


def check_factor(what: str, factor: object) -> float:
    """`factor` as a finite `float`. **Raises:** `ValueError` unless it is above 0."""
    number = check_real(f"{what}: factor", factor)
    if number <= 0:
        raise ValueError(explain(f"{what}: factor", got=number, expected="more than 0"))
    return number


def check_outside(
    what: str, outside: object, bounds: tuple[float, float], standard: tuple[float, float]
) -> None:
    """Checks what becomes of values outside, and that a redraw can succeed.

    **Arguments:**

    - `what`: name of the distribution.
    - `outside`: `"redraw"` or `"clip"`.
    - `bounds`: as the user gave them, for the message.
    - `standard`: the same for the standard normal.

    **Raises:** `ValueError` for another word, or bounds that hold next to nothing.
    """
    if outside not in ("redraw", "clip"):
        mend = near_miss(str(outside), ("redraw", "clip"))
        expected = "'redraw' or 'clip'"
        raise ValueError(explain(f"{what}: outside", got=outside, expected=expected, mend=mend))
    first, last = _ends(*standard)
    if outside == "redraw" and last - first < _LEAST:
        raise ValueError(
            explain(
                f"{what}: low, high",
                got=bounds,
                expected=f"bounds that hold a value with a probability of at least {_LEAST:g} "
                f"(it is {last - first:.2g})",
                mend="Move the bounds, or set outside='clip'.",
            )
        )
