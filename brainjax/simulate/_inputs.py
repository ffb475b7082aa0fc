"""Checking what a user hands to a driver, before anything is traced."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core import explain, is_traced, near_miss
from ..network import BuiltNetwork, NetworkState
from ..stimuli import Source

_MOST_STEPS = 2**31 - 1


def check_built(built: Any, who: str) -> None:
    """Raise `TypeError` unless `built` came from `brainjax.build`."""
    if not isinstance(built, BuiltNetwork):
        raise TypeError(
            explain(
                f"{who}: network",
                got=type(built).__name__,
                expected="a built network",
                mend="Make one by bj.build(network, dt=0.1, key=jax.random.key(0)).",
            )
        )


def check_state(state: Any, who: str) -> None:
    """Raise `TypeError` unless `state` is the state of a network."""
    if not isinstance(state, NetworkState):
        raise TypeError(
            explain(
                f"{who}: state",
                got=type(state).__name__,
                expected="a NetworkState",
                mend="Make one by built.init_state(key=jax.random.key(0)).",
            )
        )


def check_inputs(
    built: BuiltNetwork, inputs: Mapping[str, Any] | None, num_steps: int
) -> dict[str, jax.Array]:
    """Inputs as arrays with a leading axis of `num_steps`, checked against the network."""
    checked = {}
    if inputs is not None and not isinstance(inputs, Mapping):
        raise TypeError(
            explain(
                "inputs",
                got=type(inputs).__name__,
                expected="a mapping from targets to arrays",
                mend="For example inputs={'exc': current}.",
            )
        )
    for target, values in (inputs or {}).items():
        population, _, receptor = str(target).partition(".")
        if population not in built.populations:
            raise ValueError(
                explain(
                    "inputs: key",
                    got=target,
                    expected="'population' or 'population.receptor'",
                    mend=near_miss(population, built.names),
                )
            )
        receptors = built.populations[population].receptors
        if receptor and receptor not in receptors:
            raise ValueError(
                explain(
                    "inputs: key",
                    got=target,
                    expected=f"a receptor of '{population}'",
                    mend=near_miss(receptor, receptors),
                )
            )
        if isinstance(built.populations[population].neuron, Source):
            expected = "a population of neurons: a source takes no input"
            raise ValueError(explain("inputs: key", got=target, expected=expected))
        size = built.populations[population].size
        shape = np.shape(values)
        if shape not in ((num_steps,), (num_steps, size)):
            raise ValueError(
                explain(
                    f"inputs[{target!r}]",
                    got=f"shape {shape}",
                    expected=f"({num_steps},) or ({num_steps}, {size}): steps, neurons",
                )
            )
        checked[target] = jnp.asarray(values, built.dt_leaf.dtype)
    return checked


def steps_of(duration: Any, dt: float, what: str) -> int:
    """How many steps a time is.

    **Arguments:**

    - `duration`: ms.
    - `dt`: the step, ms.
    - `what`: what the time is called in an error.

    **Raises:** `TypeError` or `ValueError` unless it is a multiple of `dt`, 0 or more.
    """
    if isinstance(duration, bool) or not isinstance(duration, (int, float, np.number)):
        raise TypeError(explain(what, got=duration, expected="a number in ms"))
    steps = float(duration) / dt if np.isfinite(duration) else -1.0
    if steps > _MOST_STEPS:
        expected = f"at most {_MOST_STEPS} steps of {dt} ms, which 32 bits count"
        raise ValueError(explain(what, got=duration, expected=expected))
    if steps < 0 or abs(steps - round(steps)) > 1e-6 * max(steps, 1):
        near = dt * max(round(steps), 0)
        raise ValueError(
            explain(
                what,
                got=duration,
                expected=f"a multiple of dt = {dt} ms, 0 or more",
                mend=f"The nearest is {near:g}." if np.isfinite(duration) else "",
            )
        )
    return round(steps)


def under_transformation(*trees: Any) -> bool:
    """Whether a JAX transformation is under way: an argument is traced, or what is made now."""
    leaves = [*jax.tree.leaves(trees), jnp.zeros(()) + 1]
    return any(map(is_traced, leaves))
