"""What is said of a run: `summary.json`, and a table with the published values beside."""

import hashlib
import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import analysis
from ..simulate import SpikeTrains
from ._experiment import MEASURES
from ._run import Outcome

HEADINGS = {"rate_hz": "rate / Hz", "cv_isi": "CV of ISI", "synchrony": "synchrony"}


def summary_of(outcome: Outcome) -> dict[str, Any]:
    """The contents of `summary.json`: numbers, text and `None` (a measure without a value).

    **Arguments:**

    - `outcome`: of `run`.
    """
    experiment, times = outcome.experiment, outcome.times
    seconds = outcome.recorded / 1000
    trains = outcome.trains
    sizes = {name: p.size for name, p in experiment.network.populations.items()}
    spikes = {name: t.neuron.size for name, t in trains.items()}
    return {
        "name": experiment.name,
        "title": experiment.config["title"],
        "status": "done" if outcome.error is None else type(outcome.error).__name__.lower(),
        "seed": experiment.seed,
        "dt_ms": experiment.dt,
        "warmup_ms": experiment.warmup,
        "duration_ms": outcome.recorded,
        "build_s": times.build,
        "compile_s": times.compile,
        "warmup_s": times.warmup,
        "wall_s": times.run,
        "real_time_factor": times.run / seconds if seconds else None,
        "peak_rss_gb": peak_memory(),
        "num_neurons": sum(sizes.values()),
        "num_synapses": outcome.num_synapses,
        "num_spikes": sum(spikes.values()),
        "raster_sha256": raster_digest(trains, experiment.dt) if trains else None,
        "network": measures_of(_whole(trains) if trains else None),
        "populations": {
            name: {"size": size, **measures_of(trains.get(name))} for name, size in sizes.items()
        },
    }


def measures_of(spikes: SpikeTrains | None) -> dict[str, float | None]:
    """Rate, irregularity and synchrony; `None` where there are too few spikes, or bins, to tell."""
    if spikes is None:
        return dict.fromkeys(MEASURES)
    fits = spikes.t_stop - spikes.t_start >= 3.0
    values = {
        "rate_hz": analysis.rate(spikes),
        "cv_isi": analysis.cv_isi(spikes),
        "synchrony": analysis.synchrony(spikes) if fits else math.nan,
    }
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _whole(trains: Mapping[str, SpikeTrains]) -> SpikeTrains:
    """All populations as one."""
    each = list(trains.values())
    offsets = np.cumsum([0, *(t.size for t in each)])
    return SpikeTrains(
        np.concatenate([t.neuron + o for t, o in zip(each, offsets, strict=False)]),
        np.concatenate([t.time for t in each]),
        int(offsets[-1]),
        each[0].t_start,
        each[0].t_stop,
    )


def raster_digest(trains: Mapping[str, SpikeTrains], dt: float) -> str:
    """SHA-256 of all spikes, sorted by time, then population in order, then neuron.

    Each spike is three little-endian int64: its time in steps, its population, its neuron.
    """
    columns = [
        np.stack(
            [
                np.round(np.asarray(t.time) / dt).astype("<i8"),
                np.full(len(t.time), position, "<i8"),
                np.asarray(t.neuron).astype("<i8"),
            ]
        )
        for position, t in enumerate(trains.values())
    ]
    step, population, neuron = np.concatenate(columns, axis=1)
    order = np.lexsort((neuron, population, step))
    spikes = np.ascontiguousarray(np.stack([step, population, neuron], axis=1)[order])
    return hashlib.sha256(spikes.tobytes()).hexdigest()


def peak_memory() -> float | None:
    """The most memory this process has held, GB; `None` where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def report(outcome: Outcome, summary: Mapping[str, Any]) -> str:
    """What a person reads after a run: times, and a table of measures beside what is expected.

    **Arguments:**

    - `outcome`: of `run`.
    - `summary`: of `summary_of`.
    """
    times = outcome.times
    text = (
        f"built in {times.build:.2f} s, compiled in {times.compile:.2f} s; "
        f"{outcome.experiment.warmup:g} ms of warm-up in {times.warmup:.3f} s, discarded\n"
    )
    if not outcome.recorded:
        return text
    factor = summary["real_time_factor"]
    text += f"{outcome.recorded:g} ms in {times.run:.3f} s: {factor:.3f} x real time\n\n"
    return text + table_of(outcome, summary)


def table_of(outcome: Outcome, summary: Mapping[str, Any]) -> str:
    """Populations and their measures; what one seed is expected to give, and what is published."""
    expected = outcome.experiment.expected
    rows = {**summary["populations"]}
    if len(rows) > 1:
        rows["network"] = {"size": summary["num_neurons"], **summary["network"]}
    told = [m for m in MEASURES if any((e or {}).get(m) for e in expected.values())]
    heading = ["population", "size"]
    for measure in MEASURES:
        heading += [HEADINGS[measure], *(["expected", "published"] if measure in told else [])]
    lines = [heading]
    for name, row in rows.items():
        line = [name, str(row["size"])]
        for measure in MEASURES:
            line.append(number(row[measure]))
            if measure in told:
                line += _expected((expected.get(name) or {}).get(measure), row[measure])
        lines.append(line)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    text.append("")
    if told:
        text.append("expected: of one seed, as configured; (!) marks what is outside")
    if not outcome.experiment.as_published:
        text.append("settings differ from the config's: what it expects does not apply")
    text.append("synchrony: variance over mean of the spike count in 3 ms bins; 1 if independent")
    return "\n".join(text)


def _expected(expectation: Mapping[str, Any] | None, value: float | None) -> list[str]:
    band = (expectation or {}).get("one")
    published = number((expectation or {}).get("published"), "")
    if not band:
        return ["", published]
    return [f"{band[0]:g}..{band[1]:g}{'' if inside(value, band) else ' (!)'}", published]


def inside(value: float | None, band: Any) -> bool:
    """Whether a value lies between two others."""
    return value is not None and band[0] <= value <= band[1]


def number(value: float | None, none: str = "-") -> str:
    """A measure as text."""
    if value is None:
        return none
    return f"{value:.4g}" if value >= 10 else f"{value:.3g}" if value >= 0.01 else f"{value:.1g}"
