"""The error function, its complement and its inverse as LLVM IR.

erf is x plus x times a polynomial in x^2 below 1, and 1 - e^q(x) above, q a polynomial for
log(erfc x). Both were fitted to values of 50 digits (weighted least squares at Chebyshev points) to
2^-29 of erf for float32 and 2^-62 for float64. The inverse is that of the normal distribution,
algorithm AS 241, whose coefficients random numbers use too: within 1 unit in the last place in
float32, 8 in float64 (XLA's are within 65 and 5e5).

Source: Wichura (1988), Algorithm AS 241: The Percentage Points of the Normal Distribution,
doi:10.2307/2347330
"""

import math
from collections.abc import Callable

import numpy as np

from ..core._normal import CENTRE, CENTRE_SQUARED, QUANTILE, TAIL_STARTS
from ._llvm import Builder, Value
from ._llvm_math import exp, format_of, log

_SMALL = {  # erf(x) / x - 1, in x^2
    "float32": (7.853148287637998e-05, -0.0008009977873829463, 0.00518830315697534)
    + (-0.02685379904612095, 0.1128358484121116, -0.37612625797247806, 0.12837916572282945),
    "float64": (5.944192588181458e-11, -1.1365022265897233e-09, 1.4657710308913771e-08)
    + (-1.6349999578646123e-07, 1.6460970358229736e-06, -1.4925593351293898e-05)
    + (0.00012055331030339518, -0.0008548326978560514, 0.005223977624777687)
    + (-0.02686617064507257, 0.11283791670954856, -0.3761263890318375, 0.1283791670955126),
}
_LARGE = {  # log(erfc x)
    "float32": (-2.1709273768723425e-05, 0.0004416181266440014, -0.004206051596854365)
    + (0.025212550516875903, -0.10842585860775876, -0.6332126317849259)
    + (-1.1295823666822378, 0.00018893930080817178),
    "float64": (-1.7855037539433924e-13, 8.935745873965738e-12, -2.1066327393752857e-10)
    + (3.1098469819204025e-09, -3.2208678034783835e-08, 2.4822423616422227e-07)
    + (-1.470096010467171e-06, 6.785513254914269e-06, -2.428390496016107e-05)
    + (6.476845392150767e-05, -0.00011079425513744372, 2.2017536335738912e-05)
    + (0.0005523593072491171, -0.0016749756233715343, 0.00020232325403458733)
    + (0.019128026445651338, -0.10277080392283325, -0.6366207391404124)
    + (-1.1283789144816472, -2.7942822078304686e-08),
}
_SCALE = math.sqrt(0.5)
_F64 = np.dtype(np.float64)
_ONE_FROM = {"float32": 4.0, "float64": 6.0}  # where erf is 1 to the last digit


def erf(b: Builder, x: Value) -> Value:
    """2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x."""
    format_of(x)
    name, size = x.dtype.name, b.call("fabs", x)
    small = b.fma(b.horner(b.mul(x, x), _SMALL[name]), x, x)
    limited = b.select(b.compare("ogt", size, _ONE_FROM[name]), _ONE_FROM[name], size)
    large = b.sub(1.0, exp(b, b.horner(limited, _LARGE[name])))
    near = b.compare("olt", size, 1.0)
    return b.select(near, small, b.call("copysign", large, x))


def erf_inv(b: Builder, x: Value) -> Value:
    """The inverse of erf: the percentage point of (1 + x) / 2, less a factor sqrt(2)."""
    format_of(x)
    if x.dtype != _F64:  # the algorithm's coefficients for float32 are good to 5 last places
        return b.cast("fptrunc", erf_inv(b, b.cast("fpext", x, _F64)), x.dtype)
    half = b.mul(x, 0.5)
    size = b.call("fabs", half)
    (above, below), *tails = QUANTILE["float64"]
    y = _ratio(b, b.fma(b.neg(half), half, CENTRE_SQUARED), above, below)
    y = b.mul(b.mul(y, _SCALE / 2), x)
    r = b.call("sqrt", b.neg(log(b, b.sub(0.5, size))))
    near, far = (
        _ratio(b, b.sub(r, start), *ratio) for start, ratio in zip(TAIL_STARTS, tails, strict=True)
    )
    tail = b.mul(b.select(b.compare("ogt", r, TAIL_STARTS[1]), far, near), _SCALE)
    y = b.select(b.compare("ogt", size, CENTRE), b.call("copysign", tail, x), y)
    endless = b.compare("oeq", size, 0.5)
    y = b.select(endless, b.call("copysign", b.constant(math.inf, _F64), x), y)
    return b.select(b.compare("ole", size, 0.5), y, math.nan)


def _ratio(b: Builder, r: Value, above: tuple[float, ...], below: tuple[float, ...]) -> Value:
    return b.op("fdiv", b.horner(r, above), b.horner(r, below))


FUNCTIONS: dict[str, Callable[[Builder, Value], Value]] = {"erf": erf, "erf_inv": erf_inv}
