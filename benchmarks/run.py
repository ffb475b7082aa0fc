"""Times the library on the COBA network against what is written by hand, and against Brian2.

python benchmarks/run.py                     prints the tables
python benchmarks/run.py --brian2 PYTHON     with Brian2, from an interpreter that has it
python benchmarks/run.py --write             also writes them into docs/benchmarks.md
python benchmarks/run.py --quick             some milliseconds of the network: does it all run?
"""

import argparse
import contextlib
import shlex
import statistics
import sys
from pathlib import Path

import timing

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- begin: benchmarks/run.py -->", "<!-- end: benchmarks/run.py -->"
LOW, HIGH = 17.0, 26.0  # Hz, what seeds spread over in a second
AGAINST = {
    "simulate": "hand-written",
    "simulate, spikes": "hand-written, spikes",
    "rollout": "hand-written",
    "Brian2": "simulate",
}
TARGET = 1.10


def main(argv: list[str] | None = None) -> int:
    """Run what the command line asks for; 1 if the rates do not agree."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[4000, 40_000], help="neurons")
    parser.add_argument("--ms", type=float, default=1000.0, help="simulated time")
    parser.add_argument("--rounds", type=int, default=7, help="times each contender runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--brian2", metavar="PYTHON", help="an interpreter that has Brian2")
    parser.add_argument("--core", type=int, help="core to run on; the last one by default")
    parser.add_argument("--quick", action="store_true", help="4000 neurons, 20 ms, 2 rounds")
    parser.add_argument("--write", action="store_true", help=f"write docs/{PAGE.name}")
    args = parser.parse_args(argv)
    if args.quick:
        args.sizes, args.ms, args.rounds = [4000], 20.0, 2
    threads = timing.pin(args.core)

    parts, agree = [], True
    for size in args.sizes:
        table, agrees = measure(size, args)
        print(table + "\n", flush=True)
        parts.append(table)
        agree = agree and agrees
    about = describe(threads, args)
    print(about)
    if not agree:
        print("The rates do not agree: these times compare different networks.", file=sys.stderr)
        return 1
    if args.write:
        write("\n\n".join([*parts, about]))
    return 0


def measure(size: int, args) -> tuple[str, bool]:
    """The table of one network size, and whether the rates agree."""
    from coba import IN_DEGREE, Brian2, contenders

    made = contenders(size, args.ms, args.seed)
    with contextlib.ExitStack() as stack:
        runs = {n: c.run for n, c in made.items()}
        if args.brian2:
            brian2 = stack.enter_context(Brian2(args.brian2, size, args.ms))
            runs["Brian2"] = brian2.run
            brian2.run()  # all others have run once, too
        taken = timing.interleave(runs, args.rounds)
        if args.brian2:
            made["Brian2"] = brian2.contender()
    head = "contender|rate / Hz|build / s|compile / s|min / s|median / s|real time|ratio|against"
    rows = [tuple(head.split("|"))]
    for name, contender in made.items():
        rows.append(
            (
                name,
                f"{contender.rate:.1f}",
                f"{contender.build_s:.2f}",
                f"{contender.compile_s:.2f}",
                f"{min(taken[name]):.3g}",
                f"{statistics.median(taken[name]):.3g}",
                f"{min(taken[name]) / (args.ms / 1000):.3g}",
                *_ratio(name, taken),
            )
        )
    rates = [c.rate for c in made.values()]
    full = args.ms >= 1000
    agree = all(LOW <= r <= HIGH for r in rates) if full else max(rates) < 1.5 * min(rates)
    title = f"### COBA, {size} neurons, {IN_DEGREE} synapses a neuron, {args.ms:g} ms"
    judged = verdict(taken) if full else "Too short a run to judge times by."
    return f"{title}\n\n{timing.markdown(rows)}\n\n{judged}", agree


def _ratio(name: str, taken) -> tuple[str, str]:
    if name not in AGAINST:
        return "", ""
    of_minima, of_rounds = timing.ratio(taken[name], taken[AGAINST[name]])
    return f"{of_minima:.2f} ({of_rounds:.2f})", AGAINST[name]


def verdict(taken) -> str:
    """Where the library keeps to its target and where it does not, as a sentence."""
    missed = []
    for name in ("simulate", "simulate, spikes", "rollout"):
        of_minima, _ = timing.ratio(taken[name], taken[AGAINST[name]])
        if of_minima > TARGET:
            missed.append(f"`{name}` ({of_minima:.2f})")
    if not missed:
        return f"No form of the library takes more than {TARGET:.2f} of the hand-written time."
    return f"Above the target of {TARGET:.2f} of the hand-written time: {', '.join(missed)}."


def describe(threads: str, args) -> str:
    """What the figures were made with, and how to make them again."""
    import jax

    import brainjax as bj

    info = bj.info()
    options = ["--sizes", *map(str, args.sizes), "--ms", f"{args.ms:g}"]
    options += ["--rounds", str(args.rounds), "--seed", str(args.seed)]
    options += ["--brian2", "PYTHON"] if args.brian2 else []
    command = shlex.join(["python", "benchmarks/run.py", *options])
    return (
        f"Made by `{command}` on {timing.machine()}, {threads}; jax {jax.__version__}, "
        f"float32, ops: {info['ops']}."
    )


def write(text: str) -> None:
    """Put `text` between the markers of the page."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest or END not in page:
        raise SystemExit(f"{PAGE.name} lacks the lines {BEGIN} and {END}")
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


if __name__ == "__main__":
    sys.exit(main())
