"""Published networks, ready to build, and what makes a network larger or smaller."""

from ._microcircuit import microcircuit as microcircuit
from ._scaling import downscaled as downscaled
from ._scaling import resized as resized
