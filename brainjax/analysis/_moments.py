"""The moments of weights, as far as a theory of many weak inputs asks for them."""

import math
from typing import Any

import numpy as np
from scipy.special import ndtr

from ..connect import Distribution, LogNormal, Normal, Uniform
from ..core import explain, is_traced


def weight_moments(weight: Any, what: str) -> np.ndarray:
    """Mean of the weights of a projection, and mean of their squares.

    **Arguments:**

    - `weight`: a number, an array, or a distribution: bounded as its values are.
    - `what`: how errors call it.

    **Returns:**

    float64 `[2]`, in the unit of the weights and its square.

    **Raises:**

    `ValueError` for weights that are traced, and for distributions that are not known here.
    """
    if is_traced(weight):
        expected = "numbers that are known"
        raise ValueError(explain(f"{what}: weight", got="a traced value", expected=expected))
    if isinstance(weight, Distribution):
        return np.array([weight.expectation(), _square(weight, what)])
    numbers = np.asarray(weight, np.float64)
    return np.array([numbers.mean(), (numbers**2).mean()])


def _square(weight: Distribution, what: str) -> float:
    """The mean of the squares of what a distribution draws."""
    match weight:
        case Uniform(low=low, high=high):
            return (low * low + low * high + high * high) / 3
        case LogNormal(mu=mu, sigma=sigma, low=low, high=high):  # its square is log-normal too
            return LogNormal(2 * mu, 2 * sigma, low**2, high**2, weight.outside).expectation()
        case Normal(std=0):
            return weight.expectation() ** 2
        case Normal(mean=mean, std=std):
            return _square_of_normal(mean, std, weight)
    expected = "Uniform, Normal, LogNormal or numbers"
    raise ValueError(explain(f"{what}: weight", got=weight, expected=expected))


def _square_of_normal(mean: float, std: float, weight: Normal) -> float:
    bounds = (np.array([weight.low, weight.high]) - mean) / std
    first, last = np.clip(bounds, -9.0, 9.0)  # what is beyond has no weight
    nodes, weights = np.polynomial.legendre.leggauss(100)
    z = first + (nodes + 1) / 2 * (last - first)
    mass = weights * (last - first) / 2 * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    if weight.outside == "redraw":
        mass = mass / mass.sum()
    else:  # what lies beyond a bound is moved to it
        z = np.append(z, np.where(np.isfinite(bounds), bounds, 0.0))
        mass = np.append(mass, ndtr(bounds * [1.0, -1.0]))
    return float((mean + std * z) ** 2 @ mass)
