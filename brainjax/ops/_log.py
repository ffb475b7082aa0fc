"""A log of events: who spiked, appended to one array as it happens.

Operands: `log` (capacity,), `length` (), `spikes` (size,). Results: `log`, `length`. The length
counts on past the capacity, where nothing is written, so that an overflow is seen and raised.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ._check_rows import are_concrete
from ._check_types import check_array, refuse
from ._connections import events_of
from ._primitive import (
    align_varying,
    batch_by_leading_axis,
    check_impl,
    lower_natively,
    new_primitive,
    over_batch,
    set_constant,
)

_SPIKES = (np.float32, np.float64)


def _one(*args):
    log, length, spikes = args
    events, number = events_of(spikes != 0)
    offset = jnp.arange(spikes.shape[0], dtype=jnp.int32)
    position = jnp.where(offset < number, length + offset, log.shape[0])
    return [log.at[position].set(events, mode="drop"), length + number]


def _reference(*args, impl, batch):
    return over_batch(_one, batch, args)


def _abstract(log, length, spikes, *, impl, batch):
    return [log, length]


log_events_p = new_primitive("log_events", _abstract, _reference)
lower_natively(
    log_events_p,
    _reference,
    "brainjax_LogEvents",
    lambda avals, *, impl, batch: {"batch": np.int64(batch)},
    lambda avals, *, impl, batch: {0: 0, 1: 1},
)
batch_by_leading_axis(log_events_p, lambda *, impl: {0, 1})


set_constant(log_events_p)


def log_events(
    log: Int[Array, " capacity"],
    length: Int[Array, ""],
    spikes: Float[Array, " size"],
    *,
    impl: str = "auto",
) -> tuple[Int[Array, " capacity"], Int[Array, ""]]:
    """Append the indices of the neurons with `spikes != 0`, in ascending order.

    `impl` says which implementation runs.

    **Returns:**

    `(log, length)`. `length > capacity` says that events were lost: the caller raises.

    **Raises:**

    `TypeError` and `ValueError` for arrays of another dtype or number of axes, and for a negative
    length.
    """
    check_impl(impl)
    check_array("log_events: log", log, np.int32, (None,))
    check_array("log_events: length", length, np.int32, ())
    dtype = spikes.dtype if getattr(spikes, "dtype", None) in _SPIKES else np.float32
    check_array("log_events: spikes", spikes, dtype, (None,))
    if are_concrete(length) and length < 0:
        refuse("log_events: length", int(length), "how many events were logged, 0 or more")
    return tuple(log_events_p.bind(*align_varying(log, length, spikes), impl=impl, batch=0))
