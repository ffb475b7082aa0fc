"""The error function, its complement and its inverse as LLVM IR.

erf is x plus x times a polynomial in x^2 below 1, and 1 - e^q(x) above, q a polynomial for
log(erfc x). Both were fitted to values of 50 digits (weighted least squares at Chebyshev points) to
2^-29 of erf for float32 and 2^-62 for float64. The inverse is that of the normal distribution,
algorithm AS 241, whose coefficients random numbers use too. They are good to 7 units in the last
place in float64, so there a step of Newton's method follows, whose residual is small before it is
rounded: below 1, y (1 + P(y^2)) - x is made of y - x, which is exact, and of the polynomial of erf;
above, erfc(y) - (1 - x) is made times e^(y^2), since 1 - x is exact and e^(y^2) erfc(y) is smooth
(fitted as above, to 2^-59).

Source: Wichura (1988), Algorithm AS 241: The Percentage Points of the Normal Distribution,
doi:10.2307/2347330
"""

import math
from collections.abc import Callable

import numpy as np

from ..core._normal import CENTRE_SQUARED, QUANTILE, TAIL_STARTS
from ._llvm import Builder, Value
from ._llvm_math import exp, format_of, log, two_product

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
# e^(y^2) erfc(y) / t with t = 1 / (y + 4), in 20 t - 3, for y from 0.99 to 6
_SCALED_ERFC = (
    (-2.9480532881564527e-12, -7.055318264228081e-12, 1.5285310247665708e-10, 9.248442329746174e-10)
    + (-4.915540532004168e-09, -8.43824844599865e-08, -2.622807139966447e-07)
    + (3.6509718302499657e-06, 5.9023431379130056e-05, 0.0004921552472200972)
    + (0.0029754628947723555, 0.01430436012701667, 0.056892640440614234)
    + (0.1908908232184002, 0.5451492416664095, 1.3271508732924375)
)
_SCALE = math.sqrt(0.5)
_NEAR = 0.8427  # erf_inv is below 1 up to there, and its first ratio holds
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
    wide = x if x.dtype == _F64 else b.cast("fpext", x, _F64)
    size = b.call("fabs", wide)
    near = b.compare("olt", size, _NEAR)
    factor, far = _middle(b, b.mul(wide, 0.5)), _tail(b, b.mul(size, 0.5))
    if wide is x:
        factor, far = _improved(b, size, near, factor, far)
    y = b.select(near, b.mul(factor, wide), b.call("copysign", far, wide))
    endless = b.call("copysign", b.constant(math.inf, _F64), wide)
    y = b.select(b.compare("oeq", size, 1.0), endless, y)
    y = b.select(b.compare("ole", size, 1.0), y, math.nan)
    return y if wide is x else b.cast("fptrunc", y, x.dtype)


def _middle(b: Builder, half: Value) -> Value:
    """erf_inv(2 half) / (2 half) in the middle."""
    above, below = QUANTILE["float64"][0]
    return b.mul(_ratio(b, b.fma(b.neg(half), half, CENTRE_SQUARED), above, below), _SCALE / 2)


def _tail(b: Builder, half: Value) -> Value:
    """erf_inv(2 half) in the upper tail."""
    r = b.call("sqrt", b.neg(log(b, b.sub(0.5, half))))
    near, far = (
        _ratio(b, b.sub(r, start), *ratio)
        for start, ratio in zip(TAIL_STARTS, QUANTILE["float64"][1:], strict=True)
    )
    return b.mul(b.select(b.compare("ogt", r, TAIL_STARTS[1]), far, near), _SCALE)


def _improved(b: Builder, x: Value, near: Value, factor: Value, far: Value) -> tuple[Value, Value]:
    """The factor of x near the middle, and the value far from it, after a step of Newton's method.

    The derivative of erf is 2 / sqrt(pi) e^(-y^2).
    """
    y = b.select(near, b.mul(factor, x), far)
    square, lost = two_product(b, y, y)
    gaussian = exp(b, square)
    slope = math.sqrt(math.pi) / 2
    # (erf(y) - x) / x, where y / x is the factor.
    residual = b.fma(factor, b.horner(square, _SMALL["float64"]), b.sub(factor, 1.0))
    factor = b.sub(factor, b.mul(b.mul(residual, slope), gaussian))
    t = b.op("fdiv", 1.0, b.add(far, 4.0))
    scaled = b.mul(t, b.horner(b.fma(t, 20.0, -3.0), _SCALED_ERFC))
    residual = b.fma(b.sub(x, 1.0), b.fma(gaussian, lost, gaussian), scaled)
    return factor, b.fma(residual, slope, far)


def _ratio(b: Builder, r: Value, above: tuple[float, ...], below: tuple[float, ...]) -> Value:
    return b.op("fdiv", b.horner(r, above), b.horner(r, below))


FUNCTIONS: dict[str, Callable[[Builder, Value], Value]] = {"erf": erf, "erf_inv": erf_inv}
