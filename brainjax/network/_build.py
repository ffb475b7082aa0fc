"""`build`: from a description to a network that runs."""

import collections
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..core import HostStream, check_key, explain, float_dtype, is_concrete, is_traced, shown
from ..ops import check_elementwise, check_impl
from ..stimuli import Source, Stimulus
from ._built import BuiltNetwork, BuiltProjection, ports_of
from ._layout import check_count, delay_steps, draw_weights, lay_out
from ._network import Network, Projection
from ._population import Population, PopulationInput, population_step


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
    dt = _check_dt(dt)
    check_impl(impl)
    words = _host_words(key)
    populations = {
        name: _prepared(name, population, dt) for name, population in network.populations.items()
    }
    names = tuple(network.populations)
    ports = ports_of(populations, names)
    projections = {
        p.name: _build_projection(p, populations, ports[p.target_population, p.receptor], dt, words)
        for p in network.projections
    }
    return BuiltNetwork(
        populations=populations,
        projections=projections,
        stimuli=_prepared_stimuli(network.stimuli, dt),
        dt_leaf=jnp.asarray(dt, float_dtype()),
        dt=dt,
        names=names,
        projection_names=tuple(p.name for p in network.projections),
        impl=impl,
    )


def _check_dt(dt: float) -> float:
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
    state = jax.eval_shape(lambda: population.init_state(stream=population.stream(words, name)))
    one = jnp.zeros(population.size, float_dtype())
    input = PopulationInput(jnp.zeros((), float_dtype()), dict.fromkeys(population.receptors, one))
    dt_leaf = jnp.asarray(dt, float_dtype())
    fixed = (population.neuron, dict(population.receptors), (), dt_leaf)
    args = (*fixed, population.stream(words, name), state, input, jnp.zeros((), jnp.int32))
    check_elementwise(population_step, *args, what=f"Population '{name}'")


def _build_projection(
    projection: Projection, populations, offset: int, dt: float, words: tuple[int, int]
) -> BuiltProjection:
    stream = HostStream(words).child("projection", projection.name)
    num_pre = populations[projection.source].size
    num_post = populations[projection.target_population].size
    same = projection.source == projection.target_population
    try:
        pre, post = projection.rule.draw(num_pre, num_post, stream.child("rule"), same=same)
    except (ValueError, TypeError) as error:
        raise type(error)(f"Projection '{projection.name}': {error}") from None
    check_count(projection, len(pre))
    delay = delay_steps(projection, len(pre), dt, stream.child("delay"))
    if delay.ndim and delay.shape != pre.shape:
        raise ValueError(
            explain(
                f"Projection '{projection.name}': delay",
                got=f"shape {delay.shape}",
                expected=f"one number, or one per synapse: ({len(pre)},)",
            )
        )
    delay = _in_canonical_order(projection, delay)
    rows, order, longest_row, longest_group = lay_out(pre, post, delay, num_pre, offset)
    return BuiltProjection(
        rows=rows,
        weight=draw_weights(projection, len(pre), order, stream.child("weight")),
        source=projection.source,
        target=projection.target,
        offset=offset,
        longest_row=longest_row,
        longest_group=longest_group,
        longest_delay=int(delay.max(initial=1)),
    )


def _in_canonical_order(projection: Projection, delay: np.ndarray) -> np.ndarray:
    """Delays that the user gave beside explicit edges, in the order the edges are stored in."""
    given = isinstance(projection.delay, (list, tuple, np.ndarray, jax.Array)) and delay.ndim
    order = getattr(projection.rule, "order", None)
    return delay[order] if given and order is not None else delay
