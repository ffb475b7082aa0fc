"""Networks of more or fewer neurons, each with as many synapses as before."""

import dataclasses
import math

from ..connect import (
    AllToAll,
    FixedInDegree,
    FixedOutDegree,
    FixedProbability,
    FixedTotalNumber,
    OneToOne,
    Rule,
)
from ..core import explain
from ..network import Network, Projection
from ._sizes import check_factor, check_no_arrays, for_size, in_degree, populations_of


def resized(network: Network, factor: float) -> Network:
    """A network of `factor` times as many neurons, each with as many synapses as before.

    Sizes are multiplied and rounded, and are at least 1. The mean number of synapses that a neuron
    receives, its in-degree, is kept, up to the rounding of sizes: `FixedProbability(p)` becomes
    `FixedProbability(p / factor)`, `FixedTotalNumber(n)` becomes `FixedTotalNumber(n * factor)`,
    and fixed degrees stay. The number of neurons that a stimulus reaches scales as well.

    **Arguments:**

    - `network`: a description, with one number for all neurons of a population wherever it could
      have one for each.
    - `factor`: above 0; above 1 the network grows. For 1 it is the same.

    **Returns:** another description.

    **Raises:** `ValueError` or `TypeError` where numbers of synapses cannot be kept (a probability
    would exceed 1; `AllToAll`, `Explicit`), and for values or spike times of single neurons.
    """
    what = "resized"
    factor = check_factor(what, factor, math.inf)
    if factor == 1:
        return network
    populations = populations_of(what, network, factor)

    def projection(old: Projection) -> Projection:
        where = f"{what}: Projection '{old.name}'"
        check_no_arrays(where, {"weight": old.weight, "delay": old.delay})
        new = dataclasses.replace(old, rule=_with_in_degree_kept(where, old.rule, factor))
        before = in_degree(where, network.populations, old)
        after = in_degree(where, populations, new)
        if isinstance(old.rule, AllToAll) and before != after:
            raise ValueError(
                explain(
                    f"{where}: rule",
                    got=old.rule,
                    expected="a rule whose number of synapses per neuron can be kept",
                    mend=f"FixedInDegree({round(before)}) keeps it.",
                )
            )
        return new

    return Network(
        populations,
        [projection(p) for p in network.projections],
        [for_size(what, s, factor, populations) for s in network.stimuli],
    )


def _with_in_degree_kept(where: str, rule: Rule, factor: float) -> Rule:
    match rule:
        case FixedProbability(p=p):
            if p > factor:
                raise ValueError(
                    explain(
                        f"{where}: rule",
                        got=rule,
                        expected=f"p / factor of at most 1, for factor = {factor:g}",
                        mend=f"Use a factor of at least {p:g}, or downscaled, which keeps p.",
                    )
                )
            return dataclasses.replace(rule, p=p / factor)
        case FixedTotalNumber(n=n):
            return dataclasses.replace(rule, n=round(n * factor))
        case FixedInDegree() | FixedOutDegree() | OneToOne() | AllToAll():
            return rule
    raise TypeError(
        explain(
            f"{where}: rule",
            got=type(rule).__name__,
            expected="a rule that does not name single neurons",
            mend="Make the network anew with connections for its new sizes.",
        )
    )
