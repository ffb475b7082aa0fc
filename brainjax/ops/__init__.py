"""Kernels on bare arrays: a definition in plain JAX, and for some a native lowering."""

from ._deliver import History as History
from ._deliver import Layout as Layout
from ._deliver import Ring as Ring
from ._deliver import Rows as Rows
from ._deliver import as_ring as as_ring
from ._deliver import deliver as deliver
from ._deliver import empty_history as empty_history
from ._deliver import empty_ring as empty_ring
from ._log import log_events as log_events
from ._map import check_elementwise as check_elementwise
from ._map import map_neurons as map_neurons
from ._map import prepare_map as prepare_map
from ._native import info as info
from ._native import native_library as native_library
from ._primitive import check_impl as check_impl
from ._primitive import varying_alike as varying_alike
from ._surrogate import heaviside as heaviside
from ._surrogate import switch as switch
