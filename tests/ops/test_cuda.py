"""CUDA handlers where there is no GPU: the programs that call them, and their kernels as loops."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from ops.structures import FORMS, empty, random_spikes, random_wiring, run, wire
from ops.test_lowering import PROGRAMS, SCALE, network

from brainjax.ops import _cuda, _primitive, native_library
from brainjax.ops._native import CUDA_HANDLERS

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "csrc" / "cuda").glob("*.cu"))
CALLS = {"ring": {"brainjax_CudaPushRing"}, "history": {"brainjax_CudaDeliverHistory"}}


@pytest.fixture
def library(monkeypatch):
    """As if the library for GPUs were there: programs are made, not run."""
    monkeypatch.setattr(_primitive, "cuda_library", lambda: True)


def calls_in(text: str) -> set[str]:
    return set(re.findall(r"brainjax_\w+", text))


def lowered(wiring, form, impl="auto", platforms=("cuda",), place=lambda x: x) -> str:
    weights = tuple(jnp.asarray(w, jnp.float32) for w in wiring.weights)
    spikes = random_spikes(np.random.default_rng(0), wiring.sizes, 2)
    spikes = tuple(place(jnp.asarray(x, jnp.float32)) for x in spikes)
    pending = empty(FORMS[form], wiring, jnp.float32)
    how = {"layout": wiring.layout, "impl": impl}
    # A function of its own, since JAX keeps what it lowered, and the library comes and goes here.
    program = jax.jit(lambda *args: run.__wrapped__(*args, **how))
    traced = program.trace(pending, spikes, wiring.rows, weights, jnp.int32(0))
    return traced.lower(lowering_platforms=platforms).as_text()


WIRING = random_wiring(np.random.default_rng(0), (6, 5), 8, [(0, 20, 3, False), (1, 9, 2, True)], 3)


@pytest.mark.pure
@pytest.mark.parametrize("form", FORMS)
def test_programs_for_a_gpu_call_the_handlers(library, form):
    """Where one device runs them, and no other implementation was asked for."""
    text = lowered(WIRING, form)
    assert calls_in(text) == CALLS[form]
    assert "output_operand_alias" in text  # what is pending is updated in place
    assert not calls_in(lowered(WIRING, form, impl="jax"))
    assert not calls_in(lowered(WIRING, form, platforms=("tpu",)))
    assert not calls_in(lowered(WIRING, form, platforms=("cuda", "cpu")))


@pytest.mark.pure
@pytest.mark.parametrize("form", FORMS)
def test_no_call_under_automatic_sharding(library, form):
    """XLA would run it on every device, on all of the data."""
    mesh = jax.make_mesh((2,), ("neurons",), axis_types=(AxisType.Auto,))
    wiring = random_wiring(np.random.default_rng(0), (6,), 8, [(0, 20, 3, False)], 3)
    text = lowered(
        wiring, form, place=lambda x: jax.device_put(x, NamedSharding(mesh, P(None, "neurons")))
    )
    assert not calls_in(text)


@pytest.mark.pure
@pytest.mark.parametrize("form", FORMS)
def test_without_the_library_programs_are_plain(monkeypatch, form):
    monkeypatch.setattr(_primitive, "cuda_library", lambda: None)
    assert not calls_in(lowered(WIRING, form))


@pytest.mark.pure
@pytest.mark.parametrize("form", FORMS)
def test_what_a_kernel_has_no_room_for_is_plain(library, monkeypatch, form):
    """A kernel's arguments say where operands lie, for so many projections and no more."""
    monkeypatch.setattr(_cuda, "_MOST_PROJECTIONS", 3)

    def of(number):
        return wire((1,), 1, [(0, [0], [0], [1], 1.0)] * number, 1)

    assert calls_in(lowered(of(3), form)) == CALLS[form]
    assert not calls_in(lowered(of(4), form))


@pytest.mark.pure
def test_gradient_of_a_network_calls_the_handlers(library):
    program = jax.jit(PROGRAMS["gradient"](*network("auto")))
    text = program.trace(SCALE).lower(lowering_platforms=("cuda",)).as_text()
    assert calls_in(text) == {"brainjax_CudaPushRing", "brainjax_CudaPullRing"}


@pytest.mark.pure
@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("_MOST_OPERANDS", "call.h"),
        ("_MOST_NUMBERS", "call.h"),
        ("_MOST_PROJECTIONS", "call.h"),
        ("_MOST_POPULATIONS", "call.h"),
        ("_MOST_BATCH_AXES", "call.h"),
        ("_DESCRIBED", "network.h"),
    ],
)
def test_python_and_kernels_agree_on_sizes(name, header):
    constant = "k" + name.title().replace("_", "")
    text = (ROOT / "csrc" / "cuda" / header).read_text(encoding="utf-8")
    assert re.findall(rf"\b{constant} = (\d+)", text) == [str(getattr(_cuda, name))]


# ---- kernels as loops ---------------------------------------------------------------------------


@pytest.fixture(scope="session")
def emulated(tmp_path_factory):
    """The library for GPUs, made by a C++ compiler of loops over threads and blocks."""
    compiler = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    library = tmp_path_factory.mktemp("emulated") / "brainjax_cuda_emulated.so"
    flags = "-O0 -ffp-contract=off -shared -fPIC -std=c++17 -Wall -Wextra -Werror".split()
    include = ["-I", str(ROOT / "csrc"), "-isystem", str(ROOT / "csrc" / "third_party")]
    command = [compiler, "-x", "c++", *flags, *include, *map(str, SOURCES), "-o", str(library)]
    subprocess.run(command, check=True, timeout=300)
    return library


def pytest_says(library, *arguments, seed=0) -> str:
    """What pytest says where the handlers of a CPU are those of `library`."""
    environment = os.environ | {
        "BRAINJAX_TEST_EMULATED": str(library),
        "BRAINJAX_EMULATED_SEED": str(seed),
    }
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


QUICK = (
    "tests/ops/test_cuda.py::test_emulated_handlers_are_what_runs",
    "tests/ops/test_fuzz.py::test_values[native-12]",
    "tests/ops/test_fuzz.py::test_derivatives[native-8]",
    "tests/ops/test_formats.py::test_same_bits_as_stored[native-history-False]",
    "tests/ops/test_formats.py::test_same_bits_as_stored[native-ring-True]",
    "tests/ops/test_deliver_tables.py::test_what_is_known_of_targets_changes_no_bit[native-history]",
)


@pytest.mark.skipif(native_library() is None, reason="no native library to stand in for")
def test_kernels_have_the_bits_of_the_cpu(emulated):
    """Some of the tests of delivery with the kernels in the place of the CPU's handlers.

    They are exact, and hard to pass by chance: NaN, infinities, graded spikes, repeated targets,
    batches, silent populations, searches and tables. `make emulated` runs all that there are.
    """
    assert f"{len(QUICK)} passed" in pytest_says(emulated, *QUICK)


@pytest.mark.skipif(native_library() is None, reason="no native library to stand in for")
def test_kernels_follow_indices_no_further_than_arrays_go(emulated):
    """Some of the tests of traced arrays that lead out; all of them in `make emulated`."""
    some = "(below or bits or groups or sources or passed_by) and not forward"
    said = pytest_says(emulated, "tests/bad_input/test_traced.py", "-k", some)
    assert int(re.findall(r"(\d+) passed", said)[0]) > 50


@pytest.mark.skipif("BRAINJAX_TEST_EMULATED" not in os.environ, reason="run by another test")
def test_emulated_handlers_are_what_runs():
    for form, calls in CALLS.items():
        assert calls_in(lowered(WIRING, form, platforms=("cpu",))) == calls


# ---- the compiler for GPUs ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="there is no nvcc")
def test_kernels_compile_for_a_gpu(tmp_path):
    """With all handlers, and no warning; a driver is not needed to load them."""
    library = tmp_path / "brainjax_cuda.so"
    flags = ["-std=c++17", "-O3", "-fmad=false", "-Werror=all-warnings", "-cudart=static"]
    include = ["-I", str(ROOT / "csrc"), "-isystem", str(ROOT / "csrc" / "third_party")]
    command = ["nvcc", "-shared", *flags, "-Xcompiler=-fPIC", "-arch=sm_80", *include]
    subprocess.run([*command, *map(str, SOURCES), "-o", str(library)], check=True, timeout=600)

    loaded = ctypes.CDLL(str(library))
    assert all(hasattr(loaded, handler) for handler in CUDA_HANDLERS)
