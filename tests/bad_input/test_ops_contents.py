"""Arrays of the right type whose contents lead astray, refused before native code follows them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bad_input.helpers import Bad, refuses, table
from bad_input.op_calls import (
    I32,
    VALUE,
    converting,
    delivering,
    history,
    ints,
    layout,
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
    check_rows,
    group_tables,
)


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
