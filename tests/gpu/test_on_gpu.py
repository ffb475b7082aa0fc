"""Delivery by the CUDA handlers: what it gives, that it gives it again, and within CUDA graphs."""

import functools
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gpu.networks import EMULATED, Random

import brainjax as bj

STEPS = 40
FORMS = ("ring", "history")
# Small where a GPU is a loop.
SIZES = (130, 70) if EMULATED else (4000, 1100)


@functools.cache
def network(dtype="float32"):
    with jax.enable_x64(dtype == "float64"):
        return Random(SIZES, 60, 20, STEPS, 0.01, dtype)


def bits(tree) -> str:
    digest = hashlib.sha256()
    for x in jax.tree.leaves(tree):
        digest.update(np.asarray(x).tobytes())
    return digest.hexdigest()


def due_of(form, dtype="float32", device=None, impl="native"):
    """What is due in all steps, three times over."""
    made = network(dtype)
    with jax.enable_x64(dtype == "float64"):
        args = (made.start(form), made.spikes, made.weights, made.fixed)
        args = jax.device_put(args, device or jax.devices()[0])
        f = jax.jit(lambda *args: made.run(*args, impl=impl)[1])
        return [np.asarray(f(*args)) for _ in range(3)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", FORMS)
def test_bits_are_those_of_the_cpu_and_stay(form, dtype):
    got = due_of(form, dtype)
    assert np.count_nonzero(got[0]) > got[0].size / 4
    for again in got[1:]:
        np.testing.assert_array_equal(again, got[0])
    [expected, *_] = due_of(form, dtype, jax.devices("cpu")[0])
    np.testing.assert_array_equal(got[0], expected)


@pytest.mark.parametrize("form", FORMS)
def test_the_handlers_are_what_runs(gpu, form):
    made = network()
    args = (made.start(form), made.spikes, made.weights, made.fixed)
    compiled = jax.jit(made.run).lower(*args).compile()
    name = {"ring": "brainjax_CudaPushRing", "history": "brainjax_CudaDeliverHistory"}[form]
    assert name in (compiled.as_text() or "")
    assert compiled(*args)[1].devices() == {gpu}


def gradient(dtype="float32", device=None):
    """By weights and spikes, of a function of all that is due."""
    made = network(dtype)

    def loss(spikes, weights, fixed):
        due = made.run(made.start("ring"), spikes, weights, fixed)[1]
        return jnp.sum(jnp.sin(due))

    with jax.enable_x64(dtype == "float64"):
        args = made.spikes, made.weights, made.fixed
        args = jax.device_put(args, device or jax.devices()[0])
        return jax.jit(jax.value_and_grad(loss, (0, 1)))(*args)


def test_gradient():
    """That of the CPU but for rounding, with the same bits each time."""
    got = [gradient("float64") for _ in range(3)]
    assert len({bits(g) for g in got}) == 1
    expected = gradient("float64", jax.devices("cpu")[0])
    assert all(np.any(np.asarray(g) != 0) for g in jax.tree.leaves(expected))
    for a, b in zip(jax.tree.leaves(got[0]), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("form", FORMS)
def test_vmap_is_a_loop_to_the_bit(form):
    made = network()
    many = tuple(jnp.stack([x, -x, 0 * x]) for x in made.spikes)

    def one(x, weights, fixed):
        return made.run(made.start(form), x, weights, fixed)[1]

    together = jax.jit(jax.vmap(one, (0, None, None)))(many, made.weights, made.fixed)
    for i in range(3):
        alone = jax.jit(one)(tuple(x[i] for x in many), made.weights, made.fixed)
        np.testing.assert_array_equal(together[i], alone)
    assert np.any(np.asarray(together[0]) != 0)


@pytest.mark.skipif(EMULATED, reason="the same program")
def test_a_network_fires_as_on_the_cpu():
    """COBA for half a second: chaotic, so that its rate is compared, not its spikes."""
    duration, rates = 500.0, {}
    for platform in ("gpu", "cpu"):
        with jax.default_device(jax.devices(platform)[0]):
            built = bj.experiments.load("coba").build()
            how = {"key": jax.random.key(0), "record": {"n": bj.SpikeCount("exc")}}
            count = np.asarray(bj.simulate(built, duration, **how).records["n"])
            rates[platform] = float(np.mean(count)) / duration * 1000
    assert rates["cpu"] > 2
    assert rates["gpu"] == pytest.approx(rates["cpu"], rel=0.1)


# The library that is tested here is not where an installed one is.
GRAPHS = """
import os, pathlib
from brainjax.ops import _native
if "BRAINJAX_TEST_CUDA_LIBRARY" in os.environ:
    _native.cuda_library_path = lambda: pathlib.Path(os.environ["BRAINJAX_TEST_CUDA_LIBRARY"])
import jax
from gpu.test_on_gpu import bits, due_of, gradient
print(bits([due_of(form) for form in ("ring", "history")]))
print(bits(gradient()))
"""


@pytest.mark.skipif(EMULATED, reason="there are no graphs")
def test_bits_are_the_same_within_and_without_cuda_graphs():
    """All that XLA can be asked to record, loops included, against nothing."""
    said = []
    for kinds in ("", "FUSION,CUSTOM_CALL,CONDITIONAL,WHILE"):
        flags = f"--xla_gpu_enable_command_buffer={kinds} --xla_gpu_graph_min_graph_size=1"
        path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
        environment = os.environ | {
            "XLA_FLAGS": flags,
            "PYTHONPATH": path,
        }
        done = subprocess.run(
            [sys.executable, "-c", GRAPHS], env=environment, capture_output=True, text=True,
            timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert len(said[0].split()) == 2
    assert said[0] == said[1]
