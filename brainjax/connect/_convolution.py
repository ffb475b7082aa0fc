"""Convolution: neurons in a grid, connected within a window that all of them share."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..core._errors import explain
from ..core._host_random import HostStream, check_integer
from ._pairs import Indices, Pairs
from ._rules import Rule


@dataclass(frozen=True)
class Convolution(Rule):
    """A two-dimensional convolution between neurons in grids, channels last.

    Neuron `(y, x, channel)` of a population of `shape` has the index `(y * width + x) * channels +
    channel`. The projection's weight is a kernel of shape `(*kernel_size, channels of the source,
    channels)`, laid over the source without a flip, as `flax.linen.Conv` and `jax.lax` do it; a
    number or a distribution fills it. It is stored once, and its gradient is the kernel's. The
    delay is one number.

    **Arguments:**

    - `shape`: of the source population: height, width, channels.
    - `channels`: of the target population.
    - `kernel_size`: height and width of the window.
    - `strides`: steps of the window.
    - `padding`: `"same"` (the target is the source's size over the strides, rounded up), `"valid"`
      (the window stays inside), or how far it reaches beyond each edge, two integers.

    **Raises:** `TypeError` or `ValueError` for sizes that are not positive integers, and for a
    window that fits nowhere.

    ```python
    rule = Convolution((28, 28, 1), channels=8, kernel_size=(3, 3))
    target = bj.Population(rule.num_targets, bj.LIF(), ...)
    ```
    """

    shape: tuple[int, int, int]
    channels: int
    kernel_size: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    padding: Literal["same", "valid"] | tuple[int, int] = "same"

    def __post_init__(self) -> None:
        for name, number in (("shape", 3), ("kernel_size", 2), ("strides", 2)):
            object.__setattr__(self, name, _integers(name, getattr(self, name), number, low=1))
        check_integer("Convolution: channels", self.channels, low=1)
        if self.padding not in ("same", "valid"):
            if isinstance(self.padding, str):
                expected = "'same', 'valid' or two integers"
                raise ValueError(
                    explain("Convolution: padding", got=self.padding, expected=expected)
                )
            object.__setattr__(self, "padding", _integers("padding", self.padding, 2, low=0))
        if min(self.outputs) < 1:
            raise ValueError(
                explain(
                    "Convolution: kernel_size",
                    got=self.kernel_size,
                    expected=f"at most the padded grid {self.shape[:2]}",
                    mend="Use a smaller window, or padding='same'.",
                )
            )

    @property
    def kernel(self) -> tuple[int, int, int, int]:
        """The shape of the weight."""
        height, width = self.kernel_size
        return height, width, self.shape[2], self.channels

    @property
    def outputs(self) -> tuple[int, int]:
        """Height and width of the target."""
        (height, _), (width, _) = map(self._along, range(2))
        return height, width

    @property
    def edges(self) -> tuple[int, int]:
        """How far the window reaches beyond the upper and the left edge."""
        (_, above), (_, left) = map(self._along, range(2))
        return above, left

    @property
    def num_targets(self) -> int:
        """The size of the target population."""
        height, width = self.outputs
        return height * width * self.channels

    def _along(self, axis: int) -> tuple[int, int]:
        """The size of the target along an axis, and the padding before it."""
        size, window, stride = self.shape[axis], self.kernel_size[axis], self.strides[axis]
        if self.padding == "same":
            out = -(-size // stride)
            return out, max((out - 1) * stride + window - size, 0) // 2
        before: Any = 0 if self.padding == "valid" else self.padding[axis]
        return (size + 2 * before - window) // stride + 1, before

    def check(self, num_pre: int, num_post: int) -> None:
        """Raise `ValueError` unless populations of these sizes are the two grids."""
        expected = (int(np.prod(self.shape)), self.num_targets)
        if (num_pre, num_post) != expected:
            grids = f"{self.shape} and {(*self.outputs, self.channels)}"
            raise ValueError(
                explain(
                    "Convolution: sizes of source and target",
                    got=(num_pre, num_post),
                    expected=f"{expected}, grids of {grids}",
                )
            )

    def _reached(self, axis: int) -> tuple[np.ndarray, np.ndarray]:
        """Places of the source and of the target along an axis that the window joins."""
        size, stride = self.outputs[axis], self.strides[axis]
        out, place = np.indices((size, self.kernel_size[axis])).reshape(2, -1)
        source = out * stride + place - self.edges[axis]
        inside = (source >= 0) & (source < self.shape[axis])
        return source[inside], out[inside]

    def _draw(self, pairs: Pairs, stream: HostStream) -> tuple[Indices, Indices]:
        self.check(pairs.num_pre, pairs.num_post)
        (y, out_y), (x, out_x) = map(self._reached, range(2))
        place = (y[:, None] * self.shape[1] + x).ravel()
        out = (out_y[:, None] * self.outputs[1] + out_x).ravel()
        channel, to = np.indices((self.shape[2], self.channels)).reshape(2, -1)
        pre = (place[:, None] * self.shape[2] + channel).ravel()
        post = (out[:, None] * self.channels + to).ravel()
        order = np.lexsort((post, pre))
        return pre[order].astype(np.int32), post[order].astype(np.int32)

    def _expected(self, pairs: Pairs) -> float:
        self.check(pairs.num_pre, pairs.num_post)
        places = [self._reached(axis)[0].size for axis in range(2)]
        return places[0] * places[1] * self.shape[2] * self.channels


def _integers(name: str, values: Any, number: int, low: int) -> tuple[int, ...]:
    what = f"Convolution: {name}"
    if not isinstance(values, tuple | list) or len(values) != number:
        raise ValueError(explain(what, got=values, expected=f"{number} integers"))
    return tuple(check_integer(what, v, low=low) for v in values)
