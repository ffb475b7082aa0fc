"""Misuse of rows that are made anew, refused before native code reads beyond their arrays."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bad_input.helpers import Bad, refuses, table
from ops.formats import FORMATS

from brainjax.ops import Layout, Ring, check_rows, deliver, native_library

F32, I32 = np.float32, np.int32
IN_DEGREE, VARIED, GRID, DELAYS = (
    FORMATS[f"procedural, {name}"]
    for name in ("in-degree", "without replacement", "distance", "delays")
)
LAYOUT = Layout(5, 280, (0,))


def delivering(of, jit=False, static=None, **changes):
    """`deliver` with rows in which nothing is wrong but the changes; `static`: of their shape."""
    shape = dataclasses.replace(of.shape, **(static or {}))
    changed = {k: jnp.asarray(v) if isinstance(v, np.ndarray) else v for k, v in changes.items()}
    rows = dataclasses.replace(of, shape=shape, **changed)

    def one(rows):
        ring, weight = Ring(jnp.zeros((5, 280), F32)), jnp.ones((), F32)
        spikes = jnp.ones(rows.num_sources, F32)
        how = {"index": jnp.int32(5), "layout": LAYOUT}
        return deliver(ring, (spikes,), (rows,), (weight,), (jnp.zeros((), F32),), **how)

    return lambda: (jax.jit(one) if jit else one)(rows)


def with_groups(**changes):
    """Delays of `DELAYS` in which nothing is wrong but the changes."""
    changed = {k: jnp.asarray(v) if isinstance(v, np.ndarray) else v for k, v in changes.items()}
    return dataclasses.replace(DELAYS.delay, **changed)


def changed(name, at, to):
    """An array of these delays with one other number."""
    return np.asarray(getattr(DELAYS.delay, name).at[at].set(to))


def pointers(*values):
    return np.array(values, "<i8").view("<i4").reshape(-1, 2)


@pytest.mark.parametrize("rows", [IN_DEGREE, VARIED, GRID, DELAYS], ids=lambda r: r.shape.kind)
def test_what_is_without_fault_is_taken(rows):
    """The table below changes one thing each of what is taken here."""
    delivering(rows)()
    delivering(rows, jit=True)()
    check_rows((rows,), LAYOUT)


VALUE, TYPE = ValueError, TypeError


@table(
    Bad(
        "a short key",
        delivering(VARIED, words=np.zeros(1, np.uint32)),
        *(VALUE, "rows[0].words", "(1,)", "(2,)"),
    ),
    Bad(
        "a signed key, traced",
        delivering(VARIED, jit=True, words=np.zeros(2, I32)),
        *(TYPE, "rows[0].words", "int32", "uint32"),
    ),
    Bad(
        "rows of fewer sources, traced",
        delivering(VARIED, jit=True, where=np.zeros((9, 2), I32)),
        *(VALUE, "rows[0].where", "(9, 2)", "(10, 2)"),
    ),
    Bad(
        "a mask with too few thresholds, traced",
        delivering(GRID, jit=True, where=np.zeros(14, np.uint32)),
        *(VALUE, "rows[0].where", "(14,)", "(15,)"),
    ),
    Bad(
        "a short table of quantiles, traced",
        delivering(VARIED, jit=True, table=np.zeros((496, 4), F32)),
        *(VALUE, "rows[0].table", "(496, 4)", "(497, 4)", "quantile_table makes one"),
    ),
    Bad(
        "a table of another type",
        delivering(VARIED, table=np.zeros((497, 4), np.float16)),
        *(TYPE, "rows[0].table", "float16", "float32"),
    ),
    Bad(
        "offsets that decrease",
        delivering(IN_DEGREE, where=pointers(0, 6, 5, 16, 18, 27)),
        *(VALUE, "rows[0].where", "5 after 6", "offsets that do not decrease"),
    ),
    Bad(
        "more synapses than slots of targets",
        delivering(IN_DEGREE, where=pointers(0, 6, 6, 16, 18, 271)),
        *(VALUE, "rows[0].where", "271 at the end", "at most 270"),
    ),
    Bad(
        "rows longer than they say",
        delivering(IN_DEGREE, where=pointers(0, 6, 6, 17, 18, 27)),
        *(VALUE, "rows[0].shape.longest", "10", "at least 11"),
    ),
    Bad(
        "a kind of nothing",
        delivering(VARIED, static={"kind": "at_random"}),
        *(VALUE, "rows[0].shape.kind", "'at_random'", "'without_replacement'"),
    ),
    Bad(
        "a negative size",
        delivering(VARIED, static={"num_post": -3}),
        *(VALUE, "rows[0].shape", "num_post=-3", "no negative number"),
    ),
    Bad(
        "rows longer than all targets",
        delivering(VARIED, static={"num_post": 8}),
        *(VALUE, "rows[0].shape.longest", "8", "at most 7, for 8 targets"),
    ),
    Bad(
        "more slots than 2^62",
        delivering(IN_DEGREE, static={"degree": 2**60}),
        *(VALUE, "rows[0].shape", "degree=1152921504606846976", "at most 2^62 slots"),
    ),
    Bad(
        "a grid of another size",
        delivering(GRID, static={"grid": (4, 6)}),
        *(VALUE, "rows[0].shape.grid", "(4, 6)", "one of 20 and 20 places"),
    ),
    Bad(
        "a mask of another size",
        delivering(GRID, static={"reach": (2, 2)}),
        *(VALUE, "rows[0].shape.longest", "15", "25, the positions of the mask"),
    ),
    Bad(
        "more targets than there are",
        delivering(VARIED, count=278),
        *(VALUE, "rows[0].origin", "3", "at least 0 and at most 2, for 278 targets"),
    ),
    Bad(
        "a delay beyond the ring",
        delivering(VARIED, delay=np.array(6, I32)),
        *(VALUE, "rows[0].delay", "6", "at least 1 and below 6"),
    ),
    Bad(
        "delays of their own, beyond the ring",
        delivering(DELAYS, delay=with_groups(group_delay=changed("group_delay", -1, 6))),
        *(VALUE, "rows[0].delay.group_delay", "6", "at least 1 and below 6"),
    ),
    Bad(
        "delays that descend",
        delivering(DELAYS, delay=with_groups(group_delay=changed("group_delay", 0, 5))),
        *(VALUE, "rows[0].delay.group_delay", "after 5 at position 1", "ascend within a source"),
    ),
    Bad(
        "groups of another row",
        delivering(DELAYS, delay=with_groups(source_ptr=changed("source_ptr", 1, 2))),
        *(VALUE, "rows[0].delay.group_ptr", "for source 1", "where its row begins"),
    ),
    Bad(
        "groups that are longer than they say",
        delivering(DELAYS, delay=with_groups(longest_group=1)),
        *(VALUE, "rows[0].delay.longest_group", "1", "as of the groups"),
    ),
    Bad(
        "groups longer than rows, traced",
        delivering(DELAYS, jit=True, delay=with_groups(longest_group=11)),
        *(VALUE, "rows[0].delay.longest_group", "11", "at most 10, the places of the longest row"),
    ),
    Bad(
        "groups of fewer sources, traced",
        delivering(DELAYS, jit=True, delay=with_groups(source_ptr=np.zeros(5, I32))),
        *(VALUE, "rows[0].delay.source_ptr", "(5,)", "(6,)"),
    ),
    Bad(
        "one delay where synapses have their own",
        delivering(DELAYS, delay=np.array(2, I32)),
        *(TYPE, "rows[0].delay", "Array", "brainjax.ops.Groups", "shape.grouped"),
    ),
    Bad(
        "delays of their own where there is one, traced",
        delivering(DELAYS, jit=True, static={"grouped": False}),
        *(TYPE, "rows[0].delay", "got 'Groups'", "an array of int32"),
    ),
)
def test_bad_rows(bad, monkeypatch):
    refuses(bad, monkeypatch)


@pytest.mark.skipif(native_library() is None, reason="plain JAX clips what leads out")
@pytest.mark.parametrize(
    ("name", "at", "to"),
    [
        ("group_ptr", 3, 2**30),
        ("group_ptr", 3, -5),
        ("group_ptr", -1, 10**6),
        ("source_ptr", 2, 99),
        ("source_ptr", 1, -3),
    ],
)
def test_traced_groups_that_lead_out_are_not_followed(name, at, to):
    delay = with_groups(**{name: changed(name, at, to)})
    with pytest.raises((ValueError, jax.errors.JaxRuntimeError), match=rf"rows\[0\].{name}"):
        jax.block_until_ready(delivering(DELAYS, jit=True, delay=delay)())
