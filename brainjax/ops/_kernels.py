"""Compiled kernels: LLVM IR made into machine code, once a process, and never freed.

A kernel is named by the digest of its IR. A program carries digest and IR, never an address, so it
may be kept in a cache and run in another process: there the kernel is compiled when the program is
loaded.
"""

import ctypes
import functools
import hashlib
import importlib.util
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr

from ._llvm import ABI_VERSION, Untranslatable
from ._native import native_library
from ._objects import keep, load
from ._translate import Translation, translate

_LOCK = threading.Lock()
_CONFIG: Any = jax.config  # JAX makes its options at run time: type checkers do not see them


class Kernel(NamedTuple):
    """A compiled function of one loop over neurons."""

    digest: str
    ir: str


class _Compiler:
    """LLVM for this machine; what it has compiled stays."""

    def __init__(self):
        import llvmlite
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self._llvm = llvm
        cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
        target = llvm.Target.from_default_triple()
        self._machine = target.create_target_machine(cpu=cpu, features=features, opt=3, jit=True)
        version = (llvmlite.__version__, llvm.llvm_version_info, target.triple, ABI_VERSION)
        self._target = f"{version} {cpu} {features}"
        # The engine owns a machine of its own, and a module to begin with.
        empty = llvm.parse_assembly("")
        self._engine = llvm.create_mcjit_compiler(empty, self._machine)

    def __call__(self, kernel: Kernel) -> int:
        """The address of the compiled kernel."""
        name, key = f"brainjax_{kernel.digest}", f"{kernel.digest} {self._target}"
        code = load(key)
        if code is None:
            code = self._compile(kernel.ir.replace("@kernel(", f"@{name}("))
            keep(key, code)
        self._engine.add_object_file(self._llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        return self._engine.get_function_address(name)

    def _compile(self, ir: str) -> bytes:
        llvm = self._llvm
        module = llvm.parse_assembly(ir)
        module.verify()
        options = llvm.create_pipeline_tuning_options(speed_level=3)
        options.loop_vectorization = True
        passes = llvm.create_pass_builder(self._machine, options)
        passes.getModulePassManager().run(module, passes)
        return self._machine.emit_object(module)


@functools.cache
def no_compiler() -> str:
    """Why no step can be compiled here; empty if it can."""
    return "" if importlib.util.find_spec("llvmlite") else "llvmlite is not installed"


@functools.cache
def _compiler() -> _Compiler:
    return _Compiler()


@functools.cache
def _address(kernel: Kernel) -> int:
    with _LOCK:
        return _compiler()(kernel)


@ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p)
def _resolve(digest: bytes, ir: bytes) -> int | None:
    """The address of a kernel that a loaded program names; null if it cannot be compiled."""
    kernel = Kernel(digest.decode(), ir.decode())
    try:
        return _address(kernel) if kernel == _named(kernel.ir) else None
    except Exception:  # no exception may pass through C++: null becomes an error of the program
        return None


def _named(ir: str) -> Kernel:
    return Kernel(hashlib.sha256(f"{ABI_VERSION}\n{ir}".encode()).hexdigest(), ir)


def connect(library: ctypes.CDLL) -> None:
    """Let the native library ask for kernels of programs that were made in another process."""
    library.brainjax_set_resolver.argtypes = [ctypes.c_void_p]
    library.brainjax_add_kernel.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
    library.brainjax_set_resolver(ctypes.cast(_resolve, ctypes.c_void_p))


class Compiled(NamedTuple):
    """A step as a compiled loop, and how it is called."""

    kernel: Kernel
    call: Translation


def kernel_of(closed: ClosedJaxpr, bundles: Sequence[Any] | None = None) -> Compiled:
    """A function of flat arrays as a compiled loop.

    **Arguments:**

    - `bundles`: as of `translate`; by default each operand has a buffer of its own.

    **Raises:**

    `Untranslatable`, with the reason.
    """
    if reason := no_compiler():
        raise Untranslatable(reason)
    call = translate(closed, bundles or (None,) * len(closed.in_avals))
    kernel = _named(call.ir)
    library: Any = native_library()
    try:
        library.brainjax_add_kernel(kernel.digest.encode(), _address(kernel))
    except RuntimeError as error:
        raise Untranslatable(f"LLVM refused it: {error}") from None
    return Compiled(kernel, call)


@functools.cache
def _made(
    f: Callable, avals: tuple[Any, ...], bundles: tuple[Any, ...], x64: bool
) -> Compiled | str:
    del x64  # a part of the key: what is traced may depend on it
    try:
        return kernel_of(jax.make_jaxpr(f)(*map(jax.ShapeDtypeStruct.like, avals)), bundles)
    except Untranslatable as reason:
        return str(reason)


# The steps that were lowered in this process, and what runs them: a step may have several kernels.
_SEEN: dict[str, set[str]] = {}


def seen(what: str, runs: str) -> None:
    """Keep for `native_steps` what runs something."""
    _SEEN.setdefault(what, set()).add(runs)


def name_of(f: Callable) -> str:
    """What a person calls a mapped function."""
    owner = getattr(f, "__self__", f)
    return getattr(owner, "name", None) or getattr(f, "__name__", None) or type(f).__name__


def compiled(f: Callable, avals: tuple[Any, ...], bundles: tuple[Any, ...]) -> Compiled | None:
    """The compiled loop of `f`, or `None` where XLA must run it.

    **Arguments:**

    - `f`: a hashable function of flat arrays.
    - `avals`: the types of its operands.
    - `bundles`: as of `translate`.
    """
    made = _made(f, avals, bundles, bool(_CONFIG.jax_enable_x64))
    runs = (
        f"native, kernel {made.kernel.digest[:8]}" if isinstance(made, Compiled) else f"jax: {made}"
    )
    size = max((math.prod(x.shape) for x in avals), default=0)
    seen(f"{name_of(f)}, {size} neurons", runs)
    return made if isinstance(made, Compiled) else None


def native_steps() -> dict[str, str]:
    """What runs the steps of populations that this process has compiled for the CPU.

    **Returns:**

    The name of a step and its number of neurons, as `"LIF, 3200 neurons"`, to `"native, kernel "`
    and the beginning of its digest, or to `"jax: "` and the reason; several of these if steps of
    that name and size differ. Steps that share a kernel are the same computation. `"loop over
    steps"` says the same of the loop around them. Those with `impl="jax"` and those of programs
    that are sharded automatically are not looked at, and not listed.
    """
    return {name: "; ".join(sorted(runs)) for name, runs in _SEEN.items()}
