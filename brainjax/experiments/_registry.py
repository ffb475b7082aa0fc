"""The registry: an explicit list of the models that a config may name."""

import functools
import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .. import connect, models, neurons, stimuli, synapses
from ..core import explain
from ..simulate import PopulationRate, SpikeCount, Spikes, Trace
from ._declared import declared
from ._options import KINDS, Entry, table_of

LIBRARY: dict[str, tuple[Any, ...]] = {
    "surrogate": (neurons.SuperSpike, neurons.ArcTan, neurons.Triangle, neurons.NoSurrogate),
    "distribution": (connect.Uniform, connect.Normal, connect.LogNormal),
    "neuron": (neurons.LIF,),
    "source": (stimuli.PoissonSource, stimuli.SpikeSource),
    "receptor": (
        synapses.Delta,
        synapses.ExponentialCurrent,
        synapses.AlphaCurrent,
        synapses.ExponentialConductance,
        synapses.AlphaConductance,
    ),
    "profile": (connect.GaussianProfile, connect.ExponentialProfile, connect.DiscProfile),
    "rule": (
        connect.OneToOne,
        connect.AllToAll,
        connect.FixedProbability,
        connect.FixedTotalNumber,
        connect.FixedInDegree,
        connect.FixedOutDegree,
        connect.DistanceDependent,
        connect.Convolution,
        connect.Explicit,
    ),
    "stimulus": (stimuli.DC, stimuli.StepCurrent, stimuli.PoissonInput),
    "recorder": (Trace, PopulationRate, SpikeCount, Spikes),
    "network": (models.microcircuit,),
    "scaling": (models.resized, models.downscaled),
}


def registry(own: Sequence[Any] = ()) -> dict[str, dict[str, Entry]]:
    """All models that a config may name: kind to name to entry.

    **Arguments:**

    - `own`: models of your own: classes of neurons, receptors, stimuli, rules, ..., known by their
      names, and functions that return a `Network`. One of a name of the library's replaces it.

    **Raises:**

    `TypeError` for what is not a model, or has an option that no config can hold.
    """
    kinds = [kind_of(model) for model in own]
    known: dict[str, dict[str, Entry]] = {kind: {} for kind in KINDS}
    for kind, entries in known.items():
        mine = [model for model, its in zip(own, kinds, strict=True) if its == kind]
        for model in (*LIBRARY[kind], *mine):
            table = table_of(model, known)
            if kind == "scaling":  # made, a function of the network and the factor
                table = replace(table, build=functools.partial(functools.partial, model))
            entries[model.__name__] = Entry(kind, model, table)
        if kind == "network":
            entries["declared"] = declared(known)
    return known


def kind_of(model: Any) -> str:
    """The kind of a model of one's own. **Raises:** `TypeError` if it is of none."""
    for name, kind in KINDS.items():
        if kind.base and inspect.isclass(model) and issubclass(model, kind.base):
            return name
    if inspect.isfunction(model):
        return "network"
    bases = ", ".join(kind.base.__name__ for kind in KINDS.values() if kind.base)
    expected = f"a subclass of {bases}, or a function that returns a Network"
    raise TypeError(explain("models", got=model, expected=expected))
