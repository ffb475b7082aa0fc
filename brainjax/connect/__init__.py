"""Who is connected to whom, and with which weights and delays."""

from ._convolution import Convolution as Convolution
from ._distance import DiscProfile as DiscProfile
from ._distance import DistanceDependent as DistanceDependent
from ._distance import ExponentialProfile as ExponentialProfile
from ._distance import GaussianProfile as GaussianProfile
from ._distance import Profile as Profile
from ._draws import Distribution as Distribution
from ._draws import LogNormal as LogNormal
from ._draws import Normal as Normal
from ._draws import Uniform as Uniform
from ._explicit import Explicit as Explicit
from ._fixed_number import FixedInDegree as FixedInDegree
from ._fixed_number import FixedOutDegree as FixedOutDegree
from ._fixed_number import FixedTotalNumber as FixedTotalNumber
from ._procedural import ProceduralMatrix as ProceduralMatrix
from ._procedural_rules import procedural as procedural
from ._quantiles import quantile_table as quantile_table
from ._rules import AllToAll as AllToAll
from ._rules import FixedProbability as FixedProbability
from ._rules import OneToOne as OneToOne
from ._rules import Rule as Rule
from ._split_counts import split_counts as split_counts
