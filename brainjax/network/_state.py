"""What a network carries from step to step."""

from typing import NamedTuple

from jaxtyping import Array, Bool, Float, Int

from ..ops import History, Ring
from ._population import PopulationState


class NetworkState(NamedTuple):
    """Everything that evolves; all that is needed to go on, to the bit."""

    steps: Int[Array, ""]  # taken so far
    words: Array  # key of the run's random numbers, uint32 (2,)
    populations: dict[str, PopulationState]
    spikes: dict[str, Float[Array, " size"]]  # of whole populations, at the end of the last step
    pending: Ring | History  # spikes under way to their targets


class Backward(NamedTuple):
    """What a loop carries beside the state for the backward pass; no value depends on it."""

    slack: tuple[Array, ...]  # zeros that carry the derivative by the weights
    live: dict[str, Bool[Array, " size"]]  # which of the state's spikes have a derivative
