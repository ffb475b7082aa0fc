"""How long a step takes on this GPU: printed, for people. What is measured is checked elsewhere."""

import os
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gpu.networks import EMULATED, Random

import brainjax as bj
from brainjax import experiments

# Of the microcircuit, so that it can be tried out where there is little memory.
SCALE = float(os.environ.get("BRAINJAX_GPU_CHECK_SCALE", "0.01" if EMULATED else "1"))
NUM_STEPS = 5 if EMULATED else 2000

# Sizes of populations, synapses of a source in each, slots of delays, spikes a step and neuron.
WORK = {
    "4000 neurons, 640 synapses a step": ((3200, 800), 40, 1, 2e-3),
    "25 000 neurons, 1e4 synapses a step, 20 delays": ((20_000, 5000), 500, 20, 4e-4),
    "25 000 neurons, 1e5 synapses a step, 20 delays": ((20_000, 5000), 500, 20, 4e-3),
    "25 000 neurons, 1e5 synapses a step, 1 delay": ((20_000, 5000), 500, 1, 4e-3),
}


def best(f, *args, repeats=3):
    """Seconds, and what was computed; the first call compiles and does not count."""
    out = jax.block_until_ready(f(*args))
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(f(*args))
        times.append(time.perf_counter() - begin)
    return min(times), out


@pytest.mark.parametrize("form", ["ring", "history"])
@pytest.mark.parametrize("work", WORK if not EMULATED else list(WORK)[:1])
def test_delivery(work, form, capsys):
    """Microseconds a step, in a scan that stacks what is due and does nothing else."""
    made = Random(*WORK[work][:3], NUM_STEPS, WORK[work][3])

    @jax.jit
    def run(spikes, weights, fixed):
        pending, due = made.run(made.start(form), spikes, weights, fixed)
        return pending, jnp.sum(due)

    seconds, (_, total) = best(run, made.spikes, made.weights, made.fixed)
    assert np.isfinite(total) and total != 0
    with capsys.disabled():
        print(f"\n{1e6 * seconds / NUM_STEPS:9.1f} us a step: {work}; {form}")


def test_microcircuit(capsys):
    """Real time it takes, and the rates that come out."""
    experiment = experiments.load("pd14", {"scale": SCALE})
    begin = time.perf_counter()
    built = experiment.build()
    building = time.perf_counter() - begin
    record = {n: bj.SpikeCount(n) for n in built.populations}
    duration = 1.0 if EMULATED else 500.0
    warm = bj.simulate(built, duration, key=jax.random.key(0), record=record)
    begin = time.perf_counter()
    result = bj.simulate(built, duration, state=warm.state, record=record)
    jax.block_until_ready(result.state)
    seconds = time.perf_counter() - begin
    rates = {n: float(np.mean(np.asarray(x))) / duration * 1e3 for n, x in result.records.items()}
    if not EMULATED:
        assert 0.1 < rates["L23E"] < 5 and 4 < rates["L4I"] < 9  # 0.9 and 5.9 as published
    with capsys.disabled():
        print(f"\nmicrocircuit at scale {SCALE:g}: {1e3 * seconds / duration:.2f} times real time, "
              f"built in {building:.0f} s; spikes/s: "
              + ", ".join(f"{n} {r:.2f}" for n, r in rates.items()))  # fmt: skip
