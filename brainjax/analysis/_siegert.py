"""The stationary rate of a leaky integrate-and-fire neuron driven by white noise."""

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import dawsn, erfcx

from ..core import explain

# Fourcaud and Brunel's alpha is sqrt(2) |zeta(1/2)|; both limits move by half of it.
_HALF_ALPHA = 1.4603545088095868 / math.sqrt(2.0)
_FAR = 10.0  # beyond it the asymptotic series of erfcx is exact to rounding
_NODES = 40


def siegert(
    mean: ArrayLike,
    std: ArrayLike,
    *,
    tau_m: ArrayLike,
    t_ref: ArrayLike,
    v_th: ArrayLike,
    v_reset: ArrayLike,
    tau_syn: ArrayLike = 0.0,
) -> Any:
    r"""Stationary firing rate of a LIF neuron whose input is Gaussian white noise.

    $$\frac{1}{\nu} = t_{ref} + \tau_m \sqrt{\pi} \int_{y_{reset}}^{y_{th}} e^{u^2}
    (1 + \mathrm{erf}\, u)\, du, \qquad
    y = \frac{v - \mathrm{mean}}{\mathrm{std}} + \frac{\alpha}{2} \sqrt{\tau_{syn} / \tau_m}$$

    with $\alpha = \sqrt{2}\, |\zeta(1/2)|$. Without noise it is the rate under a constant current,
    1 / (t_ref + tau_m log((mean - v_reset) / (mean - v_th))), and 0 up to threshold.

    **Arguments:**

    Numbers or arrays that broadcast. Potentials have one zero, whichever: the resting potential,
    or that of the electrode.

    - `mean`: where the membrane would settle on average without a threshold, mV. Inputs of weight
        $J$ (mV) and total rate $\nu$ move it by $\tau_m J \nu$.
    - `std`: strength of the noise, mV: $\sqrt{\tau_m J^2 \nu}$. It is the literature's $\sigma$,
        $\sqrt{2}$ times the standard deviation of a membrane without a threshold.
    - `tau_m`: membrane time constant, ms.
    - `t_ref`: refractory period, ms.
    - `v_th`, `v_reset`: threshold and reset, mV.

    *Other arguments:*

    - `tau_syn`: decay time constant of synaptic currents, ms; by default inputs are jumps. Exact to
        first order in $\sqrt{\tau_{syn} / \tau_m}$.

    **Returns:**

    The rate in Hz, a float64 array of the broadcast shape; a float64 number for numbers.

    **Raises:**

    `ValueError` for numbers that are not finite, a negative `std`, `t_ref` or `tau_syn`, a `tau_m`
    that is not positive, or a reset that is not below threshold.

    !!! example

        ```python
        import brainjax as bj

        neuron = dict(tau_m=20.0, t_ref=2.0, v_th=20.0, v_reset=10.0)
        curve = bj.analysis.siegert([15.0, 20.0, 25.0], 5.0, **neuron)
        assert curve[0] < curve[1] < curve[2]
        ```

    **Source:**

    A. J. F. Siegert, "On the first passage time probability problem", Physical Review 81, 1951,
    doi:10.1103/PhysRev.81.617. N. Brunel, "Dynamics of sparsely connected networks of excitatory
    and inhibitory spiking neurons", Journal of Computational Neuroscience 8, 2000,
    doi:10.1023/A:1008925309027. Filtered input: N. Fourcaud and N. Brunel, "Dynamics of the firing
    probability of noisy integrate-and-fire neurons", Neural Computation 14, 2002,
    doi:10.1162/089976602320264015
    """
    mean, std, tau_m, t_ref, v_th, v_reset, tau_syn = _checked(
        mean=mean,
        std=std,
        tau_m=tau_m,
        t_ref=t_ref,
        v_th=v_th,
        v_reset=v_reset,
        tau_syn=tau_syn,
    )
    # No division by 0: noise so small that it is as good as none.
    distance = np.maximum(np.abs(v_th - mean), np.abs(v_reset - mean))
    noise = np.maximum(std, 1e-100 * distance)
    shift = _HALF_ALPHA * np.sqrt(tau_syn / tau_m)
    low, high = ((v - mean) / noise + shift for v in (v_reset, v_th))
    width = (v_th - v_reset) / noise  # high - low, without its loss of digits
    # The integral grows as exp(high^2) and is found divided by that, so that the rate underflows.
    scale = np.exp(-(np.maximum(high, 0.0) ** 2))
    passage = tau_m * math.sqrt(math.pi) * _scaled_integral(low, high, width, scale)
    rate = 1000.0 * scale / (t_ref * scale + passage)
    return np.where((std == 0) & (mean <= v_th), 0.0, rate)[()]


def _checked(**given: ArrayLike) -> tuple[np.ndarray, ...]:
    """The arguments of `siegert` as arrays of one shape."""
    numbers = {name: np.asarray(value, np.float64) for name, value in given.items()}
    for name, value in numbers.items():
        _require(np.isfinite(value), name, value, "a finite number")
    for name in ("std", "t_ref", "tau_syn"):
        _require(numbers[name] >= 0, name, numbers[name], "0 or more")
    _require(numbers["tau_m"] > 0, "tau_m", numbers["tau_m"], "more than 0 ms")
    numbers = dict(zip(numbers, np.broadcast_arrays(*numbers.values()), strict=True))
    below = numbers["v_reset"] < numbers["v_th"]
    _require(below, "v_reset", numbers["v_reset"], "a potential below v_th")
    return tuple(numbers.values())


def _require(good: np.ndarray, name: str, value: np.ndarray, expected: str) -> None:
    if not np.all(good):
        bad = float(value[~good].flat[0])
        raise ValueError(explain(f"siegert: {name}", got=bad, expected=expected))


def _scaled_integral(
    low: np.ndarray, high: np.ndarray, width: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Integral of erfcx(-u) from `low` to `high`, times `scale` = exp(-max(high, 0)^2).

    Where u < 0 the integrand is harmless. Where u > 0 it is 2 exp(u^2) - erfcx(u), and with D,
    Dawson's function, the integral of exp(u^2) from 0 to x is exp(x^2) D(x).
    """
    a, b = np.maximum(low, 0.0), np.maximum(high, 0.0)
    negative = np.where(high <= 0, width, np.maximum(-low, 0.0))
    positive = np.where(low >= 0, width, b)
    rise = positive * (a + b)  # b^2 - a^2
    apart = dawsn(b) - np.exp(-rise) * dawsn(a)
    # Limits close to each other: the difference would lose digits, and a quadrature has them all.
    s, weight = _gauss()
    back = positive[..., None] * s
    near = positive * (np.exp(-back * (2 * b[..., None] - back)) @ weight)
    growing = 2 * np.where(rise < 1, near, apart)
    bounded = _integral_erfcx(np.maximum(-high, 0.0), negative) - _integral_erfcx(a, positive)
    return growing + scale * bounded


def _integral_erfcx(low: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Integral of erfcx from `low` to `low + width`, both at least 0."""
    high = low + width
    # Up to _FAR over t = log(1 + u), in which the integrand is nearly flat.
    s, weight = _gauss()
    start = np.minimum(low, _FAR)
    length = np.log1p(np.where(high <= _FAR, width, _FAR - start) / (1 + start))
    t = np.log1p(start)[..., None] + length[..., None] * s
    near = length * ((erfcx(np.expm1(t)) * np.exp(t)) @ weight)
    # Beyond, erfcx(u) sqrt(pi) ~ 1/u - 1/(2 u^3) + 3/(4 u^5) - ..., integrated term by term.
    start = np.maximum(low, _FAR)
    length = np.where(low >= _FAR, width, np.maximum(high - _FAR, 0.0))
    far = np.log1p(length / start)
    coefficient = 1.0
    for k in range(1, 11):
        coefficient *= -(2 * k - 1) / 2
        far = far - coefficient / (2 * k) * ((start + length) ** (-2.0 * k) - start ** (-2.0 * k))
    return near + far / math.sqrt(math.pi)


@functools.cache
def _gauss() -> tuple[np.ndarray, np.ndarray]:
    """Gauss and Legendre's nodes and weights on 0..1."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return (nodes + 1) / 2, weights / 2
