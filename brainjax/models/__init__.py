"""Published networks, ready to build, and what makes a network larger or smaller."""

from ._downscaled import downscaled as downscaled
from ._microcircuit import microcircuit as microcircuit
from ._resized import resized as resized
