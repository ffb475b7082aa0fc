"""Kernels on bare arrays: a definition in plain JAX, and for some a native lowering."""

from ._deliver import GroupTable as GroupTable
from ._deliver import History as History
from ._deliver import Layout as Layout
from ._deliver import Ring as Ring
from ._deliver import Rows as Rows
from ._deliver import as_ring as as_ring
from ._deliver import deliver as deliver
from ._deliver import empty_history as empty_history
from ._deliver import empty_ring as empty_ring
from ._group_table import group_tables as group_tables
from ._group_table import is_worth_a_table as is_worth_a_table
from ._group_table import table_size as table_size
from ._kernels import native_steps as native_steps
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
