"""Places of rows, grouped by delay: found by JAX, also beyond 2^31, and read by native code."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ops.formats import FORMATS, SLOTS, delays_of, grouped, procedural
from ops.structures import FORMS

from brainjax.ops import (
    Layout,
    Ring,
    deliver,
    empty_history,
    group_tables,
    native_library,
    pointers,
    wide_pointers,
)
from brainjax.ops._procedural import Procedural

LENGTHS = [5, 0, 40, 1, 0]


def shifted(groups, by):
    """The same with offsets of 64 bits that begin at `by`."""
    begin = pointers(groups.group_ptr) + by
    return dataclasses.replace(groups, group_ptr=jnp.asarray(wide_pointers(begin)))


@pytest.mark.parametrize("by", [None, 0, 2**31 - 20, 2**32 - 7, 2**40 + 2**31])
def test_places_are_found(by):
    """Against lists; differences of the lower halves are right wherever these overflow."""
    delays = delays_of(LENGTHS)
    groups = grouped(delays) if by is None else shifted(grouped(delays), by)
    group, delay_of = (
        jax.jit(lambda g, i, d: g.group(i, d)),
        jax.jit(lambda g, i, k: g.delay_of(i, k)),
    )
    for i, row in enumerate(delays):
        for d in range(SLOTS + 2):
            first, last = group(groups, jnp.int32(i), jnp.int32(d))
            assert [k for k, x in enumerate(row) if x == d] == list(range(first, last))
        if row:
            places = jnp.arange(len(row), dtype=jnp.int32)
            assert delay_of(groups, jnp.int32(i), places).tolist() == row


def due_of(rows, form, spikes, impl):
    """What is due in the steps after some spikes."""
    layout = Layout(SLOTS, int(rows.origin) + rows.count, (0,))
    weight = (jnp.float32(0.5),)
    pending = Ring(jnp.zeros((SLOTS, layout.num_targets)))
    if form == "history":
        pending = empty_history(layout, (rows.num_sources,), np.float32)

    def step(pending, now):
        k, x = now
        how = {"index": k, "layout": layout, "impl": impl}
        return deliver(pending, (x,), (rows,), weight, weight, **how)[:2]

    x = jnp.zeros((SLOTS + 1, rows.num_sources)).at[0].set(jnp.asarray(spikes, jnp.float32))
    return jax.lax.scan(step, pending, (jnp.arange(SLOTS + 1, dtype=jnp.int32), x))[1]


@pytest.mark.parametrize("form", FORMS)
def test_wide_offsets_give_the_same_bits(form, impl):
    rows = FORMATS["procedural, delays"]
    wide = dataclasses.replace(rows, delay=shifted(rows.delay, 0))
    spikes = np.arange(1, 1 + rows.num_sources)
    expected = due_of(rows, form, spikes, impl)
    assert np.count_nonzero(expected) > 10
    np.testing.assert_array_equal(due_of(wide, form, spikes, impl), expected)


@pytest.mark.skipif(native_library() is None, reason="no native library")
@pytest.mark.parametrize("form", FORMS)
def test_more_places_than_32_bits_count(form):
    """Rows behind one of 2^31 + 7 places, which is not read: they take no memory."""
    lengths, long = [0, 40, 3, 0, 60], 2**31 - 1
    shape = Procedural("with_replacement", 5, 50, 60, grouped=True)
    small = procedural(shape, lengths, delays_of(lengths), varied=True)
    where = np.cumsum([0, long, 40, 3, 0, 60]).astype("<i8").view("<i4").reshape(-1, 2)
    delay = shifted(small.delay, long)
    delay = dataclasses.replace(
        delay,
        source_ptr=delay.source_ptr.at[1:].add(1),
        group_delay=jnp.append(jnp.int32(2), delay.group_delay),
        group_ptr=jnp.concatenate([jnp.zeros((1, 2), jnp.int32), delay.group_ptr]),
        longest_group=long,
    )
    large = dataclasses.replace(
        small,
        delay=delay,
        where=jnp.asarray(where),
        shape=dataclasses.replace(shape, longest=long),
        number=long + 103,
    )
    assert group_tables([large], (0,))[0].begin.size == 0
    spikes = np.array([0, 1, -2, 3, 0.5])
    expected = due_of(small, form, spikes, "native")
    assert np.count_nonzero(expected) > 50
    np.testing.assert_array_equal(due_of(large, form, spikes, "native"), expected)
