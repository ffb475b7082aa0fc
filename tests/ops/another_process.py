"""Programs that leave the process that made them: `leave` in one, `arrive` in the next.

    python -m ops.another_process leave|arrive FOLDER native|jax float32|float64 light|heavy

What arrives is what each program gives there, by op and journey, with whether the compilation cache
was hit.
"""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import jax
import jax.export
from jax.experimental import serialize_executable
from ops.ops_and_oracles import OPS
from ops.transforms import JOURNEYS, TRANSFORMS, arguments, is_refused

from brainjax.ops import native_library
from brainjax.ops._native import HANDLERS

EXEMPT = [jax.export.DisabledSafetyCheck.custom_call(f"brainjax_{h}") for h in HANDLERS]
ONE, SEVERAL, CACHED, AHEAD = JOURNEYS


def transform_of(op):
    """What is taken along of an op: the gradient of a loop where there is one."""
    gradient = TRANSFORMS["gradient of a scan"]
    return TRANSFORMS["scan"] if is_refused(op, gradient) else gradient


def program_of(op, impl):
    """The program of an op that travels."""
    return jax.jit(transform_of(op).of(op.model(impl)))


def leave(path: Path, op, impl: str, dtype: str) -> None:
    """Write the program of an op in all of its forms."""
    args = arguments(op, transform_of(op), dtype)
    program = program_of(op, impl)
    try:
        exported = jax.export.export(program, platforms=("cpu",))(*args)
        assert impl == "jax", "native calls were exported unasked"
    except ValueError as error:
        assert impl == "native" and "brainjax_" in str(error), error
        exported = jax.export.export(program, platforms=("cpu",), disabled_checks=EXEMPT)(*args)
    everywhere = jax.export.export(program_of(op, "auto"), platforms=("cpu", "cuda", "tpu"))(*args)
    compiled = program.lower(*args).compile()
    forms = {
        ONE: exported.serialize(),
        SEVERAL: everywhere.serialize(),
        AHEAD: serialize_executable.serialize(compiled),
    }
    path.write_bytes(pickle.dumps(forms))


def arrive(path: Path, op, impl: str, dtype: str, events: list[str]) -> dict[str, tuple]:
    """What each form gives: `(leaves, hits, misses)`."""
    args = arguments(op, transform_of(op), dtype)
    forms = pickle.loads(path.read_bytes())
    programs = {
        ONE: jax.export.deserialize(forms[ONE]).call,
        SEVERAL: jax.export.deserialize(forms[SEVERAL]).call,
        CACHED: program_of(op, impl),
        AHEAD: serialize_executable.deserialize_and_load(*forms[AHEAD]),
    }
    found = {}
    for journey, program in programs.items():
        events.clear()
        out = jax.tree.map(jax.device_get, program(*args))
        counts = [sum(e.endswith(f"cache_{kind}") for e in events) for kind in ("hits", "misses")]
        found[journey] = (out, *counts)
    return found


def travel(folder: Path, impl: str, dtype: str, heavy: bool) -> dict[str, dict[str, tuple]]:
    """Both processes, one after the other; what arrives, by op, of those that are heavy or not."""
    how = [str(folder), impl, dtype, "heavy" if heavy else "light"]
    paths = [str(Path(__file__).parents[1]), *sys.path]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
    }
    for what in ("leave", "arrive"):
        command = [sys.executable, "-m", "ops.another_process", what, *how]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
    return pickle.loads((folder / "arrived").read_bytes())


def _main(what: str, folder: Path, impl: str, dtype: str, weight: str) -> None:
    native_library()  # a program that was loaded asks for its handlers
    events = []
    jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
    arrived = {}
    with jax.enable_x64(dtype == "float64"):
        for i, op in enumerate(op for op in OPS.values() if op.heavy == (weight == "heavy")):
            path = folder / f"program {i}"
            if what == "leave":
                leave(path, op, impl, dtype)
            else:
                arrived[op.name] = arrive(path, op, impl, dtype, events)
    if arrived:
        (folder / "arrived").write_bytes(pickle.dumps(arrived))


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
