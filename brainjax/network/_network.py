"""A network as its author describes it: populations, projections, stimuli. Nothing is drawn yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ..connect import Convolution, Distribution, Rule
from ..core import explain, is_traced, near_miss
from ..stimuli import Source, Stimulus, check_target
from ._population import Population
from ._trainable_delay import TrainableDelay


@dataclass(frozen=True)
class Projection:
    """Synapses from one population to a receptor of another.

    **Arguments:**

    - `source`: the name of a population.
    - `target`: `"population.receptor"`.
    - `rule`: who is connected to whom, as `bj.FixedProbability(0.02)`.
    - `weight`: a number for all synapses, a distribution, or one number per synapse in canonical
      order (by pre, then post), or the kernel of a `Convolution`; in the receptor's unit: pA, nS,
      or mV.
    - `delay`: likewise, in ms, or a `TrainableDelay`. A number must be a multiple of dt, and at
      least dt: anything else is refused. Drawn delays are rounded to the nearest multiple; one
      below dt is refused.
    - `name`: how weights and records call it; `"source->target"` if not given.
    - `procedural`: whether synapses are made anew for every spike and not stored: memory is in
      proportion to neurons, and a spike costs some nanoseconds more a synapse. Weight and delay
      are a number or a distribution each. Drawn delays take 8 bytes for each that a source has
      (12 from 2^31 synapses on), and are refused if one could be below dt, drawn or not. The
      matrix is another one than the same rule stores, with the same distribution. A weight that is
      drawn is a factor of each synapse, times the weight of the built projection, 1.
    """

    source: str
    target: str
    rule: Rule
    weight: Any
    delay: Any
    name: str = ""
    procedural: bool = False

    def __post_init__(self):
        for what in ("source", "target"):
            if not isinstance(getattr(self, what), str):
                raise TypeError(
                    explain(f"Projection: {what}", got=getattr(self, what), expected="a name")
                )
        if not isinstance(self.rule, Rule):
            raise TypeError(
                explain(
                    "Projection: rule",
                    got=self.rule,
                    expected="a connection rule",
                    mend="For example bj.FixedProbability(0.02).",
                )
            )
        if not self.name:
            object.__setattr__(self, "name", f"{self.source}->{self.target}")
        kernel = isinstance(self.rule, Convolution)
        _check_numbers(f"Projection '{self.name}': weight", self.weight, 4 if kernel else 1)
        _check_numbers(f"Projection '{self.name}': delay", self.delay, 1)

    @property
    def target_population(self) -> str:
        """The population that the synapses end on."""
        return self.target.partition(".")[0]

    @property
    def receptor(self) -> str:
        """The receptor that they end in."""
        return self.target.partition(".")[2]


def _check_numbers(what: str, value: Any, most_axes: int) -> None:
    if isinstance(value, Distribution | TrainableDelay) or is_traced(value):
        return
    if isinstance(value, (bool, str)) or value is None:
        raise TypeError(explain(what, got=value, expected="a number, an array or a distribution"))
    numbers = np.asarray(value, np.float64)
    if numbers.ndim > most_axes or not np.all(np.isfinite(numbers)):
        got = (
            f"shape {numbers.shape}"
            if numbers.ndim > most_axes
            else numbers[~np.isfinite(numbers)].ravel()[0]
        )
        raise ValueError(explain(what, got=got, expected="finite: one number, or one per synapse"))


@dataclass(frozen=True)
class Network:
    """Populations, the projections between them, and the stimuli that drive them.

    A description: `brainjax.build` draws its connections and makes what can be run.

    **Arguments:**

    - `populations`: name to `Population`. Their order numbers the neurons of the network.
    - `projections`: in the order in which the network lists their weights.
    - `stimuli`: input to populations and receptors.

    **Raises:**

    `ValueError` or `TypeError` for a name that is not there, a receptor that a population lacks,
    and two projections of one name.
    """

    populations: Mapping[str, Population]
    projections: Sequence[Projection] = ()
    stimuli: Sequence[Stimulus] = ()

    def __post_init__(self):
        if not isinstance(self.populations, Mapping):
            raise TypeError(
                explain(
                    "Network: populations",
                    got=self.populations,
                    expected="a mapping from names to populations",
                    mend="For example {'exc': bj.Population(100, bj.LIF())}.",
                )
            )
        for name, population in self.populations.items():
            if not isinstance(name, str) or not name or "." in name:
                raise ValueError(
                    explain("Network: population name", got=name, expected="a name without dots")
                )
            if not isinstance(population, Population):
                raise TypeError(
                    explain(
                        f"Network: populations[{name!r}]", got=population, expected="a Population"
                    )
                )
        names = set()
        for projection in self.projections:
            if not isinstance(projection, Projection):
                raise TypeError(
                    explain("Network: projections", got=projection, expected="Projections")
                )
            where = f"Projection '{projection.name}'"
            self.check_population(projection.source, f"{where}: source")
            self.check_receptor(projection.target, f"{where}: target")
            if projection.name in names:
                raise ValueError(
                    explain(
                        "Network: two projections of one name",
                        got=projection.name,
                        expected="different names",
                        mend="Give one a name=.",
                    )
                )
            names.add(projection.name)
        receptors = {n: tuple(p.receptors) for n, p in self.populations.items()}
        for stimulus in self.stimuli:
            if not isinstance(stimulus, Stimulus):
                raise TypeError(
                    explain(
                        "Network: stimuli", got=stimulus, expected="stimuli, as bj.PoissonInput"
                    )
                )
            what = f"{type(stimulus).__name__}: target"
            name = stimulus.target.partition(".")[0]
            self.check_population(name, what)
            check_target(stimulus, receptors)
            if "." in stimulus.target:
                self.check_receptor(stimulus.target, what)
            check_stimulus(stimulus, self.populations[name])

    def check_population(self, name: str, what: str) -> None:
        """Raise `ValueError` unless a population is called `name`."""
        if name not in self.populations:
            raise ValueError(
                explain(
                    what,
                    got=name,
                    expected="a population of the network",
                    mend=near_miss(name, self.populations),
                )
            )

    def check_receptor(self, target: str, what: str) -> None:
        """Raise `ValueError` unless `target` is a population and one of its receptors."""
        population, _, receptor = target.partition(".")
        self.check_population(population, what)
        known = self.populations[population].receptors
        if receptor not in known:
            mend = near_miss(receptor, known)
            if not receptor and known:
                mend = f"Write '{population}.{next(iter(known))}'. {mend}"
            if not known:
                mend = f"'{population}' has none: Population(..., receptors={{...}})."
            expected = f"'{population}.' and a receptor of it"
            raise ValueError(explain(what, got=target, expected=expected, mend=mend))

    def summary(self) -> str:
        """A table of populations and projections, as text."""
        rows = [("population", "size", "neuron", "receptors")]
        for name, p in self.populations.items():
            receptors = ", ".join(f"{n}: {type(r).__name__}" for n, r in p.receptors.items())
            rows.append((name, str(p.size), type(p.neuron).__name__, receptors or "-"))
        text = table(rows)
        if self.projections:
            rows = [("projection", "rule", "weight", "delay / ms")]
            for p in self.projections:
                rows.append((p.name, repr(p.rule), _short(p.weight), _short(p.delay)))
            text += "\n\n" + table(rows)
        for stimulus in self.stimuli:
            text += f"\n\nstimulus {type(stimulus).__name__} into {stimulus.target}"
        return text


def check_stimulus(stimulus: Stimulus, population: Population) -> None:
    """Raise `ValueError` unless `population` can take in the stimulus, and lengths agree."""
    what = f"{type(stimulus).__name__}('{stimulus.target}')"
    if isinstance(population.neuron, Source):
        got = type(population.neuron).__name__
        expected = "a population of neurons: a source takes no input"
        raise ValueError(explain(what, got=got, expected=expected))
    num_targets = getattr(stimulus, "num_targets", None)
    if num_targets is not None and num_targets > population.size:
        name = stimulus.target.partition(".")[0]
        raise ValueError(
            explain(
                f"{what}: num_targets",
                got=num_targets,
                expected=f"at most {population.size}, the size of '{name}'",
            )
        )
    for path, leaf in jax.tree_util.tree_leaves_with_path(stimulus):
        shape = np.shape(leaf)
        if stimulus.elementwise and shape not in ((), (population.size,)):
            raise ValueError(
                explain(
                    f"{what}: {jax.tree_util.keystr(path).removeprefix('.')}",
                    got=f"shape {shape}",
                    expected=f"() or ({population.size},), one per neuron",
                )
            )


def _short(value: Any) -> str:
    if isinstance(value, Distribution):
        return repr(value)
    if is_traced(value):
        return "traced"
    numbers = np.asarray(value)
    return f"{float(numbers):g}" if numbers.ndim == 0 else f"{numbers.size} values"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned columns, the first row the heading."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])
