"""Indices and offsets that lead out of their arrays are refused before native code follows them.

Contents can be read only where arrays are concrete: outside of transformations, or closed over.
Native code compares those of traced arrays when it follows them (`csrc/bounds.h`).
Arrays of JAX do not change, so what was found good is not read again.
"""

import functools
import weakref
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from ._check_types import check_connections, check_layout, check_number, refuse
from ._connections import Connections, OneDelay, flat, projections_from
from ._convolution import Convolution
from ._groups import Groups, pointers
from ._procedural_rows import ProceduralRows
from ._regular import FixedFanOut, Regular
from ._rows import Rows

_MADE = "Rows are sorted by source and then delay; brainjax.build makes such."
_BLOCK = 2**22  # synapses that are looked at together
# What was found good: weak references, by the ids of arrays and what they must fit.
_GOOD: dict[Any, tuple[weakref.ref, ...]] = {}


def are_concrete(*trees: Any) -> bool:
    """Whether all arrays can be read."""
    return not any(isinstance(x, Tracer) for x in jax.tree.leaves(trees))


def _seen(arrays: Sequence[Any], fits: Any) -> bool:
    """Whether just these arrays were found good before."""
    if not all(isinstance(a, jax.Array) for a in arrays):
        return False  # an array of NumPy may have changed
    known = _GOOD.get((fits, *map(id, arrays)))
    return known is not None and all(r() is a for r, a in zip(known, arrays, strict=True))


def _remember(arrays: Sequence[Any], fits: Any) -> None:
    if all(isinstance(a, jax.Array) for a in arrays):
        if len(_GOOD) >= 1024:
            _GOOD.clear()
        _GOOD[(fits, *map(id, arrays))] = tuple(map(weakref.ref, arrays))


def _check_range(what: str, x: np.ndarray, first: int, stop: int, mend: str = "") -> None:
    if x.size and (x.min() < first or x.max() >= stop):
        at = int(np.argmax((x < first) | (x >= stop)))
        where = f"{int(x.flat[at])} at position {at}"
        refuse(what, where, f"at least {first} and below {stop}", mend)


def _check_pointers(what: str, x: np.ndarray, stop: int) -> None:
    """Offsets from zero on, that do not decrease, into something of the length `stop`."""
    if x[0] != 0:
        refuse(what, f"{int(x[0])} at position 0", "offsets that begin at 0", _MADE)
    if np.any(x[1:] < x[:-1]):
        at = int(np.argmax(x[1:] < x[:-1])) + 1
        got = f"{int(x[at])} after {int(x[at - 1])} at position {at}"
        refuse(what, got, "offsets that do not decrease", _MADE)
    if x[-1] > stop:
        refuse(what, f"{int(x[-1])} at the end", f"offsets of at most {stop}", _MADE)


def check_groups(what: str, connections: Connections) -> None:
    """Refuse groups whose pointers and delays are in disorder; types are as they should be."""
    if isinstance(connections, Rows):
        _check_groups(what, connections, connections.num_synapses, connections.ordered)
    elif isinstance(connections, ProceduralRows) and isinstance(connections.delay, Groups):
        row_ptr = connections.row_ptr()
        _check_groups(f"{what}.delay", connections.delay, int(row_ptr[-1]), True)
        begin = pointers(connections.delay.group_ptr)[np.asarray(connections.delay.source_ptr)]
        if np.any(begin != row_ptr):
            at = int(np.argmax(begin != row_ptr))
            got, expected = f"{begin[at]} for source {at}", f"{row_ptr[at]}, where its row begins"
            refuse(f"{what}.delay.group_ptr", got, expected, _MADE)


def _check_groups(what: str, rows: Rows | Groups, number: int, ordered: bool) -> None:
    source_ptr, group_ptr = np.asarray(rows.source_ptr), pointers(rows.group_ptr)
    _check_pointers(f"{what}.source_ptr", source_ptr, rows.group_delay.shape[0])
    _check_pointers(f"{what}.group_ptr", group_ptr, number)
    delay = np.asarray(rows.group_delay)[: source_ptr[-1]]  # what is behind is padding
    wrong = (delay[1:] <= delay[:-1]) & ordered
    wrong[source_ptr[(source_ptr > 0) & (source_ptr < delay.size)] - 1] = False
    if np.any(wrong):
        at = int(np.argmax(wrong)) + 1
        got = f"{int(delay[at])} after {int(delay[at - 1])} at position {at}"
        refuse(f"{what}.group_delay", got, "delays that ascend within a source", _MADE)


def _check_targets(what: str, target: Any, origin: int, num_targets: int) -> np.ndarray:
    """Refuse targets that are not there; which are reached."""
    target = np.asarray(target)
    _check_range(f"{what}.target", target, 0, max(num_targets - origin, 0))
    reached = np.zeros(num_targets, bool)
    for first in range(0, target.size, _BLOCK):
        reached[origin:][target[first : first + _BLOCK]] = True
    return reached


def _check_delays(what: str, delay: Any, layout: Any) -> None:
    mend = "layout.num_slots is the longest delay of the network, in steps."
    _check_range(what, np.asarray(delay), 1, layout.num_slots + 1, mend)


def _check_sorted(what: str, target: Any, begin: np.ndarray) -> None:
    """Refuse targets that descend elsewhere than from one of the runs that `begin` to the next."""
    target = np.asarray(target)
    for first in range(0, target.size, _BLOCK):
        part = target[first : first + _BLOCK + 1]
        at = np.flatnonzero(part[1:] < part[:-1]) + first + 1
        at = at[begin[np.searchsorted(begin, at)] != at]
        if at.size:
            got = f"{int(target[at[0]])} after {int(target[at[0] - 1])} at position {int(at[0])}"
            mend = "sorted_targets=False, or sort them."
            refuse(f"{what}.target", got, "targets that ascend, as sorted_targets says", mend)


@functools.singledispatch
def _check_reach(connections: Any, what: str, layout: Any) -> np.ndarray:
    """Refuse connections that lead out of the accumulators; which of these they reach."""
    _check_delays(f"{what}.delay", connections.delay, layout)
    return _check_width(connections, what, layout)


def _check_width(connections: Any, what: str, layout: Any) -> np.ndarray:
    origin, width = int(connections.origin), _width(connections)
    if width and not 0 <= origin <= layout.num_targets - width:
        expected = f"at least 0 and at most {layout.num_targets - width}, for {width} targets"
        refuse(f"{what}.origin", origin, expected)
    reached = np.zeros(layout.num_targets, bool)
    reached[origin : origin + width] = True
    return reached


@_check_reach.register
def _(connections: FixedFanOut, what: str, layout: Any) -> np.ndarray:
    _check_delays(f"{what}.delay", connections.delay, layout)
    if connections.sorted_targets and connections.fan_out:
        begin = np.arange(connections.num_sources + 1) * connections.fan_out
        _check_sorted(what, connections.target, begin)
    return _check_targets(what, connections.target, connections.origin, layout.num_targets)


@_check_reach.register
def _(connections: Rows, what: str, layout: Any) -> np.ndarray:
    check_groups(what, connections)
    source_ptr, begin = np.asarray(connections.source_ptr), pointers(connections.group_ptr)
    used = np.asarray(connections.group_delay)[: source_ptr[-1]]
    _check_delays(f"{what}.group_delay", used, layout)
    lengths = {
        "longest_row": int(np.diff(begin[source_ptr]).max(initial=0)),
        "longest_group": int(np.diff(begin).max(initial=0)),
    }
    for name, longest in lengths.items():
        if getattr(connections, name) < longest:
            got = getattr(connections, name)
            refuse(f"{what}.{name}", got, f"at least {longest}, as of the rows")
    used = connections.target[: begin[-1]]
    if connections.sorted_targets:
        _check_sorted(what, used, begin)
    return _check_targets(what, used, connections.origin, layout.num_targets)


@_check_reach.register
def _(connections: ProceduralRows, what: str, layout: Any) -> np.ndarray:
    shape = connections.shape
    if shape.kind != "distance":
        begin = pointers(connections.where)
        _check_pointers(f"{what}.where", begin, shape.num_post * shape.degree or 2**62)
        longest = int(np.diff(begin).max(initial=0))
        if shape.longest < longest:
            refuse(f"{what}.shape.longest", shape.longest, f"at least {longest}, as of the rows")
    delay = connections.delay
    if not isinstance(delay, Groups):
        _check_delays(f"{what}.delay", delay, layout)
        return _check_width(connections, what, layout)
    check_groups(what, connections)
    _check_delays(f"{what}.delay.group_delay", delay.group_delay, layout)
    longest = int(np.diff(pointers(delay.group_ptr)).max(initial=0))
    if delay.longest_group < longest:
        expected = f"at least {longest}, as of the groups"
        refuse(f"{what}.delay.longest_group", delay.longest_group, expected)
    return _check_width(connections, what, layout)


def _width(connections: Any) -> int:
    """How many accumulators behind the first one connections may reach, with that one."""
    if not connections.num_synapses:
        return 0
    if isinstance(connections, Convolution):
        return connections.outputs[0] * connections.outputs[1] * connections.kernel[3]
    if isinstance(connections, ProceduralRows):
        return connections.count
    assert isinstance(connections, Regular)
    return connections.stride * (connections.num_pre - 1) + connections.fan_out


def check_rows(rows: Sequence[Connections], layout: Any, *, what: str = "rows") -> None:
    """Refuse connections that a delivery op could not read: for those that are made by hand.

    `deliver`, `as_ring` and `group_tables` do so themselves wherever arrays are concrete. Within a
    transformation contents are unknown: check them before. Native code on the CPU ends a run with
    an error where they lead out of an array; delays and orders that are wrong it does not notice.

    **Arguments:**

    - `rows`: per projection; concrete.
    - `layout`: of the network they belong to.
    - `what`: how they are called in an error.

    **Raises:**

    `ValueError` for offsets that decrease or lead out of the arrays, targets that are none of
    `layout.num_targets`, delays below one step or beyond `layout.num_slots`, delays or targets out
    of order, rows longer than they say, and targets that are not of its port; `TypeError` for
    tracers.
    """
    check_layout("layout", layout)
    check_number(what, rows, len(layout.sources), "projection of the layout")
    if not are_concrete(rows):
        mend = "Call it outside of jit, vmap and grad."
        refuse(what, "traced arrays", "arrays that can be read", mend, TypeError)
    for j, connections in enumerate(rows):
        check_connections(f"{what}[{j}]", connections)
    arrays, fits = flat(rows), (layout, jax.tree.structure(tuple(rows)))
    if _seen(arrays, fits):
        return
    ends = np.cumsum(layout.sizes)
    for j, connections in enumerate(rows):
        reached = _check_reach(connections, f"{what}[{j}]", layout)
        if layout.ports:
            port = layout.ports[j]
            first, last = int(ends[port]) - layout.sizes[port], int(ends[port]) - 1
            if np.any(reached[:first]) or np.any(reached[last + 1 :]):
                expected = f"{first} to {last}, those of port {port}"
                refuse(f"{what}[{j}]", "targets of another port", expected)
    _remember(arrays, fits)


def check_contents(op: str, pending: Any, rows: Any, layout: Any, tables: Any) -> None:
    """Refuse operands of delivery that lead out of bounds, as far as they are concrete."""
    if hasattr(pending, "neuron") and not all(getattr(r, "ordered", True) for r in rows):
        mend = "Use a ring, as brainjax.rollout does."
        refuse(f"{op}: pending", "a history", "a ring, since delays are out of order", mend)
    if are_concrete(rows):
        check_rows(rows, layout, what=f"{op}: rows")
    if are_concrete(tables):
        _check_tables(op, tables, rows, layout)
    if hasattr(pending, "neuron") and are_concrete(pending):
        _check_history(op, pending)


def _check_history(op: str, history: Any) -> None:
    """Refuse a history that names neurons that are not there."""
    for p, parts in enumerate(zip(*history, strict=True)):
        neuron, _, counts = map(np.asarray, parts)
        size = neuron.shape[1]
        what = f"{op}: pending.{{}}[{p}]"
        _check_range(what.format("counts"), counts, 0, size + 1)
        known = np.arange(size) < counts[:, None]
        _check_range(what.format("neuron"), np.where(known, neuron, 0), 0, max(size, 1))


def _check_tables(op: str, tables: Sequence[Any], rows: Sequence[Any], layout: Any) -> None:
    """Refuse tables that lead out of the rows."""
    mend = "tables = brainjax.ops.group_tables(rows, layout.sources)"
    for p, table in enumerate(tables):
        begin = np.asarray(table.begin)
        if not begin.size or _seen([table.begin], (p, layout)):
            continue
        for i, j in enumerate(projections_from(p, layout.sources)):
            what = f"{op}: tables[{p}].begin[:, :, {i}]"
            held = rows[j]
            number = held.num_synapses
            if isinstance(held, OneDelay | ProceduralRows):
                number = held.num_sources * held.fan_out
            _check_range(what, begin[:, :, i], 0, number + 1, mend)
            if np.any(np.diff(begin[:, :, i], axis=1) < 0):
                refuse(what, "offsets that decrease", "offsets that do not decrease", mend)
        _remember([table.begin], (p, layout))
