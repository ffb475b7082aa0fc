"""Networks: populations, projections, and what `build` makes of them."""

from ._build import build as build
from ._build import prepare as prepare
from ._built import BuiltNetwork as BuiltNetwork
from ._built import ports_of as ports_of
from ._built_projection import BuiltProjection as BuiltProjection
from ._layout import Edges as Edges
from ._memory import Memory as Memory
from ._memory import memory_of as memory_of
from ._network import Network as Network
from ._network import Projection as Projection
from ._population import Population as Population
from ._population import PopulationInput as PopulationInput
from ._population import PopulationState as PopulationState
from ._projection import stored as stored
from ._state import NetworkState as NetworkState
from ._trainable_delay import TrainableDelay as TrainableDelay
