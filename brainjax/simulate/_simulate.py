"""`simulate`: a Python loop over compiled chunks of steps.

The number of steps of a chunk is traced, so one executable serves any duration. Progress, records
and the check for non-finite states happen between chunks and cost nothing per step.
"""

import functools
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..core import check_key, explain
from ..network import BuiltNetwork, NetworkState
from ..ops import delivery_runs, repeat
from ._inputs import check_built, check_inputs, check_state, steps_of, under_transformation
from ._progress import Progress
from ._recorders import Block, Recorder, check_recorders, finish_all, step_all


class Stats(NamedTuple):
    """How a run went."""

    num_steps: int  # done
    duration: float  # simulated, ms
    compile_s: float  # wall time of the first call, which compiles if it must
    run_s: float  # wall time of the steps alone

    @property
    def real_time_factor(self) -> float:
        """Wall time of the steps over simulated time."""
        return self.run_s / (self.duration / 1000) if self.duration else float("nan")


class Result(NamedTuple):
    """What a run gives back."""

    state: NetworkState  # where it ended; hand it to the next run to go on, to the bit
    records: dict[str, Any]  # by the names in `record`
    stats: Stats


class Interrupted(KeyboardInterrupt):
    """A run was interrupted (Ctrl-C). What was recorded is in `result`, and so is the state."""

    def __init__(self, result: Result, duration: float):
        self.result = result
        super().__init__(
            f"interrupted after {result.stats.duration:g} of {duration:g} ms. What was recorded is "
            "kept: catch brainjax.Interrupted as error, then use error.result "
            "(in a notebook: sys.last_value.result)."
        )


class NonFiniteState(FloatingPointError):
    """A state became NaN or infinite. Attributes: `population`, `step`, `result` (up to then)."""

    def __init__(self, population: str, step: int, dt: float, result: Result):
        self.population, self.step, self.result = population, step, result
        super().__init__(
            explain(
                f"Population '{population}': its state in step {step} (t = {step * dt:g} ms)",
                got="NaN or infinity",
                expected="finite numbers",
                mend="Look at weights, inputs and parameters; a smaller dt may help.",
            )
        )


_UNDER_TRACE = (
    "simulate was called under a transformation (jit, grad, vmap or another): it is a Python loop "
    "with progress and checks. Use the pure form there:\n"
    "    state, records = bj.rollout(built, state, inputs, num_steps={num_steps}, record=record)"
)


def simulate(
    built: BuiltNetwork,
    duration: float,
    *,
    state: NetworkState | None = None,
    record: Mapping[str, Recorder] | None = None,
    inputs: Mapping[str, Any] | None = None,
    progress: bool | str = False,
    chunk: int | None = None,
    key: jax.Array | None = None,
) -> Result:
    """Run a network for `duration` ms.

    **Arguments:**

    - `built`: made by `brainjax.build`.
    - `duration`: ms, a multiple of dt.
    - `state`: where to start; by default a new state drawn with `key`.
    - `record`: name to recorder.
    - `inputs`: `"population"` to current, pA, or `"population.receptor"` to arrivals; shape
      `(num_steps,)` or `(num_steps, size)`.
    - `progress`: whether to show a bar with the real-time factor on standard error; text is shown
      before it.
    - `key`: a JAX key for the initial state and the random numbers of the run; needed without
      `state`.

    **Other arguments:**

    - `chunk`: steps between looks at the run (progress, records, checks); by default 1000 to
      10 000, the fewer the more neurons there are and the more is recorded. Bits do not depend on
      it.

    **Returns:**

    `Result(state, records, stats)`.

    **Raises:**

    `ValueError` or `TypeError` for bad input, and under a transformation, before any work;
    `NonFiniteState`; `RuntimeError` when a recorder's capacity overflows; `Interrupted` on Ctrl-C.

    !!! example

        ```python
        result = bj.simulate(built, 1000.0, key=jax.random.key(1), record={"exc": bj.Spikes("exc")})
        ```
    """
    check_built(built, "simulate")
    num_steps = steps_of(duration, built.dt, "simulate: duration")
    if under_transformation(built, state, inputs, key):
        raise TypeError(_UNDER_TRACE.format(num_steps=num_steps))
    if chunk is not None and (isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1):
        raise ValueError(explain("simulate: chunk", got=chunk, expected="an integer of at least 1"))
    recorders = check_recorders(built, record)
    chunk = _usual_chunk(built, recorders) if chunk is None else chunk
    inputs = check_inputs(built, inputs, num_steps)
    if state is None:
        state = _new_state(built, key)
    check_state(state, "simulate")
    steps_of((int(state.steps) + num_steps) * built.dt, built.dt, "simulate: duration and past")
    run = _Run(built, recorders, inputs, chunk, num_steps)
    return run.go(state, Progress(duration, progress) if progress else None)


def _usual_chunk(built: BuiltNetwork, recorders: Mapping[str, Recorder]) -> int:
    """So many steps that looking at the run takes little of it, and records of them are small."""
    neurons = sum(map(built.size_of, built.names))
    numbers = sum(r.room(built) for r in recorders.values())
    return int(np.clip(min(16e6 / max(neurons, 1), 4e6 / max(numbers, 1)), 1000, 10_000))


def _new_state(built: BuiltNetwork, key) -> NetworkState:
    if key is None:
        raise ValueError(
            explain(
                "simulate: key",
                got=None,
                expected="a JAX key, or a state to start from",
                mend="Pass key=jax.random.key(0).",
            )
        )
    check_key("simulate: key", key)
    # Where deliveries run in plain JAX a ring is the faster form.
    by_handlers = delivery_runs() != "jax" and built.impl != "jax"
    return built.init_state(key=key, history=by_handlers)


@eqx.filter_jit
def _run_chunk(built: BuiltNetwork, recorders, state: NetworkState, inputs, num_steps, chunk: int):
    """`num_steps` (traced, at most `chunk`) steps; also which populations are still finite."""
    read_row = functools.partial(lax.dynamic_index_in_dim, axis=0, keepdims=False)
    write_row = functools.partial(lax.dynamic_update_index_in_dim, axis=0)
    built = built.resolved()
    backward = built.backward()
    steps = built.prepare(state, {k: v[0] for k, v in inputs.items()})

    def advance(i, state):
        input = jax.tree.map(lambda x: read_row(x, i), inputs)
        return built.advance(state, input, backward, steps)[0]

    def step(i, loop):
        state, carries, stack = loop
        state = advance(i, state)
        carries, kept = step_all(recorders, built, carries, state)
        stack = jax.tree.map(lambda x, row: write_row(x, row, i), stack, kept)
        return state, carries, stack

    carries = {n: r.init(built, chunk) for n, r in recorders.items()}
    kept = jax.eval_shape(lambda: step_all(recorders, built, carries, state)[1])
    stack = jax.tree.map(lambda x: jnp.zeros((chunk, *x.shape), x.dtype), kept)
    loop = (state, carries, stack)
    state, carries, stack = repeat(num_steps, step, loop, impl=built.impl)
    finite = {n: _is_finite(s) for n, s in state.populations.items()}
    return state, carries, stack, finite


def _is_finite(tree):
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    return (
        jnp.array([jnp.all(jnp.isfinite(x)) for x in leaves]).all() if leaves else jnp.array(True)
    )


class _Run:
    """One call of `simulate`."""

    def __init__(self, built, recorders, inputs, chunk: int, num_steps: int):
        self.built, self.recorders, self.inputs = built, recorders, inputs
        self.num_steps = num_steps
        self.chunk = chunk

    def steps(self, state: NetworkState, at: int, count: int):
        """Take `count` steps, the first of them the run's step `at`."""
        inputs = {k: _window(v, at, self.chunk) for k, v in self.inputs.items()}
        num_steps = jnp.asarray(count, jnp.int32)
        return _run_chunk(self.built, self.recorders, state, inputs, num_steps, self.chunk)

    def go(self, state: NetworkState, progress: Progress | None) -> Result:
        begin = time.perf_counter()
        first = int(state.steps)
        jax.block_until_ready(self.steps(state, 0, 0))  # no steps: compiles if it must
        compiled = time.perf_counter()
        bar = progress.init() if progress else None
        done, blocks, seconds = 0, [], 0.0
        try:
            while done < self.num_steps:
                start = time.perf_counter()
                count = min(self.chunk, self.num_steps - done)
                moved, carries, stack, finite = jax.block_until_ready(
                    self.steps(state, done, count)
                )
                if not all(np.asarray(x) for x in finite.values()):
                    self.explain_non_finite(
                        state, done, count, blocks, first, compiled - begin, seconds
                    )
                block = self.on_host(carries, stack, first + done, count)
                spent = time.perf_counter() - start
                # One assignment: an interrupt finds the run before this chunk or after it.
                blocks, state, done, seconds = (
                    [*blocks, block],
                    moved,
                    done + count,
                    seconds + spent,
                )
                if progress and bar:
                    bar = progress.step(bar, done * self.built.dt)
        except KeyboardInterrupt:
            result = self.result(state, blocks, first, done, compiled - begin, seconds)
            raise Interrupted(result, self.num_steps * self.built.dt) from None
        finally:
            if progress and bar:
                progress.close(bar)
        return self.result(state, blocks, first, done, compiled - begin, seconds)

    def result(
        self, state, blocks, first: int, done: int, compile_s: float, run_s: float
    ) -> Result:
        if not blocks:
            _, carries, stack, _ = self.steps(state, 0, 0)
            blocks = [self.on_host(carries, stack, first, 0)]
        records = finish_all(self.recorders, self.built, blocks)
        return Result(state, records, Stats(done, done * self.built.dt, compile_s, run_s))

    def on_host(self, carries, stack, first: int, count: int) -> Block:
        """What the recorders keep of `count` steps, copied from the device."""
        kept = {n: r.kept(carries[n]) for n, r in self.recorders.items()}
        return Block(
            kept, jax.tree.map(lambda x: np.asarray(x)[:count].copy(), stack), first, count
        )

    def explain_non_finite(self, state, done, count, blocks, first, compile_s, run_s) -> None:
        """Find the first step after which a state is not finite, by halving; then raise."""
        good, bad = 0, count
        while bad - good > 1:
            middle = (good + bad) // 2
            finite = self.steps(state, done, middle)[3]
            good, bad = (middle, bad) if all(map(bool, finite.values())) else (good, middle)
        finite = self.steps(state, done, bad)[3]
        population = next(n for n in self.built.names if not bool(finite[n]))
        moved, carries, stack, _ = self.steps(state, done, good)
        blocks = [*blocks, self.on_host(carries, stack, first + done, good)]
        result = self.result(moved, blocks, first, done + good, compile_s, run_s)
        raise NonFiniteState(population, first + done + good, self.built.dt, result)


def _window(values, at: int, length: int):
    """`length` rows from row `at` on, zeros beyond the end."""
    rows = values[at : at + length]
    missing = length - rows.shape[0]
    return jnp.pad(rows, [(0, missing)] + [(0, 0)] * (rows.ndim - 1)) if missing else rows
