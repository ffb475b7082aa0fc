"""Networks of fewer neurons with fewer synapses each, whose input keeps its mean and variance."""

import dataclasses
import math
import numbers
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp

from ..connect import (
    AllToAll,
    Distribution,
    FixedInDegree,
    FixedOutDegree,
    FixedProbability,
    FixedTotalNumber,
    OneToOne,
    Rule,
)
from ..core import explain, float_dtype, is_concrete, near_miss, shown
from ..network import Network, Population, Projection
from ..stimuli import DC, PoissonInput, PoissonSource, Stimulus
from ..synapses import CurrentReceptor, Delta
from ._sizes import check_factor, check_no_arrays, for_size, in_degree, populations_of

_GONE = 1e6  # ms, by when the current of a receptor has decayed
_ALWAYS = (0.0, math.inf)


def downscaled(network: Network, factor: float, *, rates: Mapping[str, float]) -> Network:
    """A network of `factor` times the neurons, and `factor` times the synapses of each.

    Mean and variance of the input to a neuron stay as they are at given rates; correlations do
    not. With K the factor, r the rate of a source, and q the charge of an input of weight 1:

        in-degrees d -> K d,    weights w -> w / sqrt(K),    rates of Poisson input r -> K r
        i += sum q w r d (1 - sqrt(K))

    The constant current i is a `DC` for each population. Whatever rounding to whole synapses
    changes about the mean goes into it too. Where input comes from a Poisson source or stimulus
    with onset and end, so does its part of the current.

    **Arguments:**

    - `network`: a description, with currents for synapses, and one number for all neurons of a
      population wherever it could have one for each.
    - `factor`: above 0, at most 1. For 1 the network is the same.
    - `rates`: by population, its mean rate in the full network, Hz; for each that has synapses.
      Of Poisson sources their own rate is taken.

    **Returns:** another description.

    **Raises:** `ValueError` or `TypeError` for conductances, for rules whose number of synapses per
    neuron is given (`OneToOne`, `Explicit`), for values or spike times of single neurons, and for
    rates that are missing.

    ```python
    full = bj.experiments.load("brunel_ai").network
    network = bj.models.downscaled(full, 0.1, rates={"exc": 37.5, "inh": 37.5})  # Hz
    ```

    Source: van Albada, Helias and Diesmann (2015), Scalability of asynchronous networks is limited
    by one-to-one mapping between effective connectivity and correlations.
    doi:10.1371/journal.pcbi.1004490
    """
    what = "downscaled"
    factor = check_factor(what, factor, 1.0)
    rates = _check_rates(network, rates)
    if factor == 1:
        return network
    populations = populations_of(what, network, factor)
    projections = [_thinned(network, populations, p, factor, rates) for p in network.projections]
    stimuli = [
        _weakened(network, for_size(what, s, factor, populations), factor) for s in network.stimuli
    ]
    lost = [current for _, current in (*projections, *stimuli) if current is not None]
    return Network(
        populations, [p for p, _ in projections], [*(s for s, _ in stimuli), *_summed(lost)]
    )


class _Current(NamedTuple):
    """A constant current that makes up for synapses that are no more."""

    population: str
    amount: Any  # pA
    start: Any  # ms
    stop: Any  # ms
    num_targets: int | None = None

    def stimulus(self) -> DC:
        return DC(self.population, self.amount, self.start, self.stop, self.num_targets)


def _thinned(
    network: Network,
    populations: Mapping[str, Population],
    old: Projection,
    factor: float,
    rates: Mapping[str, float],
) -> tuple[Projection, _Current]:
    """A projection of fewer, stronger synapses, and the current that is lost with the others."""
    where, root = f"downscaled: Projection '{old.name}'", math.sqrt(factor)
    check_no_arrays(where, {"weight": old.weight, "delay": old.delay})
    drawn = isinstance(old.weight, Distribution)
    new = dataclasses.replace(
        old,
        rule=_with_in_degree_scaled(where, old.rule, factor),
        weight=old.weight.scaled(1 / root) if drawn else old.weight / root,
    )
    # In-degree d before and d' after: w d - (w / root) d'.
    missing = in_degree(where, network.populations, old)
    missing -= in_degree(where, populations, new) / root
    mean = old.weight.expectation() if drawn else _number(old.weight)
    source = network.populations[old.source].neuron
    if isinstance(source, PoissonSource):
        rate, window = _number(source.rate), (_number(source.start), _number(source.stop))
    else:
        rate, window = rates[old.source], _ALWAYS
    amount = _charge(where, network, old.target) * mean * missing * (rate / 1000)
    return new, _Current(old.target_population, amount, *window)


def _weakened(
    network: Network, stimulus: Stimulus, factor: float
) -> tuple[Stimulus, _Current | None]:
    """A stimulus of fewer, stronger events, and the current that is lost with the others."""
    if stimulus.into == "current":
        return stimulus, None
    what, root = f"downscaled: {type(stimulus).__name__}('{stimulus.target}')", math.sqrt(factor)
    if not isinstance(stimulus, PoissonInput):
        raise TypeError(
            explain(
                what,
                got=type(stimulus).__name__,
                expected="PoissonInput: the mean of another input to a receptor is not known",
            )
        )
    rate, weight, start, stop = (
        _number(getattr(stimulus, name)) for name in ("rate", "weight", "start", "stop")
    )
    amount = _charge(what, network, stimulus.target) * weight * (1 - root) * (rate / 1000)
    population = stimulus.target.partition(".")[0]
    lost = _Current(population, amount, start, stop, stimulus.num_targets)
    return dataclasses.replace(stimulus, rate=rate * factor, weight=weight / root), lost


def _summed(currents: list[_Current]) -> list[DC]:
    """One stimulus for all steady currents of a population, and one for each of the others."""
    steady: dict[str, Any] = {}
    others = []
    for current in currents:
        window = current.start, current.stop
        known = all(isinstance(time, numbers.Real) for time in window)  # not traced
        if known and window == _ALWAYS and current.num_targets is None:
            steady[current.population] = steady.get(current.population, 0.0) + current.amount
        else:
            others.append(current)
    return [_Current(name, amount, *_ALWAYS).stimulus() for name, amount in steady.items()] + [
        current.stimulus() for current in others
    ]


def _number(value: Any) -> Any:
    """A parameter as the number that the user wrote; a traced one as it is."""
    return shown(value) if is_concrete(value) else value


def _charge(where: str, network: Network, target: str) -> Any:
    """The charge that an input of weight 1 carries into a neuron, pA ms per unit of the weight."""
    name, _, receptor_name = target.partition(".")
    population = network.populations[name]
    receptor = population.receptors[receptor_name]
    if isinstance(receptor, CurrentReceptor):
        zero, one, gone = (jnp.asarray(x, float_dtype()) for x in (0.0, 1.0, _GONE))
        state = receptor.receive(receptor.init_state((), float_dtype()), one)
        return _number(receptor.filtered(state, zero, gone))
    if isinstance(receptor, Delta) and hasattr(population.neuron, "c_m"):
        return _number(population.neuron.c_m)  # a jump of 1 mV takes 1 mV c_m
    raise TypeError(
        explain(
            f"{where}: receptor '{target}'",
            got=type(receptor).__name__,
            expected="currents: the charge of a spike must not depend on the membrane",
        )
    )


def _with_in_degree_scaled(where: str, rule: Rule, factor: float) -> Rule:
    match rule:
        case FixedProbability() | AllToAll():
            return rule
        case FixedTotalNumber(n=n):
            return dataclasses.replace(rule, n=round(n * factor * factor))
        case FixedInDegree(n=n) | FixedOutDegree(n=n):
            return dataclasses.replace(rule, n=round(n * factor))
    raise TypeError(
        explain(
            f"{where}: rule",
            got=type(rule).__name__,
            expected="a rule whose number of synapses per neuron can be scaled",
            mend="resized keeps it." if isinstance(rule, OneToOne) else "",
        )
    )


def _check_rates(network: Network, rates: Mapping[str, float]) -> dict[str, float]:
    """The rates as numbers; one for each population that has synapses and is no Poisson source."""
    what = "downscaled: rates"
    if not isinstance(rates, Mapping):
        expected = "a mapping from populations to rates in Hz"
        raise TypeError(explain(what, got=rates, expected=expected, mend="As {'exc': 5.0}."))
    for name, rate in rates.items():
        if name not in network.populations:
            raise ValueError(
                explain(
                    what,
                    got=name,
                    expected="a population of the network",
                    mend=near_miss(name, network.populations),
                )
            )
        if isinstance(rate, bool) or not isinstance(rate, numbers.Real) or not 0 <= rate < math.inf:
            raise ValueError(
                explain(f"{what}[{name!r}]", got=rate, expected="a number of 0 or more, in Hz")
            )
    for projection in network.projections:
        poisson = isinstance(network.populations[projection.source].neuron, PoissonSource)
        if projection.source not in rates and not poisson:
            raise ValueError(
                explain(
                    what,
                    got=list(rates),
                    expected=f"the rate of '{projection.source}' too, which has synapses",
                    mend="Run the full network, or give the rate that it should have.",
                )
            )
    return {name: float(rate) for name, rate in rates.items()}
