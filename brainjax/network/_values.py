"""Delays and weights of synapses: one number, what the user listed, or what is drawn."""

from typing import Any

import numpy as np
from jaxtyping import Array

from ..connect import Convolution, Distribution, Explicit
from ..core import HostStream, as_leaf, explain, is_traced
from ._layout import Values
from ._network import Projection

_MOST_STEPS = 2**20


def delay_steps(projection: Projection, count: int, dt: float, stream: HostStream) -> int | Values:
    """Delays in steps, one or those of `count` synapses; refuses what is not on the grid.

    What is drawn is drawn, and refused, when it is asked for.
    """
    what = f"Projection '{projection.name}': delay"
    value = projection.delay
    if isinstance(value, Distribution):
        return lambda start, stop: drawn_steps(
            projection, value.sample(stream, stop - start, start), dt
        )
    if is_traced(value):
        raise TypeError(explain(what, got="a traced value", expected="concrete delays"))
    delays = np.asarray(value, np.float64)
    if np.any(delays < dt * (1 - 1e-4)):
        raise ValueError(_too_short(what, delays, dt, _SHORT))
    steps = _on_grid(what, delays, dt, _SHORT)
    off = np.abs(delays / dt - steps) > 1e-4 * np.maximum(steps, 1)
    if np.any(off):
        raise ValueError(
            explain(
                what,
                got=float(delays[off].ravel()[0]),
                expected=f"a multiple of dt = {dt} ms",
                mend="Round it, or choose another dt.",
            )
        )
    if steps.ndim == 0:
        return int(steps)
    _check_shape(what, steps.shape, (count,))
    return _listed(projection, steps)


def drawn_steps(projection: Projection, values: np.ndarray, dt: float) -> np.ndarray:
    """Delays that were drawn, ms, to the nearest step. **Raises:** as `delay_steps`."""
    mend = f"Bound the distribution: low={dt / 2}."
    return _on_grid(f"Projection '{projection.name}': delay", values, dt, mend)


def one_delay(projection: Projection, dt: float) -> int:
    """The delay of all synapses, in steps, where it is one number."""
    steps = delay_steps(projection, 1, dt, HostStream((0, 0)))
    assert isinstance(steps, int), "the caller looked"
    return steps


_SHORT = "Use dt, or a smaller dt."


def _on_grid(what: str, delays: np.ndarray, dt: float, mend: str) -> np.ndarray:
    """The nearest numbers of steps. **Raises:** `ValueError` if one is too small or too large."""
    steps = np.asarray(np.floor(delays / dt + 0.5), np.int64)
    if np.any(steps < 1):
        raise ValueError(_too_short(what, delays, dt, mend))
    if np.any(steps > _MOST_STEPS):
        expected = f"below {_MOST_STEPS} steps"
        raise ValueError(explain(what, got=float(delays.max()), expected=expected))
    return steps


def _too_short(what: str, delays: np.ndarray, dt: float, mend: str) -> str:
    return explain(what, got=float(delays.min()), expected=f"at least dt = {dt} ms", mend=mend)


def weights(projection: Projection, count: int, stream: HostStream) -> Values | Array:
    """Weights of `count` synapses: one number, traced numbers in canonical order, or values."""
    value: Any = projection.weight
    if isinstance(value, Distribution):
        return lambda start, stop: value.sample(stream, stop - start, start)
    if not is_traced(value):
        value = np.asarray(value, np.float64)
    if np.ndim(value) == 0:
        return as_leaf(value)
    rule = projection.rule
    shape = rule.kernel if isinstance(rule, Convolution) else (count,)
    _check_shape(f"Projection '{projection.name}': weight", np.shape(value), shape)
    if isinstance(rule, Convolution):
        return as_leaf(value)
    if is_traced(value):
        return value[rule.order] if isinstance(rule, Explicit) else value
    return _listed(projection, value)


def _check_shape(what: str, shape: tuple[int, ...], whole: tuple[int, ...]) -> None:
    if shape != whole:
        each = "one per synapse" if len(whole) == 1 else "a kernel"
        expected = f"one number, or {each}: {whole}"
        raise ValueError(explain(what, got=f"shape {shape}", expected=expected))


def _listed(projection: Projection, values: np.ndarray) -> Values:
    """What the user listed: beside explicit edges in the order of these, else in the canonical."""
    rule = projection.rule
    if isinstance(rule, Explicit):
        return lambda start, stop: values[rule.order[start:stop]]
    return lambda start, stop: values[start:stop]
