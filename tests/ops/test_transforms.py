"""Every op under every transform, on every platform: the cells of docs/transforms.md."""

import functools
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest
from ops.another_process import CACHED, transform_of, travel
from ops.ops_and_oracles import OPS
from ops.transforms import JOURNEYS, PAGE, TRANSFORMS, arguments, is_refused, page

from brainjax.ops import _primitive

TOLERANCE = {"float32": 2e-5, "float64": 1e-11}
# Of ops that share their rules with others, what runs by default; and of those that take long.
OFTEN = ("vmap of vmap", "scan", "gradient of a scan")
OFTEN_IF_HEAVY = ("gradient of a scan",)


def is_run_often(op, transform):
    return transform.name in (OFTEN_IF_HEAVY if op.heavy else OFTEN)


def _params(chosen):
    return [
        pytest.param(*more, op, transform, id="; ".join((op.name, transform.name, *more)), marks=m)
        for op in OPS.values()
        for transform in TRANSFORMS.values()
        for *more, m in chosen(op, transform)
    ]


def _of_values(op, transform):
    """Each number type and implementation. A run by default has what is sharpest of each cell."""
    for impl in () if is_refused(op, transform) else ("native", "jax"):
        for dtype in TOLERANCE:
            sharpest = dtype == ("float64" if transform.derivative else "float32")
            most = op.name in ("deliver, ring: stored rows", "map_neurons")
            often = impl == "native" and (most or is_run_often(op, transform))
            often = sharpest and (often or transform.name == "jit")
            marks = [] if often else [pytest.mark.slow]
            yield impl, dtype, [*marks, pytest.mark.pure] if often and impl == "jax" else marks


def close(got, expected, dtype):
    """Equal to the tolerance of a type, and of that type."""
    within = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    jax.tree.map(functools.partial(np.testing.assert_allclose, **within), got, expected)
    assert all(x.dtype == dtype for x in jax.tree.leaves(got))


@functools.cache
def expected(op, transform):
    """What the oracle gives, in float64, compiled in haste."""
    with jax.enable_x64(True):
        args = arguments(op, transform, "float64")
        program = jax.jit(transform.of(op.oracle)).lower(*args)
        return program.compile(compiler_options={"xla_backend_optimization_level": 0})(*args)


def native_calls(program) -> int:
    return program.as_text().count('custom_call_target="brainjax_')


@pytest.mark.parametrize(
    ("impl", "dtype", "op", "transform"), _params(_of_values), indirect=["impl"]
)
def test_values(impl, dtype, op, transform):
    """Those of the oracle. A batch is as many native calls as one example, and no loop."""
    with jax.enable_x64(dtype == "float64"):
        args = arguments(op, transform, dtype)
        program = jax.jit(transform.of(op.model(impl))).lower(*args).compile()
        close(program(*args), expected(op, transform), dtype)
    if impl == "jax" or transform.runs_jax:
        assert native_calls(program) == 0
        return
    calls = native_calls(program)
    assert calls > 0 if transform.derivative or transform.loops else calls == calls_of_one(op)
    assert transform.loops or " while(" not in (program.as_text() or "")


@functools.cache
def calls_of_one(op) -> int:
    """How often the program of one call of an op calls the library."""
    transform = TRANSFORMS["jit"]
    args = arguments(op, transform, "float32")
    return native_calls(jax.jit(transform.of(op.model("native"))).lower(*args).compile())


def _of_platforms(op, transform):
    if not is_refused(op, transform):
        yield ((),) if is_run_often(op, transform) else (pytest.mark.slow,)


@pytest.mark.pure
@pytest.mark.parametrize(("op", "transform"), _params(_of_platforms))
def test_lowers(op, transform, monkeypatch):
    """To plain JAX operations, where no device of that kind is, and no library for it."""
    monkeypatch.setattr(_primitive, "cuda_library", lambda: None)
    args = arguments(op, transform, "float32")
    traced = jax.jit(transform.of(op.model("auto"))).trace(*args)
    for platform in ("cuda", "tpu"):
        assert "brainjax_" not in traced.lower(lowering_platforms=(platform,)).as_text()


def _of_refusals(op, transform):
    if is_refused(op, transform):
        yield from (("native", ()), ("jax", pytest.mark.pure))


@pytest.mark.parametrize(("impl", "op", "transform"), _params(_of_refusals))
def test_refused(impl, op, transform):
    """By the named error, when it is traced."""
    args = arguments(op, transform, "float32")
    with pytest.raises(op.refusal, match=op.words):
        jax.jit(transform.of(op.model(impl))).trace(*args)


@functools.cache
def arrived(impl, dtype, heavy):
    """What programs give in a process that did not make them, of the ops that take long or not."""
    with tempfile.TemporaryDirectory() as folder:
        return travel(Path(folder), impl, dtype, heavy)


def _arrivals():
    for impl in ("native", "jax"):
        for dtype in TOLERANCE:
            for op in OPS.values():
                often = (impl, dtype, op.heavy) == ("native", "float32", False)
                marks = () if often else pytest.mark.slow
                yield pytest.param(impl, dtype, op, id=f"{impl}, {dtype}, {op.name}", marks=marks)


@pytest.mark.parametrize("journey", JOURNEYS)
@pytest.mark.parametrize(("impl", "dtype", "op"), list(_arrivals()), indirect=["impl"])
def test_between_processes(impl, dtype, op, journey):
    """Exported, cached and serialised, for what a loop of the op is, or its gradient."""
    out, hits, misses = arrived(impl, dtype, op.heavy)[op.name][journey]
    close(out, expected(op, transform_of(op)), dtype)
    assert (hits > 0 and misses == 0) == (journey == CACHED)


@pytest.mark.pure
def test_the_page_is_what_the_matrix_says():
    assert PAGE.read_text(encoding="utf-8") == page(), "`make transforms` writes it anew"
