"""Operands that do not fit each other are refused before native code sees them.

Shapes and dtypes are known whenever an op is called, traced or not. What is in the arrays is the
matter of `_check_rows.py`.
"""

import functools
from collections.abc import Sequence
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np

from ..core import explain
from ._connections import Connections, num_populations, projections_from
from ._convolution import Convolution
from ._groups import Groups
from ._procedural import CELLS, OCTAVES, Kind, Procedural
from ._procedural_rows import ProceduralRows
from ._regular import FixedFanOut
from ._rows import Rows

# The length of a table of quantiles.
_QUANTILES = 2 * OCTAVES * CELLS + 1


def refuse(what: str, got: object, expected: str, mend: str = "", error: type = ValueError):
    """Raise what the library says of bad input."""
    raise error(explain(what, got=got, expected=expected, mend=mend))


def type_of(x: Any) -> str:
    """An array as one says it: `float32 of shape (3, 4)`."""
    if not hasattr(x, "dtype") or not hasattr(x, "shape"):
        return repr(x) if np.ndim(x) == 0 else type(x).__name__
    return f"{x.dtype} of shape {tuple(x.shape)}"


def check_array(what: str, x: Any, dtype: Any, shape: tuple, mend: str = "") -> None:
    """Refuse what is not an array of this dtype and shape; `None` is any length."""
    if not hasattr(x, "dtype") or not hasattr(x, "shape"):
        refuse(what, x, f"an array of {np.dtype(dtype)}", mend, TypeError)
    fits = len(x.shape) == len(shape) and all(
        n is None or n == m for n, m in zip(shape, x.shape, strict=True)
    )
    if not fits or x.dtype != dtype:
        lengths = ", ".join("any" if n is None else str(n) for n in shape)
        of_shape = f"({lengths},)" if len(shape) == 1 else f"({lengths})"
        error = ValueError if x.dtype == dtype else TypeError
        refuse(what, type_of(x), f"{np.dtype(dtype)} of shape {of_shape}", mend, error)


def check_number(what: str, got: Sequence, expected: int, per: str) -> None:
    """Refuse a sequence that has not one entry for each of something."""
    if not isinstance(got, (tuple, list)):
        refuse(what, type(got).__name__, f"a tuple, one entry for each {per}", error=TypeError)
    if len(got) != expected:
        refuse(what, f"{len(got)} entries", f"{expected}, one for each {per}")


def check_layout(what: str, layout: Any) -> None:
    """Refuse a layout that contradicts itself."""
    if not hasattr(layout, "num_slots"):
        refuse(what, layout, "brainjax.ops.Layout", error=TypeError)
    if layout.ports or layout.sizes:
        check_number(f"{what}.ports", layout.ports, len(layout.sources), "projection")
        if max(layout.ports, default=-1) >= len(layout.sizes):
            refuse(
                f"{what}.ports", layout.ports, f"ports below {len(layout.sizes)}, as it has sizes"
            )
        if sum(layout.sizes) != layout.num_targets:
            expected = f"numbers that add up to num_targets, {layout.num_targets}"
            refuse(f"{what}.sizes", layout.sizes, expected)
    if layout.num_slots < 1:
        refuse(f"{what}.num_slots", layout.num_slots, "the longest delay, at least one step")
    for name in ("sources", "ports", "sizes"):
        if any(i < 0 for i in getattr(layout, name)):
            refuse(f"{what}.{name}", getattr(layout, name), "no negative number")


@functools.singledispatch
def _arrays(connections: Connections) -> dict[str, tuple[type, tuple]]:
    """The dtypes and shapes of the arrays of connections: here, of those that are computed."""
    return {"delay": (np.int32, ()), "origin": (np.int32, ())}


@_arrays.register
def _(connections: FixedFanOut) -> dict[str, tuple[type, tuple]]:
    target = _type_of_targets(connections), (connections.num_synapses,)
    return {"delay": (np.int32, ()), "target": target}


@_arrays.register
def _(connections: Rows) -> dict[str, tuple[type, tuple]]:
    target = _type_of_targets(connections), (None,)
    return {**_pointers(connections, None), "target": target}


def _pointers(held: Rows | Groups, num_sources: int | None) -> dict[str, tuple[type, tuple]]:
    groups = np.shape(held.group_delay)[-1:]
    halves = np.shape(held.group_ptr)[1:] and (2,)
    return {
        "source_ptr": (np.int32, (None if num_sources is None else num_sources + 1,)),
        "group_delay": (np.int32, (None,)),
        "group_ptr": (np.int32, (groups[0] + 1, *halves) if groups else (None,)),
    }


def _type_of_targets(connections: Any) -> type:
    """16 bits may hold them; else they must have 32."""
    return np.uint16 if getattr(connections.target, "dtype", None) == np.uint16 else np.int32


@_arrays.register
def _(connections: ProceduralRows) -> dict[str, tuple[type, tuple]]:
    shape = connections.shape
    where = (np.int32, (shape.num_pre + 1, 2))
    if shape.kind == "distance":
        where = (np.uint32, (shape.longest,))
    numbers = ("origin", "first") if shape.grouped else ("delay", "origin", "first")
    return {**dict.fromkeys(numbers, (np.int32, ())), "words": (np.uint32, (2,)), "where": where}


def _check_groups(what: str, delay: Any, shape: Procedural) -> None:
    """Refuse delays that are not kept as `shape` says, or whose arrays are of another kind."""
    if isinstance(delay, Groups) != shape.grouped:
        expected = "brainjax.ops.Groups" if shape.grouped else "an array of int32"
        mend = "shape.grouped says whether synapses have delays of their own."
        refuse(what, type(delay).__name__, expected, mend, TypeError)
    if not isinstance(delay, Groups):
        return
    for name, (dtype, size) in _pointers(delay, shape.num_pre).items():
        check_array(f"{what}.{name}", getattr(delay, name), dtype, size)
    if not 0 <= delay.longest_group <= shape.longest:
        expected = f"at most {shape.longest}, the places of the longest row"
        refuse(f"{what}.longest_group", delay.longest_group, expected)


def _check_procedural(what: str, shape: Procedural) -> None:
    """Refuse a matrix whose fixed numbers contradict each other."""
    if shape.kind not in get_args(Kind):
        refuse(f"{what}.kind", shape.kind, f"one of {', '.join(map(repr, get_args(Kind)))}")
    if any(n < 0 for n in (*shape.numbers(), shape.longest)):
        refuse(what, shape, "no negative number")
    if shape.kind == "distance":
        sizes = (shape.grid[0] * shape.grid[1],) * 2
        if (shape.num_pre, shape.num_post) != sizes:
            refuse(
                f"{what}.grid", shape.grid, f"one of {shape.num_pre} and {shape.num_post} places"
            )
        positions = (2 * shape.reach[0] + 1) * (2 * shape.reach[1] + 1)
        if shape.longest != positions:
            refuse(f"{what}.longest", shape.longest, f"{positions}, the positions of the mask")
        return
    room = shape.num_post - shape.hollow
    most = room if shape.kind == "without_replacement" else 2**31 - 1
    if shape.longest > (most if room > 0 else 0):
        refuse(f"{what}.longest", shape.longest, f"at most {most}, for {shape.num_post} targets")
    if shape.kind == "in_degree" and (shape.hollow or shape.num_post * shape.degree > 2**62):
        refuse(what, shape, "at most 2^62 slots of targets, and not hollow")


def check_connections(what: str, connections: Any) -> None:
    """Refuse connections whose arrays or fixed numbers are not of the right kind."""
    if not isinstance(connections, Connections):
        refuse(what, type(connections).__name__, "brainjax.ops.Rows or its like", error=TypeError)
    if isinstance(connections, ProceduralRows):
        _check_procedural(f"{what}.shape", connections.shape)
        _check_groups(f"{what}.delay", connections.delay, connections.shape)
    for name, (dtype, shape) in _arrays(connections).items():
        check_array(f"{what}.{name}", getattr(connections, name), dtype, shape)
    if any(n < 0 for n in connections.numbers):
        refuse(what, connections.numbers, "no negative number")
    if isinstance(connections, Rows):
        if connections.source_ptr.shape[0] == 0:
            refuse(f"{what}.source_ptr", "no entry", "one for each source and one behind the last")
        for name in ("longest_row", "longest_group"):
            longest, most = getattr(connections, name), connections.num_synapses
            if not 0 <= longest <= most:
                refuse(f"{what}.{name}", longest, f"at most {most}, the synapses there are")
    if isinstance(connections, Convolution):
        if min(connections.strides) < 1:
            refuse(f"{what}.strides", connections.strides, "at least 1 each")
        if connections.kernel[2] != connections.shape[2]:
            expected = f"{connections.shape[2]} channels in, as of the source"
            refuse(f"{what}.kernel", connections.kernel, expected)


def _sizes_and_dtype(op: str, pending: Any, spikes: Any, layout: Any) -> tuple[list[int], Any]:
    """Of the source populations and of what is under way, by the arrays themselves."""
    number, per = num_populations(layout.sources), "source population of the layout"
    if hasattr(pending, "slots"):
        check_number(f"{op}: spikes", spikes, number, per)
        shape = (layout.num_slots, layout.num_targets)
        dtype = getattr(pending.slots, "dtype", jnp.float32)
        check_array(f"{op}: pending.slots", pending.slots, dtype, shape)
        return [np.size(x) for x in spikes], dtype
    if not hasattr(pending, "neuron"):
        expected = "brainjax.ops.Ring or brainjax.ops.History"
        refuse(f"{op}: pending", type(pending).__name__, expected, error=TypeError)
    for name, parts in zip(pending._fields, pending, strict=True):
        check_number(f"{op}: pending.{name}", parts, number, per)
    sizes = [x.shape[-1] for x in pending.neuron]
    dtype = pending.value[0].dtype if sizes else jnp.dtype(jnp.float32)
    for p, (neuron, value, counts) in enumerate(zip(*pending, strict=True)):
        shape = (layout.num_slots, sizes[p])
        check_array(f"{op}: pending.neuron[{p}]", neuron, np.int32, shape)
        check_array(f"{op}: pending.value[{p}]", value, dtype, shape)
        check_array(f"{op}: pending.counts[{p}]", counts, np.int32, shape[:1])
    return sizes, dtype


def check_delivery(op, pending, spikes, rows, weights, index, layout, tables) -> None:
    """Refuse operands of `deliver` that do not fit each other; `spikes` are none for `as_ring`."""
    check_layout(f"{op}: layout", layout)
    sizes, dtype = _sizes_and_dtype(op, pending, spikes, layout)
    if dtype not in (np.float32, np.float64):
        refuse(f"{op}: pending", str(dtype), "float32 or float64", error=TypeError)
    if jnp.shape(index) != () or not jnp.issubdtype(jnp.result_type(index), jnp.integer):
        refuse(f"{op}: index", type_of(index), "the number of a step, int32", error=TypeError)
    for p, x in enumerate(spikes or ()):
        mend = "Spikes are numbers: 0, or what multiplies the weights, in the dtype of pending."
        check_array(f"{op}: spikes[{p}]", x, dtype, (sizes[p],), mend)
    check_number(f"{op}: rows", rows, len(layout.sources), "projection of the layout")
    check_number(f"{op}: weights", weights, len(rows), "projection")
    for j, (row, weight) in enumerate(zip(rows, weights, strict=True)):
        check_connections(f"{op}: rows[{j}]", row)
        size = sizes[layout.sources[j]]
        if row.num_sources != size:
            expected = f"{size}, the neurons of population {layout.sources[j]}"
            refuse(f"{op}: rows[{j}]", f"{row.num_sources} sources", expected)
        mend = "A weight is one number, or one for each synapse in the order of the rows."
        one = jnp.shape(weight) == () or isinstance(row, ProceduralRows)
        shape = () if one else (row.num_weights,)
        check_array(f"{op}: weights[{j}]", weight, dtype, shape, mend)
        if isinstance(row, ProceduralRows):
            cells = _QUANTILES if any(np.shape(row.table)[:1]) else 0
            mend = "brainjax.connect.quantile_table makes one; without factors it has no rows."
            check_array(f"{op}: rows[{j}].table", row.table, dtype, (cells, 4), mend)
    if tables:
        _check_tables(op, tables, sizes, layout)


def _check_tables(op, tables, sizes, layout) -> None:
    """Refuse tables that are not of these populations."""
    check_number(f"{op}: tables", tables, len(sizes), "source population")
    mend = "tables = brainjax.ops.group_tables(rows, layout.sources)"
    for p, table in enumerate(tables):
        check_array(f"{op}: tables[{p}].least_delay", table.least_delay, np.int32, (), mend)
        width = len(projections_from(p, layout.sources))
        shape = (sizes[p], None, width) if table.begin.size else (None, None, None)
        check_array(f"{op}: tables[{p}].begin", table.begin, np.int32, shape, mend)


def check_mapped(f: Any, fixed: Any, args: Any) -> None:
    """Refuse what `map_neurons` cannot map."""
    if not callable(f):
        refuse("map_neurons: f", f, "a function", error=TypeError)
    if not isinstance(fixed, tuple):
        expected = "a tuple of what does not change"
        refuse("map_neurons: fixed", type(fixed).__name__, expected, "fixed=(it,)", TypeError)
    for x in jax.tree.leaves((fixed, args)):
        if jnp.ndim(x) > 1:
            mend = "Map one population; jax.vmap adds axes of a batch."
            refuse("map_neurons: arguments", type_of(x), "leaves of shape (size,) or ()", mend)
