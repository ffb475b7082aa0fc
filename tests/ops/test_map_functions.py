"""Functions of compiled steps against the truth: last digits, whole range, special cases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from ops.natively import FLOATS, runs_natively, same, values
from scipy import special

from brainjax.ops import map_neurons, native_library, native_steps

pytest.importorskip("llvmlite")
pytestmark = pytest.mark.skipif(native_library() is None, reason="this is a pure-JAX installation")


PI = np.longdouble("3.14159265358979323846264338327950288")


def erf(x):
    """To 18 digits in extended precision, by its series of positive terms."""
    if x.dtype == np.float64:
        return special.erf(x)
    x = np.clip(x, -7, 7)
    term = total = x
    for n in range(1, 220):
        term = term * 2 * x * x / (2 * n + 1)
        total = total + term
    return total * np.exp(-x * x) * 2 / np.sqrt(PI)


def erf_inv(x):
    """The inverse of erf by Newton's method on what is left to 1, from SciPy's."""
    if x.dtype == np.float64:
        return special.erfinv(x)
    left = 1 - np.abs(x)
    t = np.clip(special.erfcinv(left.astype(float)), 0, 6).astype(x.dtype)
    for _ in range(2):
        fraction = t  # erfc is e^(-t^2) / sqrt(pi) / (t + 1/2 / (t + 1 / (t + 3/2 / (t + ...))))
        for k in range(120, 0, -1):
            fraction = t + np.longdouble(k) / 2 / fraction
        gaussian = np.exp(-t * t) / np.sqrt(PI)
        error = np.where(t > 2, gaussian / fraction - left, np.abs(x) - erf(t))
        t = t + error / gaussian / 2
    return np.where(np.abs(x) < 1, np.copysign(t, x), np.copysign(np.inf, x))


EXACT = {  # a function and its definition
    "exp": (jnp.exp, np.exp),
    "exp2": (jnp.exp2, np.exp2),
    "expm1": (jnp.expm1, np.expm1),
    "log": (jnp.log, np.log),
    "log1p": (jnp.log1p, np.log1p),
    "tanh": (jnp.tanh, np.tanh),
    "logistic": (jax.nn.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
    "sin": (jnp.sin, np.sin),
    "cos": (jnp.cos, np.cos),
    "tan": (jnp.tan, np.tan),
    "sinh": (jnp.sinh, np.sinh),
    "cosh": (jnp.cosh, np.cosh),
    "erf": (lax.erf, erf),
    "erf_inv": (lax.erf_inv, erf_inv),
    "rsqrt": (lax.rsqrt, lambda x: 1 / np.sqrt(x)),
}
MOST = 2  # units in the last place that a function may be off


def off(got, exact, dtype):
    """By how many units in the last place `got` is off where the truth is a normal number."""
    with np.errstate(all="ignore"):
        unit = np.spacing(np.abs(exact.astype(dtype)))
        normal = np.isfinite(unit) & (np.abs(exact) >= np.finfo(dtype).smallest_normal)
        return np.where(normal, np.abs(got.astype(exact.dtype) - exact) / unit, 0)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", EXACT)
def test_a_function_is_right_to_the_last_digits(name, dtype, x64):
    """Of the truth; and of XLA, where XLA is. Special values are equal."""
    f, exact = EXACT[name]
    rng = np.random.default_rng(3)
    x = [values(dtype, 200_000), rng.normal(size=100_000), rng.uniform(-110, 110, 100_000)]
    x += [rng.uniform(-1, 1, 50_000), 1 - np.exp2(-rng.uniform(0, 52, 9000))]
    x += [np.arange(-2000, 2000) * np.pi / 2, [6381956970095103 * 2.0**797]]  # zeros of cos
    with np.errstate(all="ignore"):
        x = np.concatenate([*x, rng.uniform(-760, 760, 50_000)]).astype(dtype)
    assert runs_natively(f, x)
    got, xla = (np.asarray(map_neurons(f, (), x, impl=i)) for i in ("native", "jax"))
    some = slice(None, None, 50 if exact in (erf, erf_inv) else 1)
    with np.errstate(all="ignore"):
        truth = exact(x[some].astype(np.float64 if dtype == np.float32 else np.longdouble))
    assert off(got[some], truth, dtype).max() <= MOST
    right = off(xla[some], truth, dtype) <= 1
    assert np.mean(right) > 0.5
    assert off(got[some], xla[some].astype(truth.dtype), dtype)[right].max() <= MOST
    for kind in (np.isnan, np.isposinf, np.isneginf):
        np.testing.assert_array_equal(kind(got), kind(xla))
    tiny = np.finfo(dtype).smallest_normal
    np.testing.assert_array_equal(np.signbit(got[x == 0]), np.signbit(xla[x == 0]))
    np.testing.assert_array_equal(np.abs(got) < tiny, np.abs(xla) < tiny)


@pytest.mark.parametrize("name", EXACT)
def test_float32_is_swept(name):
    """Every 1021st number of all there are; fewer where the truth is slow."""
    f, exact = EXACT[name]
    apart = 1021 if exact is not erf_inv else 20_011
    x = np.arange(0, 2**32, apart, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = np.where(np.abs(x) < np.finfo(np.float32).smallest_normal, 0, x).astype(np.float32)
    with np.errstate(all="ignore"):
        truth = exact(x.astype(np.float64))
    assert off(np.asarray(map_neurons(f, (), x)), truth, np.float32).max() <= MOST


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_power_is_right_to_the_last_digits(dtype, x64):
    """Of ordinary numbers, near 1 with large exponents, of random bits, and all special cases."""
    rng = np.random.default_rng(4)
    special_x = np.unique(values(dtype, 1))
    special_y = [*special_x, 2.0**24 + 1, 2.0**53 - 1, 2, 3, -3, 1 / 3]
    pairs = np.stack(np.meshgrid(special_x, special_y), -1).reshape(-1, 2)
    x = [pairs[:, 0], values(dtype, 100_000, 1), np.exp(3 * rng.normal(size=100_000))]
    y = [pairs[:, 1], values(dtype, 100_000, 2), 60 * rng.normal(size=100_000)]
    x += [1 + rng.normal(size=50_000) * 1e-3, rng.integers(-20, 20, 50_000)]
    y += [rng.normal(size=50_000) * 1e5, rng.integers(-30, 30, 50_000)]
    with np.errstate(all="ignore"):
        x, y = (np.concatenate(z).astype(dtype) for z in (x, y))
    assert runs_natively(lax.pow, x, y)
    got, xla = (np.asarray(map_neurons(lax.pow, (), x, y, impl=i)) for i in ("native", "jax"))
    wide = np.float64 if dtype == np.float32 else np.longdouble
    with np.errstate(all="ignore"):
        truth = np.power(x.astype(wide), y.astype(wide))
    assert off(got, truth, dtype).max() <= MOST
    tiny = np.finfo(dtype).smallest_normal
    for kind in (np.isnan, np.isposinf, np.isneginf, lambda z: np.abs(z) < tiny):
        np.testing.assert_array_equal(kind(got), kind(xla))
    known = ~np.isnan(xla)
    np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(xla[known]))
    n = np.int32(7)
    same(
        map_neurons(lambda x: lax.pow(x, n), (), x), map_neurons(lax.pow, (), x, np.full_like(x, 7))
    )


@pytest.mark.parametrize("dtype", FLOATS)
def test_derivatives_of_functions_are_native(dtype, x64):
    def f(x, y):
        return jnp.sin(x) * jnp.cos(y) + lax.erf(x) + lax.erf_inv(0.1 * y) + jnp.tan(x) + x**y

    rng = np.random.default_rng(5)
    x, y = (rng.uniform(0.1, 1.4, 100).astype(dtype) for _ in range(2))

    def gradient(impl):
        return jax.jit(jax.grad(lambda x, y: jnp.sum(map_neurons(f, (), x, y, impl=impl)), (0, 1)))

    tolerance = 3e-5 if dtype == np.float32 else 1e-9
    for a, b in zip(gradient("native")(x, y), gradient("jax")(x, y), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance)
    ran = native_steps()["transpose of derivative of f, 100 neurons"]
    assert ran.startswith("native") and "jax" not in ran


def test_a_tolerance_asked_for_is_xlas_to_meet():
    def loosely(x):
        return lax.exp(x, accuracy=lax.Tolerance(0, 2.0**-18, 0))

    x = np.linspace(-2, 2, 9, dtype=np.float32)
    assert runs_natively(lambda x: lax.exp(x, accuracy=lax.AccuracyMode.HIGHEST), x)
    assert not runs_natively(loosely, x)
    assert native_steps()["loosely, 9 neurons"] == "jax: it contains exp of an accuracy asked for"
