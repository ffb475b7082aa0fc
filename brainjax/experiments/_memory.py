"""Whether a network fits into this machine, said before it is drawn."""

import os
from pathlib import Path

from ..core import explain
from ..network import Memory
from ._schema import ConfigError


def free_memory() -> float | None:
    """Memory that a program may still take, bytes; `None` where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return None


def check_room(memory: Memory, recorded: float) -> None:
    """Raise `ConfigError` if a network, with its traces of `recorded` bytes, needs too much memory.

    Traces are held twice when the parts of a run are joined.
    """
    free = free_memory()
    running = memory.bytes_built + memory.bytes_state + 2 * recorded
    needed = max(memory.bytes_peak_of_build, running)
    if free is not None and 2 * recorded > free:
        raise ConfigError(
            explain(
                "memory",
                got=f"traces which need {in_bytes(2 * recorded)}",
                expected=f"at most the {in_bytes(free)} that are free",
                mend="Record fewer neurons, or a shorter duration.",
            )
        )
    if free is not None and needed > free:
        raise ConfigError(
            explain(
                "memory",
                got=f"a network of {memory.synapses:.3g} synapses, which needs {in_bytes(needed)}",
                expected=f"at most the {in_bytes(free)} that are free",
                mend="Make it smaller: --set scale=..., or sizes and rules of projections.",
            )
        )


def in_bytes(number: float) -> str:
    """A number of bytes as text."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} PB"
