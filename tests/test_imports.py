"""The layering: imports go downward only, few rooms know a partner, and importing does nothing."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "brainjax"

# From the bottom. A room imports from rooms of lower tiers only.
TIERS = [
    ["core"],
    ["ops"],
    ["neurons", "synapses", "plasticity", "rates", "connect", "stimuli"],
    ["network"],
    ["simulate"],
    ["learn", "parallel", "analysis", "plot", "models", "tasks", "interop"],
    ["experiments"],
    ["cli"],
    ["__init__", "__main__"],
]
TIER = {room: tier for tier, rooms in enumerate(TIERS) for room in rooms}
# The only imports between rooms of one tier.
SIBLINGS = {("neurons", "synapses"), ("plot", "analysis")}

# Who may import it; nobody where the set is empty.
PARTNERS: dict[str, set[str]] = {
    "optax": {"learn"},
    "matplotlib": {"plot"},
    "flax": {"interop"},
    "equinox.internal": set(),
    "jax._src": set(),
    "jaxlib": {"ops"},
    "llvmlite": {"ops"},
}

# Who may print, and who may read and write files. Elsewhere values are returned.
SPEAKERS = {"experiments", "cli", "__main__"}
PROGRESS = "simulate/_progress*.py"
CHECKPOINTS = "simulate/_checkpoint*.py"
MACHINE_CODE = "ops/_objects.py"  # beside JAX's own cache, and only where a user has enabled that
FILE_METHODS = {"open", "read_bytes", "read_text", "write_bytes", "write_text"}
NUMPY_FILES = {"fromfile", "load", "loadtxt", "save", "savetxt", "savez", "savez_compressed"}


def room_of(file: Path, package: Path) -> str:
    """`brainjax/neurons/_lif.py` -> `neurons`, `brainjax/cli.py` -> `cli`."""
    return file.relative_to(package).with_suffix("").parts[0]


def imported_modules(tree: ast.Module, file: Path, package: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute name of all that is imported, wherever in the file."""
    here = [package.name, *file.relative_to(package).parts[:-1]]
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = here[: len(here) - level + 1] if level else []
                base = ".".join([*base, *([module] if module else [])])
                # `from package import room` names a module, `from module import name` need not;
                # the longer name serves for both.
                yield from ((node.lineno, f"{base}.{alias.name}") for alias in names)
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name


def layering_violation(room: str, module: str, package: str) -> str | None:
    """Why `room` must not import `module`, or None."""
    for partner, allowed in PARTNERS.items():
        if f"{module}.".startswith(f"{partner}.") and room not in allowed:
            return f"{partner} is for {sorted(allowed) or 'nobody'}"
    parts = module.split(".")
    if parts[0] != package:
        return None
    target = parts[1] if len(parts) > 1 and parts[1] in TIER else "__init__"
    if target == room or room in ("__init__", "__main__"):
        return None
    if target == "__init__":
        # The experiments and the command line use the library as its users do.
        return None if room in ("experiments", "cli") else "the package's root is above every room"
    if TIER[target] < TIER[room] or (room, target) in SIBLINGS:
        return None
    return f"{target} is not below {room}"


def side_effects(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """Line, kind (`print` or `file`) and name of all that speaks or touches files."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="print" | "input" as name)):
                yield node.lineno, "print", name
            case ast.Attribute(value=ast.Name(id="sys"), attr="stdout" | "stderr" as name):
                yield node.lineno, "print", f"sys.{name}"
            case ast.Call(func=ast.Name(id="open")):
                yield node.lineno, "file", "open"
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="np" | "numpy" | "jnp"), attr=name)
            ) if name in NUMPY_FILES:
                yield node.lineno, "file", f"np.{name}"
            case ast.Call(func=ast.Attribute(attr=name)) if name in FILE_METHODS:
                yield node.lineno, "file", name


def may(kind: str, name: str, file: Path, package: Path) -> bool:
    """Whether `file` may do what `side_effects` found in it."""
    if room_of(file, package) in SPEAKERS:
        return True
    inside = file.relative_to(package)
    if kind == "print":
        return name == "sys.stderr" and inside.match(PROGRESS)
    return inside.match(CHECKPOINTS) or inside.match(MACHINE_CODE)


def violations(package: Path) -> list[str]:
    """Each breach of the layering in the package at `package`, with its place."""
    found = []
    for file in sorted(package.rglob("*.py")):
        place = file.relative_to(package.parent).as_posix()
        room = room_of(file, package)
        if room not in TIER:
            found.append(f"{place}: the room {room!r} has no tier")
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
        for line, module in imported_modules(tree, file, package):
            if reason := layering_violation(room, module, package.name):
                found.append(f"{place}:{line}: imports {module}; {reason}")
        for line, kind, name in side_effects(tree):
            if not may(kind, name, file, package):
                found.append(f"{place}:{line}: calls {name}; {room} neither prints nor reads files")
    return found


@pytest.mark.pure
def test_the_package_keeps_its_layers():
    assert sorted(PACKAGE.rglob("*.py")), f"nothing to check in {PACKAGE}"
    assert violations(PACKAGE) == []


BREACHES = {
    "upward": ("core/a.py", "from brainjax.ops import deliver"),
    "upward, relative": ("ops/a.py", "from ..network import Network"),
    "upward, the room itself": ("ops/a.py", "from .. import network"),
    "upward, inside a function": ("core/a.py", "def f():\n    import brainjax.simulate"),
    "upward, for types only": (
        "core/a.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from brainjax.ops import x",
    ),
    "upward, by name": ("core/a.py", "import importlib\nimportlib.import_module('brainjax.ops')"),
    "upward, from a deeper file": ("core/deep/a.py", "from ...network import Network"),
    "sibling models": ("synapses/a.py", "from ..neurons import LIF"),
    "sibling uses": ("models/a.py", "from brainjax.learn import fit"),
    "root": ("network/a.py", "import brainjax as bj"),
    "root's names": ("network/a.py", "from brainjax import LIF"),
    "unknown room": ("attic/a.py", ""),
    "optax": ("network/a.py", "import optax"),
    "matplotlib": ("experiments/a.py", "from matplotlib import pyplot"),
    "flax": ("learn/a.py", "from flax import nnx"),
    "equinox.internal": ("learn/a.py", "from equinox.internal import while_loop"),
    "equinox's attribute": ("learn/a.py", "from equinox import internal"),
    "jax._src": ("ops/a.py", "from jax._src import core"),
    "print": ("analysis/a.py", "print(1)"),
    "stdout": ("simulate/_progress.py", "import sys\nsys.stdout.write('x')"),
    "stderr": ("simulate/_driver.py", "import sys\nsys.stderr.write('x')"),
    "open": ("models/a.py", "open('x')"),
    "read_text": ("models/a.py", "from pathlib import Path\nPath('x').read_text()"),
    "np.load": ("models/a.py", "import numpy as np\nnp.load('x')"),
}

KEPT = {
    "core/a.py": "import jax, numpy as np\nfrom .b import c\n",
    "core/b.py": "c = 1\n",
    "ops/a.py": "from ..core import b\nfrom brainjax.core.b import c\n",
    "neurons/a.py": "from ..synapses import x\nfrom ..core import b\n",
    "synapses/a.py": "from ..ops import a\n",
    "simulate/_progress.py": "import sys\nsys.stderr.write('x')\n",
    "simulate/_checkpoint.py": "import numpy as np\nopen('x')\nnp.load('x')\n",
    "learn/a.py": "import optax\nfrom ..simulate import run\n",
    "plot/a.py": "import matplotlib.pyplot as plt\nfrom ..analysis import rates\n",
    "analysis/__init__.py": "rates = 1\n",
    "interop/a.py": "def f():\n    from flax import nnx\n",
    "experiments/a.py": "import brainjax as bj\nprint(open('x'))\nfrom ..plot import raster\n",
    "cli.py": "from . import experiments\nprint(1)\n",
    "__init__.py": "from .core import a\nfrom . import learn\n",
    "__main__.py": "from .cli import main\n",
}


def write_tree(root: Path, files: dict[str, str]) -> Path:
    """A toy package of these files; returns its folder."""
    package = root / "brainjax"
    for name, text in files.items():
        file = package / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return package


@pytest.mark.pure
@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_is_found(breach, tmp_path):
    name, text = BREACHES[breach]
    found = violations(write_tree(tmp_path, {name: text}))
    assert len(found) == 1, found
    assert name in found[0]


@pytest.mark.pure
def test_a_tree_that_keeps_the_layers_passes(tmp_path):
    assert violations(write_tree(tmp_path, KEPT)) == []


IMPORT = """
import json, os, sys, threading
import jax
before = dict(os.environ), dict(jax.config.values), threading.active_count()
import brainjax
after = dict(os.environ), dict(jax.config.values), threading.active_count()
from jax._src import xla_bridge
print(json.dumps({
    "environment, configuration and threads unchanged": [a == b for a, b in zip(before, after)],
    "backend initialised": xla_bridge.backends_are_initialized(),
    "modules": sorted({name.partition(".")[0] for name in sys.modules}),
}))
"""


@pytest.mark.pure
def test_importing_does_nothing(tmp_path):
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    # One line: what the script printed itself.
    (line,) = process.stdout.splitlines()
    seen = json.loads(line)
    assert seen["environment, configuration and threads unchanged"] == [True, True, True]
    assert seen["backend initialised"] is False
    assert not {"matplotlib", "flax", "h5py", "rich"} & set(seen["modules"])
