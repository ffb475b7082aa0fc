"""A network that a config declares in full: populations, projections, stimuli."""

from collections.abc import Sequence
from typing import Any

from ..network import Network, Population, Projection
from ..stimuli import Stimulus
from ._options import Entry, Registry, model_node, value_node
from ._schema import ListOf, Maybe, Model, Named, OneOf, Option, Scalar, Table

_NAMES = OneOf(Scalar(str), ListOf(Scalar(str)))


def network(*, populations, projections, stimuli) -> Network:
    """A network declared by the config itself.

    `[network.populations.NAME]` holds `size`, `neuron`, `receptors`, `initial`;
    `[network.projections.NAME]` holds `source`, `target`, `rule`, `weight`, `delay`;
    `[network.stimuli.NAME]` a stimulus. A `target` may be a list: one projection or stimulus each.
    """
    return Network(
        populations,
        [one for several in projections.values() for one in several],
        [one for several in stimuli.values() for one in several],
    )


def declared(known: Registry) -> Entry:
    """The entry of networks that are declared in full from the models of a registry."""
    population = Table(
        {
            "size": Option(Scalar(int), doc="number of neurons"),
            "neuron": Option(model_node(known, "neuron", "source"), doc="the model"),
            "receptors": Option(Named(model_node(known, "receptor")), {}, doc="by name"),
            "initial": Option(Named(value_node(known)), {}, doc="of fields of the state"),
        },
        Population,
        "a population",
    )
    projection = Table(
        {
            "source": Option(Scalar(str), doc="a population"),
            "target": Option(_NAMES, doc='"population.receptor", or a list of them'),
            "rule": Option(model_node(known, "rule"), doc="who is connected to whom"),
            "weight": Option(value_node(known), unit="the receptor's unit", doc="of a synapse"),
            "delay": Option(value_node(known), unit="ms", doc="of a synapse"),
            "name": Option(Maybe(Scalar(str)), None, doc='by default "source->target"'),
            "procedural": Option(Scalar(bool), False, doc="synapses made anew, not stored"),
        },
        _projections,
        "a projection",
    )
    stimuli = {name: _aimed(entry.table) for name, entry in known["stimulus"].items()}
    options = {
        "populations": Option(Named(population), doc="by name, in order"),
        "projections": Option(Named(projection), {}, doc="by name, in order"),
        "stimuli": Option(Named(Model("a stimulus", stimuli)), {}, doc="by name, in order"),
    }
    return Entry("network", network, Table(options, network, "a network"))


def _names(target: str | Sequence[str]) -> Sequence[str]:
    return [target] if isinstance(target, str) else target


def _projections(source, target, rule, weight, delay, name, procedural) -> list[Projection]:
    names = _names(target)
    if name and len(names) > 1:
        raise ValueError("name: a projection of several targets gives each its own name; leave it.")
    return [Projection(source, t, rule, weight, delay, name or "", procedural) for t in names]


def _aimed(table: Table) -> Table:
    """The table of a stimulus whose target may be a list: it makes one for each."""
    make = table.build

    def each(target, **options: Any) -> list[Stimulus]:
        return [make(target=t, **options) for t in _names(target)]

    target = Option(_NAMES, doc="a population, or one of its receptors, or a list")
    return Table({**table.options, "target": target}, each, table.name)
