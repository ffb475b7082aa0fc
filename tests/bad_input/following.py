"""Ways in which native code follows rows, all of them to the end, and what it says of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from gpu.networks import EMULATED
from ops.formats import SLOTS
from ops.structures import empty, run

from brainjax.ops import History, Ring, deliver, delivery_runs, group_tables

F32 = np.float32
STEPS = 2 * SLOTS
# The one where JAX waits for a program as it calls it, the other where it waits for its results.
Refused = (ValueError, jax.errors.JaxRuntimeError)
# Whether the kernels for GPUs are what runs, on one or as loops.
KERNELS = EMULATED or delivery_runs() == "cuda"


def pushed(wiring, rows, form=Ring, tables=(), pending=None, start=0):
    """Every neuron spikes in every step, until everything is due."""
    spikes = tuple(jnp.ones((STEPS, n), F32) for n in wiring.sizes)
    pending = empty(form, wiring, F32) if pending is None else pending
    how = {"layout": wiring.layout, "impl": "native"}
    return run(pending, spikes, rows, floats(wiring.weights), jnp.int32(start), tables, **how)


def floats(weights):
    return tuple(jnp.asarray(w, F32) for w in weights)


@functools.partial(jax.jit, static_argnames=("layout", "sizes", "forward"))
def derived(rows, weights, *, layout, sizes, forward):
    """The derivative of a step by spikes and weights."""

    def f(slots, spikes, weights):
        slack = tuple(w - jax.lax.stop_gradient(w) for w in weights)
        how = {"index": jnp.int32(1), "layout": layout, "impl": "native"}
        ring, due, _ = deliver(Ring(slots), spikes, rows, weights, slack, **how)
        return ring.slots, due

    slots = jnp.ones((layout.num_slots, layout.num_targets), F32)
    at = (slots, tuple(jnp.ones(n, F32) for n in sizes), weights)
    if forward:
        return jax.jvp(f, at, at)
    out, pull = jax.vjp(f, *at)
    return pull(jax.tree.map(jnp.ones_like, out))


def differentiated(wiring, rows, forward):
    how = {"layout": wiring.layout, "sizes": wiring.sizes, "forward": forward}
    return derived(rows, floats(wiring.weights), **how)


def with_tables(wiring, rows):
    """With tables that were made of rows without fault."""
    tables = group_tables(wiring.rows, wiring.layout.sources)
    return pushed(wiring, rows, History, tables)


WAYS = {
    "ring": pushed,
    "forward": functools.partial(differentiated, forward=True),
    "backward": functools.partial(differentiated, forward=False),
    "history": functools.partial(pushed, form=History),
    "tables": with_tables,
}


def said(do) -> str:
    """What is said of what led out: nothing, the words of an error, or "nan"."""
    try:
        out = jax.block_until_ready(do())
    except Refused as error:
        return str(error)
    return "nan" if KERNELS and has_nan(out) else ""


def has_nan(tree) -> bool:
    numbers = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    return any(bool(jnp.isnan(x).any()) for x in numbers)


def refused(do, *words):
    got = said(do)
    expected = ("INVALID_ARGUMENT: deliver: ", *words, "check_rows(rows, layout)")
    for part in ("nan",) if KERNELS else expected:
        assert part in got, f"{part!r} is not in: {got!r}"


def followed(do):
    assert not said(do)
