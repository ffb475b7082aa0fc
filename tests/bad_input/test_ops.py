"""Misuse of the ops on bare arrays, refused before native code sees it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bad_input.helpers import Bad, refuses, table
from bad_input.op_calls import (
    F32,
    I32,
    TYPE,
    VALUE,
    converting,
    delivering,
    history,
    ints,
    layout,
    logging,
    rows,
    weights,
    wiring,
    with_format,
    with_rows,
)

from brainjax.ops import (
    Convolution,
    FixedFanOut,
    GroupTable,
    History,
    Regular,
    Ring,
    check_rows,
    group_tables,
    map_neurons,
)


def test_what_is_without_fault_is_taken():
    """The tables below change one thing each of what is taken here."""
    for form in (Ring, History):
        tables = group_tables(wiring().rows, wiring().layout.sources)
        delivering(form, tables=tables)()
    delivering(rows=rows(sorted_targets=True))()
    converting()()
    logging()()
    check_rows(wiring().rows, wiring().layout)


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
