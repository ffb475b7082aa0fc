"""The COBA network of Vogels and Abbott, one second: `python -m brainjax.experiments.coba`.

Prints which implementation of the ops runs, a progress bar, and a table of what came out beside
what must; leaves figures in a run folder. Exit codes: 0 done, 1 a failed run, 2 misuse, 130
interrupted (what was recorded until then is still shown).
"""

import argparse
import datetime
import pathlib
import sys
from collections.abc import Sequence

import jax

from .. import analysis, plot
from ..models import coba
from ..network import build
from ..ops import info
from ..simulate import Interrupted, NonFiniteState, Spikes, SpikeTrains, Trace, simulate

# Of one seed over 200 to 1200 ms, for 4000 neurons: Brian2 and BrainPy agree with the rates.
EXPECTED = {"rate": (17.0, 26.0), "cv": (1.2, 1.8)}


def arguments_of(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command."""
    parser = argparse.ArgumentParser(prog="brainjax.experiments.coba", description=__doc__)
    parser.add_argument("--size", type=int, default=4000, help="neurons (default 4000)")
    parser.add_argument("--duration", type=float, default=1000.0, help="after warm-up, ms")
    parser.add_argument("--warmup", type=float, default=200.0, help="left out of the table, ms")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, help="run folder (default runs/coba-TIME)")
    options = parser.parse_args(argv)
    if options.size < 100:
        parser.error(f"--size: got {options.size}, expected at least 100")
    if options.duration <= 0 or options.warmup < 0:
        parser.error("--duration and --warmup: expected positive times in ms")
    if (
        options.out
        and options.out.exists()
        and (not options.out.is_dir() or any(options.out.iterdir()))
    ):
        parser.error(f"--out: {options.out} exists and is not an empty folder")
    return options


def report(trains: dict[str, SpikeTrains], start: float) -> str:
    """A table of rate, irregularity and synchrony of each population, expected values beside."""
    lines = [f"{'population':12}{'rate / Hz':>12}{'CV of ISI':>12}{'synchrony':>12}"]
    for name, spikes in trains.items():
        rate = analysis.rate(spikes, start=start)
        cv = analysis.cv_isi(spikes, start=start)
        synchrony = analysis.synchrony(spikes, start=start)
        lines.append(f"{name:12}{rate:12.2f}{cv:12.2f}{synchrony:12.2f}")
    low, high = EXPECTED["rate"]
    low_cv, high_cv = EXPECTED["cv"]
    bands = f"{low:g}..{high:g}", f"{low_cv:g}..{high_cv:g}"
    lines.append(f"{'expected':12}{bands[0]:>12}{bands[1]:>12}{'-':>12}")
    lines.append("expected: of one seed, 4000 neurons, 200 to 1200 ms")
    lines.append("synchrony: variance over mean of the spike count in 3 ms bins; 1 if independent")
    return "\n".join(lines)


def draw(trains, trace, start: float, folder: pathlib.Path) -> list[pathlib.Path]:
    """Write the figures; their paths."""
    shown = (trace.time > start) & (trace.time <= start + 400.0)
    figures = {
        "raster.png": plot.raster(trains, start=start),
        "voltage.png": plot.trace(trace.time[shown], trace.value[shown], threshold=-50.0),
        "rates.png": plot.rates(trains, start=start),
        "isi.png": plot.isis(trains, start=start),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(folder / name)
    return [folder / name for name in figures]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the experiment; the exit code is returned."""
    options = arguments_of(argv)
    about = info()
    print(f"BrainJAX {about['version']}, ops: {about['ops']}, on {about['devices']}", end=" ")
    print(f"(jax {about['jax']})")
    network = coba(size=options.size)
    key = jax.random.key(options.seed)
    built = build(network, dt=0.1, key=key)
    print(built.summary(), flush=True)
    record = {"exc": Spikes("exc"), "inh": Spikes("inh"), "v": Trace("exc", "v", neurons=range(3))}
    code = 0
    try:
        result = simulate(
            built,
            options.warmup + options.duration,
            key=jax.random.fold_in(key, 1),
            record=record,
            progress=True,
        )
    except (Interrupted, NonFiniteState) as error:
        print(error, file=sys.stderr)
        result = error.result
        code = 130 if isinstance(error, Interrupted) else 1
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    stats = result.stats
    if stats.duration <= options.warmup:
        print("nothing was recorded after the warm-up", file=sys.stderr)
        return code or 1
    trains = {name: result.records[name] for name in ("exc", "inh")}
    print(f"{stats.duration:g} ms in {stats.run_s:.3f} s: {stats.real_time_factor:.3f} x real time")
    print(f"(compiling took {stats.compile_s:.2f} s more)\n")
    print(report(trains, options.warmup))
    now = datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    folder = options.out or pathlib.Path("runs") / f"coba-{now}"
    for path in draw(trains, result.records["v"], options.warmup, folder):
        print(f"wrote {path}")
    return code


if __name__ == "__main__":
    sys.exit(main())
