"""Where the ops run: several devices, other platforms, exported programs, the compilation cache."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from ops.structures import FORMS, dense_due, empty, random_spikes, random_wiring, run

from brainjax.ops import History, Ring, as_ring, native_library

STEPS = 6
PROJECTIONS = [(0, 20, 3, False), (1, 12, 2, True)]
WIRING = random_wiring(np.random.default_rng(0), (6, 5), 7, PROJECTIONS, 3)
WEIGHTS = tuple(jnp.asarray(w, jnp.float32) for w in WIRING.weights)
SPIKES = random_spikes(np.random.default_rng(1), WIRING.sizes, STEPS)


def due(spikes, weights, impl, form=Ring):
    pending = empty(form, WIRING, jnp.float32)
    return run(pending, spikes, WIRING.rows, weights, 0, layout=WIRING.layout, impl=impl)[1]


def operands():
    return tuple(jnp.asarray(x, jnp.float32) for x in SPIKES), WEIGHTS


def batch(n):
    examples = [random_spikes(np.random.default_rng(i), WIRING.sizes, STEPS) for i in range(n)]
    return tuple(jnp.asarray(np.stack(x), jnp.float32) for x in zip(*examples, strict=True))


@pytest.fixture
def mesh():
    assert len(jax.devices()) == 2
    return jax.make_mesh((2,), ("batch",), axis_types=(AxisType.Auto,))


def native_calls(compiled) -> int:
    return compiled.as_text().count('custom_call_target="brainjax_')


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_shard_map_over_a_batch(mesh, impl, form):
    """Each device its examples; types checked, and the native op within."""
    xs = batch(4)

    def local(spikes, weights):
        pending = jax.tree.map(
            lambda a: jax.lax.pcast(a, "batch", to="varying"), empty(form, WIRING, jnp.float32)
        )
        f = partial(run, layout=WIRING.layout, impl=impl)
        return jax.vmap(lambda x: f(pending, x, WIRING.rows, weights, 0)[1])(spikes)

    sharded = jax.jit(
        jax.shard_map(local, mesh=mesh, in_specs=(P("batch"), P()), out_specs=P("batch"))
    )
    expected = jnp.stack([due(tuple(x[i] for x in xs), WEIGHTS, impl, form) for i in range(4)])
    np.testing.assert_array_equal(sharded(xs, WEIGHTS), expected)
    if native_library() is not None:
        assert (native_calls(sharded.lower(xs, WEIGHTS).compile()) > 0) == (impl == "native")


def test_gradient_in_shard_map(mesh, impl):
    """Weights are shared by the devices: their gradient is the sum, whoever takes it."""
    xs = batch(2)

    def one(weights, x):
        return jnp.sum(jnp.sin(due(x, weights, impl)))

    def local(spikes, weights):
        ring = jax.lax.pcast(empty(Ring, WIRING, jnp.float32).slots, "batch", to="varying")
        x = tuple(x[0] for x in spikes)
        out = run(Ring(ring), x, WIRING.rows, weights, 0, layout=WIRING.layout, impl=impl)[1]
        return jax.lax.psum(jnp.sum(jnp.sin(out)), "batch")

    total = jax.shard_map(local, mesh=mesh, in_specs=(P("batch"), P()), out_specs=P())
    got = jax.jit(jax.grad(total, (0, 1)))(xs, WEIGHTS)
    each = [jax.grad(one, (0, 1))(WEIGHTS, tuple(x[i] for x in xs)) for i in range(2)]
    for i, g in enumerate(got[1]):
        np.testing.assert_allclose(g, each[0][0][i] + each[1][0][i], rtol=1e-5, atol=1e-5)
    for p, g in enumerate(got[0]):
        np.testing.assert_allclose(g, [e[1][p] for e in each], rtol=1e-5, atol=1e-5)


def test_history_becomes_a_ring_in_shard_map(mesh, impl):
    xs = batch(2)
    how = {"layout": WIRING.layout, "impl": impl}

    def slots(x):
        history, _ = run(empty(History, WIRING, jnp.float32), x, WIRING.rows, WEIGHTS, 0, **how)
        return as_ring(history, WIRING.rows, WEIGHTS, index=jnp.int32(STEPS), **how).slots

    def local(spikes):
        x = tuple(x[0] for x in spikes)
        varying = jax.tree.map(
            lambda a: jax.lax.pcast(a, "batch", to="varying"), empty(History, WIRING, jnp.float32)
        )
        history, _ = run(varying, x, WIRING.rows, WEIGHTS, 0, **how)
        return as_ring(history, WIRING.rows, WEIGHTS, index=jnp.int32(STEPS), **how).slots[None]

    sharded = jax.shard_map(local, mesh=mesh, in_specs=P("batch"), out_specs=P("batch"))
    expected = [slots(tuple(x[i] for x in xs)) for i in range(2)]
    assert np.any(expected[0] != 0)
    np.testing.assert_array_equal(jax.jit(sharded)(xs), expected)


def test_what_varies_may_not_leave_as_if_it_did_not(mesh):
    """An op that loses the type would return one shard for all, silently."""

    def local(spikes):
        ring = jax.lax.pcast(empty(Ring, WIRING, jnp.float32).slots, "batch", to="varying")
        x = tuple(x[0] for x in spikes)
        return run(Ring(ring), x, WIRING.rows, WEIGHTS, 0, layout=WIRING.layout, impl="auto")[1]

    wrong = jax.shard_map(local, mesh=mesh, in_specs=P("batch"), out_specs=P())
    with pytest.raises(ValueError, match="replicated|varying|vma"):
        jax.jit(wrong)(batch(2))


def test_automatic_sharding_runs_the_reference(mesh):
    """An opaque call would be replicated by XLA: plain JAX is what it can partition."""
    xs = jax.device_put(batch(2), NamedSharding(mesh, P("batch")))
    f = jax.jit(lambda x: jax.vmap(lambda a: due(a, WEIGHTS, "auto"))(x))
    expected = jnp.stack([due(tuple(x[i] for x in batch(2)), WEIGHTS, "jax") for i in range(2)])
    np.testing.assert_allclose(f(xs), expected, rtol=1e-6, atol=1e-6)
    assert native_calls(f.lower(xs).compile()) == 0


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_lowers_for_accelerators(form, platform):
    f = jax.jit(lambda x, w: due(x, w, "auto", form))
    text = f.trace(*operands()).lower(lowering_platforms=(platform,)).as_text()
    assert "scatter" in text and "brainjax_" not in text


@pytest.mark.pure
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_exports_for_several_platforms(form):
    """Plain JAX for all of them, and it runs on this one."""
    f = jax.jit(lambda x, w: due(x, w, "auto", form))
    exported = jax.export.export(f, platforms=("cpu", "cuda", "tpu"))(*operands())
    np.testing.assert_allclose(
        exported.call(*operands()), dense_due(WIRING, SPIKES), rtol=1e-5, atol=1e-5
    )


def test_exports_for_the_cpu(impl):
    """The reference as it is; native calls where the user vouches for the library."""
    f = jax.jit(lambda x, w: due(x, w, impl))
    check = jax.export.DisabledSafetyCheck.custom_call("brainjax_PushRing")
    checks = [check] if impl == "native" else []
    exported = jax.export.export(f, platforms=("cpu",), disabled_checks=checks)(*operands())
    assert ("brainjax_PushRing" in exported.mlir_module()) == (impl == "native")
    np.testing.assert_array_equal(exported.call(*operands()), f(*operands()))
    if impl == "native":
        with pytest.raises(ValueError, match="brainjax_PushRing"):
            jax.export.export(f, platforms=("cpu",))(*operands())


PROGRAM = """
import sys
import jax
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
hits = []
jax.monitoring.register_event_listener(
    lambda event, **_: hits.append(event) if event.endswith("cache_hits") else None
)
from ops.test_lowering import due, operands
print(float(jax.jit(lambda x, w: due(x, w, "auto"))(*operands()).sum()), len(hits) > 0)
"""


def test_second_process_finds_the_compiled_program(tmp_path):
    tests = Path(__file__).parent.parent
    paths = os.pathsep.join(map(str, (tests.parent, tests)))
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}

    def go():
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        ).stdout.split()

    first, second = go(), go()
    assert first[0] == second[0]
    assert second[1] == "True"
    assert np.isclose(float(second[0]), dense_due(WIRING, SPIKES).sum(), rtol=1e-4)
