"""What the ops should give, by dense matrices with an axis for delays. No code of the library."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from brainjax.ops import History, Ring


def matrices(wiring, listed, weights):
    """Per projection `(num_slots, num_targets, size)`: a matrix for each delay from one step on."""
    layout = wiring.layout
    out = []
    for source, (pre, post, delay), made, weight in zip(
        layout.sources, wiring.synapses, listed, weights, strict=True
    ):
        shape = (layout.num_slots, layout.num_targets, wiring.sizes[source])
        if isinstance(weight, tuple):  # delays between two steps: a part of the weight in either
            weight, steps = weight
            delay = jnp.floor(steps).astype(jnp.int32)
            rest = steps - delay.astype(steps.dtype)
            parts = [(delay, weight * (1 - rest)), (delay + 1, weight * rest)]
        else:
            parts = [(delay, made.weights(weight))]
        matrix = jnp.zeros(shape, weight.dtype)
        for steps, part in parts:
            matrix = matrix.at[steps - 1, post, pre].add(part)
        out.append(matrix)
    return out


def delivery(wiring, listed, form):
    """`start`, `step` and `view` of delivery, as of `ops_and_oracles.Model`."""
    layout = wiring.layout
    num_slots = layout.num_slots
    matrices_of = functools.partial(matrices, wiring, listed)

    def start(events, weights):
        return jax.tree.map(lambda x: jnp.asarray(x, events[0].dtype), under_way(wiring, form))

    def ring(slots, k, events, weights):
        arrivals = [
            jnp.einsum("dts,s->dt", matrix, events[source])
            for source, matrix in zip(layout.sources, matrices_of(weights), strict=True)
        ]
        slots = slots + jnp.roll(sum(arrivals), k, axis=0)  # a delay of one step is due now
        now = _is(jnp.mod(k, num_slots), num_slots)
        return jnp.where(now, 0, slots), jnp.sum(jnp.where(now, slots, 0), axis=0)

    def history(past, k, events, weights):
        newest = _is(jnp.mod(k - 1, num_slots), num_slots)
        past = tuple(jnp.where(newest, x[None], p) for p, x in zip(past, events, strict=True))
        due = [
            jnp.einsum("dts,ds->t", matrix, jnp.roll(past[source][::-1], k, axis=0))
            for source, matrix in zip(layout.sources, matrices_of(weights), strict=True)
        ]
        return past, sum(due)

    return start, ring if form is Ring else history, lambda carry: carry


def _is(slot, num_slots):
    return (jnp.arange(num_slots, dtype=jnp.int32) == slot)[:, None]


def under_way(wiring, form):
    """Currents that wait in a ring, or the spikes of the last steps: `(num_slots, size)` each."""
    rng, slots = np.random.default_rng(9), wiring.layout.num_slots
    if form is Ring:
        return rng.normal(size=(slots, wiring.layout.num_targets))
    return tuple(rng.normal(size=(slots, n)) * (rng.random((slots, n)) < 0.4) for n in wiring.sizes)


def trains_of(history: History):
    """The spikes that a history holds, as `(num_slots, size)` for each population."""

    def train(neuron, value, counts):
        size = neuron.shape[1]
        known = jnp.arange(size, dtype=jnp.int32)[None] < counts[:, None]
        at = jnp.where(known, neuron, size)
        chosen = at[:, :, None] == jnp.arange(size, dtype=jnp.int32)[None, None]
        return jnp.sum(jnp.where(chosen, value[:, :, None], 0), axis=1)

    return tuple(map(train, *history))


def log_step(carry, k, events, weights):
    """A log with new events: for each place, which event comes to stand there."""
    log, length = carry
    active = (events != 0)[None]
    number = jnp.cumsum(active, axis=1, dtype=jnp.int32)
    places = jnp.arange(log.shape[0], dtype=jnp.int32)[:, None]
    here = active & (length + number - 1 == places)
    event = jnp.argmax(here, axis=1).astype(jnp.int32)
    return (jnp.where(here.any(axis=1), event, log), length + number[0, -1]), events
