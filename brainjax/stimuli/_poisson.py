"""Poisson numbers by inversion of their distribution, from integer random bits.

32 bits a neuron and step are compared with integer thresholds. Thresholds are the survival
function P(N > n), summed from its far end so that small probabilities keep their digits: the number
of events is how many thresholds exceed the bits.
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from ..core import Stream, check_integer, explain, fold, is_concrete
from ..ops import draw_poisson

_TAIL = 2.0**-33


def largest_count(mean: float) -> int:
    """The least n with P(N > n) below the resolution of the bits, for a Poisson N of this mean."""
    term = total = math.exp(-mean)
    n = 0
    while 1 - total > _TAIL and term > 0 and n < 10_000:
        n += 1
        term *= mean / n
        total += term
        if n > mean and term < _TAIL / 4:
            break
    return n


def poisson_thresholds(mean: Float[Array, "..."], max_events: int) -> list[UInt32[Array, "..."]]:
    """P(N > n) in units of 2^-32 for each n below `max_events`, N Poisson of mean `mean`."""
    safe = jnp.where(mean > 0, mean, 1)
    log_mean = jnp.log(safe)
    survival, thresholds = 0.0, []
    for n in reversed(range(1, max_events + 1)):
        survival = jnp.exp(n * log_mean - safe - math.lgamma(n + 1)) + survival
        part = jnp.where(mean > 0, jnp.minimum(survival, 1 - 2**-24), 0)
        thresholds.append((part * 2.0**32).astype(jnp.uint32))
    return thresholds[::-1]


def poisson_counts(
    stream: Stream,
    purpose: str,
    step: Int[Array, ""],
    mean: Float[Array, "..."],
    max_events: int,
) -> Float[Array, " size"]:
    """A Poisson number for each unit.

    **Arguments:**

    - `stream`, `purpose`, `step`: which random numbers.
    - `mean`: shape `()` or `(size,)`; one that is not positive gives 0.
    - `max_events`: no number is larger.
    """
    thresholds = poisson_thresholds(mean, max_events)
    if mean.shape == () and stream.first is not None and max_events < 256:
        words = fold(stream.words, purpose)
        counts = draw_poisson(words, step, stream.first, stream.index.shape[0], thresholds)
    else:
        bits = stream.neighbour_bits(purpose, step)
        counts = jnp.zeros(bits.shape, jnp.int32)
        for threshold in thresholds:
            counts = counts + (bits < threshold).astype(jnp.int32)
    return counts.astype(mean.dtype)


MAX_MEAN = 50.0


def events_per_step(rate, dt: float, max_events: int | None, what: str) -> int:
    """How many events a step must be able to hold; refuses rates that a step cannot resolve."""
    if max_events is not None:
        return check_integer(f"{what}: max_events", max_events, low=1)
    if not is_concrete(rate):
        raise ValueError(
            explain(
                f"{what}: rate",
                got="a traced value",
                expected="max_events=... beside it",
                mend="The most events in a step must be known before tracing: pass max_events.",
            )
        )
    mean = float(np.max(np.asarray(rate))) * dt / 1000
    if mean > MAX_MEAN:
        raise ValueError(
            explain(
                f"{what}: rate",
                got=mean * 1000 / dt,
                expected=f"at most {MAX_MEAN} events a step ({MAX_MEAN * 1000 / dt:g} Hz)",
                mend="Use fewer, stronger events, or a smaller dt.",
            )
        )
    return max(largest_count(mean), 1)
