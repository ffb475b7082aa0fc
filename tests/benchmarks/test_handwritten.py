"""The hand-written network that the benchmarks measure against is the library's network."""

import importlib.util
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import brainjax as bj

FOLDER = Path(__file__).parents[2] / "benchmarks"
SIZE, MS, DT = 1000, 20.0, 0.1


def load(name: str):
    """A module of the benchmarks, which are no package."""
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where NamedTuple looks for its annotations
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def spikes():
    """(library, by hand): all spikes as (step, neuron), neurons numbered over the network."""
    built = bj.experiments.load("coba", {"scale": SIZE / 4000}).build()
    state = built.init_state(key=jax.random.key(1), history=True)
    record = {n: bj.Spikes(n) for n in ("exc", "inh")}
    trains = bj.simulate(built, MS, state=state, record=record).records
    library = [
        (round(time / DT) - 1, neuron + offset)
        for name, offset in (("exc", 0), ("inh", built.populations["exc"].size))
        for neuron, time in zip(trains[name].neuron, trains[name].time, strict=True)
    ]
    handwritten = load("handwritten")
    connections, start, layout = handwritten.by_hand(built, state)
    _, (neurons, length, totals) = handwritten.run(
        connections, start, layout=layout, num_steps=round(MS / DT), dt=DT, capacity=SIZE * 20
    )
    counts = np.diff(np.asarray(totals), prepend=0)
    steps = np.repeat(np.arange(len(counts)), counts)
    by_hand = zip(steps.tolist(), np.asarray(neurons)[: int(length)].tolist(), strict=True)
    return sorted(library), list(by_hand)


def test_first_spikes_are_the_same(spikes):
    """Rounding separates the two in the end; before, the same neurons spike in the same steps."""
    library, by_hand = spikes
    early = round(5 / DT)
    assert [s for s in library if s[0] < early] == [s for s in by_hand if s[0] < early]
    assert sum(s[0] < early for s in library) > SIZE / 20


def test_rates_agree(spikes):
    library, by_hand = spikes
    assert len(library) > SIZE / 5
    assert abs(len(library) - len(by_hand)) < 0.02 * len(library)
