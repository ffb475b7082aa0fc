"""The frame: what evolves, its parameters and units, random streams, errors."""

from ._describe import describe as describe
from ._dynamics import Dynamics as Dynamics
from ._dynamics import Instant as Instant
from ._errors import explain as explain
from ._errors import near_miss as near_miss
from ._errors import shown as shown
from ._host_array import host_empty as host_empty
from ._host_random import HostStream as HostStream
from ._host_random import check_integer as check_integer
from ._normal import standard_normal as standard_normal
from ._parameters import UNITS as UNITS
from ._parameters import as_leaf as as_leaf
from ._parameters import check_parameters as check_parameters
from ._parameters import float_dtype as float_dtype
from ._parameters import is_concrete as is_concrete
from ._parameters import is_traced as is_traced
from ._parameters import parameter as parameter
from ._parameters import parameters_of as parameters_of
from ._random import Stream as Stream
from ._random import check_key as check_key
from ._random import fold as fold
from ._random import key_words as key_words
from ._random import neighbour_bits as neighbour_bits
from ._random import threefry2x32 as threefry2x32
