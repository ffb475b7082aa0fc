"""Neurons, and the surrogate derivatives of their spikes."""

from ._base import NeuronState as NeuronState
from ._base import SpikingNeuron as SpikingNeuron
from ._lif import LIF as LIF
from ._lif import LIFState as LIFState
from ._surrogate import ArcTan as ArcTan
from ._surrogate import NoSurrogate as NoSurrogate
from ._surrogate import SuperSpike as SuperSpike
from ._surrogate import Surrogate as Surrogate
from ._surrogate import Triangle as Triangle
