"""The cortical microcircuit in NEST, as the oracle of the tests has it; all spikes recorded."""

import sys
import time
from pathlib import Path

import nest

sys.path.append(str(Path(__file__).parents[2] / "tests" / "oracles"))
import nest_microcircuit as oracle


def simulate(scale: float, drive: str, threads: int, warmup: float, ms: float):
    """Each round goes on where the last ended; the first begins after `warmup` ms."""
    nest.verbosity = nest.VerbosityLevel.ERROR
    start = time.perf_counter()
    populations = oracle.create(1, scale=scale, drive=drive, threads=threads)
    recorders = oracle.record(populations)
    nest.Simulate(0.1)  # NEST sorts its synapses in the first step
    build_s = time.perf_counter() - start
    nest.Simulate(warmup)
    sizes = {name: len(p) for name, p in populations.items()}

    def run():
        before, start = oracle.counts(recorders), time.perf_counter()
        nest.Simulate(ms)
        taken = time.perf_counter() - start
        spikes = {n: c - before[n] for n, c in oracle.counts(recorders).items()}
        rates = {n: 1000 * spikes[n] / sizes[n] / ms for n in sizes}
        rates["network"] = 1000 * sum(spikes.values()) / sum(sizes.values()) / ms
        return {"seconds": taken, "rates": rates}

    return {"version": f"NEST {nest.__version__}", "build_s": build_s}, run
