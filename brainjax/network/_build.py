"""`build`: from a description to a network that runs."""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..core import check_key, explain, float_dtype, is_concrete, is_traced, shown
from ..ops import check_elementwise, check_impl, group_tables
from ..stimuli import Source, Stimulus
from ._built import BuiltNetwork, ports_of
from ._network import Network
from ._population import Population, PopulationInput, population_step
from ._projection import build_projection, check_projection

_MOST = 2**31 - 1  # neurons of a population


def build(network: Network, *, dt: float, key: Array, impl: str = "auto") -> BuiltNetwork:
    """Draw the connections of a network and lay them out, once, on the host.

    **Arguments:**

    - `network`: the description. Its structure (sizes, rules, delays) must be concrete; weights and
      parameters may be traced.
    - `dt`: the step, ms.
    - `key`: a JAX key for connections, weights and delays. A synapse depends on the key, the name
      of its projection and its index alone: not on what else the network holds.

    **Other arguments:**

    - `impl`: which implementation of the ops runs: `"auto"` (native where there is one and it is
      safe), `"jax"`, or `"native"`.

    **Returns:**

    A `BuiltNetwork`, for `simulate` and `rollout`.

    **Raises:**

    `ValueError` or `TypeError`, before anything is traced, for a step that is not positive, a
    refractory period or delay that is not a multiple of it, and whatever else does not fit.

    !!! example

        ```python
        built = bj.build(network, dt=0.1, key=jax.random.key(0))
        ```
    """
    if not isinstance(network, Network):
        raise TypeError(
            explain(
                "build",
                got=type(network).__name__,
                expected="a brainjax.Network",
                mend="Build the network that this one was made from.",
            )
            if isinstance(network, BuiltNetwork)
            else explain("build", got=network, expected="a brainjax.Network")
        )
    check_impl(impl)
    words = _host_words(key)
    populations, stimuli = prepare(network, dt)
    dt, names = float(dt), tuple(network.populations)
    ports = ports_of(populations, names)
    projections = {
        p.name: build_projection(p, populations, ports[p.target_population, p.receptor], dt, words)
        for p in network.projections
    }
    built = BuiltNetwork(
        populations=populations,
        projections=projections,
        stimuli=stimuli,
        dt_leaf=jnp.asarray(dt, float_dtype()),
        dt=dt,
        names=names,
        projection_names=tuple(p.name for p in network.projections),
        impl=impl,
    )
    rows = [p.rows for p in projections.values()]
    trained = any(p.delay is not None for p in projections.values())
    if trained or any(map(is_traced, jax.tree.leaves(rows))):  # only a ring is of use
        return built
    return dataclasses.replace(built, tables=group_tables(rows, built.layout.sources))


def prepare(network: Network, dt: float) -> tuple[dict[str, Population], tuple[Stimulus, ...]]:
    """Populations and stimuli for the steps of a build; nothing is drawn.

    **Arguments:**

    - `network`: the description.
    - `dt`: the step, ms.

    **Raises:** `ValueError` or `TypeError` for whatever `build` refuses and can be known before
    connections are drawn: minutes later would be late.
    """
    dt = check_dt(dt)
    populations = {name: _prepared(name, p, dt) for name, p in network.populations.items()}
    for projection in network.projections:
        check_projection(projection, populations, dt)
    return populations, _prepared_stimuli(network.stimuli, dt)


def check_dt(dt: float) -> float:
    """`dt` as a `float`. **Raises:** `TypeError` or `ValueError` unless it is a positive number."""
    if isinstance(dt, bool) or not isinstance(dt, (int, float, np.number)):
        raise TypeError(
            explain("build: dt", got=dt, expected="a number in ms", mend="For example dt=0.1.")
        )
    if not np.isfinite(dt) or dt <= 0:
        expected = "a positive number in ms"
        raise ValueError(
            explain("build: dt", got=dt, expected=expected, mend="For example dt=0.1.")
        )
    return float(dt)


def _host_words(key: Array) -> tuple[int, int]:
    if is_traced(key):
        raise TypeError(
            explain(
                "build: key",
                got="a traced key",
                expected="a concrete key",
                mend="Build outside jit and vmap; sweep weights or init_state(key=...) inside.",
            )
        )
    check_key("build: key", key)
    with jax.ensure_compile_time_eval():  # inside jit too
        a, b = np.asarray(jax.random.bits(key, (2,), jnp.uint32)).tolist()
    return a, b


def _prepared_stimuli(stimuli: Sequence[Stimulus], dt: float) -> tuple[Stimulus, ...]:
    """Stimuli for steps of `dt`, those of one target numbered in the author's order."""
    seen = collections.Counter()
    prepared = []
    for stimulus in stimuli:
        prepared.append(stimulus.prepared(dt, seen[stimulus.target]))
        seen[stimulus.target] += 1
    return tuple(prepared)


def _prepared(name: str, population: Population, dt: float) -> Population:
    """The population for steps of `dt`, its neuron checked."""
    neuron = population.neuron
    if population.size > _MOST:
        expected = f"at most {_MOST}, which 32 bits number"
        what = f"Population '{name}': size"
        raise ValueError(explain(what, got=population.size, expected=expected))
    if isinstance(neuron, Source):
        neuron = neuron.prepared(dt, population.size)
        return Population(population.size, neuron, population.receptors, {})
    if is_concrete(neuron.t_ref):
        t_ref = np.asarray(neuron.t_ref, np.float64)
        steps = np.round(t_ref / dt)
        off = np.abs(t_ref / dt - steps) > 1e-3
        if np.any(off):
            raise ValueError(
                explain(
                    f"Population '{name}': t_ref",
                    got=shown(np.asarray(neuron.t_ref)[off].ravel()[0]),
                    expected=f"a multiple of dt = {dt} ms",
                    mend="Round it, or choose another dt.",
                )
            )
    if neuron.elementwise:
        _check_elementwise(name, population, dt)
    return population


def _check_elementwise(name: str, population: Population, dt: float) -> None:
    words = jnp.zeros(2, jnp.uint32)
    stream = jax.eval_shape(lambda: population.stream(words, name))
    state = jax.eval_shape(lambda stream: population.init_state(stream=stream), stream)
    one = jax.ShapeDtypeStruct((population.size,), float_dtype())
    arrivals: Any = dict.fromkeys(population.receptors, one)
    input = PopulationInput(jnp.zeros((), float_dtype()), arrivals)
    dt_leaf = jnp.asarray(dt, float_dtype())
    fixed = (population.neuron, dict(population.receptors), (), dt_leaf)
    args = (*fixed, stream, state, input, jnp.zeros((), jnp.int32))
    check_elementwise(population_step, *args, what=f"Population '{name}'")
