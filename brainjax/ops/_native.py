"""The native library: found and registered on first use, never at import."""

import ctypes
import functools
import pathlib

import jax

HANDLERS = ("PushRing", "PullRing", "DeliverHistory", "LogEvents", "Fence")

# The ops, as a person calls them, and whether they have a native implementation.
OPS = {
    "deliver, history": True,
    "deliver, ring": True,
    "map_neurons": False,
    "log_events": True,
    "fence": True,
}


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
        capsule = jax.ffi.pycapsule(getattr(library, handler))
        jax.ffi.register_ffi_target(f"brainjax_{handler}", capsule, platform="cpu")
    return library


def info() -> dict[str, str]:
    """Which implementation of the ops runs, and on what.

    **Returns:**

    `{"version", "jax", "jaxlib", "platform", "devices", "ops", "native_library"}`; `ops` is
    `"native"` or `"jax"`, `native_library` the file or a sentence that says it is absent. Under
    `"op: NAME"` it says for each op what `impl="auto"` runs on one device.
    """
    from importlib.metadata import version

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
        **{f"op: {op}": "native" if native and has else "jax" for op, has in OPS.items()},
    }
