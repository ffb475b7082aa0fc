"""Tables from which the factors of connections that are not stored are made."""

import numpy as np
from jaxtyping import Float
from numpy.typing import DTypeLike

from ..ops._procedural import CELLS, OCTAVES
from ._draws import Distribution

# Where a cell is read off, in 0..1: the zeros of the fourth Chebyshev polynomial.
_NODES = (1 - np.cos(np.pi * (np.arange(4) + 0.5) / 4)) / 2


def quantile_table(draw: Distribution, dtype: DTypeLike) -> Float[np.ndarray, "cells 4"]:
    """The quantile function of a distribution, as polynomials that `ops.factors` evaluates.

    A cell of an octave is a cubic through four values. In float64 the error against the exact
    quantile is below 5e-7 of the standard deviation for normals, bounded or not, and 3e-6 of the
    value for log-normals with sigma up to 2; float32 adds its own rounding.

    **Arguments:**

    - `draw`: the distribution.
    - `dtype`: of the table; it is made in float64 and rounded.

    **Returns:** `dtype[2 * OCTAVES * CELLS + 1, 4]`, the last row holding the two bounds. Values
    outside bounds that clip are cut off behind the polynomial, so that no cubic has a kink.
    """
    octave = 2.0 ** np.arange(-32, -1)[:, None, None]
    cell = (np.arange(CELLS)[:, None] + _NODES) / CELLS
    distance = octave * (1 + cell)  # of the end of a tail, in probability
    u = np.stack([distance, 1 - distance])
    values = draw.unclipped_quantile(u.reshape(-1)).reshape(2 * OCTAVES * CELLS, 4)
    first = values[:, :1]  # taken out, so that where all are equal the polynomial is constant
    coefficients = (values - first) @ np.linalg.inv(np.vander(_NODES, increasing=True)).T
    coefficients[:, :1] += first
    low, high = draw.bounds()
    return np.vstack([coefficients, [[low, high, 0.0, 0.0]]]).astype(dtype)
