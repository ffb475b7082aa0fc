"""What the tests of the science share: every way to run a network, and spikes as whole steps."""

import functools

import equinox as eqx
import jax
import numpy as np

import brainjax as bj

DRIVERS = ("simulate", "rollout")


@functools.partial(eqx.filter_jit, donate="none")
def _rollout(built, state, inputs, num_steps, record):
    return bj.rollout(built, state, inputs, num_steps, record=record)


def run(built, num_steps, *, record, driver="simulate", inputs=None, state=None, seed=0):
    """The records of `num_steps` steps under one of the `DRIVERS`; spikes as `SpikeTrains`."""
    key = jax.random.key(seed)
    if driver == "simulate":
        duration = num_steps * built.dt
        start = {"key": key} if state is None else {"state": state}
        return bj.simulate(built, duration, record=record, inputs=inputs, **start).records
    state = built.init_state(key=key) if state is None else state
    records = _rollout(built, state, inputs, num_steps, record)[1]
    return {n: r.trains() if hasattr(r, "trains") else r for n, r in records.items()}


def trace(record) -> np.ndarray:
    """The values of a `TraceRecord`, float64, one row per step."""
    return np.asarray(record.value, np.float64)


def whole_steps(trains, dt) -> tuple[np.ndarray, np.ndarray]:
    """`(steps, neurons)` of `SpikeTrains`; every time must be a whole number of steps."""
    steps = np.round(np.asarray(trains.time) / dt).astype(np.int64)
    np.testing.assert_allclose(steps * dt, trains.time, rtol=1e-12)
    return steps - 1, np.asarray(trains.neuron).astype(np.int64)


def by_step(steps, neurons) -> tuple[np.ndarray, np.ndarray]:
    """Spikes sorted by step, then neuron."""
    order = np.lexsort((neurons, steps))
    return np.asarray(steps)[order], np.asarray(neurons)[order]


def assert_same_spikes(got, expected) -> None:
    """Both are `(steps, neurons)`, sorted; the first difference is named."""
    got, expected = (np.stack(a, axis=1).astype(np.int64) for a in (got, expected))
    both = min(len(got), len(expected))
    differs = np.flatnonzero((got[:both] != expected[:both]).any(axis=1))
    where = int(differs[0]) if differs.size else both
    assert not differs.size and len(got) == len(expected), (
        f"{len(got)} spikes, {len(expected)} expected; first difference at spike {where}: "
        f"{got[where : where + 1]} instead of {expected[where : where + 1]} (step, neuron)"
    )
