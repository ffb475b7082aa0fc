"""The matrix as data: every op of `ops_and_oracles.py`, every transform, every platform.

`test_transforms.py` proves each cell against dense matrices, and `docs/transforms.md` is what
`page` writes of it. To write the page anew: `make transforms`.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P
from ops.ops_and_oracles import OPS, Model, Op

PAGE = Path(__file__).parents[2] / "docs" / "transforms.md"
K = 4  # the step at which an op is called once
STEPS = 5  # of a loop
EXAMPLES = 2  # of a batch; a multiple of the devices


# ---- transforms ---------------------------------------------------------------------------------


def once(model: Model) -> Callable:
    """One call of the op: floats, so that it can be differentiated whatever the op returns."""

    def f(events, weights):
        carry, out = model.step(model.start(events, weights), jnp.int32(K), events, weights)
        return _floats((model.view(carry), out), events)

    return f


def looped(model: Model) -> Callable:
    """A scan with events that move on from neuron to neuron."""

    def f(events, weights):
        def body(carry, k):
            now = jax.tree.map(lambda x: jnp.roll(x, k), events)
            return model.step(carry, K + k, now, weights)

        steps = jnp.arange(STEPS, dtype=jnp.int32)
        carry, out = jax.lax.scan(body, model.start(events, weights), steps)
        return _floats((model.view(carry), out), events)

    return f


def _floats(tree, events):
    dtype = jax.tree.leaves(events)[0].dtype
    return jax.tree.map(lambda x: x.astype(dtype), tree)


def _direction(tree):
    """A tangent or cotangent that is zero nowhere: what is silent has a derivative too."""
    return jax.tree.map(lambda x: jnp.cos(3 * x + jnp.ones_like(x)), tree)


def _loss(f: Callable) -> Callable:
    def loss(*args):
        return sum(jnp.sum(jnp.sin(x)) for x in jax.tree.leaves(f(*args)))

    return loss


def _jvp(f):
    return lambda *args: jax.jvp(f, args, _direction(args))


def _vjp(f):
    def g(*args):
        out, pull = jax.vjp(f, *args)
        return out, pull(_direction(out))

    return g


def _value_and_grad(f):
    return jax.value_and_grad(_loss(f), (0, 1))


def _forward_over_reverse(f):
    return _jvp(_value_and_grad(f))


def _reverse_over_reverse(f):
    def slope(*args):
        value, gradient = _value_and_grad(f)(*args)
        moved = zip(*map(jax.tree.leaves, (gradient, _direction(args))), strict=True)
        return sum(jnp.sum(g * v) for g, v in moved), value

    return jax.value_and_grad(slope, (0, 1), has_aux=True)


def _over_devices(f):
    """A batch of examples, each device its share; weights are everywhere."""
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    local = jax.vmap(f, (0, None))
    return jax.shard_map(local, mesh=mesh, in_specs=(P("batch"), P()), out_specs=P("batch"))


def _sharded(f):
    """A batch that XLA is to split by itself."""
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    here = jax.sharding.NamedSharding(mesh, P("batch"))

    def g(events, weights):
        return jax.vmap(f, (0, None))(jax.lax.with_sharding_constraint(events, here), weights)

    return g


NEITHER, EVENTS, WEIGHTS, BOTH, GRID = ((), ()), ((0,), ()), ((), (0,)), ((0,), (0,)), ((1,), (0,))


class Transform(NamedTuple):
    """A transform of a model, and what of its operands has examples."""

    name: str
    of: Callable[[Model], Callable]
    batch: tuple = NEITHER
    derivative: bool = False
    runs_jax: bool = False  # whether plain JAX runs on the CPU whatever is asked for
    loops: bool = False  # whether a loop is part of what is asked for


def _after(*parts: Callable) -> Callable:
    """What `parts` make of a model, the last one first."""
    return lambda model: functools.reduce(lambda f, part: part(f), reversed(parts), model)


def _over(*axes):
    return lambda f: jax.vmap(f, axes)


def _checkpointed(model: Model) -> Model:
    return model._replace(step=jax.checkpoint(model.step))


TRANSFORMS = {
    t.name: t
    for t in (
        Transform("jit", once),
        Transform("vmap over events", _after(_over(0, None), once), EVENTS),
        Transform("vmap over weights", _after(_over(None, 0), once), WEIGHTS),
        Transform("vmap over both", _after(_over(0, 0), once), BOTH),
        Transform("vmap of vmap", _after(_over(None, 0), _over(0, None), once), GRID),
        Transform("jvp", _after(_jvp, once), derivative=True),
        Transform("vjp", _after(_vjp, once), derivative=True),
        Transform("vmap of vjp, shared weights", _after(_over(0, None), _vjp, once), EVENTS, True),
        Transform("vmap of vjp, shared events", _after(_over(None, 0), _vjp, once), WEIGHTS, True),
        Transform("vjp of vmap, shared weights", _after(_vjp, _over(0, None), once), EVENTS, True),
        Transform("vjp of vmap, shared events", _after(_vjp, _over(None, 0), once), WEIGHTS, True),
        Transform(
            "Hessian-vector product, forward over reverse",
            _after(_forward_over_reverse, once),
            derivative=True,
        ),
        Transform(
            "Hessian-vector product, reverse over reverse",
            _after(_reverse_over_reverse, once),
            derivative=True,
        ),
        Transform("scan", looped, loops=True),
        Transform("gradient of a scan", _after(_value_and_grad, looped), NEITHER, True, loops=True),
        Transform(
            "gradient of a scan, checkpoint",
            _after(_value_and_grad, looped, _checkpointed),
            derivative=True,
            loops=True,
        ),
        Transform("shard_map over examples", _after(_over_devices, once), EVENTS),
        Transform(
            "gradient through shard_map",
            _after(_value_and_grad, _over_devices, once),
            EVENTS,
            derivative=True,
        ),
        Transform("automatic sharding", _after(_sharded, once), EVENTS, runs_jax=True),
    )
}

# What leaves the process that made it; `another_process.py` is the other.
JOURNEYS = {
    "export for one platform": "brainjax's custom calls are exempted from the safety checks",
    "export for several platforms": "plain JAX on each",
    "persistent compilation cache": "the second process finds what the first compiled",
    "executable loaded ahead of time": "serialised, and loaded where nothing was traced",
}
PLATFORMS = {"native": "CPU, native", "jax": "CPU, JAX", "cuda": "CUDA", "tpu": "TPU"}


def arguments(op: Op, transform: Transform, dtype) -> tuple[Any, Any]:
    """Operands with the examples that a transform is over: the same numbers in every type."""

    def stacked(part, axes):
        examples = [op.operands(seed)[part] for seed in range(1, 1 + EXAMPLES)]
        if not axes:
            return examples[0]
        return jax.tree.map(lambda *x: np.stack(x), *examples)

    args = tuple(stacked(part, axes) for part, axes in enumerate(transform.batch))
    return jax.tree.map(lambda x: jnp.asarray(np.float32(x), dtype), args)


def is_refused(op: Op, transform: Transform) -> bool:
    """Whether an op has no such transform, and must say so."""
    return op.refusal is not None and transform.derivative


# ---- the page -----------------------------------------------------------------------------------

HEAD = """# Ops and transforms

What each op of the library does under each transform of JAX, and where. Every cell is a test:
`tests/ops/test_transforms.py`, written from the same data as this page
(`tests/ops/transforms.py`; `make transforms` writes the page anew).

- **values**: equal to dense matrices with an axis for delays, in float32 and in float64.
- **lowers**: the program for that platform is made, of plain JAX operations alone. It has not been
  run there. With the library for GPUs, delivery calls its handlers (`tests/ops/test_cuda.py`).
- **JAX runs**: as *values*, by the op's plain JAX form: under automatic sharding XLA would run an
  opaque call on every device, on all of the data.
- **refused**: with the error that is named.
- **·**: not tested without such a device.

A batch is one native call, whatever varies over it: no loop over examples is in the program.

Of delivery there is a table for each way to keep connections. *Stored rows* hold any projection.
*Counted and computed* are a network of `Regular`, `FixedFanOut` and `Convolution` (dense and one to
one are `Regular`), *procedural rows* one of synapses that are made anew for each spike, over one
delay and with delays of their own, and in both a stored projection begins beside each. *Trained
delays* are between two steps, and a derivative by them is part of every cell; such a network has a
ring. What does not depend on the transform, as the bits of each format, is in
`tests/ops/test_formats.py`.

Whole networks: `rollout` and its gradient give natively what they give in JAX, and lower for CUDA
and TPU (`tests/ops/test_lowering.py`). Of a loaded program the handlers must be known: call
`brainjax.info()` first.
"""


def cell(op: Op, transform: str, platform: str) -> str:
    """What the page says of an op under a transform on a platform."""
    if transform in TRANSFORMS:
        t = TRANSFORMS[transform]
        if is_refused(op, t):
            return f"refused: `{op.refusal.__name__}`"
        if platform in ("cuda", "tpu"):
            return "lowers"
        return "JAX runs" if t.runs_jax and platform == "native" else "values"
    if transform == "export for several platforms":
        return "lowers" if platform in ("cuda", "tpu") else "JAX runs"
    return "·" if platform in ("cuda", "tpu") else "values"


def page() -> str:
    """The page, from the data above."""
    parts = [HEAD]
    for op in OPS.values():
        parts.append(f"## {op.name}\n" + (f"\n{op.note}\n" if op.note else ""))
        rows = [["transform", *PLATFORMS.values()], ["---"] * (1 + len(PLATFORMS))]
        rows += [[t, *(cell(op, t, p) for p in PLATFORMS)] for t in (*TRANSFORMS, *JOURNEYS)]
        parts.append("".join(f"| {' | '.join(row)} |\n" for row in rows))
    notes = "".join(f"- *{name}*: {what}.\n" for name, what in JOURNEYS.items())
    return "\n".join([*parts, "## Between processes\n", notes])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
