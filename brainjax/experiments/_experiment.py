"""An experiment: a config, read and checked."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax

from ..core import explain, near_miss
from ..network import BuiltNetwork, Memory, Network, Population, build, memory_of, prepare
from ..simulate import Recorder, Trace, steps_of
from ._config import changed, read_config
from ._memory import check_room, in_bytes
from ._options import Registry, model_node
from ._registry import registry
from ._schema import REQUIRED, Choice, ConfigError, ListOf, Maybe, Named, Option, Scalar, Table

MEASURES = ("rate_hz", "cv_isi", "synchrony")

# What may change without making another experiment of it: published values still apply.
HARMLESS = ("name", "title", "source", "deviations", "seed", "precision", "impl", "record")


@dataclass(frozen=True)
class Experiment:
    """A network and how to run it. Made by `load`.

    **Arguments:**

    - `name`: of its config, without the ending.
    - `file`: the config.
    - `config`: the resolved config, plain data: every default filled in, every change made.
    - `seed`: of connections, initial state and the random numbers of the run.
    - `dt`: the step, ms.
    - `warmup`: simulated and discarded before the recording, ms.
    - `duration`: recorded, ms.
    - `precision`: `"float32"` or `"float64"`.
    - `impl`: of the ops, as of `brainjax.build`.
    - `network`: the description, scaled.
    - `record`: name to recorder, beside the spikes of all populations.
    - `own_models`: the full names of models of the user's own.
    - `expected`: population (or `"network"`, all neurons) to measure to what is published; empty
      where settings were changed that it depends on.
    - `as_published`: whether no such setting was changed.
    """

    name: str
    file: str
    config: Mapping[str, Any]
    seed: int
    dt: float
    warmup: float
    duration: float
    precision: str
    impl: str
    network: Network
    record: Mapping[str, Recorder]
    own_models: tuple[str, ...]
    expected: Mapping[str, Mapping[str, Any]]
    as_published: bool

    @property
    def key(self) -> jax.Array:
        """The JAX key of the seed: of the connections, and folded with 1 of the run."""
        return jax.random.key(self.seed)

    def numbers(self):
        """A context in which arrays have the precision of the experiment."""
        return jax.enable_x64(self.precision == "float64")

    def check(self) -> None:
        """Raise `ConfigError` for what can be known to fail before anything is drawn."""
        try:
            for what in ("warmup", "duration"):
                steps_of(getattr(self, what), self.dt, what)
            steps_of(self.warmup + self.duration, self.dt, "warmup + duration")
            if self.duration == 0:
                raise ValueError(explain("duration", got=0.0, expected="more than 0 ms"))
            check_room(self.memory, self.bytes_recorded())
            with self.numbers():
                prepare(self.network, self.dt)
                for name, recorder in self.record.items():
                    _check_recorder(name, recorder, self.network, self.dt)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{self.file}: {error}") from error

    @functools.cached_property
    def memory(self) -> Memory:
        """What it will take to build and run the network, estimated."""
        with self.numbers():
            return memory_of(self.network, self.dt)

    def bytes_recorded(self) -> float:
        """What traces will take, which grow with every step."""
        steps = self.duration / self.dt
        width = 8 if self.precision == "float64" else 4
        numbers = 0
        for recorder in self.record.values():
            if isinstance(recorder, Trace):
                population = self.network.populations.get(recorder.population)
                everyone = population.size if population else 0
                numbers += everyone if recorder.neurons is None else len(recorder.neurons)
        return steps * numbers * width

    def summary(self) -> str:
        """The network as a table, and what it will take."""
        memory = self.memory
        neurons = sum(p.size for p in self.network.populations.values())
        return (
            f"{self.network.summary()}\n\n{neurons} neurons, about {memory.synapses:.3g} synapses; "
            f"needs about {in_bytes(max(memory.bytes_peak_of_build, 1e6))}"
        )

    def build(self) -> BuiltNetwork:
        """The built network."""
        with self.numbers():
            return build(self.network, dt=self.dt, key=self.key, impl=self.impl)


def load(
    config: str | Path,
    changes: Mapping[str, Any] | None = None,
    *,
    models: Sequence[Any] = (),
) -> Experiment:
    """Read a config.

    **Arguments:**

    - `config`: a TOML file, or the name of a config that comes with BrainJAX, as `"coba"`.
    - `changes`: path of a key to its new value, as `{"network.projections.inh.weight": 70.0}`.
    - `models`: models of your own that the config names: classes of neurons, receptors, stimuli,
      rules, distributions, and functions that return a `Network`. Nothing is ever imported or
      evaluated from a config.

    **Returns:**

    An `Experiment`.

    **Raises:**

    `ConfigError` (a `ValueError`) that says where in the config, what, and how to mend it.

    !!! example

        ```python
        experiment = bj.experiments.load("coba", {"seed": 3, "duration": 200.0})
        ```
    """
    known = registry(models)
    table = config_table(known)
    file, tree = read_config(config)
    try:
        published = table.resolve(tree, "")
        resolved = table.resolve(changed(tree, changes or {}, lambda t: table.resolve(t, "")), "")
        untouched = all(resolved[k] == v for k, v in published.items() if k not in HARMLESS)
        if not untouched:
            resolved["expected"] = {}
        resolved["name"] = resolved["name"] or file.stem
        names = tuple(f"{m.__module__}.{m.__qualname__}" for m in models)
        return _experiment(file, resolved, table, names, untouched)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error


class _Described(NamedTuple):
    """What a recorder asks of a network, known before it is built."""

    populations: Mapping[str, Population]
    names: tuple[str, ...]
    dt: float

    def size_of(self, population: str) -> int:
        return self.populations[population].size


def _check_recorder(name: str, recorder: Recorder, network: Network, dt: float) -> None:
    described: Any = _Described(network.populations, tuple(network.populations), dt)
    try:
        recorder.check(described)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"record.{name}: {error}") from error


def _experiment(
    file: Path, config: dict[str, Any], table: Table, own_models: tuple[str, ...], untouched: bool
) -> Experiment:
    with jax.enable_x64(config["precision"] == "float64"):
        made = table.make(config, "")
        try:
            network = made["scaling"](made["network"], made["scale"])
        except (ValueError, TypeError) as error:
            raise ConfigError(f"scale = {made['scale']:g}: {error}") from error
    for population in made["expected"]:
        if population not in ("network", *network.populations):
            mend = near_miss(population, ("network", *network.populations))
            what = "a population, or 'network'"
            raise ConfigError(explain("expected", got=population, expected=what, mend=mend))
    settings = {k: made[k] for k in ("seed", "dt", "warmup", "duration", "precision", "impl")}
    return Experiment(
        name=config["name"],
        file=str(file),
        config=config,
        network=network,
        record=made["record"],
        own_models=own_models,
        expected=made["expected"],
        as_published=untouched,
        **settings,
    )


def config_table(known: Registry) -> Table:
    """What a config holds."""
    number = Scalar(float, 0.0)
    band = Maybe(ListOf(Scalar(float)))
    measure = Table(
        {
            "published": Option(Maybe(Scalar(float)), None, doc="the value in the literature"),
            "mean": Option(band, None, doc="low and high of the mean over seeds"),
            "one": Option(band, None, doc="low and high of one seed"),
        },
        name="an expectation",
    )
    measures = Table({name: Option(Maybe(measure), None) for name in MEASURES}, name="measures")
    return Table(
        {
            "name": Option(Scalar(str), "", doc="of run folders; by default that of the file"),
            "title": Option(Scalar(str), "", doc="in a few words"),
            "source": Option(Scalar(str), "", doc="the paper"),
            "deviations": Option(Scalar(str), "", doc="from the paper"),
            "seed": Option(Scalar(int, 0, 2**32 - 1), 0, doc="of all random numbers"),
            "dt": Option(number, 0.1, "ms", "the step"),
            "warmup": Option(number, 0.0, "ms", "simulated first, and discarded"),
            "duration": Option(number, REQUIRED, "ms", "recorded, after the warm-up"),
            "precision": Option(Choice(("float32", "float64")), "float32"),
            "impl": Option(Choice(("auto", "jax", "native")), "auto", doc="of the ops"),
            "scale": Option(number, 1.0, doc="of the number of neurons"),
            "scaling": Option(model_node(known, "scaling"), {"type": "resized"}),
            "network": Option(model_node(known, "network", default="declared")),
            "record": Option(Named(model_node(known, "recorder")), {}, doc="beside the spikes"),
            "expected": Option(Named(measures), {}, doc="what must come out, by population"),
        },
        name="a config",
    )
