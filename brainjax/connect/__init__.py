"""Who is connected to whom, and with which weights and delays."""

from brainjax.connect._draws import Distribution as Distribution
from brainjax.connect._draws import LogNormal as LogNormal
from brainjax.connect._draws import Normal as Normal
from brainjax.connect._draws import Uniform as Uniform
from brainjax.connect._explicit import Explicit as Explicit
from brainjax.connect._fixed_number import FixedInDegree as FixedInDegree
from brainjax.connect._fixed_number import FixedOutDegree as FixedOutDegree
from brainjax.connect._fixed_number import FixedTotalNumber as FixedTotalNumber
from brainjax.connect._rules import AllToAll as AllToAll
from brainjax.connect._rules import FixedProbability as FixedProbability
from brainjax.connect._rules import OneToOne as OneToOne
from brainjax.connect._rules import Rule as Rule
