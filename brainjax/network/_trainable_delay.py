"""Delays that are learned: how a projection says so, and what it begins with."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..connect import Distribution
from ..core import HostStream, explain, float_dtype
from ..ops import Rows
from ._interpolate import whole_and_rest
from ._layout import LaidOut, target_dtype


@dataclass(frozen=True)
class TrainableDelay:
    """A delay for each synapse that gradients reach, for `Projection(delay=...)`.

    `built.projections[name].delay` holds them, in ms, one per synapse in the order of `edges`:
    choose it in `brainjax.trainable(built, where)`. A delay that training has carried outside of
    `dt` to `longest` makes the weights of its synapse NaN, which the drivers report; keep them
    inside with `optax.projections.projection_box`.

    **Arguments:**

    - `initial`: ms; a number, a distribution, or one number per synapse in canonical order. It need
      not be a multiple of dt.
    - `longest`: ms; what a delay may become at most. Memory is in proportion to it.

    **Raises:** `build` raises `ValueError` for initial delays outside of `dt` to `longest`.

    Linear interpolation between grid points follows Hammouamri, Khalfaoui-Hassani and Masquelier
    2023, 'Learning delays in spiking neural networks using dilated convolutions with learnable
    spacings', doi:10.48550/arXiv.2306.17670.
    """

    initial: Any
    longest: float

    def __post_init__(self):
        what = "TrainableDelay: longest"
        if isinstance(self.longest, bool) or not isinstance(self.longest, int | float):
            raise TypeError(explain(what, got=self.longest, expected="a number, ms"))
        if not (np.isfinite(self.longest) and self.longest > 0):
            raise ValueError(explain(what, got=self.longest, expected="a positive number, ms"))


def lay_out_trainable(
    delay: TrainableDelay,
    begin: np.ndarray,
    post: np.ndarray,
    num_post: int,
    offset: int,
    dt: float,
    stream: HostStream,
    what: str,
) -> LaidOut:
    """The synapses of a projection, each a group of its own, and their delays.

    **Arguments:**

    - `begin`, `post`, `num_post`, `offset`: as of `lay_out`.
    - `dt`: ms.
    - `stream`: for initial delays that are drawn.
    - `what`: the projection, in words of an error.
    """
    initial = delay.initial
    if isinstance(initial, Distribution):
        initial = initial.sample(stream, post.size)
    initial = np.asarray(initial, np.float64)
    if initial.shape not in ((), post.shape):
        expected = f"one number, or one per synapse: {post.shape}"
        raise ValueError(explain(f"{what}: delay", got=f"shape {initial.shape}", expected=expected))
    initial = np.broadcast_to(initial, post.shape)
    outside = ~((initial >= dt * (1 - 1e-6)) & (initial <= delay.longest * (1 + 1e-6)))
    if np.any(outside):
        expected = f"dt = {dt} ms to longest = {delay.longest} ms"
        raise ValueError(explain(f"{what}: delay", got=initial[outside][0], expected=expected))
    ms = jnp.asarray(initial, float_dtype())
    longest = int(np.ceil(delay.longest / dt - 1e-6)) + 1
    steps, _ = whole_and_rest(ms, dt, longest)
    pointers = np.arange(post.size + 1)
    rows = Rows(
        source_ptr=jnp.asarray(begin, jnp.int32),
        group_delay=steps,
        group_ptr=jnp.asarray(pointers, jnp.int32),
        target=jnp.asarray(post, target_dtype(num_post)),
        longest_row=int(np.diff(begin).max(initial=0)),
        longest_group=min(post.size, 1),
        ordered=False,
        origin=offset,
    )
    return LaidOut(rows, None, longest, ms)
