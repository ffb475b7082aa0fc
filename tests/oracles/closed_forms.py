"""Closed forms of the leaky integrate-and-fire neuron, float64, NumPy and SciPy only.

Written without BrainJAX. Units: ms, mV, pA, nS, pF. The membrane obeys

    c_m dv/dt = -(c_m / tau_m) (v - e_l) + I(t)

Voltages of `psp_*` are deflections (relative to rest); the others are absolute. Run as a script,
the file checks itself against `scipy.linalg.expm` and `scipy.integrate.quad`.
"""

import math

import numpy as np
from scipy.optimize import brentq

# --- the functions below, free of cancellation and overflow -------------------------------------


def _series(x, coefficients):
    out = np.zeros_like(x)
    for c in reversed(coefficients):
        out = out * x + c
    return out


def _phi1(x):
    """int_0^1 e^(x u) du = (e^x - 1) / x."""
    x = np.asarray(x, np.float64)
    safe = np.where(x == 0.0, 1.0, x)
    return np.where(x == 0.0, 1.0, np.expm1(safe) / safe)


def _phi2(x):
    """int_0^1 (1 - u) e^(x u) du = (e^x - 1 - x) / x^2."""
    x = np.asarray(x, np.float64)
    small = np.abs(x) < 1.0
    safe = np.where(small, 1.0, x)
    series = _series(np.where(small, x, 0.0), [1.0 / math.factorial(k + 2) for k in range(20)])
    return np.where(small, series, (np.expm1(safe) - safe) / safe**2)


def _psi(x):
    """int_0^1 u e^(x u) du = (e^x (x - 1) + 1) / x^2."""
    x = np.asarray(x, np.float64)
    small = np.abs(x) < 1.0
    safe = np.where(small, 1.0, x)
    coefficients = [1.0 / (math.factorial(k) * (k + 2)) for k in range(20)]
    series = _series(np.where(small, x, 0.0), coefficients)
    return np.where(small, series, (np.exp(safe) * (safe - 1.0) + 1.0) / safe**2)


# --- (a) firing under a constant current, on the grid -------------------------------------------


def time_to_threshold(i_e, *, c_m, tau_m, e_l, v_th, v_start):
    """Time in ms, off the grid, from `v_start` < v_th to v_th under a constant current `i_e`.

    v(t) = v_inf + (v_start - v_inf) e^(-t/tau_m) with v_inf = e_l + i_e tau_m / c_m reaches v_th
    at t* = tau_m log((v_inf - v_start) / (v_inf - v_th)). Infinite if v_inf <= v_th.
    """
    v_inf = e_l + i_e * tau_m / c_m
    if v_inf <= v_th:
        return math.inf
    return tau_m * math.log1p((v_th - v_start) / (v_inf - v_th))


def steps_to_threshold(i_e, *, dt, c_m, tau_m, e_l, v_th, v_start, tie=1e-9):
    """Number n >= 1 of whole steps after which v >= v_th is first found; `math.inf` if never.

    n = ceil(t* / dt), since v on the grid is exact. Where t* is a multiple of dt (to within
    `tie` of a step, relative to n) the threshold is met exactly, and v >= v_th holds in exact
    arithmetic at that step: n = t* / dt. There, rounding in a simulation may give n or n + 1: keep
    away from ties (`is_tie`) where equality is asserted.
    """
    t_star = time_to_threshold(i_e, c_m=c_m, tau_m=tau_m, e_l=e_l, v_th=v_th, v_start=v_start)
    if math.isinf(t_star):
        return math.inf
    n = t_star / dt
    return max(1, math.ceil(n - tie * max(1.0, n)))


def is_tie(i_e, *, dt, c_m, tau_m, e_l, v_th, v_start, tie=1e-9):
    """Whether threshold is reached so near a grid point that rounding decides the step."""
    t_star = time_to_threshold(i_e, c_m=c_m, tau_m=tau_m, e_l=e_l, v_th=v_th, v_start=v_start)
    n = t_star / dt
    return math.isfinite(n) and abs(n - round(n)) <= tie * max(1.0, n)


def interspike_interval(i_e, *, dt, c_m, tau_m, e_l, v_th, v_reset, t_ref):
    """Inter-spike interval in ms on the grid: t_ref + ceil(t*/dt) dt, from v_reset to v_th.

    A spike of step k resets at t_{k+1}; v is held for t_ref/dt steps and then advances for
    ceil(t*/dt) steps, the last of which ends in the next spike.
    """
    n = steps_to_threshold(i_e, dt=dt, c_m=c_m, tau_m=tau_m, e_l=e_l, v_th=v_th, v_start=v_reset)
    return math.inf if math.isinf(n) else (round(t_ref / dt) + n) * dt


def spike_steps(i_e, *, num_steps, dt, c_m, tau_m, e_l, v_th, v_reset, t_ref, v0):
    """All steps k < `num_steps` that end in a spike (stamped (k + 1) dt), from `v0` < v_th."""
    common = {"dt": dt, "c_m": c_m, "tau_m": tau_m, "e_l": e_l, "v_th": v_th}
    first = steps_to_threshold(i_e, v_start=v0, **common)
    if math.isinf(first):
        return np.zeros(0, np.int64)
    period = round(t_ref / dt) + steps_to_threshold(i_e, v_start=v_reset, **common)
    return np.arange(first - 1, num_steps, period, dtype=np.int64)


# --- (b) the response to one spike --------------------------------------------------------------


def psp_exponential(t, *, weight, tau_syn, c_m, tau_m):
    """Deflection (mV) at times `t` >= 0 (ms) after I(t) = weight e^(-t/tau_syn) starts at t = 0.

    V(t) = weight/c_m int_0^t e^(-s/tau_syn) e^(-(t-s)/tau_m) ds
         = weight/c_m (e^(-t/tau_syn) - e^(-t/tau_m)) / (1/tau_m - 1/tau_syn),
    and weight/c_m t e^(-t/tau_m) where tau_syn == tau_m. Zero for t < 0.
    """
    t = np.maximum(np.asarray(t, np.float64), 0.0)
    # Symmetric in the two time constants: factor out the slower decay, so nothing overflows.
    slow, fast = max(tau_m, tau_syn), min(tau_m, tau_syn)
    return weight / c_m * t * np.exp(-t / slow) * _phi1(t * (1.0 / slow - 1.0 / fast))


def psp_exponential_peak(*, weight, tau_syn, c_m, tau_m):
    """`(time in ms, height in mV)` of the extremum of `psp_exponential`.

    t = log(tau_m/tau_syn) / (1/tau_syn - 1/tau_m); tau_m where they are equal.
    """
    a, b = 1.0 / tau_syn, 1.0 / tau_m
    x = (a - b) / b
    t = tau_m if x == 0.0 else math.log1p(x) / x / b
    return t, float(psp_exponential(t, weight=weight, tau_syn=tau_syn, c_m=c_m, tau_m=tau_m))


def psp_alpha(t, *, weight, tau_syn, c_m, tau_m):
    """Deflection (mV) at `t` >= 0 after I(t) = weight e/tau_syn t e^(-t/tau_syn) starts at t = 0.

    `weight` is the current's peak, reached at t = tau_syn. With d = 1/tau_m - 1/tau_syn,
    V(t) = weight e/(c_m tau_syn) e^(-t/tau_m) (e^(d t) (d t - 1) + 1) / d^2,
    and weight e/(c_m tau_syn) t^2/2 e^(-t/tau_m) where tau_syn == tau_m. Zero for t < 0.
    """
    t = np.maximum(np.asarray(t, np.float64), 0.0)
    x = t * (1.0 / tau_m - 1.0 / tau_syn)
    if tau_syn > tau_m:  # x >= 0: e^(-t/tau_m) _psi(x) = e^(-t/tau_syn) _phi2(-x)
        shape = np.exp(-t / tau_syn) * _phi2(-x)
    else:
        shape = np.exp(-t / tau_m) * _psi(x)
    return weight * math.e / (c_m * tau_syn) * t**2 * shape


def psp_alpha_peak(*, weight, tau_syn, c_m, tau_m):
    """`(time in ms, height in mV)` of the extremum of `psp_alpha`.

    The slope is zero where v / tau_m = I / c_m. With d = 1/tau_m - 1/tau_syn and x = d t that is
    e^(-x) = 1 - x tau_m/tau_syn, solved here as t/tau_m (e^(-x) - 1 + x)/x^2 = 1, which is monotone
    and well conditioned also near tau_syn == tau_m, where t = 2 tau_m.
    """
    d = 1.0 / tau_m - 1.0 / tau_syn

    def excess(t):
        return t / tau_m * float(_phi2(-d * t)) - 1.0

    upper = tau_m + tau_syn
    while excess(upper) < 0.0:
        upper *= 2.0
    t = brentq(excess, 0.0, upper, xtol=1e-13, rtol=1e-14)
    return t, float(psp_alpha(t, weight=weight, tau_syn=tau_syn, c_m=c_m, tau_m=tau_m))


# --- (c) a constant current, (d) constant conductances ------------------------------------------


def dc_response(t, *, current, c_m, tau_m, e_l, v0):
    """v (mV) at times `t` after a step of `current` (pA) at t = 0, below threshold.

    v(t) = v_inf + (v0 - v_inf) e^(-t/tau_m), v_inf = e_l + current tau_m / c_m.
    """
    t = np.asarray(t, np.float64)
    return v0 + (e_l + current * tau_m / c_m - v0) * -np.expm1(-t / tau_m)


def conductance_response(t, *, g_syn, e_rev, current, c_m, tau_m, e_l, v0):
    """v (mV) at times `t` under constant conductances `g_syn` (nS) of reversals `e_rev` (mV).

    g_tot = c_m/tau_m + sum g_syn, v_inf = (c_m/tau_m e_l + sum g_syn e_rev + current) / g_tot,
    v(t) = v_inf + (v0 - v_inf) e^(-t g_tot/c_m).
    """
    t = np.asarray(t, np.float64)
    g_syn, e_rev = np.atleast_1d(g_syn).astype(float), np.atleast_1d(e_rev).astype(float)
    g_l = c_m / tau_m
    g_tot = g_l + g_syn.sum()
    v_inf = (g_l * e_l + (g_syn * e_rev).sum() + current) / g_tot
    return v0 + (v_inf - v0) * -np.expm1(-t * g_tot / c_m)


def mean_conductance(g, *, dt, tau_syn):
    """Mean over a step of a conductance that starts at `g` and decays with `tau_syn`."""
    return g * -np.expm1(-dt / tau_syn) * tau_syn / dt


# --- self-check ---------------------------------------------------------------------------------


def _check(name, got, expected, rtol):
    """Largest deviation, relative to the largest expected value."""
    got, expected = np.asarray(got, float), np.asarray(expected, float)
    error = float(np.max(np.abs(got - expected)) / np.max(np.abs(expected)))
    print(f"{name:<58} {error:.1e}")
    if not error <= rtol:
        raise SystemExit(f"{name}: deviates by {error:.1e}, allowed {rtol:.1e}")


def _self_check():
    from scipy.integrate import quad
    from scipy.linalg import expm
    from scipy.special import lambertw

    c_m, tau_m, weight = 250.0, 10.0, 87.8
    times = np.concatenate([np.linspace(0.0, 60.0, 31), [1e-3, 200.0]])
    for tau_syn in (0.5, 2.0, 9.999, 10.0 * (1 - 1e-9), 10.0, 10.0 * (1 + 1e-9), 10.3, 35.0):
        kw = {"weight": weight, "tau_syn": tau_syn, "c_m": c_m, "tau_m": tau_m}
        # Linear systems in (I, V) and (dI, I, V).
        exp_matrix = np.array([[-1 / tau_syn, 0.0], [1 / c_m, -1 / tau_m]])
        alpha_matrix = np.array(
            [[-1 / tau_syn, 0.0, 0.0], [1.0, -1 / tau_syn, 0.0], [0.0, 1 / c_m, -1 / tau_m]]
        )
        # SciPy's expm cancels between nearly equal eigenvalues of a triangular matrix (2.5e-9 at
        # a relative distance of 1e-9), so there quad alone is the judge.
        if not 0.0 < abs(tau_syn - tau_m) < 1e-6:
            for psp, matrix, kick in (
                (psp_exponential, exp_matrix, weight),
                (psp_alpha, alpha_matrix, weight * math.e / tau_syn),
            ):
                by_expm = [expm(matrix * t)[-1, 0] * kick for t in times]
                _check(
                    f"{psp.__name__}, tau_syn={tau_syn!r}: expm", psp(times, **kw), by_expm, 1e-12
                )

        def current(s, shape, tau_syn=tau_syn):
            return weight * np.exp(-s / tau_syn) * (1 if shape == "exp" else math.e * s / tau_syn)

        for shape, psp in (("exp", psp_exponential), ("alpha", psp_alpha)):
            some = (0.1, 1.7, 7.3, 40.0)
            by_quad = [
                quad(
                    lambda s, t=t, shape=shape: current(s, shape) * np.exp((s - t) / tau_m) / c_m,
                    *(0.0, t),
                    epsabs=0.0,
                    epsrel=1e-12,
                )[0]
                for t in some
            ]
            _check(f"{psp.__name__}, tau_syn={tau_syn!r}: quad", psp(some, **kw), by_quad, 1e-12)
        for psp, peak in ((psp_exponential, psp_exponential_peak), (psp_alpha, psp_alpha_peak)):
            at, height = peak(**kw)
            near = psp(at + np.linspace(-2.0, 2.0, 4001) * min(1.0, at / 4), **kw)
            _check(f"{peak.__name__}, tau_syn={tau_syn!r}: maximum", height, near.max(), 1e-12)
            v, i = height / tau_m, current(at, "exp" if psp is psp_exponential else "alpha") / c_m
            _check(f"{peak.__name__}, tau_syn={tau_syn!r}: slope", v, i, 1e-11)
        if abs(tau_syn - tau_m) > 0.1:
            inv_q = tau_syn / tau_m
            # x = 0 is the trivial root, on branch 0 if tau_syn < tau_m: take the other branch.
            branch = -1 if inv_q < 1 else 0
            x = inv_q + lambertw(-inv_q * math.exp(-inv_q), branch).real
            by_lambert = x / (1 / tau_m - 1 / tau_syn)
            at, _ = psp_alpha_peak(**kw)
            _check(f"psp_alpha_peak, tau_syn={tau_syn!r}: Lambert W", at, by_lambert, 1e-9)

    neuron = {"c_m": c_m, "tau_m": tau_m, "e_l": -70.0}
    matrix = np.array([[-1 / tau_m, (-70.0 / tau_m + 300.0 / c_m)], [0.0, 0.0]])
    by_expm = [(expm(matrix * t) @ [-64.0, 1.0])[0] for t in times]
    got = dc_response(times, current=300.0, v0=-64.0, **neuron)
    _check("dc_response: expm", got, by_expm, 1e-13)

    g, e = np.array([3.0, 11.0]), np.array([0.0, -80.0])
    slope = -(c_m / tau_m + g.sum()) / c_m
    drive = (c_m / tau_m * -70.0 + (g * e).sum() + 120.0) / c_m
    by_expm = [(expm(np.array([[slope, drive], [0.0, 0.0]]) * t) @ [-61.0, 1.0])[0] for t in times]
    got = conductance_response(times, g_syn=g, e_rev=e, current=120.0, v0=-61.0, **neuron)
    _check("conductance_response: expm", got, by_expm, 1e-13)
    by_quad = quad(lambda s: 6.0 * math.exp(-s / 5.0), 0.0, 0.1)[0] / 0.1
    _check("mean_conductance: quad", mean_conductance(6.0, dt=0.1, tau_syn=5.0), by_quad, 1e-13)

    # (a) against the grid, step by step; also with v_reset != e_l and a threshold met exactly.
    for i_e in (374.9, 375.0, 375.5, 380.0, 432.1, 700.0, 5000.0):
        for dt in (0.05, 0.1, 0.25, 1.0):
            kw = {"dt": dt, "v_th": -55.0, "v_reset": -67.0, "t_ref": 2.0, **neuron}
            got = spike_steps(i_e, num_steps=3000, v0=-63.0, **kw)
            v, hold, expected = -63.0, 0, []
            for k in range(3000):
                if hold:
                    hold -= 1
                    continue
                v = float(dc_response(dt, current=i_e, v0=v, **neuron))
                if v >= -55.0:
                    v, hold = -67.0, round(2.0 / dt)
                    expected.append(k)
            if not np.array_equal(got, expected):
                raise SystemExit(f"spike_steps({i_e}, dt={dt}): {got} != {expected}")
            isi = interspike_interval(i_e, **kw)
            if len(expected) > 1 and not np.allclose(np.diff(expected) * dt, isi, rtol=1e-12):
                raise SystemExit(f"interspike_interval({i_e}, dt={dt}): {isi}")
    for n in (1, 3, 17, 200, 1234):  # t* = n dt: v_inf - v_th = (v_inf - v_start) e^(-n dt/tau_m)
        dt, v_inf = 0.1, -50.0
        v_th = v_inf - 20.0 * math.exp(-n * dt / tau_m)
        kw = {"dt": dt, "v_th": v_th, "v_start": -70.0, **neuron}
        i_e = (v_inf + 70.0) * c_m / tau_m
        if steps_to_threshold(i_e, **kw) != n or not is_tie(i_e, **kw):
            raise SystemExit(f"tie at n={n}: {steps_to_threshold(i_e, **kw)}")
    print("spike_steps, interspike_interval: equal to the grid, 28 cases; 5 exact ties")


if __name__ == "__main__":
    _self_check()
