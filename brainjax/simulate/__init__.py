"""Running networks: drivers, recorders, and what they give back."""

from ._inputs import steps_of as steps_of
from ._recorders import PopulationRate as PopulationRate
from ._recorders import Recorder as Recorder
from ._recorders import SpikeCount as SpikeCount
from ._recorders import Spikes as Spikes
from ._recorders import Trace as Trace
from ._records import RateRecord as RateRecord
from ._records import SpikeLog as SpikeLog
from ._records import SpikeTrains as SpikeTrains
from ._records import TraceRecord as TraceRecord
from ._rollout import check_rollout as check_rollout
from ._rollout import roll as roll
from ._rollout import rollout as rollout
from ._simulate import Interrupted as Interrupted
from ._simulate import NonFiniteState as NonFiniteState
from ._simulate import Result as Result
from ._simulate import Stats as Stats
from ._simulate import simulate as simulate
