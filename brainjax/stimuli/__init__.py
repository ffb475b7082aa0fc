"""Input: stimuli into populations and receptors, and populations that spike by themselves."""

from ._sources import PoissonSource as PoissonSource
from ._sources import Source as Source
from ._sources import SpikeSource as SpikeSource
from ._stimulus import DC as DC
from ._stimulus import PoissonInput as PoissonInput
from ._stimulus import StepCurrent as StepCurrent
from ._stimulus import Stimulus as Stimulus
from ._stimulus import check_target as check_target
