"""Random connections, and what they deliver, by matrices that share no code with the library."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from brainjax.ops import (
    History,
    Layout,
    Ring,
    Rows,
    deliver,
    empty_history,
    empty_ring,
    group_tables,
)


class Wiring(NamedTuple):
    """A structure in both spellings: lists of synapses, and the rows made of them."""

    sizes: tuple[int, ...]
    layout: Layout
    rows: tuple[Rows, ...]
    synapses: tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]  # pre, post, delay
    weights: tuple[np.ndarray, ...]  # float64, one or one per synapse, in row order


def wire(sizes, num_targets, projections, num_slots) -> Wiring:
    """Lay out `projections`: each `(source, pre, post, delay, weight)`, in any order."""
    rows, synapses, weights = [], [], []
    for source, pre, post, delay, weight in projections:
        order = np.lexsort((delay, pre))  # stable: the order of equals is kept
        pre, post, delay = (np.asarray(a, np.int32)[order] for a in (pre, post, delay))
        new = np.ones(len(pre), bool)
        new[1:] = (np.diff(pre) != 0) | (np.diff(delay) != 0)
        first = np.flatnonzero(new)
        source_ptr = np.searchsorted(pre[first], np.arange(sizes[source] + 1))
        group_ptr = np.append(first, len(pre))
        parts = (source_ptr, delay[first], group_ptr, post)
        longest = (np.bincount(pre).max(initial=0), np.diff(group_ptr).max(initial=0))
        rows.append(Rows(*(jnp.asarray(a, jnp.int32) for a in parts), *map(int, longest)))
        synapses.append((pre, post, delay))
        weights.append(np.asarray(weight) if np.ndim(weight) == 0 else np.asarray(weight)[order])
    layout = Layout(num_slots, num_targets, tuple(p[0] for p in projections))
    return Wiring(tuple(sizes), layout, tuple(rows), tuple(synapses), tuple(weights))


def narrowed(wiring: Wiring, origins) -> Wiring:
    """The same with targets of 16 bits, counted from an origin for each projection."""
    rows = [
        dataclasses.replace(row, target=(row.target - origin).astype(jnp.uint16), origin=origin)
        for row, origin in zip(wiring.rows, origins, strict=True)
    ]
    return wiring._replace(rows=tuple(rows))


def ascending(wiring: Wiring) -> Wiring:
    """The same synapses, those of a group in the order of their targets, which is said of them."""
    drawn = []
    for source, (pre, post, delay), weight in zip(
        wiring.layout.sources, wiring.synapses, wiring.weights, strict=True
    ):
        order = np.lexsort((post, delay, pre))
        weight = weight if np.ndim(weight) == 0 else weight[order]
        drawn.append((source, pre[order], post[order], delay[order], weight))
    made = wire(wiring.sizes, wiring.layout.num_targets, drawn, wiring.layout.num_slots)
    rows = tuple(dataclasses.replace(row, sorted_targets=True) for row in made.rows)
    return made._replace(rows=rows, layout=wiring.layout)


def random_wiring(rng, sizes, num_targets, projections, num_slots) -> Wiring:
    """Projections given as `(source, number of synapses, longest delay, scalar weight?)`.

    Posts are drawn with replacement, so that some pairs are connected more than once.
    """
    drawn = []
    for source, count, longest, scalar in projections:
        pre = rng.integers(0, sizes[source], count)
        post = rng.integers(0, num_targets, count)
        delay = rng.integers(1, longest + 1, count)
        drawn.append((source, pre, post, delay, rng.normal() if scalar else rng.normal(size=count)))
    return wire(sizes, num_targets, drawn, num_slots)


def random_spikes(rng, sizes, steps):
    """Per population `(steps, size)`: mostly silence, else a spike or a graded value."""
    out = []
    for n in sizes:
        kind = rng.choice(3, size=(steps, n), p=[0.7, 0.15, 0.15])
        out.append(np.where(kind == 0, 0.0, np.where(kind == 1, 1.0, rng.normal(size=(steps, n)))))
    return tuple(out)


def dense_due(wiring: Wiring, spikes) -> np.ndarray:
    """What is due in each step, in float64: a matrix for each delay, times the spikes of then."""
    layout, steps = wiring.layout, len(spikes[0])
    out = np.zeros((steps, layout.num_targets))
    for source, (pre, post, delay), weight in zip(
        layout.sources, wiring.synapses, wiring.weights, strict=True
    ):
        matrices = np.zeros((layout.num_slots + 1, layout.num_targets, wiring.sizes[source]))
        np.add.at(matrices, (delay, post, pre), weight)
        for k in range(steps):
            # Row k of `spikes` is of the step before: a delay of one step is due at once.
            for d in range(1, min(layout.num_slots, k + 1) + 1):
                out[k] += matrices[d] @ spikes[source][k + 1 - d]
    return out


def empty(form, wiring: Wiring, dtype):
    """An empty `Ring` or `History`."""
    if form is History:
        return empty_history(wiring.layout, wiring.sizes, dtype)
    return empty_ring(wiring.layout, dtype)


@functools.partial(jax.jit, static_argnames=("layout", "impl"))
def run(pending, spikes, rows, weights, start, tables=(), *, layout, impl):
    """Deliver step after step, from step `start` on: `(pending, due of every step)`."""
    slack = tuple(map(jnp.zeros_like, weights))

    def step(pending, now):
        k, x = now
        pending, due, _ = deliver(
            pending, x, rows, weights, slack, index=k, layout=layout, tables=tables, impl=impl
        )
        return pending, due

    steps = start + jnp.arange(spikes[0].shape[0], dtype=jnp.int32)
    return jax.lax.scan(step, pending, (steps, spikes))


def in_type(tree, dtype):
    """The floats of a tree in another type."""
    return jax.tree.map(
        lambda x: jnp.asarray(x, dtype) if np.issubdtype(x.dtype, np.floating) else x, tree
    )


def run_wiring(wiring, form, spikes, *, impl, dtype, start=0, pending=None, tables=False):
    """`run` on host arrays; the result on the host."""
    pending = empty(form, wiring, dtype) if pending is None else pending
    pending, due = run(
        pending,
        tuple(jnp.asarray(x, dtype) for x in spikes),
        in_type(wiring.rows, dtype),
        tuple(jnp.asarray(w, dtype) for w in wiring.weights),
        jnp.int32(start),
        group_tables(wiring.rows, wiring.layout.sources) if tables else (),
        layout=wiring.layout,
        impl=impl,
    )
    return pending, np.asarray(due)


FORMS = {"ring": Ring, "history": History}
