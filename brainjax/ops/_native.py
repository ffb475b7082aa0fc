"""The native library: found and registered on first use, never at import."""

import ctypes
import functools
import pathlib

import jax

HANDLERS = ("PushRing", "PullRing", "DeliverHistory", "LogEvents", "Fence", "Map", "Poisson")
# Handlers that do something when a program is loaded.
STAGES = {"Map": {"instantiate": "MapLoad"}}

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


def info() -> dict[str, str]:
    """Which implementation of the ops runs, and on what.

    **Returns:**

    `{"version", "jax", "jaxlib", "platform", "devices", "ops", "native_library"}`; `ops` is
    `"native"` or `"jax"`, `native_library` the file or a sentence that says it is absent. Under
    `"op: NAME"` it says for each op what `impl="auto"` runs on one device, and under `"step: NAME"`
    for each step of a population that was compiled in this process what runs it, and why.
    """
    from importlib.metadata import version

    from ._kernels import native_steps, no_compiler

    platform = jax.default_backend()
    library = native_library()
    native = library is not None and platform == "cpu"
    return {
        "version": version("brainjax"),
        "jax": jax.__version__,
        "jaxlib": version("jaxlib"),
        "platform": platform,
        "devices": ", ".join(str(d) for d in jax.devices()),
        "ops": "native" if native else "jax",
        "native_library": "absent: this is a pure-JAX installation (no C++ compiler was found)"
        if library is None
        else str(library_path()),
        **{f"op: {op}": "native" if native else "jax" for op in OPS},
        **({"op: map_neurons": f"jax: {no_compiler()}"} if native and no_compiler() else {}),
        **{f"step: {name}": runs for name, runs in native_steps().items()},
    }
