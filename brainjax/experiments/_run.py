"""Running an experiment: build, warm up, record."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from ..network import BuiltNetwork
from ..simulate import Interrupted, NonFiniteState, Result, Spikes, SpikeTrains, simulate
from ._experiment import Experiment
from ._schema import ConfigError

_SPIKES, _RECORDS = "spikes/", "records/"


class Times(NamedTuple):
    """Wall times of the parts of a run, s."""

    build: float = 0.0
    compile: float = 0.0
    warmup: float = 0.0
    run: float = 0.0  # of what was recorded


class Outcome(NamedTuple):
    """What came out of a run."""

    experiment: Experiment
    trains: Mapping[str, SpikeTrains]  # by population, after the warm-up
    records: Mapping[str, Any]  # by the names in the config, after the warm-up
    recorded: float  # ms, less than asked for if the run ended early
    num_synapses: int
    times: Times
    error: Interrupted | NonFiniteState | None  # what ended the run early


def run(experiment: Experiment, *, progress: bool = False) -> Outcome:
    """Build the network of an experiment, run it for the warm-up, then for the recording.

    **Arguments:**

    - `experiment`: made by `load`.
    - `progress`: whether to show bars on standard error.

    **Returns:**

    An `Outcome`. A run that was interrupted, or whose state became infinite, ends early: what was
    recorded until then is in it, and why in `error`.

    **Raises:**

    `ConfigError` for what does not fit, before anything is drawn; `RuntimeError` when a recorder
    overflows; `KeyboardInterrupt` (Ctrl-C) before the first step.
    """
    experiment.check()
    begin = time.perf_counter()
    try:
        built = experiment.build()
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{experiment.file}: {error}") from error
    times = Times(build=time.perf_counter() - begin)
    record = {
        **{_SPIKES + name: Spikes(name) for name in built.names},
        **{_RECORDS + name: recorder for name, recorder in experiment.record.items()},
    }
    start: dict[str, Any] = {"key": jax.random.fold_in(experiment.key, 1)}
    error = kept = None
    with experiment.numbers():
        if experiment.warmup:
            warm, error = _simulated(built, experiment.warmup, record, "warm-up", progress, start)
            times = times._replace(compile=warm.stats.compile_s, warmup=warm.stats.run_s)
            start = {"state": warm.state}
        if error is None:
            kept, error = _simulated(built, experiment.duration, record, "run", progress, start)
            compile_s = times.compile + kept.stats.compile_s
            times = times._replace(compile=compile_s, run=kept.stats.run_s)
    records = kept.records if kept else {}
    return Outcome(
        experiment,
        {k.removeprefix(_SPIKES): v for k, v in records.items() if k.startswith(_SPIKES)},
        {k.removeprefix(_RECORDS): v for k, v in records.items() if k.startswith(_RECORDS)},
        kept.stats.duration if kept else 0.0,
        sum(p.num_synapses for p in built.projections.values()),
        times,
        error,
    )


def _simulated(
    built: BuiltNetwork, duration: float, record: Any, name: str, progress: bool, start: Any
) -> tuple[Result, Interrupted | NonFiniteState | None]:
    """What came of a part of the run, and what ended it early."""
    bar = f"{name:8}" if progress else False
    try:
        return simulate(built, duration, record=record, progress=bar, **start), None
    except (Interrupted, NonFiniteState) as early:
        return early.result, early
