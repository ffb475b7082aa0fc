"""What all ways to scale a network share: sizes, in-degrees, and what cannot be scaled."""

import dataclasses
import math
import numbers
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ..core import explain
from ..network import Network, Population, Projection
from ..stimuli import SpikeSource, Stimulus


def in_degree(where: str, populations: Mapping[str, Population], projection: Projection) -> float:
    """The mean number of synapses of a projection that end on a neuron."""
    num_pre = populations[projection.source].size
    num_post = populations[projection.target_population].size
    same = projection.source == projection.target_population
    try:
        return projection.rule.expected_number(num_pre, num_post, same=same) / num_post
    except ValueError as error:  # too many synapses for the neurons that are left
        raise ValueError(f"{where}: {error}") from None


def populations_of(what: str, network: Network, factor: float) -> dict[str, Population]:
    """The populations with `factor` times their neurons, rounded."""
    return {
        name: _resized_population(f"{what}: Population '{name}'", population, factor)
        for name, population in network.populations.items()
    }


def _resized_population(where: str, population: Population, factor: float) -> Population:
    neuron = population.neuron
    if isinstance(neuron, SpikeSource):
        raise TypeError(
            explain(
                where,
                got="SpikeSource",
                expected="neurons, or sources that are all alike: its spikes name their units",
                mend="PoissonSource can be scaled.",
            )
        )
    check_no_arrays(where, {"neuron": neuron, **population.receptors})
    check_no_arrays(f"{where}: initial", population.initial)
    return dataclasses.replace(population, size=_scaled_size(population.size, factor))


def for_size(
    what: str, stimulus: Stimulus, factor: float, populations: Mapping[str, Population]
) -> Stimulus:
    """The stimulus for populations of other sizes."""
    if stimulus.elementwise:
        check_no_arrays(what, {f"{type(stimulus).__name__}('{stimulus.target}')": stimulus})
    num_targets = getattr(stimulus, "num_targets", None)
    if num_targets is None:
        return stimulus
    size = populations[stimulus.target.partition(".")[0]].size
    return dataclasses.replace(stimulus, num_targets=min(_scaled_size(num_targets, factor), size))


def _scaled_size(size: int, factor: float) -> int:
    return max(1, round(size * factor))


def check_no_arrays(where: str, models: Mapping[str, Any]) -> None:
    """Raise `ValueError` for values of single neurons or synapses: which are left is not said."""
    for name, model in models.items():
        leaves = jax.tree_util.tree_leaves_with_path(model)
        if isinstance(model, list | tuple):
            leaves = [((), model)]
        for path, leaf in leaves:
            if np.ndim(leaf) > 0:
                raise ValueError(
                    explain(
                        f"{where}: {name}{jax.tree_util.keystr(path)}",
                        got=f"{np.shape(leaf)[0]} values",
                        expected="one number or distribution for all",
                        mend="Scale first, then set single values.",
                    )
                )


def check_factor(what: str, factor: float, most: float) -> float:
    """`factor` as a number above 0, up to `most`. **Raises:** `TypeError` or `ValueError`."""
    expected = "a number above 0" + (f", at most {most:g}" if most < math.inf else "")
    if isinstance(factor, bool) or not isinstance(factor, numbers.Real):
        raise TypeError(explain(f"{what}: factor", got=factor, expected=expected))
    if not (0 < factor <= most and math.isfinite(factor)):
        mend = "resized makes a network larger." if most < factor < math.inf else ""
        raise ValueError(explain(f"{what}: factor", got=factor, expected=expected, mend=mend))
    return float(factor)
