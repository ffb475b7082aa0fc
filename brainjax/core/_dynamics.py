"""The one interface everything that evolves shares: parameters, state, input; then a step."""

import abc
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, Int

from ._parameters import check_parameters
from ._random import Stream


class Instant(eqx.Module):
    """When, and with which random numbers, a step happens. A PyTree of arrays.

    **Arguments:**

    - `index`: the number of the step, from 0. Step k runs from k dt to (k + 1) dt. int32.
    - `dt`: the length of a step, ms.
    - `stream`: the random numbers of the units that take the step.
    """

    index: Int[Array, ""]
    dt: Float[Array, ""]
    stream: Stream

    @property
    def time(self) -> Float[Array, ""]:
        """The start of the step in ms: `index * dt`, never accumulated."""
        return self.index.astype(self.dt.dtype) * self.dt


class Dynamics(eqx.Module):
    """A pure function of (parameters, state, input) that advances the state by one step.

    Parameters are the fields of the module; they are declared by `brainjax.parameter`. The state
    is a `NamedTuple` that `init_state` makes and `step` maps to the next. Nothing else is kept.

    **Raises:**

    `ValueError` or `TypeError` at construction if a concrete parameter is outside its domain.
    """

    def __check_init__(self):
        check_parameters(self)

    @abc.abstractmethod
    def init_state(self, *, key) -> Any:
        """The state before the first step."""

    @abc.abstractmethod
    def step(self, state: Any, input: Any, *, at: Instant) -> tuple[Any, Any]:
        """`(state, input)` at the start of a step to `(state, output)` at its end."""
