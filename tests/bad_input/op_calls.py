"""Calls of the ops on bare arrays without fault but for what a test changes."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
from ops.structures import Wiring, empty, wire

from brainjax.ops import History, Ring, as_ring, deliver, log_events

F32, I32 = np.float32, np.int32
VALUE, TYPE = ValueError, TypeError


@functools.cache
def wiring() -> Wiring:
    """Three neurons to four targets over up to three steps, and back from two."""
    first = (0, [0, 0, 0, 2], [0, 1, 3, 3], [1, 1, 3, 2], [1.0, 2.0, 3.0, 4.0])
    return wire((3, 2), 4, [first, (1, [1, 1], [2, 2], [1, 2], 5.0)], 3)


def layout(**changes):
    return wiring().layout._replace(**changes)


def rows(**changes):
    """The rows, those of the first projection changed."""
    first, *others = wiring().rows
    changed = {k: jnp.asarray(v) if isinstance(v, np.ndarray) else v for k, v in changes.items()}
    return (dataclasses.replace(first, **changed), *others)


def weights(*of):
    return tuple(jnp.asarray(w, F32) for w in of or wiring().weights)


def delivering(form=Ring, **changes):
    """`deliver` without fault but for the changes, into a ring or a history."""

    def do():
        given = {
            "pending": empty(form, wiring(), F32),
            "spikes": (jnp.ones(3, F32), jnp.ones(2, F32)),
            "rows": wiring().rows,
            "weights": weights(),
            "index": jnp.int32(5),
            "layout": layout(),
        }
        given |= changes
        given.setdefault("slack", tuple(map(jnp.zeros_like, given["weights"])))
        operands = [given.pop(k) for k in ("pending", "spikes", "rows", "weights", "slack")]
        return deliver(*operands, **given)

    return do


def with_rows(**changes):
    return delivering(rows=rows(**changes))


def with_format(connections):
    """The first projection in another format."""
    weight = jnp.ones((), F32)
    return delivering(rows=(connections, wiring().rows[1]), weights=(weight, weight))


def history(**changes):
    """A history in which nothing is wrong but the changes, of the first population."""
    good = empty(History, wiring(), F32)
    return good._replace(**{k: (v, getattr(good, k)[1]) for k, v in changes.items()})


def ints(*values):
    return np.array(values, I32)


def converting(of=None):
    how = {"index": jnp.int32(4), "layout": layout()}
    return lambda: as_ring(of or history(), wiring().rows, weights(), **how)


def logging(log=None, length=0, spikes=None, **how):
    log = jnp.zeros(4, I32) if log is None else log
    spikes = jnp.ones(3, F32) if spikes is None else spikes
    return lambda: log_events(log, jnp.asarray(length, I32), spikes, **how)
