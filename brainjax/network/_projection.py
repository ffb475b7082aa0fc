"""A projection drawn and laid out: which format of the engine holds its synapses."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..connect import Convolution, Distribution, Rule, procedural, quantile_table
from ..core import HostStream, as_leaf, explain, float_dtype
from ..ops import Convolution as ConvolutionFormat
from ..ops import ProceduralRows, Regular
from ._built_projection import BuiltProjection
from ._drawn_delays import group_places, law_of
from ._layout import LaidOut, as_rows, lay_out
from ._network import Projection
from ._population import Population
from ._trainable_delay import TrainableDelay, lay_out_trainable
from ._values import delay_steps, one_delay, weights


def check_projection(
    projection: Projection, populations: Mapping[str, Population], dt: float
) -> None:
    """Raise for what `build_projection` refuses and can be known before anything is drawn."""
    sizes = _sizes(projection, populations)
    same = projection.source == projection.target_population
    try:
        projection.rule.expected_number(*sizes, same=same)
    except (ValueError, TypeError) as error:
        raise type(error)(f"Projection '{projection.name}': {error}") from None
    if projection.procedural:
        _check_procedural(projection, dt)
    if not isinstance(projection.delay, Distribution | TrainableDelay):
        delay_steps(projection, int(np.size(projection.delay)), dt, HostStream((0, 0)))
    if isinstance(projection.rule, Convolution) and not _has_one_delay(projection):
        _refuse_delays(projection)


def build_projection(
    projection: Projection,
    populations: Mapping[str, Population],
    offset: int,
    dt: float,
    words: tuple[int, int],
) -> BuiltProjection:
    """The synapses of a projection, drawn and laid out.

    **Arguments:**

    - `projection`, `populations`: prepared for steps of `dt`, in ms.
    - `offset`: of the target receptor among the accumulators of the network.
    - `words`: the two words of the key of the build.
    """
    stream = HostStream(words).child("projection", projection.name)
    made = _made_anew if projection.procedural else _laid_out
    laid, weight = made(projection, _sizes(projection, populations), offset, dt, stream)
    return BuiltProjection(
        rows=laid.rows,
        weight=weight,
        source=projection.source,
        target=projection.target,
        offset=offset,
        longest_delay=laid.longest_delay,
        delay=laid.delay,
    )


def stored(built: BuiltProjection) -> BuiltProjection:
    """The synapses of `built` as stored rows, each with a weight of its own or one for all."""
    rows, weight_at, factor = as_rows(built.rows)
    if rows is built.rows:
        return built
    weight = built.flat_weight[weight_at] if built.weight.ndim else built.weight
    if factor is not None:
        weight = weight * factor
    return dataclasses.replace(built, rows=rows, weight=weight)


def _laid_out(
    projection: Projection, sizes: tuple[int, int], offset: int, dt: float, stream: HostStream
) -> tuple[LaidOut, Any]:
    """The synapses, and their weights in the engine's order."""
    rule, same = projection.rule, projection.source == projection.target_population
    values = stream.child("weight")
    if _has_one_delay(projection):
        delay = one_delay(projection, dt)
        if counted := _counted(projection, sizes, same, delay, offset):
            weight = weights(projection, counted.num_weights, values)
            if callable(weight):
                weight = jnp.asarray(weight(0, counted.num_weights), float_dtype())
            if isinstance(rule, Convolution) and weight.ndim:
                weight = weight.reshape(rule.kernel)
            return LaidOut(counted, None, delay), weight
    begin, post = _drawn(rule, sizes, stream.child("rule"), same)
    weight = weights(projection, post.size, values)
    if isinstance(projection.delay, TrainableDelay):
        what = f"Projection '{projection.name}'"
        at = begin, post, sizes[1], offset, dt, stream.child("delay"), what
        laid = lay_out_trainable(projection.delay, *at)
        if callable(weight):
            weight = jnp.asarray(weight(0, post.size), float_dtype())
        return laid, weight
    delay = delay_steps(projection, post.size, dt, stream.child("delay"))
    if callable(weight):
        laid = lay_out(begin, post, sizes[1], offset, delay, weight, float_dtype())
        return laid, jnp.asarray(laid.values, float_dtype())
    if weight.ndim == 0:
        return lay_out(begin, post, sizes[1], offset, delay), weight
    # Traced: what is laid out is the number of each synapse.
    laid = lay_out(begin, post, sizes[1], offset, delay, np.arange, np.int32)
    return laid, jnp.asarray(weight[laid.values], float_dtype())


def _drawn(
    rule: Rule, sizes: tuple[int, int], stream: HostStream, same: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Where the synapses of each source begin, and their targets."""
    pre, post = rule.draw(*sizes, stream, same=same)
    return np.searchsorted(pre, np.arange(sizes[0] + 1, dtype=pre.dtype)), post


def _made_anew(
    projection: Projection, sizes: tuple[int, int], offset: int, dt: float, stream: HostStream
) -> tuple[LaidOut, Any]:
    """The numbers from which synapses are made, and the weight of all."""
    weight = projection.weight
    matrix = procedural(
        projection.rule,
        *sizes,
        stream.child("rule"),
        same=projection.source == projection.target_population,
    )
    if drawn := isinstance(projection.delay, Distribution):
        law = law_of(projection, dt)
        delay = group_places(matrix.row_ptr, law, stream.child("delay"))
        longest_delay = int(np.asarray(delay.group_delay).max(initial=1))
    else:
        longest_delay = one_delay(projection, dt)
        delay = jnp.asarray(longest_delay, jnp.int32)
    table = np.zeros((0, 4), float_dtype())
    if isinstance(weight, Distribution):
        table, weight = quantile_table(weight, float_dtype()), 1.0
    made = ProceduralRows(
        delay=delay,
        origin=jnp.asarray(offset, jnp.int32),
        first=jnp.zeros((), jnp.int32),
        words=jnp.asarray(matrix.words),
        where=jnp.asarray(matrix.where),
        table=jnp.asarray(table),
        shape=dataclasses.replace(matrix.shape, grouped=drawn),
        count=sizes[1],
        number=matrix.num_synapses,
    )
    return LaidOut(made, None, longest_delay), as_leaf(weight)


def _counted(
    projection: Projection, sizes: tuple[int, int], same: bool, steps: int, offset: int
) -> Regular | ConvolutionFormat | None:
    """The synapses without a list of them, where the rule allows it."""
    delay, origin = jnp.asarray(steps, jnp.int32), jnp.asarray(offset, jnp.int32)
    rule = projection.rule
    if isinstance(rule, Convolution):
        where = rule.shape, rule.kernel, rule.outputs, rule.strides, rule.edges
        return ConvolutionFormat(delay, origin, *where)
    if regular := rule.regular(*sizes, same=same):
        return Regular(delay, origin, sizes[0], *regular)
    return None


def _has_one_delay(projection: Projection) -> bool:
    """Whether all synapses have the same delay, a number."""
    delay = projection.delay
    return not isinstance(delay, Distribution | TrainableDelay) and np.ndim(delay) == 0


def _sizes(projection: Projection, populations: Mapping[str, Population]) -> tuple[int, int]:
    return populations[projection.source].size, populations[projection.target_population].size


def _check_procedural(projection: Projection, dt: float) -> None:
    """Raise `ValueError` for values that synapses which are not stored cannot have."""
    what = f"Projection '{projection.name}'"
    mend = "Leave procedural=False to store the synapses."
    if isinstance(projection.delay, Distribution):
        law_of(projection, dt)  # raises for what it may not draw
    elif not _has_one_delay(projection):
        got = "one for each synapse"
        expected = "one number or a distribution, since synapses are not stored"
        raise ValueError(explain(f"{what}: delay", got=got, expected=expected, mend=mend))
    if not isinstance(projection.weight, Distribution) and np.ndim(projection.weight):
        got = f"shape {np.shape(projection.weight)}"
        expected = "one number or a distribution, since synapses are not stored"
        raise ValueError(explain(f"{what}: weight", got=got, expected=expected, mend=mend))


def _refuse_delays(projection: Projection) -> None:
    raise ValueError(
        explain(
            f"Projection '{projection.name}': delay",
            got="one for each synapse",
            expected="one number, since a convolution has no synapses of its own",
        )
    )
