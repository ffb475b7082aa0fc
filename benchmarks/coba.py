"""The contenders on the COBA network, each ready to be timed. Import it after pinning the core."""

import functools
import json
import os
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import handwritten
import jax
import jax.numpy as jnp
import numpy as np
from timing import seconds

import brainjax as bj

DT = 0.1
POPULATIONS = ("exc", "inh")


class Contender(NamedTuple):
    """Something that simulates the network."""

    build_s: float | None  # connections and layout
    compile_s: float
    rate: float | None  # Hz; None until it ran
    run: object  # () -> seconds of one simulation


def contenders(size: int, ms: float, seed: int) -> dict[str, Contender]:
    """The library and what is written by hand, from one drawing of connections and one state."""
    start = time.perf_counter()
    built = bj.build(
        bj.experiments.load("coba", {"scale": size / 4000}).network, dt=DT, key=jax.random.key(seed)
    )
    jax.block_until_ready(eqx.filter(built, eqx.is_array))
    build_s = time.perf_counter() - start
    key = jax.random.key(seed + 1)
    ring, history = (built.init_state(key=key, history=h) for h in (False, True))
    made = {
        "hand-written": _by_hand(built, history, ms, 0),
        "hand-written, spikes": _by_hand(built, history, ms, max(10 * size, int(size * ms / 5))),
        "simulate": _simulate(built, history, ms, {}),
        "simulate, spikes": _simulate(built, history, ms, {n: bj.Spikes(n) for n in POPULATIONS}),
        "rollout": _rollout(built, ring, ms),
    }
    # What records nothing spikes like its twin that does: to the bit.
    for quiet, twin in (("hand-written", "hand-written, spikes"), ("simulate", "simulate, spikes")):
        made[quiet] = made[quiet]._replace(rate=made[twin].rate)
    return {n: c._replace(build_s=build_s) for n, c in made.items()}


def _rate(num_spikes: float, built, ms: float) -> float:
    return float(num_spikes) / sum(p.size for p in built.populations.values()) / (ms / 1000)


def _by_hand(built, state, ms: float, capacity: int) -> Contender:
    connections, start, layout = handwritten.by_hand(built, state)
    options = {"layout": layout, "num_steps": round(ms / DT), "dt": DT, "capacity": capacity}

    def run():
        return jax.block_until_ready(handwritten.run(connections, start, **options))

    compile_s, (_, log) = _first(run)
    rate = _rate(log[1], built, ms) if capacity else None
    return Contender(None, compile_s, rate, functools.partial(seconds, run))


def _simulate(built, state, ms: float, record) -> Contender:
    def run():
        result = bj.simulate(built, ms, state=state, record=record)
        jax.block_until_ready(result.state)
        return result

    compile_s, result = _first(run)
    trains = result.records.values()
    rate = _rate(sum(len(r.time) for r in trains), built, ms) if record else None
    return Contender(None, compile_s, rate, functools.partial(seconds, run))


def _rollout(built, state, ms: float) -> Contender:
    num_steps = round(ms / DT)
    record = {n: bj.SpikeCount(n) for n in POPULATIONS}
    quiet = jax.jit(lambda b, s: bj.rollout(b, s, num_steps=num_steps)[0])
    counting = jax.jit(lambda b, s: bj.rollout(b, s, num_steps=num_steps, record=record)[1])
    rate = _rate(sum(jnp.sum(c) for c in counting(built, state).values()), built, ms)

    def run():
        return jax.block_until_ready(quiet(built, state))

    return Contender(None, _first(run)[0], rate, functools.partial(seconds, run))


def _first(run):
    """How much longer the first call takes than the second, and what the second returns."""
    first, begin = seconds(run), time.perf_counter()
    result = run()
    return first - (time.perf_counter() - begin), result


class Brian2:
    """Brian2 in its own interpreter; use as a context."""

    def __init__(self, python: str, size: int, ms: float):
        script = Path(__file__).with_name("coba_brian2.py")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        self.process = subprocess.Popen(
            [python, str(script), str(size), str(ms), "--in-degree", str(IN_DEGREE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.compiled = self._line()
        self.rates, self.builds = [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def _line(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"Brian2 ended with status {self.process.wait()}; see above")
        return json.loads(line)

    def run(self) -> float:
        """The seconds of one simulation with a new seed."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self._line()
        self.rates.append(line["rate"])
        self.builds.append(line["build_s"])
        return line["wall_s"]

    def contender(self) -> Contender:
        """What it is, after a run."""
        return Contender(
            min(self.builds), self.compiled["compile_s"], float(np.mean(self.rates)), self.run
        )
