"""Where the time of a step goes: the parts of COBA's step, each alone in a compiled loop.

    python benchmarks/profile_step.py

Delivery and recording are fed the spikes of a simulation, so that they touch the synapses a run
touches; what it costs to read these spikes is timed by itself and taken off. Neurons get arrivals
that keep their conductances where they are. Alone, a part has the caches to itself.
"""

import argparse
import functools

import timing

FED_SPIKES = ("deliver (history)", "deliver (ring)", "record spikes")


def main(argv: list[str] | None = None) -> None:
    """Print a table with a column for each size asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[4000, 40_000], help="neurons")
    parser.add_argument("--steps", type=int, default=2000, help="steps a round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--core", type=int, help="core to run on; the last one by default")
    args = parser.parse_args(argv)
    threads = timing.pin(args.core)
    columns = [profile(size, args.steps, args.rounds) for size in args.sizes]
    rows = [("µs a step", *(f"{size} neurons" for size in args.sizes))]
    rows += [(name, *(f"{column[name]:.2f}" for column in columns)) for name in columns[0]]
    print(timing.markdown(rows))
    print(f"\nFastest of {args.rounds} rounds of {args.steps} steps.")
    print(f"{timing.machine()}, {threads}.")


def profile(size: int, steps: int, rounds: int) -> dict[str, float]:
    """Microseconds a step takes, by part."""
    import jax
    from step_parts import parts

    import brainjax as bj

    built = bj.experiments.load("coba", {"scale": size / 4000}).build()
    state = bj.simulate(built, 100.0, key=jax.random.key(1)).state
    record = {n: bj.Spikes(n) for n in built.names}
    whole = functools.partial(bj.simulate, built, steps * built.dt, state=state)
    runs = parts(built, state, steps) | {
        "whole step": whole,
        "whole step, spikes recorded": functools.partial(whole, record=record),
    }
    for run in runs.values():
        run()  # compiles
    taken = timing.interleave(
        {n: functools.partial(timing.seconds, f) for n, f in runs.items()}, rounds
    )
    us = {name: min(times) / steps * 1e6 for name, times in taken.items()}
    reading = us.pop("reading spikes")
    us |= {name: us[name] - reading for name in FED_SPIKES}
    us["whole less history and neurons"] = (
        us["whole step"] - us["deliver (history)"] - us["neurons"]
    )
    return us


if __name__ == "__main__":
    main()
