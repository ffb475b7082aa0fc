"""Receptors: the postsynaptic side of synapses."""

from ._drive import Drive as Drive
from ._receptor import AlphaConductance as AlphaConductance
from ._receptor import AlphaCurrent as AlphaCurrent
from ._receptor import ConductanceReceptor as ConductanceReceptor
from ._receptor import CurrentReceptor as CurrentReceptor
from ._receptor import Delta as Delta
from ._receptor import ExponentialConductance as ExponentialConductance
from ._receptor import ExponentialCurrent as ExponentialCurrent
from ._receptor import Receptor as Receptor
