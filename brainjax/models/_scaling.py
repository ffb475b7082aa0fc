"""Networks made larger or smaller: from one description to another."""

import dataclasses
import math
import numbers
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

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
from ..stimuli import DC, PoissonInput, PoissonSource, SpikeSource, Stimulus
from ..synapses import CurrentReceptor, Delta

_GONE = 1e6  # ms, by when the current of a receptor has decayed


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
    factor = _check_factor(what, factor, math.inf)
    if factor == 1:
        return network
    populations = _populations(what, network, factor)

    def projection(old: Projection) -> Projection:
        where = f"{what}: Projection '{old.name}'"
        _check_no_arrays(where, {"weight": old.weight, "delay": old.delay})
        new = dataclasses.replace(old, rule=_with_in_degree_kept(where, old.rule, factor))
        before = _in_degree(where, network.populations, old)
        after = _in_degree(where, populations, new)
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
        [_for_size(what, s, factor, populations) for s in network.stimuli],
    )


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
    factor = _check_factor(what, factor, 1.0)
    rates = _check_rates(network, rates)
    if factor == 1:
        return network
    populations = _populations(what, network, factor)
    projections = [_thinned(network, populations, p, factor, rates) for p in network.projections]
    stimuli = [
        _weakened(network, _for_size(what, s, factor, populations), factor) for s in network.stimuli
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


_ALWAYS = (0.0, math.inf)


def _thinned(
    network: Network,
    populations: Mapping[str, Population],
    old: Projection,
    factor: float,
    rates: Mapping[str, float],
) -> tuple[Projection, _Current]:
    """A projection of fewer, stronger synapses, and the current that is lost with the others."""
    where, root = f"downscaled: Projection '{old.name}'", math.sqrt(factor)
    _check_no_arrays(where, {"weight": old.weight, "delay": old.delay})
    drawn = isinstance(old.weight, Distribution)
    new = dataclasses.replace(
        old,
        rule=_with_in_degree_scaled(where, old.rule, factor),
        weight=old.weight.scaled(1 / root) if drawn else old.weight / root,
    )
    # In-degree d before and d' after: w d - (w / root) d'.
    missing = _in_degree(where, network.populations, old)
    missing -= _in_degree(where, populations, new) / root
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


# ---- rules


def _in_degree(where: str, populations: Mapping[str, Population], projection: Projection) -> float:
    """The mean number of synapses of a projection that end on a neuron."""
    num_pre = populations[projection.source].size
    num_post = populations[projection.target_population].size
    same = projection.source == projection.target_population
    try:
        return projection.rule.expected_number(num_pre, num_post, same=same) / num_post
    except ValueError as error:  # too many synapses for the neurons that are left
        raise ValueError(f"{where}: {error}") from None


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


# ---- populations and stimuli


def _populations(what: str, network: Network, factor: float) -> dict[str, Population]:
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
    _check_no_arrays(where, {"neuron": neuron, **population.receptors})
    _check_no_arrays(f"{where}: initial", population.initial)
    return dataclasses.replace(population, size=_scaled_size(population.size, factor))


def _for_size(
    what: str, stimulus: Stimulus, factor: float, populations: Mapping[str, Population]
) -> Stimulus:
    """The stimulus for populations of other sizes."""
    if stimulus.elementwise:
        _check_no_arrays(what, {f"{type(stimulus).__name__}('{stimulus.target}')": stimulus})
    num_targets = getattr(stimulus, "num_targets", None)
    if num_targets is None:
        return stimulus
    size = populations[stimulus.target.partition(".")[0]].size
    return dataclasses.replace(stimulus, num_targets=min(_scaled_size(num_targets, factor), size))


def _scaled_size(size: int, factor: float) -> int:
    return max(1, round(size * factor))


# ---- checks


def _check_no_arrays(where: str, models: Mapping[str, Any]) -> None:
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


def _check_factor(what: str, factor: float, most: float) -> float:
    expected = "a number above 0" + (f", at most {most:g}" if most < math.inf else "")
    if isinstance(factor, bool) or not isinstance(factor, numbers.Real):
        raise TypeError(explain(f"{what}: factor", got=factor, expected=expected))
    if not (0 < factor <= most and math.isfinite(factor)):
        mend = "resized makes a network larger." if most < factor < math.inf else ""
        raise ValueError(explain(f"{what}: factor", got=factor, expected=expected, mend=mend))
    return float(factor)


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
