"""Misuse of the ops on bare arrays, refused before native code sees it."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bad_input.helpers import Bad, refuses, table
from ops.structures import Wiring, empty, wire

from brainjax.ops import (
    Convolution,
    FixedFanOut,
    GroupTable,
    History,
    Regular,
    Ring,
    as_ring,
    check_rows,
    deliver,
    group_tables,
    log_events,
    map_neurons,
)

F32, I32 = np.float32, np.int32


@functools.cache
def wiring() -> Wiring:
    """Three neurons to four targets over up to three steps, and back from two."""
    first = (0, [0, 0, 0, 2], [0, 1, 3, 3], [1, 1, 3, 2], [1.0, 2.0, 3.0, 4.0])
    return wire((3, 2), 4, [first, (1, [1, 1], [2, 2], [1, 2], 5.0)], 3)


def layout(**changes):
    return wiring().layout._replace(**changes)


def rows(**changes):
    """The rows, those of the first projection changed."""
    first, *others = wiring().rows
    changed = {k: jnp.asarray(v) if isinstance(v, np.ndarray) else v for k, v in changes.items()}
    return (dataclasses.replace(first, **changed), *others)


def weights(*of):
    return tuple(jnp.asarray(w, F32) for w in of or wiring().weights)


def delivering(form=Ring, **changes):
    """`deliver` without fault but for the changes, into a ring or a history."""

    def do():
        given = {
            "pending": empty(form, wiring(), F32),
            "spikes": (jnp.ones(3, F32), jnp.ones(2, F32)),
            "rows": wiring().rows,
            "weights": weights(),
            "index": jnp.int32(5),
            "layout": layout(),
        }
        given |= changes
        given.setdefault("slack", tuple(map(jnp.zeros_like, given["weights"])))
        operands = [given.pop(k) for k in ("pending", "spikes", "rows", "weights", "slack")]
        return deliver(*operands, **given)

    return do


def with_rows(**changes):
    return delivering(rows=rows(**changes))


def with_format(connections):
    """The first projection in another format."""
    weight = jnp.ones((), F32)
    return delivering(rows=(connections, wiring().rows[1]), weights=(weight, weight))


def history(**changes):
    """A history in which nothing is wrong but the changes, of the first population."""
    good = empty(History, wiring(), F32)
    return good._replace(**{k: (v, getattr(good, k)[1]) for k, v in changes.items()})


def ints(*values):
    return np.array(values, I32)


def converting(of=None):
    how = {"index": jnp.int32(4), "layout": layout()}
    return lambda: as_ring(of or history(), wiring().rows, weights(), **how)


def logging(log=None, length=0, spikes=None, **how):
    log = jnp.zeros(4, I32) if log is None else log
    spikes = jnp.ones(3, F32) if spikes is None else spikes
    return lambda: log_events(log, jnp.asarray(length, I32), spikes, **how)


def test_what_is_without_fault_is_taken():
    """The tables below change one thing each of what is taken here."""
    for form in (Ring, History):
        tables = group_tables(wiring().rows, wiring().layout.sources)
        delivering(form, tables=tables)()
    delivering(rows=rows(sorted_targets=True))()
    converting()()
    logging()()
    check_rows(wiring().rows, wiring().layout)


VALUE, TYPE = ValueError, TypeError


@table(
    Bad("no tuple", delivering(rows=3), TYPE, "deliver: rows", "int", "one entry for each proj"),
    Bad("too few rows", delivering(rows=rows()[:1]), VALUE, "deliver: rows", "1 entries", "2, one"),
    Bad("no rows", delivering(rows=(1, 2)), TYPE, "deliver: rows[0]", "int", "brainjax.ops.Rows"),
    Bad(
        "wide rows",
        with_rows(target=np.zeros(4, np.int16)),
        TYPE,
        "rows[0].target",
        "int16 of shape (4,)",
        "int32 of shape (any,)",
    ),
    Bad(
        "float rows",
        with_rows(group_ptr=np.zeros(4, F32)),
        TYPE,
        "rows[0].group_ptr",
        "float32",
        "int32",
    ),
    Bad(
        "pointers and delays",
        with_rows(group_ptr=ints(0, 2, 4)),
        VALUE,
        "rows[0].group_ptr",
        "(3,)",
        "(4,)",
    ),
    Bad(
        "no pointer",
        with_rows(source_ptr=np.zeros(0, I32)),
        VALUE,
        "rows[0].source_ptr",
        "no entry",
        "one for each source and one behind",
    ),
    Bad(
        "other sources",
        with_rows(source_ptr=ints(0, 2, 3)),
        VALUE,
        "rows[0]",
        "2 sources",
        "3, the neurons of population 0",
    ),
    Bad(
        "weights too short",
        delivering(weights=weights([1.0, 2.0], 5.0)),
        VALUE,
        "deliver: weights[0]",
        "float32 of shape (2,)",
        "(4,)",
        "one for each synapse",
    ),
    Bad(
        "weights of float16",
        delivering(weights=(jnp.ones(4, jnp.float16), jnp.ones((), F32))),
        TYPE,
        "deliver: weights[0]",
        "float16",
        "float32",
    ),
    Bad(
        "weights missing",
        delivering(weights=weights([1.0] * 4)),
        VALUE,
        "deliver: weights",
        "1 entries",
        "2, one for each projection",
    ),
    Bad(
        "slack of another shape",
        delivering(slack=weights(0.0, 0.0)),
        VALUE,
        "deliver: slack[0]",
        "()",
        "(4,)",
        "stop_gradient",
    ),
    Bad(
        "spikes too short",
        delivering(spikes=weights([1.0, 0.0], [0.0, 0.0])),
        VALUE,
        "rows[0]",
        "3 sources",
        "2, the neurons of population 0",
    ),
    Bad(
        "spikes too long for a history",
        delivering(History, spikes=weights([1.0] * 4, [0.0, 0.0])),
        VALUE,
        "deliver: spikes[0]",
        "(4,)",
        "(3,)",
    ),
    Bad(
        "spikes as truths",
        delivering(spikes=(jnp.ones(3, bool), jnp.ones(2, bool))),
        TYPE,
        "deliver: spikes[0]",
        "bool",
        "float32",
        "0, or what multiplies",
    ),
    Bad(
        "spikes of two axes",
        delivering(spikes=weights([[1.0, 0.0, 0.0]], [0.0, 0.0])),
        VALUE,
        "deliver: spikes[0]",
        "(1, 3)",
        "(3,)",
    ),
    Bad(
        "spikes of one population",
        delivering(spikes=weights([1.0, 0.0, 0.0])),
        VALUE,
        "deliver: spikes",
        "1 entries",
        "2, one for each source population",
    ),
    Bad(
        "ring of another network",
        delivering(pending=Ring(jnp.zeros((3, 5), F32))),
        VALUE,
        "deliver: pending.slots",
        "(3, 5)",
        "(3, 4)",
    ),
    Bad(
        "ring of integers",
        delivering(pending=Ring(jnp.zeros((3, 4), I32))),
        TYPE,
        "deliver: pending",
        "int32",
        "float32 or float64",
    ),
    Bad(
        "pending an array",
        delivering(pending=jnp.zeros((3, 4), F32)),
        TYPE,
        "deliver: pending",
        "Array",
        "brainjax.ops.Ring or brainjax.ops.History",
    ),
    Bad(
        "history of fewer slots",
        delivering(pending=history(neuron=jnp.zeros((2, 3), I32))),
        VALUE,
        "deliver: pending.neuron[0]",
        "(2, 3)",
        "(3, 3)",
    ),
    Bad(
        "a step that is no integer",
        delivering(index=jnp.float32(1.0)),
        TYPE,
        "deliver: index",
        "float32",
        "int32",
    ),
    Bad(
        "a step that is no number",
        delivering(index=jnp.zeros(2, I32)),
        TYPE,
        "deliver: index",
        "(2,)",
        "the number of a step",
    ),
    Bad("no layout", delivering(layout=(3, 4)), TYPE, "deliver: layout", "(3, 4)", "Layout"),
    Bad(
        "a fan-out of other targets",
        with_format(FixedFanOut(jnp.int32(1), jnp.zeros(4, I32), 3, 1)),
        VALUE,
        "rows[0].target",
        "(4,)",
        "(3,)",
    ),
    Bad(
        "a matrix with a delay of each",
        with_format(Regular(ints(1, 1, 1), jnp.int32(0), 3, 1, 0)),
        VALUE,
        "rows[0].delay",
        "(3,)",
        "()",
    ),
    Bad(
        "a convolution without strides",
        with_format(Convolution(*ints(1, 0), (1, 3, 1), (1, 1, 1, 1), (1, 3), (0, 1), (0, 0))),
        VALUE,
        "rows[0].strides",
        "(0, 1)",
        "at least 1",
    ),
    Bad(
        "a kernel of other channels",
        with_format(Convolution(*ints(1, 0), (1, 3, 1), (1, 1, 2, 1), (1, 3), (1, 1), (0, 0))),
        VALUE,
        "rows[0].kernel",
        "(1, 1, 2, 1)",
        "1 channels in",
    ),
    Bad(
        "a matrix of another size",
        with_format(Regular(*ints(1, 0), 2, 1, 0)),
        VALUE,
        "rows[0]",
        "2 sources",
        "3, the neurons of population 0",
    ),
    Bad(
        "a port without a size",
        delivering(layout=layout(ports=(0, 1), sizes=(4,))),
        VALUE,
        "layout.ports",
        "(0, 1)",
        "ports below 1",
    ),
    Bad(
        "ports of another number of targets",
        delivering(layout=layout(ports=(0, 1), sizes=(2, 3))),
        VALUE,
        "layout.sizes",
        "(2, 3)",
        "add up to num_targets, 4",
    ),
    Bad(
        "ports of other projections",
        delivering(layout=layout(ports=(0,))),
        VALUE,
        "layout.ports",
        "1 entries",
        "2, one for each projection",
    ),
    Bad(
        "a layout without slots",
        delivering(layout=layout(num_slots=0)),
        VALUE,
        "layout.num_slots",
        "0",
        "at least one step",
    ),
    Bad(
        "a row longer than there are synapses",
        with_rows(longest_row=5),
        VALUE,
        "rows[0].longest_row",
        "5",
        "at most 4",
    ),
    Bad("another implementation", delivering(impl="cuda"), VALUE, "impl", "cuda", "native"),
    Bad(
        "tables of other rows",
        delivering(History, tables=(GroupTable(jnp.zeros((9, 2, 1), I32), jnp.ones((), I32)),) * 2),
        VALUE,
        "deliver: tables[0].begin",
        "(9, 2, 1)",
        "(3, any, 1)",
        "group_tables(rows",
    ),
    Bad(
        "one table",
        delivering(History, tables=(GroupTable(jnp.zeros((3, 2, 1), I32), jnp.ones((), I32)),)),
        VALUE,
        "deliver: tables",
        "1 entries",
        "2, one for each source population",
    ),
)
def test_operands_that_do_not_fit(bad, monkeypatch):
    refuses(bad, monkeypatch)
    with pytest.raises(bad.error):  # traced or not
        jax.jit(bad.do)()


@table(
    Bad(
        "target below zero",
        with_rows(target=ints(0, -1, 3, 3)),
        VALUE,
        "deliver: rows[0].target",
        "-1 at position 1",
        "at least 0 and below 4",
    ),
    Bad(
        "target beyond the last",
        with_rows(target=ints(0, 1, 3, 4)),
        VALUE,
        "deliver: rows[0].target",
        "4 at position 3",
        "below 4",
    ),
    Bad(
        "offsets that decrease",
        with_rows(group_ptr=ints(0, 3, 2, 4)),
        VALUE,
        "deliver: rows[0].group_ptr",
        "2 after 3 at position 2",
        "do not decrease",
        "sorted by source and then delay",
    ),
    Bad(
        "offsets beyond the synapses",
        with_rows(group_ptr=ints(0, 2, 3, 5)),
        VALUE,
        "rows[0].group_ptr",
        "5 at the end",
        "at most 4",
    ),
    Bad(
        "offsets from one on",
        with_rows(source_ptr=ints(1, 2, 2, 3)),
        VALUE,
        "rows[0].source_ptr",
        "1 at position 0",
        "begin at 0",
    ),
    Bad(
        "groups beyond the last",
        with_rows(source_ptr=ints(0, 2, 2, 7)),
        VALUE,
        "rows[0].source_ptr",
        "7 at the end",
        "at most 3",
    ),
    Bad(
        "a delay of nothing",
        with_rows(group_delay=ints(0, 3, 2)),
        VALUE,
        "rows[0].group_delay",
        "0 at position 0",
        "at least 1",
    ),
    Bad(
        "a delay beyond what is held",
        with_rows(group_delay=ints(1, 4, 2)),
        VALUE,
        "rows[0].group_delay",
        "4 at position 1",
        "below 4",
        "layout.num_slots is the longest delay",
    ),
    Bad(
        "delays out of order",
        with_rows(group_delay=ints(3, 1, 2)),
        VALUE,
        "rows[0].group_delay",
        "1 after 3 at position 1",
        "ascend within a source",
    ),
    Bad(
        "a delay twice",
        with_rows(group_delay=ints(1, 1, 2)),
        VALUE,
        "rows[0].group_delay",
        "1 after 1",
        "ascend within a source",
    ),
    Bad(
        "a longer row than told",
        with_rows(longest_row=2),
        VALUE,
        "rows[0].longest_row",
        "2",
        "at least 3",
    ),
    Bad(
        "a longer group than told",
        with_rows(longest_group=1),
        VALUE,
        "rows[0].longest_group",
        "1",
        "at least 2",
    ),
    Bad(
        "targets of another port",
        delivering(layout=layout(ports=(0, 1), sizes=(3, 1))),
        VALUE,
        "rows[0]",
        "targets of another port",
        "0 to 2, those of port 0",
    ),
    Bad(
        "targets that are not sorted as they say",
        with_rows(target=ints(1, 0, 3, 3), sorted_targets=True),
        VALUE,
        "rows[0].target",
        "0 after 1 at position 1",
        "ascend",
        "sorted_targets=False",
    ),
    Bad(
        "targets of a fixed fan-out that are not sorted as they say",
        with_format(
            FixedFanOut(jnp.int32(1), jnp.array([0, 1, 1, 3, 2, 0], I32), 3, 2, sorted_targets=True)
        ),
        VALUE,
        "rows[0].target",
        "0 after 2 at position 5",
        "ascend",
    ),
    Bad(
        "a matrix beyond the last",
        with_format(Regular(*ints(1, 2), 3, 3, 0)),
        VALUE,
        "deliver: rows[0].origin",
        "2",
        "at least 0 and at most 1, for 3 targets",
    ),
    Bad(
        "a band beyond the last",
        with_format(Regular(*ints(1, 0), 3, 1, 2)),
        VALUE,
        "deliver: rows[0].origin",
        "0",
        "for 5 targets",
    ),
    Bad(
        "a matrix of a delay beyond what is held",
        with_format(Regular(*ints(4, 0), 3, 3, 0)),
        VALUE,
        "deliver: rows[0].delay",
        "4 at position 0",
        "below 4",
        "layout.num_slots is the longest delay",
    ),
    Bad(
        "a fixed fan-out beyond the last",
        with_format(FixedFanOut(jnp.int32(1), jnp.array([0, 1, 4], I32), 3, 1)),
        VALUE,
        "deliver: rows[0].target",
        "4 at position 2",
        "below 4",
    ),
    Bad(
        "a convolution beyond the last",
        with_format(Convolution(*ints(1, 1), (1, 3, 1), (1, 1, 1, 2), (1, 2), (1, 1), (0, 0))),
        VALUE,
        "deliver: rows[0].origin",
        "1",
        "at most 0, for 4 targets",
    ),
    Bad(
        "more spikes than neurons",
        delivering(pending=history(counts=jnp.array([0, 4, 0], I32))),
        VALUE,
        "deliver: pending.counts[0]",
        "4 at position 1",
        "below 4",
    ),
    Bad(
        "a neuron that is not there",
        delivering(
            pending=history(counts=jnp.array([0, 1, 0], I32), neuron=jnp.full((3, 3), 3, I32))
        ),
        VALUE,
        "deliver: pending.neuron[0]",
        "3 at position 3",
        "below 3",
    ),
    Bad(
        "a table that leads out",
        delivering(
            History,
            tables=(
                GroupTable(jnp.full((3, 2, 1), 9, I32), jnp.ones((), I32)),
                GroupTable(jnp.zeros((0, 0, 0), I32), jnp.ones((), I32)),
            ),
        ),
        VALUE,
        "deliver: tables[0].begin[:, :, 0]",
        "9 at position 0",
        "below 5",
        "group_tables",
    ),
    Bad(
        "a history made a ring",
        converting(history(counts=jnp.array([0, 4, 0], I32))),
        VALUE,
        "as_ring: pending.counts[0]",
        "4 at position 1",
        "below 4",
    ),
)
def test_contents_that_lead_astray(bad, monkeypatch):
    refuses(bad, monkeypatch)
    with pytest.raises(bad.error):  # closed over is concrete too
        jax.jit(bad.do)()


def test_contents_are_read_once_and_those_of_numpy_anew():
    changing = jax.tree.map(np.array, wiring().rows)
    delivering(rows=changing)()
    changing[0].target[0] = 99
    with pytest.raises(ValueError, match="99 at position 0"):
        delivering(rows=changing)()


def test_traced_contents_cannot_be_checked():
    for do in (
        lambda rows: check_rows(rows, layout()),
        lambda rows: group_tables(rows, layout().sources),
    ):
        with pytest.raises(TypeError, match=r"got 'traced arrays', expected .*Call it outside of"):
            jax.jit(do)(wiring().rows)


def doubled(x):
    return 2 * x


@table(
    Bad(
        "as_ring of a ring",
        converting(Ring(jnp.zeros((3, 4), F32))),
        TYPE,
        "as_ring: history",
        "Ring",
        "brainjax.ops.History",
    ),
    Bad(
        "tables of decreasing offsets",
        lambda: group_tables(rows(group_ptr=ints(0, 3, 2, 4)), layout().sources),
        VALUE,
        "group_tables: rows[0].group_ptr",
        "2 after 3",
        "do not decrease",
    ),
    Bad(
        "tables of other sources",
        lambda: group_tables(wiring().rows, (0,)),
        VALUE,
        "group_tables: sources",
        "1 entries",
        "2, one for each projection",
    ),
    Bad(
        "one population of two sizes",
        lambda: group_tables(wiring().rows, (0, 0)),
        VALUE,
        "group_tables: rows[1]",
        "2 sources",
        "3, as of population 0",
    ),
    Bad(
        "a log of floats",
        logging(jnp.zeros(4, F32)),
        TYPE,
        "log_events: log",
        "float32 of shape (4,)",
        "int32 of shape (any,)",
    ),
    Bad("a log of two axes", logging(jnp.zeros((2, 2), I32)), VALUE, "log", "(2, 2)", "(any,)"),
    Bad("lengths", logging(length=[0, 1]), VALUE, "log_events: length", "(2,)", "()"),
    Bad("a length below zero", logging(length=-1), VALUE, "log_events: length", "-1", "0 or more"),
    Bad("spikes as truths", logging(spikes=jnp.ones(3, bool)), TYPE, "spikes", "bool", "float32"),
    Bad("spikes a number", logging(spikes=jnp.float32(1)), VALUE, "spikes", "()", "(any,)"),
    Bad("another log", logging(impl="cuda"), VALUE, "impl", "cuda", "native"),
    Bad(
        "a map of no function",
        lambda: map_neurons(3, (), jnp.ones(3)),
        TYPE,
        "map_neurons: f",
        "3",
        "a function",
    ),
    Bad(
        "fixed arguments as one",
        lambda: map_neurons(doubled, jnp.ones(3)),
        TYPE,
        "map_neurons: fixed",
        "Array",
        "a tuple",
    ),
    Bad(
        "neurons in a matrix",
        lambda: map_neurons(doubled, (), jnp.ones((3, 2), F32)),
        VALUE,
        "map_neurons: arguments",
        "float32 of shape (3, 2)",
        "(size,)",
        "jax.vmap",
    ),
    Bad(
        "another map",
        lambda: map_neurons(doubled, (), jnp.ones(3, F32), impl="cuda"),
        VALUE,
        "impl",
        "cuda",
        "native",
    ),
)
def test_other_ops(bad, monkeypatch):
    refuses(bad, monkeypatch)
