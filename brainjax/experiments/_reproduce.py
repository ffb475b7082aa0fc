"""Published networks over several seeds, beside what is published."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from .. import analysis
from ._experiment import Experiment, load
from ._run import run
from ._summary import inside, number, summary_of


class Finding(NamedTuple):
    """A measure of a population over seeds."""

    config: str
    population: str  # "network": all neurons
    measure: str
    values: Sequence[float | None]  # one a seed
    published: float | None
    theory: float | None  # of the stationary state, where `brainjax.analysis.mean_field` has one
    mean_band: Sequence[float] | None
    one_band: Sequence[float] | None

    @property
    def mean(self) -> float | None:
        """The mean over the seeds that have a value."""
        values = [v for v in self.values if v is not None]
        return float(np.mean(values)) if values else None

    @property
    def agrees(self) -> bool | None:
        """Whether mean and single seeds lie where they must; `None` if nothing is said of it."""
        checks = [inside(self.mean, self.mean_band)] if self.mean_band else []
        checks += [inside(v, self.one_band) for v in self.values if self.one_band]
        return all(checks) if checks else None


def reproduce(
    configs: Iterable[str], *, seeds: int = 10, models: Sequence[Any] = (), progress: bool = False
) -> Iterator[Finding]:
    """Run configs with the seeds 0, 1, ..., and compare what they expect with what comes out.

    **Arguments:**

    - `configs`: files, or names of configs that come with BrainJAX.
    - `seeds`: how many.
    - `models`: as of `load`.
    - `progress`: whether to say on standard error what runs.

    **Returns:**

    Findings, one for each measure that a config expects something of, as each config is done.

    **Raises:**

    `ConfigError` for a config that cannot be read; whatever ends a run.
    """
    changes = [{"seed": seed, "record": {}} for seed in range(seeds)]
    sets = [[load(config, each, models=models) for each in changes] for config in configs]
    for experiments in sets:
        yield from _findings(experiments, progress)
        jax.clear_caches()


def _findings(experiments: Sequence[Experiment], progress: bool) -> Iterator[Finding]:
    summaries = []
    for ordinal, experiment in enumerate(experiments, 1):
        if progress:
            line = f"{experiment.name}: seed {ordinal} of {len(experiments)}"
            print(f"\r{line:60}", end="\r", file=sys.stderr, flush=True)
        outcome = run(experiment)
        if outcome.error is not None:
            raise outcome.error
        summaries.append(summary_of(outcome))
    theory = _theory(experiments[0])
    for population, measures in experiments[0].expected.items():
        for measure, expected in measures.items():
            if expected is not None:
                whole = population == "network"
                rows = [s["network"] if whole else s["populations"][population] for s in summaries]
                values = [row[measure] for row in rows]
                bands = expected["mean"], expected["one"]
                known = (
                    expected["published"],
                    theory.get(population) if measure == "rate_hz" else None,
                )
                yield Finding(experiments[0].name, population, measure, values, *known, *bands)


def _theory(experiment: Experiment) -> dict[str, float]:
    """Rates of the stationary state, Hz, where the theory holds for a network."""
    try:
        with experiment.numbers():
            rates = analysis.mean_field(experiment.network)
    except (ValueError, RuntimeError):
        return {}
    sizes = {name: experiment.network.populations[name].size for name in rates}
    whole = sum(rates[n] * sizes[n] for n in rates) / sum(sizes.values())
    return {**rates, "network": whole}


HEADING = (
    f"{'config':16} {'population':11}{'measure':10}{'mean':>8}{'sd':>8}{'least':>8}{'most':>8}"
    f"{'published':>11}{'theory':>8}  {'mean within':13} {'each within':13}"
)


def row(finding: Finding) -> str:
    """A finding as a line under `HEADING`."""
    values = [v for v in finding.values if v is not None]
    spread = [float(np.std(values, ddof=1)) if len(values) > 1 else None]
    spread += [min(values), max(values)] if values else [None, None]
    bands = [f"{b[0]:g}..{b[1]:g}" if b else "-" for b in (finding.mean_band, finding.one_band)]
    verdict = {True: "agrees", False: "OUTSIDE", None: ""}[finding.agrees]
    cells = "".join(f"{number(v):>8}" for v in (finding.mean, *spread))
    text = f"{finding.config:16} {finding.population:11}{finding.measure:10}{cells}"
    text += f"{number(finding.published):>11}{number(finding.theory):>8}"
    return f"{text}  {bands[0]:13} {bands[1]:13} {verdict}".rstrip()
