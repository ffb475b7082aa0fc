"""Builds BrainJAX's libraries for the GPU that is here, tests on it, and measures.

    python tests/gpu/check.py [arguments of pytest]

Needs an NVIDIA GPU with its driver, JAX for it, nvcc 12.1 or newer, g++ and pytest. Installs
nothing and needs no network: the package is that of this checkout, the libraries go to `build/gpu`.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "gpu"
FLAGS = ["-O3", "-std=c++17", f"-I{ROOT / 'csrc'}", "-isystem", str(ROOT / "csrc/third_party")]
# What is also tested of delivery in the default suite, here by the kernels; exact, and fuzzed.
OPS = ["tests/ops/test_fuzz.py", "tests/ops/test_formats.py"]


def stop(why: str) -> None:
    sys.exit(f"gpu-check: {why}")


def nvcc() -> str:
    """The compiler: of NVCC, of the PATH, of the usual place, or of NVIDIA's wheel."""
    found = [os.environ.get("NVCC"), shutil.which("nvcc"), "/usr/local/cuda/bin/nvcc"]
    found += sorted(map(str, Path(sysconfig.get_path("purelib")).glob("nvidia/*/bin/nvcc")))
    for compiler in found:
        if compiler and Path(compiler).is_file():
            return compiler
    stop("found no nvcc. Install NVIDIA's CUDA toolkit, or name the compiler: NVCC=/path/to/nvcc.")
    return ""


def find_gpu() -> None:
    """Stop unless JAX finds one, in a process that then lets go of its memory."""
    program = "import jax; print(jax.__version__, jax.default_backend(), jax.devices())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    said = done.stdout.strip() or done.stderr.strip()
    if done.returncode or " gpu " not in f" {said} ":
        stop(
            "JAX finds no GPU here.\n"
            f"JAX says: {said}\n"
            "It needs an NVIDIA GPU, its driver (nvidia-smi lists it), and JAX for it, as "
            "JAX's page on installation says."
        )
    print(f"gpu-check: JAX {said}", flush=True)


def build() -> dict[str, Path]:
    """The two libraries, by the variables that name them to the tests."""
    BUILD.mkdir(parents=True, exist_ok=True)
    sources = ROOT / "csrc"
    cpu, cuda = BUILD / "brainjax_cpu.so", BUILD / "brainjax_cuda.so"
    gcc = os.environ.get("CXX", "g++")
    commands = {
        "BRAINJAX_TEST_LIBRARY": (
            [gcc, *FLAGS, "-ffp-contract=off", "-fno-math-errno", "-shared", "-fPIC"],
            sorted(sources.glob("*.cc")),
            cpu,
        ),
        "BRAINJAX_TEST_CUDA_LIBRARY": (
            [nvcc(), *FLAGS, "-fmad=false", "-shared", "-Xcompiler=-fPIC", "-cudart=static"]
            + ["-arch=native", "-t0"],
            sorted((sources / "cuda").glob("*.cu")),
            cuda,
        ),
    }
    running = []
    for command, files, library in commands.values():
        line = [*command, *map(str, files), "-o", str(library)]
        print("gpu-check:", " ".join(line), flush=True)
        running.append(subprocess.Popen(line))
    if max(process.wait() for process in running):
        stop("a library could not be compiled, see above.")
    return {name: library for name, (_, _, library) in commands.items()}


def main(arguments: list[str]) -> int:
    find_gpu()
    libraries = {name: str(path) for name, path in build().items()}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    # Several processes share the GPU's memory.
    shared = {"PYTHONPATH": path, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    environment = os.environ | libraries | shared
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    runs = [
        [*pytest, "-m", "gpu", "tests/gpu", *arguments],
        [*pytest, "-k", "native", *OPS, *arguments],
        [*pytest, "tests/bad_input/test_traced.py", *arguments],
    ]
    failed = [subprocess.run(run, cwd=ROOT, env=environment).returncode for run in runs]
    print(f"gpu-check: {'failed, see above' if any(failed) else 'all is well'}")
    return max(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
