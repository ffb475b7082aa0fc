"""What a network will take, said before it is drawn."""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..connect import (
    AllToAll,
    Convolution,
    DistanceDependent,
    Distribution,
    Explicit,
    FixedOutDegree,
    OneToOne,
    Rule,
)
from ..core import HostStream, float_dtype
from ..ops import is_worth_a_table, table_size
from ..stimuli import Source
from ._build import check_dt
from ._layout import target_dtype
from ._network import Network, Projection
from ._population import Population
from ._summary import num_bytes
from ._trainable_delay import TrainableDelay

_INDEX = 4  # bytes of each number of a group
_SAMPLE = 1 << 18  # delays that stand for their distribution


class Memory(NamedTuple):
    """What a network takes: expected numbers, most of them in bytes."""

    synapses: float
    groups: float  # synapses of one source and one delay are a group
    bytes_built: float  # the `BuiltNetwork`: connections, parameters, stimuli
    bytes_peak_of_build: float  # the most that `build` holds at a time, what it built included
    bytes_state: float  # what evolves in `simulate`: neurons, receptors, spikes under way


def memory_of(network: Network, dt: float) -> Memory:
    """What `network` will take when it is built and run; nothing is drawn or allocated.

    It is right to about a tenth. What Python, JAX and its compiler take themselves is left out
    (some 0.3 GB), and so is what a recorder keeps.

    **Arguments:**

    - `network`: the description.
    - `dt`: the step, ms. It decides how many different delays there are.

    **Raises:** `ValueError` if a rule cannot be met with the sizes of its populations.

    !!! example

        ```python
        memory_of(network, dt=0.1).bytes_built / 1e9  # GB
        ```
    """
    dt = check_dt(dt)
    populations = {n: _prepared(p, dt) for n, p in network.populations.items()}
    parameters = num_bytes([populations, network.stimuli])
    steps_of = functools.cache(functools.partial(_sampled_steps, dt))
    synapses = groups = peak = 0.0
    built, longest = float(parameters), 1
    of_source: dict[str, list[_Held]] = {}
    for projection in network.projections:
        held = _expected(projection, populations, dt, steps_of)
        peak = max(peak, built + held.bytes_drawing, built + held.bytes_built + held.bytes_laying)
        built += held.bytes_built
        synapses, groups = synapses + held.synapses, groups + held.groups
        longest = max(longest, held.longest_delay)
        of_source.setdefault(projection.source, []).append(held)
    tables = [_table_bytes(populations[n].size, held) for n, held in of_source.items()]
    built += sum(tables)
    peak = max(peak, built + 2 * max(tables, default=0))
    state = sum(num_bytes(_state_shapes(n, p)) for n, p in populations.items())
    number = np.dtype(float_dtype()).itemsize
    state += sum(p.size for p in populations.values()) * number  # the spikes of the last step
    sources = {p.source for p in network.projections}
    state += longest * sum(populations[n].size for n in sources) * (_INDEX + number)
    return Memory(synapses, groups, built, max(peak, built), float(state))


class _Held(NamedTuple):
    """What a projection takes."""

    synapses: float
    groups: float
    least_delay: int  # steps
    longest_delay: int  # steps
    bytes_built: float
    bytes_drawing: float  # while its pairs are drawn
    bytes_laying: float  # while they are laid out, beside what is built


# Delays of a distribution, `(distribution, number) -> steps`.
_Sampler = Callable[[Distribution, int], np.ndarray]


def _expected(
    projection: Projection, populations: dict[str, Population], dt: float, steps_of: _Sampler
) -> _Held:
    rule = projection.rule
    num_pre = populations[projection.source].size
    num_post = populations[projection.target_population].size
    same = projection.source == projection.target_population
    synapses = rule.expected_number(num_pre, num_post, same=same)
    delay: Any = projection.delay
    each = isinstance(projection.weight, Distribution) or np.ndim(projection.weight) > 0
    number = np.dtype(float_dtype()).itemsize
    target = np.dtype(target_dtype(num_post)).itemsize
    if isinstance(delay, TrainableDelay):
        longest = math.ceil(delay.longest / dt) + 1
        built = _INDEX * (2 * synapses + num_pre + 2) + (target + number * (1 + each)) * synapses
        return _Held(synapses, 0.0, 1, longest, built, 16 * synapses, 16 * synapses)
    if isinstance(delay, Distribution):
        steps = steps_of(delay, min(math.ceil(synapses), _SAMPLE))
    else:
        steps = _nearest_steps(np.asarray(delay, np.float64), dt)
    if isinstance(rule, Explicit) and not isinstance(delay, Distribution):
        most = int(steps.max(initial=0)) + 1
        groups = np.unique(rule.pre.astype(np.int64) * most + steps).size
    else:
        groups = sum(
            sources * _distinct(degree, trials, steps)
            for degree, sources, trials in _degrees(
                rule, synapses, num_pre, num_post, projection.procedural
            )
        )
    if projection.procedural:
        built = 2.0 * _INDEX * (num_pre + 1)
        laying = built
        if isinstance(delay, Distribution):
            built += _INDEX * (2 * groups + num_pre + 2)
            laying += 6 * _INDEX * groups
        return _Held(synapses, groups, int(steps.min()), int(steps.max()), built, 0.0, laying)
    one_delay = not isinstance(delay, Distribution) and np.ndim(delay) == 0
    weights = math.prod(rule.kernel) if isinstance(rule, Convolution) else synapses
    built = float(number * (weights if each else 1))
    if one_delay and (
        isinstance(rule, Convolution) or rule.regular(num_pre, num_post, same=same) is not None
    ):
        built, drawing, laying = built + 2 * _INDEX, 0.0, 0.0
    else:
        fixed = one_delay and isinstance(rule, FixedOutDegree | AllToAll)
        pointers = 0 if fixed else 2 * groups + 1 + num_pre + 1
        built += target * synapses + _INDEX * pointers
        # Pairs are two indices, and numbers of 4 or 8 bytes before they are that.
        drawing = synapses * (12 if getattr(rule, "multapses", False) else 16)
        laying = target * synapses + _INDEX * 2 * groups + 16 * num_pre
    least, longest = (int(steps.min()), int(steps.max())) if steps.size else (1, 1)
    return _Held(synapses, groups, least, longest, built, drawing, laying)


def _table_bytes(num_sources: int, projections: list[_Held]) -> int:
    """What the table of groups of a population takes, if it gets one."""
    held = [p for p in projections if p.groups]
    least = min((p.least_delay for p in held), default=1)
    longest = max((p.longest_delay for p in held), default=0)
    size = table_size(num_sources, least, longest, len(projections))
    return _INDEX * size if is_worth_a_table(size, sum(p.groups for p in held)) else 0


def _degrees(
    rule: Rule, synapses: float, num_pre: int, num_post: int, procedural: bool
) -> Iterator[tuple[float, int, float]]:
    """Mean number of delays that a source draws, of how many sources, in how many attempts."""
    if isinstance(rule, Explicit):
        degrees, sources = np.unique(np.bincount(rule.pre), return_counts=True)
        numbers = degrees.astype(float).tolist()
        yield from zip(numbers, sources.tolist(), numbers, strict=True)
        return
    degree = synapses / num_pre
    if procedural and isinstance(rule, DistanceDependent):
        degree = float(2 * rule.reach + 1) ** 2  # all places of the mask have a delay
    if isinstance(rule, OneToOne | FixedOutDegree):
        trials = degree
    elif getattr(rule, "multapses", False):
        trials = 2.0**53
    else:
        trials = max(float(num_post), degree)
    yield degree, num_pre, trials


def _distinct(degree: float, trials: float, steps: np.ndarray) -> float:
    """The expected number of different delays that the synapses of a source have.

    If a source makes a synapse in each of `trials` independent attempts with probability
    `degree / trials`, it has none of a delay of probability p with probability
    `(1 - degree p / trials)^trials`.
    """
    if degree == 0:
        return 0.0
    probability = np.unique(steps, return_counts=True)[1] / steps.size
    with np.errstate(divide="ignore"):
        none = np.exp(trials * np.log1p(-degree / trials * probability))
    return float(np.sum(1 - none))


def _sampled_steps(dt: float, delay: Distribution, number: int) -> np.ndarray:
    return _nearest_steps(delay.sample(HostStream((0, 0)), number), dt)


def _nearest_steps(delay: np.ndarray, dt: float) -> np.ndarray:
    return np.asarray(np.maximum(np.floor(delay / dt + 0.5), 1), np.int64)


def _prepared(population: Population, dt: float) -> Population:
    if not isinstance(population.neuron, Source):
        return population
    neuron = population.neuron.prepared(dt, population.size)
    return Population(population.size, neuron, population.receptors, {})


def _state_shapes(name: str, population: Population) -> Any:
    words = jnp.zeros(2, jnp.uint32)
    return jax.eval_shape(lambda: population.init_state(stream=population.stream(words, name)))
