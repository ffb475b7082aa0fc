"""Networks that are large enough for a GPU, and what is run on them."""

import os

import jax
import jax.numpy as jnp
import numpy as np

from brainjax.ops import Layout, Rows, deliver, empty_history, empty_ring, group_tables

EMULATED = "BRAINJAX_TEST_EMULATED" in os.environ


class Random:
    """Populations that each project to all, with random targets and delays.

    Each population is a receptor of its own; a source has `fan_out` synapses in each. `spikes` are
    `(steps, size)` for each population, at `rate` spikes a step and neuron.
    """

    def __init__(self, sizes, fan_out, num_slots, steps, rate, dtype=np.float32, seed=0):
        rng = np.random.default_rng(seed)
        rows, weights, sources, ports = [], [], [], []
        first = np.cumsum([0, *sizes])
        for source, size in enumerate(sizes):
            for target in range(len(sizes)):
                reach = int(first[target]), int(first[target + 1])
                rows.append(random_rows(rng, size, fan_out, reach, num_slots))
                ports.append(target)
                weights.append(jnp.asarray(rng.normal(size=size * fan_out), dtype))
                sources.append(source)
        self.sizes = tuple(sizes)
        self.layout = Layout(num_slots, int(first[-1]), tuple(sources), tuple(ports), self.sizes)
        self.weights = tuple(weights)
        self.fixed = tuple(rows), group_tables(rows, sources)  # rows, tables
        self.spikes = tuple(
            jnp.asarray((rng.random((steps, n)) < rate) * rng.normal(1, 0.1, (steps, n)), dtype)
            for n in sizes
        )

    def start(self, form):
        """Nothing under way: a `"ring"` or a `"history"`."""
        dtype = self.weights[0].dtype
        if form == "ring":
            return empty_ring(self.layout, dtype)
        return empty_history(self.layout, self.sizes, dtype)

    def run(self, pending, spikes, weights, fixed, impl="native"):
        """Deliver step after step: what is under way at the end, and what was due."""
        rows, tables = fixed
        slack = tuple(w - jax.lax.stop_gradient(w) for w in weights)

        def step(carry, now):
            pending, slack = carry
            k, x = now
            pending, due, slack = deliver(
                pending, x, rows, weights, slack,
                index=k, layout=self.layout, tables=tables, impl=impl,
            )  # fmt: skip
            return (pending, slack), due

        steps = jnp.arange(spikes[0].shape[0], dtype=jnp.int32)
        (pending, _), due = jax.lax.scan(step, (pending, slack), (steps, spikes))
        return pending, due


def random_rows(rng, size, fan_out, reach, num_slots):
    """Rows of `fan_out` synapses each, by delay, with targets in `reach`."""
    delay = np.sort(rng.integers(1, num_slots + 1, (size, fan_out)), axis=1)
    new = np.ones((size, fan_out), bool)
    new[:, 1:] = delay[:, 1:] != delay[:, :-1]
    group_ptr = np.append(np.flatnonzero(new), new.size)
    source_ptr = np.append(0, np.cumsum(new.sum(axis=1)))
    width = reach[1] - reach[0]
    group = np.cumsum(new, dtype=np.int64) * width
    target = np.sort(group + rng.integers(0, width, new.size)) - group  # within each group
    arrays = (jnp.asarray(a, jnp.int32) for a in (source_ptr, delay[new], group_ptr))
    target = jnp.asarray(target, jnp.uint16)
    longest = int(np.diff(group_ptr).max())
    return Rows(*arrays, target, fan_out, longest, origin=reach[0], sorted_targets=True)
