"""Convolution: synapses that share the weights of a kernel, and are computed from a geometry."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from ._connections import OneDelay, Row, Whole

_STATIC = {"static": True}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Convolution(OneDelay):
    """A two-dimensional convolution over neurons that stand in a grid, channels last.

    Source and target are neuron `(y, x, channel)`, numbered in this order. The kernel has shape
    `(height, width, channels in, channels out)`, flat; it is laid over the input as
    `jax.lax.conv` does it (no flip), every `strides`, `padding` beyond the upper and left edge.
    A source has a place in its row for each place of the kernel, reached or not.

    **Arguments:**

    - `delay`: steps, of all synapses.
    - `origin`: the first accumulator of the target.
    - `shape`: of the source, height, width and channels; `kernel`: the shape of the kernel.
    - `outputs`: height and width of the target.
    - `strides`, `padding`: along height and width.
    """

    delay: Int[Array, ""]
    origin: Int[Array, ""]
    shape: tuple[int, int, int] = field(metadata=_STATIC)
    kernel: tuple[int, int, int, int] = field(metadata=_STATIC)
    outputs: tuple[int, int] = field(metadata=_STATIC)
    strides: tuple[int, int] = field(metadata=_STATIC)
    padding: tuple[int, int] = field(metadata=_STATIC)

    format = 3

    @property
    def num_sources(self) -> int:
        height, width, channels = self.shape
        return height * width * channels

    @property
    def fan_out(self) -> int:
        height, width, _, channels = self.kernel
        return height * width * channels

    @property
    def num_synapses(self) -> int:
        reached = 1
        for axis in range(2):
            out, place = np.indices((self.outputs[axis], self.kernel[axis]))
            source = out * self.strides[axis] + place - self.padding[axis]
            reached *= int(np.sum((source >= 0) & (source < self.shape[axis])))
        return reached * self.kernel[2] * self.kernel[3]

    @property
    def num_weights(self) -> int:
        return self.fan_out * self.kernel[2]

    @property
    def numbers(self) -> tuple[int, ...]:
        height, width, _, channels = self.kernel
        return (
            *(self.fan_out, *self.shape[1:], height, width, channels),
            *(*self.outputs, *self.strides, *self.padding),
        )

    def _synapses(self, source, position):
        """Whether there is a synapse at a place of the row, its target, and its weight's place."""
        _, width, channels = self.shape
        _, kernel_width, _, num_out = self.kernel
        y, x, channel = source // (width * channels), source // channels % width, source % channels
        place, out = position // num_out, position % num_out
        dy, dx = place // kernel_width, place % kernel_width
        above, left = y + self.padding[0] - dy, x + self.padding[1] - dx
        out_y, out_x = above // self.strides[0], left // self.strides[1]
        valid = (above >= 0) & (above % self.strides[0] == 0) & (out_y < self.outputs[0])
        valid &= (left >= 0) & (left % self.strides[1] == 0) & (out_x < self.outputs[1])
        target = self.origin + (out_y * self.outputs[1] + out_x) * num_out + out
        return valid, jnp.where(valid, target, 0), (place * channels + channel) * num_out + out

    def row(self, source, *weights) -> Row:
        position = jnp.arange(self.fan_out, dtype=jnp.int32)
        valid, target, weight_at = self._synapses(source, position)
        picked = [w[weight_at] if w.ndim else w for w in weights]
        return Row(valid, self.delay, target, picked)

    def whole(self) -> Whole:
        number = jnp.arange(self.num_sources * self.fan_out, dtype=jnp.int32)
        source = number // self.fan_out
        valid, target, weight_at = self._synapses(source, number % self.fan_out)
        return Whole(source, valid, self.delay, target, weight_at)
