"""`rollout`: the pure form of a run, for `jit`, `grad` and `vmap`."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ..core import explain
from ..network import BuiltNetwork, NetworkState
from ..ops import History, Ring, as_ring, varying_alike
from ._inputs import check_built, check_inputs, check_state
from ._recorders import Block, Recorder, check_recorders, finish_all, step_all


def rollout(
    built: BuiltNetwork,
    state: NetworkState,
    inputs: Mapping[str, Any] | None = None,
    num_steps: int | None = None,
    *,
    record: Mapping[str, Recorder] | None = None,
    checkpoint: bool = True,
) -> tuple[NetworkState, dict[str, Any]]:
    """Run a network for `num_steps` steps: a pure function, differentiable by every rule.

    **Arguments:**

    - `built`: made by `brainjax.build`. Its weights and parameters may be traced.
    - `state`: where to start, from `built.init_state(key=...)` or an earlier run.
    - `inputs`: `"population"` to current, pA, or `"population.receptor"` to arrivals in the
      receptor's unit; shape `(num_steps,)` or `(num_steps, size)`. Absent means zero.
    - `num_steps`: how many steps; may be left out where `inputs` says it.
    - `record`: name to recorder.

    **Other arguments:**

    - `checkpoint`: whether the reverse pass keeps the state of only about `2 sqrt(num_steps)` steps
      and recomputes the others.

    **Returns:**

    `(state, records)`.

    **Raises:**

    `ValueError` or `TypeError` before tracing, for inputs or recorders that do not fit.

    !!! example

        ```python
        def loss(built):
            _, records = bj.rollout(built, state, num_steps=100, record={"n": bj.SpikeCount("exc")})
            return records["n"].sum()

        gradient = eqx.filter_jit(eqx.filter_grad(loss))(built)
        ```
    """
    num_steps, inputs, recorders = check_rollout(built, state, inputs, num_steps, record)
    return roll(built, state, inputs, num_steps, recorders, checkpoint)


def check_rollout(
    built, state, inputs, num_steps, record
) -> tuple[int, dict[str, jax.Array], dict[str, Recorder]]:
    """`built`, `state`, `inputs`, `num_steps` and `record`, checked before anything is traced."""
    check_built(built, "rollout")
    num_steps = _num_steps(inputs, num_steps)
    inputs, recorders = check_inputs(built, inputs, num_steps), check_recorders(built, record)
    check_state(state, "rollout")
    return num_steps, inputs, recorders


def roll(built, state, inputs, num_steps, recorders, checkpoint) -> tuple[NetworkState, dict]:
    """`rollout(built, state, inputs, num_steps, ...)` of checked arguments.

    `recorders` are what `check_rollout` makes of `record`; `checkpoint` is as of `rollout`.
    """
    built = built.resolved()
    if isinstance(state.pending, History):
        state = state._replace(pending=_ring_of(built, state.pending, state.steps))

    def step(carry, input):
        state, backward, carries = carry
        state, backward = built.advance(state, input, backward, steps)
        carries, kept = step_all(recorders, built, carries, state)
        return (state, backward, carries), kept

    first = {k: v[0] for k, v in inputs.items()} if num_steps else {}
    steps = built.prepare(state, first, live=True)
    carries = {n: r.init(built, num_steps) for n, r in recorders.items()}
    carry = varying_alike((state, built.backward(), carries), built, inputs)
    (last, _, carries), stack = _scan(step, carry, inputs, num_steps, checkpoint)
    block = Block(carries, stack, state.steps, num_steps)
    return last, finish_all(recorders, built, [block])


def _num_steps(inputs: Mapping[str, Any] | None, num_steps: Any) -> int:
    if num_steps is None:
        lengths = {len(v) for v in (inputs or {}).values()}
        if len(lengths) != 1:
            raise ValueError(
                explain(
                    "rollout: num_steps",
                    got=None,
                    expected="a number of steps, or inputs of one length",
                )
            )
        (num_steps,) = lengths
    if isinstance(num_steps, bool) or not isinstance(num_steps, int) or num_steps < 0:
        raise ValueError(
            explain("rollout: num_steps", got=num_steps, expected="an integer of at least 0")
        )
    return num_steps


def _ring_of(built: BuiltNetwork, history: History, index: jax.Array) -> Ring:
    projections = [built.projections[n] for n in built.projection_names]
    return as_ring(
        history,
        tuple(p.rows for p in projections),
        tuple(p.flat_weight for p in projections),
        index=index,
        layout=built.layout,
        impl=built.impl,
    )


def _block_length(num_steps: int) -> int:
    """A length near the square root of `num_steps`, if possible a divisor: no tail to compile."""
    root = math.isqrt(num_steps)
    near = sorted(range(max(root // 2, 1), 2 * root + 1), key=lambda n: abs(n - root))
    return next((n for n in near if num_steps % n == 0), root)


def _scan(step, carry, inputs, num_steps: int, checkpoint: bool):
    """A scan whose reverse pass keeps the carry of about `2 sqrt(num_steps)` steps."""
    inner = _block_length(num_steps)
    if not checkpoint or inner < 4:
        return lax.scan(step, carry, inputs, length=num_steps)
    outer = num_steps // inner
    head = jax.tree.map(lambda x: x[: outer * inner].reshape(outer, inner, *x.shape[1:]), inputs)
    tail = jax.tree.map(lambda x: x[outer * inner :], inputs)

    @jax.checkpoint
    def block(carry, inputs):
        return lax.scan(step, carry, inputs, length=inner)

    carry, first = lax.scan(block, carry, head, length=outer)
    stack = jax.tree.map(lambda x: x.reshape(outer * inner, *x.shape[2:]), first)
    rest = num_steps - outer * inner
    if rest:
        carry, last = lax.scan(step, carry, tail, length=rest)
        stack = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), stack, last)
    return carry, stack
