"""The native library: found and registered on first use, never at import."""

import ctypes
import functools
import pathlib

import jax

HANDLERS = (
    "PushRing",
    "PullRing",
    "DeliverHistory",
    "LogEvents",
    "Fence",
    "Map",
    "Poisson",
    "Loop",
)
# Handlers that do something when a program is loaded.
STAGES = {"Map": {"instantiate": "MapLoad"}}

# Those of the ops that a GPU has a handler for.
CUDA_HANDLERS = ("CudaDeliverHistory", "CudaPushRing", "CudaPullRing")
CUDA_OPS = ("deliver, history", "deliver, ring")

# The ops, as a person calls them; each has a native implementation.
OPS = ("deliver, history", "deliver, ring", "map_neurons", "poisson", "log_events", "fence")


def library_path() -> pathlib.Path:
    """Where the native library lies if the package was built with a C++ compiler."""
    return pathlib.Path(__file__).parent.parent / "_native" / "brainjax_cpu.so"


@functools.lru_cache(maxsize=1)
def native_library() -> ctypes.CDLL | None:
    """The native library with its handlers registered, or `None` in a pure-JAX installation."""
    path = library_path()
    if not path.exists():
        return None
    library = ctypes.CDLL(str(path))
    for handler in HANDLERS:
        stages = {"execute": handler, **STAGES.get(handler, {})}
        capsules = {s: jax.ffi.pycapsule(getattr(library, h)) for s, h in stages.items()}
        jax.ffi.register_ffi_target(f"brainjax_{handler}", capsules, platform="cpu")
    from ._kernels import connect  # here: it stands above this file

    connect(library)
    return library


def cuda_library_path() -> pathlib.Path:
    """Where the library for GPUs lies if the package was built with it."""
    return pathlib.Path(__file__).parent.parent / "_native" / "brainjax_cuda.so"


@functools.lru_cache(maxsize=1)
def cuda_library() -> ctypes.CDLL | None:
    """The library for GPUs with its handlers registered, or `None` where it was not built."""
    path = cuda_library_path()
    return register_cuda(path, "CUDA") if path.exists() else None


def register_cuda(path: pathlib.Path, platform: str) -> ctypes.CDLL:
    """Load the library for GPUs from `path`, with handlers for a platform as XLA calls it."""
    library = ctypes.CDLL(str(path))
    for handler in CUDA_HANDLERS:
        capsule = jax.ffi.pycapsule(getattr(library, handler))
        jax.ffi.register_ffi_target(f"brainjax_{handler}", capsule, platform=platform)
    return library


def delivery_runs() -> str:
    """What `impl="auto"` delivers with on one device of the default platform, as `info` says it."""
    platform = jax.default_backend()
    if platform == "cpu" and native_library() is not None:
        return "native"
    return "cuda" if platform == "gpu" and cuda_library() is not None else "jax"


def info() -> dict[str, str]:
    """Which implementation of the ops runs, and on what.

    **Returns:**

    `{"version", "jax", "jaxlib", "platform", "devices", "ops", "native_library", "cuda_library"}`;
    `ops` is `"native"`, `"cuda"` or `"jax"`, the libraries are files or sentences that say they are
    absent. Under `"op: NAME"` it says for each op what `impl="auto"` runs on one device, in these
    words too, and under `"step: NAME"` for each step of a population that was compiled in this
    process what runs it, and why.
    """
    from importlib.metadata import version

    from ._kernels import native_steps, no_compiler

    library, cuda, runs = native_library(), cuda_library(), delivery_runs()
    native = runs == "native"
    return {
        "version": version("brainjax"),
        "jax": jax.__version__,
        "jaxlib": version("jaxlib"),
        "platform": jax.default_backend(),
        "devices": ", ".join(str(d) for d in jax.devices()),
        "ops": runs,
        "native_library": "absent: this is a pure-JAX installation (no C++ compiler was found)"
        if library is None
        else str(library_path()),
        "cuda_library": "absent: it is built on request, see the page on installation"
        if cuda is None
        else str(cuda_library_path()),
        **{f"op: {op}": "native" if native else "jax" for op in OPS},
        **({f"op: {op}": "cuda" for op in CUDA_OPS} if runs == "cuda" else {}),
        **({"op: map_neurons": f"jax: {no_compiler()}"} if native and no_compiler() else {}),
        **{f"step: {name}": runs for name, runs in native_steps().items()},
    }
