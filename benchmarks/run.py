"""The benchmarks: prints a table of each row, what came of the targets, and writes the page.

    python benchmarks/run.py                       every row but the full microcircuit
    python benchmarks/run.py --rows lif deliver_8  these alone; --list names them
    python benchmarks/run.py --full                with the full microcircuit (NEST takes 15 GB)
    python benchmarks/run.py --write               also writes docs/benchmarks.md
    python benchmarks/run.py --quick               the smallest of everything, without peers

What a row measured is kept in build/benchmarks/ROW.json; the page is made of all that is there.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import plots
import report
from measure import measure
from rows import ROWS, Row

ROOT = Path(__file__).parent.parent
PAGE, HELD = ROOT / "docs" / "benchmarks.md", ROOT / "build" / "benchmarks"
PICTURE = ROOT / "docs" / "assets" / "benchmarks_cost.png"
BEGIN, END = "<!-- begin: benchmarks/run.py -->", "<!-- end: benchmarks/run.py -->"
INTERPRETERS = {"oracles": ".venv-oracles", "peers": ".venv-peers"}


def main(argv: list[str] | None = None) -> int:
    """Run what the command line asks for; 1 if rates do not agree or a contender failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", nargs="+", metavar="NAME", choices=ROWS, help="these alone")
    parser.add_argument("--list", action="store_true", help="name the rows")
    parser.add_argument("--full", action="store_true", help="with the full microcircuit")
    parser.add_argument("--quick", action="store_true", help="the smallest of everything, no peers")
    parser.add_argument(
        "--rounds", type=int, help="times each contender runs; by default its row's"
    )
    parser.add_argument("--write", action="store_true", help=f"write docs/{PAGE.name}")
    parser.add_argument("--only-write", action="store_true", help="write it without measuring")
    for name, folder in INTERPRETERS.items():
        parser.add_argument(f"--{name}", metavar="PYTHON", help=f"instead of {folder}/bin/python")
    args = parser.parse_args(argv)
    if args.list:
        print("\n".join(f"{name:28} {make(False).title}" for name, make in ROWS.items()))
        return 0
    failed = False
    for name in [] if args.only_write else wanted(args):
        row = ROWS[name](args.quick)
        print(f"{name}", file=sys.stderr, flush=True)
        held = measured(name, row, args)
        print(f"{section(row, held)}\n", flush=True)
        failed = failed or bool(report.disagreements(row, held["results"]))
        failed = failed or any(r["error"].startswith("failed") for r in held["results"])
        if not args.quick:
            HELD.mkdir(parents=True, exist_ok=True)
            (HELD / f"{name}.json").write_text(json.dumps(held, indent=1) + "\n")
    if not args.quick:
        everything = everything_held()
        tables = {n: (row, held["results"]) for n, (row, held) in everything.items()}
        print(report.summary(tables))
        if args.write or args.only_write:
            write(page(everything))
    return int(failed)


def wanted(args) -> list[str]:
    """The names of the rows to measure."""
    if args.rows:
        return args.rows
    conditions = {"", *(["full"] if args.full else []), *(["gpu"] if has_gpu() else [])}
    names = [name for name, make in ROWS.items() if make(True).when in conditions]
    for name in ROWS.keys() - set(names):
        why = "no GPU here" if ROWS[name](True).when == "gpu" else "asked for with --full"
        print(f"{name}: not measured ({why})", file=sys.stderr)
    return names


def has_gpu() -> bool:
    """Whether there is an NVIDIA GPU."""
    tool = shutil.which("nvidia-smi")
    return bool(tool) and subprocess.run([tool, "-L"], capture_output=True).returncode == 0


def measured(name: str, row: Row, args) -> dict[str, Any]:
    """The results of a row, with when, where and by what command."""
    interpreters: dict[str, str | None] = {"own": sys.executable}
    for kind, folder in INTERPRETERS.items():
        python = Path(getattr(args, kind) or ROOT / folder / "bin" / "python")
        interpreters[kind] = str(python) if python.exists() else None
    contenders = [c for c in row.contenders if not (args.quick and c.interpreter != "own")]
    rounds = args.rounds or (2 if args.quick else row.rounds)
    before = load()
    results = measure(contenders, rounds, interpreters, together=row.together)
    command = ["python", "benchmarks/run.py", "--rows", name, "--rounds", str(rounds)]
    return {
        "results": results,
        "command": shlex.join(command),
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "commit": commit(),
        "load": [before, load()],
    }


def load() -> float:
    """How many processes wanted to run in the last minute; 0 where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def commit() -> str:
    """Which sources were measured, if git knows."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    with contextlib.suppress(OSError):
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return ""


def machine() -> str:
    """The processor, in words."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores"


def section(row: Row, held: dict[str, Any]) -> str:
    """A row as the page shows it."""
    results = held["results"]
    if row.kind == "profile":
        failed = results[0]["error"]
        body = [failed or report.profile_table(row, results[0])]
    elif row.kind == "cost":
        points = [f"{r['title']}: {r['error'] or 'measured'}" for r in results]
        body = ["; ".join(points) + "."]
    else:
        body = [report.rate_table(row, results), report.table(row, results)]
        body += ["\n".join(report.details(results)), " ".join(report.verdicts(row, results))]
    return "\n\n".join([f"### {row.title}", *(b for b in [*body, row.note, made_by(held)] if b)])


def made_by(held: dict[str, Any]) -> str:
    """The command, the machine, the versions."""
    facts: dict[str, Any] = {}
    for result in held["results"]:
        facts |= result["facts"]
    said = [f"jax {facts['jax']}, ops: {facts['ops']}"] if "jax" in facts else []
    said += [r["facts"]["version"] for r in held["results"] if "version" in r["facts"]]
    before, after = held["load"]
    versions = ", ".join(dict.fromkeys(said))
    return (
        f"`{held['command']}`, {held['date']}, commit {held['commit']}, {held['machine']}, "
        f"load {before:.1f} before and {after:.1f} after; {versions}."
    )


def everything_held() -> dict[str, tuple[Row, dict[str, Any]]]:
    """All rows that were measured here, in this run or before."""
    files = {name: HELD / f"{name}.json" for name in ROWS}
    return {n: (ROWS[n](False), json.loads(f.read_text())) for n, f in files.items() if f.exists()}


def page(everything: dict[str, tuple[Row, dict[str, Any]]]) -> str:
    """The generated part of the page."""
    of_kind = {
        kind: {n: (row, held) for n, (row, held) in everything.items() if row.kind == kind}
        for kind in ("table", "profile", "cost")
    }
    tables = {n: (row, held["results"]) for n, (row, held) in of_kind["table"].items()}
    absent = [ROWS[n](False).title for n in ROWS.keys() - everything.keys()]
    parts = ["## What must come out, and what came out", report.summary(tables)]
    faster = [f"- {row.title}: {v}" for row, r in tables.values() for v in report.faster(row, r)]
    parts.append("Where a peer is faster:" if faster else "In no row is a peer faster.")
    parts.append("\n".join(faster))
    if absent:
        parts.append(f"Not measured: {'; '.join(sorted(absent))}.")
    parts += ["## From one thread to two", report.scaling(tables), "## Each row"]
    parts += [section(row, held) for row, held in of_kind["table"].values()]
    parts += ["## Where the time of a step goes", PROFILE if of_kind["profile"] else ""]
    parts += [section(row, held) for row, held in of_kind["profile"].values()]
    for row, held in of_kind["cost"].values():
        plots.cost(row, held["results"], PICTURE)
        parts += ["## What makes a step dear", COST.format(file=f"assets/{PICTURE.name}")]
        parts.append(made_by(held))
    return "\n\n".join(p for p in parts if p)


PROFILE = """\
A part costs what the step takes less what it takes without it; *loop and calls* is the network
with one neuron a population, and what a call of `simulate` costs, spread over the steps.
Populations without connections fire at other rates, which costs the same. The limits: *kB* are the
bytes that a step must touch (states read and written, the stored bytes of the synapses that are
due, accumulators once, spikes), at the bandwidth (*GB/s*) of `a = b + c` in NumPy over arrays as
large as what the part works on, so in the cache where it fits; *operations* are those of the plain
JAX form as XLA counts them, a transcendental as ten, at the rate of a product of matrices in NumPy.
Both are measured by the same process on the same threads. *Times the limit* is against the
larger."""

COST = """\
![Time of a step against four properties of a network]({file})

10 000 neurons with 100 synapses each, 10 Hz and one delay, changed in one respect at a time.
Neurons are driven by a constant current, from phases spread evenly; delays are uniform from one
step on."""


def write(text: str) -> None:
    """Put `text` between the markers of the page."""
    held = PAGE.read_text()
    before, _, rest = held.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest or END not in held:
        raise SystemExit(f"{PAGE.name} lacks the lines {BEGIN} and {END}")
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


if __name__ == "__main__":
    sys.exit(main())
