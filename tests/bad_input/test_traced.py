"""Traced arrays that lead out of bounds: native code says so, and neither reads nor writes there.

Their contents are unknown when an op is called, so they cannot be refused as in `test_ops.py`. That
nothing is read or written is seen under AddressSanitizer: `make asan` runs this file, and
`make emulated` with the kernels for GPUs, which put NaN into the place of what depends on them.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bad_input.following import (
    F32,
    KERNELS,
    STEPS,
    WAYS,
    floats,
    followed,
    has_nan,
    pushed,
    refused,
    said,
    with_tables,
)
from ops.formats import FORMATS, SLOTS, network_of
from ops.structures import Wiring, ascending, empty, narrowed, random_wiring
from ops.test_deliver_tables import in_ports

from brainjax.ops import (
    History,
    Ring,
    _deliver_history,
    _deliver_ring,
    check_rows,
    deliver,
    group_tables,
    native_library,
)
from brainjax.ops._groups import pointers, wide_pointers

pytestmark = pytest.mark.skipif(native_library() is None, reason="no native library")

I32 = np.int32
ways = pytest.mark.parametrize("way", WAYS)


# ---- rows ----------------------------------------------------------------------------------------


@functools.cache
def stored(narrow=False) -> Wiring:
    """Three projections from two populations to 23 accumulators, counted from 0 or from 4."""
    of = [(0, 40, 5, False), (1, 30, 3, True), (0, 30, 4, True)]
    made = random_wiring(np.random.default_rng(1), (9, 6), 19, of, SLOTS)
    layout = made.layout._replace(num_targets=23)
    return narrowed(made, (0, 0, 0))._replace(layout=layout) if narrow else made


def changed(wiring: Wiring, j: int, **arrays):
    """The rows, arrays of the j-th changed at one place: `name=(place, number)`."""
    rows = list(wiring.rows)
    for name, (at, number) in arrays.items():
        array = np.array(getattr(rows[j], name))
        array[at] = number
        rows[j] = dataclasses.replace(rows[j], **{name: jnp.asarray(array)})
    return tuple(rows)


def every() -> Wiring:
    """A projection of each format, and a stored one beside each."""
    return network_of(*FORMATS).given


def of_format(name: str, **arrays):
    """A change to the projection of a format."""
    return every, {"j": 2 * list(FORMATS).index(name), **arrays}


narrow = functools.partial(stored, True)

TARGETS = {
    "below zero": (stored, {"j": 1, "target": (11, -1)}, "rows[1].target: got -1 at position 11"),
    "far below": (stored, {"j": 0, "target": (0, -(2**31))}, "target: got -2147483648"),
    "one too far": (stored, {"j": 0, "target": (39, 19)}, "19 at position 39", "and below 19"),
    "far": (stored, {"j": 2, "target": (5, 2**31 - 1)}, "rows[2].target: got 2147483647"),
    "of 16 bits": (
        *(narrow, {"j": 0, "target": (3, 23)}, "rows[0].target: got 23 at position 3"),
        "expected at least 0 and below 23",
    ),
    "of 16 bits, far": (narrow, {"j": 2, "target": (7, 65535)}, "target: got 65535 at position 7"),
    "of a fixed fan-out": (
        *of_format("fixed fan-out", target=(61, 5000)),
        "target: got 5000 at position 61",
    ),
    "a matrix": (*of_format("dense", origin=((), 1000)), "origin: got synapses to accumulators"),
    "before the first": (
        *of_format("band", origin=((), -1)),
        "origin: got synapses to accumulators from -1 to 2, expected some from 0 to",
    ),
    "a convolution": (
        *of_format("strided convolution", origin=((), 1000)),
        "origin: got synapses to accumulators from 10",
    ),
    "procedural": (
        *of_format("procedural, in-degree", origin=((), 2**31 - 1)),
        "origin: got synapses to accumulators from 2147483647 to 2147483653",
    ),
}

OFFSETS = {
    "groups that decrease": (stored, {"j": 0, "group_ptr": (3, 0)}, "rows[0].group_ptr"),
    "groups beyond the last": (stored, {"j": 2, "group_ptr": (-1, 31)}, "rows[2].group_ptr", "31"),
    "far groups": (stored, {"j": 0, "group_ptr": (5, 2**31 - 1)}, "rows[0].group_ptr"),
    "negative groups": (stored, {"j": 0, "group_ptr": (0, -7)}, "rows[0].group_ptr", "-7"),
    "sources that decrease": (stored, {"j": 1, "source_ptr": (3, 0)}, "rows[1].source_ptr"),
    "sources beyond the last": (stored, {"j": 0, "source_ptr": (-1, 99)}, "rows[0].source_ptr"),
    "negative sources": (stored, {"j": 0, "source_ptr": (0, -1)}, "rows[0].source_ptr", "got -1"),
    "rows that decrease": (*of_format("procedural, in-degree", where=((3, 0), 0)), "rows[20]"),
    "rows of more synapses than there can be": (
        *of_format("procedural, without replacement", where=((9, 0), 10**6)),
        *("rows[18].where: got", "1000000 at position 9"),
    ),
    "rows beyond all slots": (
        *of_format("procedural, in-degree", where=((slice(None), 1), 1)),
        "rows[20]",
    ),
}


@pytest.mark.parametrize("name", TARGETS)
@ways
def test_targets_that_are_not_there(name, way):
    make, change, *words = TARGETS[name]
    wiring = make()
    refused(lambda: WAYS[way](wiring, changed(wiring, **change)), *words)
    followed(lambda: WAYS[way](wiring, wiring.rows))  # what was found is forgotten


@pytest.mark.parametrize("name", OFFSETS)
@ways
def test_offsets_that_lead_out(name, way):
    make, change, *words = OFFSETS[name]
    wiring = make()
    rows = changed(wiring, **change)
    if way == "tables" and make is stored:  # they say themselves where groups are
        followed(lambda: WAYS[way](wiring, rows))
    else:
        refused(lambda: WAYS[way](wiring, rows), *words)


@ways
def test_wide_offsets_and_a_fixed_origin(way):
    """Offsets of 64 bits, of which the upper half is wrong; an origin beyond all accumulators."""
    wiring = stored()
    first, *others = wiring.rows
    begin = pointers(first.group_ptr)
    good = dataclasses.replace(first, group_ptr=jnp.asarray(wide_pointers(begin)))
    followed(lambda: WAYS[way](wiring, (good, *others)))
    if way != "tables":
        begin[4:] += 2**40
        bad = dataclasses.replace(first, group_ptr=jnp.asarray(wide_pointers(begin)))
        refused(lambda: WAYS[way](wiring, (bad, *others)), "rows[0].group_ptr", str(2**40)[:6])
    for origin in (19, 2**40):
        far = dataclasses.replace(first, origin=origin)
        refused(lambda far=far: WAYS[way](wiring, (far, *others)), "rows[0].target", "below 0")


def test_targets_of_another_port():
    """A history keeps the accumulators of each port in an array of its own."""
    wiring = in_ports(2, (0, 1, 2))
    for number, message in ((3, "got 3 at position 8"), (8, "got 8 at position 8")):
        rows = changed(wiring, 1, target=(8, number))
        expected = ("rows[1].target", message, "at least 4 and below 8")
        refused(lambda rows=rows: pushed(wiring, rows, History), *expected)
        refused(lambda rows=rows: with_tables(wiring, rows), *expected)


@pytest.mark.parametrize("way", ["ring", "backward", "history", "tables"])
def test_a_thread_that_finds_it_says_so(way, monkeypatch):
    """Of many ports, and sources, one leads out; many threads look at them."""
    for module in (_deliver_history, _deliver_ring):
        monkeypatch.setattr(module, "WORTH_SHARING", 0)
    wiring = in_ports(7, tuple(range(8)), sizes=(300, 200), num_targets=24)
    followed(lambda: WAYS[way](wiring, wiring.rows))
    for j in range(8):
        rows = changed(wiring, j, target=(777, 24))
        refused(
            lambda rows=rows: WAYS[way](wiring, rows), f"rows[{j}].target", "24 at position 777"
        )


@ways
def test_one_of_a_batch(way):
    wiring = stored()
    bad = changed(wiring, 0, target=(2, 77))
    for pair in ((wiring.rows, bad), (bad, wiring.rows)):
        rows = jax.tree.map(lambda *x: jnp.stack(x), *pair)
        follow = jax.vmap(lambda rows: WAYS[way](wiring, rows))
        refused(lambda f=follow, rows=rows: f(rows), "rows[0].target: got 77 at position 2")
        if KERNELS:  # the others are what they are
            for k, one in enumerate(pair):
                assert has_nan(jax.tree.map(lambda x, k=k: x[k], follow(rows))) == (one is bad)


@pytest.mark.parametrize("form", [Ring, History])
def test_no_target_is_passed_by(form):
    """Where they ascend a block on a GPU searches for its own, and looks at few of the others."""
    wiring = ascending(in_ports(2, (0, 1, 2), sizes=(2, 1), num_targets=36))
    followed(lambda: pushed(wiring, wiring.rows, form))
    for at in range(wiring.rows[0].target.size):
        for number in (-1, 36):
            rows = changed(wiring, 0, target=(at, number))
            refused(lambda rows=rows: pushed(wiring, rows, form), f"got {number} at position {at}")


@pytest.mark.parametrize("form", [Ring, History])
@pytest.mark.parametrize("start", [-(2**31), -1, 2**31 - 1 - STEPS])
def test_any_step_has_a_slot(form, start):
    wiring = stored()
    _, due = pushed(wiring, wiring.rows, form, start=start)
    _, expected = pushed(wiring, wiring.rows, form, start=start % SLOTS)
    np.testing.assert_array_equal(due, expected)
    assert np.count_nonzero(due) > due.size / 2


# ---- what is under way, and tables ---------------------------------------------------------------


HISTORIES = {
    "neuron": ((0, 0), 9, "pending.neuron[0]: got 9 in slot 0, expected at least 0 and below 9"),
    "neuron below zero": ((1, 0), -(2**31), "pending.neuron[0]: got -2147483648 in slot 1"),
    "counts": (2, 10, "pending.counts[0]: got 10 at position 2, expected at least 0 and at most 9"),
    "counts below zero": (3, -1, "pending.counts[0]: got -1 at position 3"),
}


@pytest.mark.parametrize("name", HISTORIES)
@pytest.mark.parametrize("tables", [False, True])
def test_a_history_of_who_is_not_there(name, tables):
    at, number, message = HISTORIES[name]
    wiring = stored()
    tables = group_tables(wiring.rows, wiring.layout.sources) if tables else ()
    pending, _ = pushed(wiring, wiring.rows, History)
    field = name.split()[0]
    first, *others = getattr(pending, field)
    bad = pending._replace(**{field: (first.at[at].set(number), *others)})
    followed(lambda: pushed(wiring, wiring.rows, History, tables, pending))
    refused(lambda: pushed(wiring, wiring.rows, History, tables, bad), message)


def alone(name: str) -> Wiring:
    """One projection of a format."""
    both = network_of(name).given
    layout = both.layout._replace(sources=(0,))
    return both._replace(rows=both.rows[:1], weights=both.weights[:1], layout=layout)


TABLES = {
    "stored, beyond": (stored, ((8, -1, 0), 41), "got", "and then 41 for neuron 8"),
    "stored, below": (stored, ((0, 0, 1), -5), "tables[0].begin: got -5"),
    "stored, decreasing": (stored, ((4, 2, 0), 2**31 - 1), "2147483647"),
    "of another neuron": (functools.partial(alone, "fixed fan-out"), ((3, 0, 0), 20), "neuron 3"),
    "a matrix": (functools.partial(alone, "dense"), ((8, 1, 0), 55), "48 and then 55", "neuron 8"),
    "procedural": (
        functools.partial(alone, "procedural, distance"),
        ((0, 1, 0), 16),
        "got 0 and then 16 for neuron 0, expected synapses of it in rows[0]",
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_that_lead_out(name):
    make, (at, number), *words = TABLES[name]
    wiring = make()
    tables = list(group_tables(wiring.rows, wiring.layout.sources))
    assert tables[0].begin.size
    tables[0] = tables[0]._replace(begin=tables[0].begin.at[at].set(number))
    refused(lambda: pushed(wiring, wiring.rows, History, tuple(tables)), "tables[0].begin", *words)


@pytest.mark.parametrize("least", [-(2**31), -1, 0, 2**31 - 1])
def test_a_table_of_other_delays_is_read_within(least):
    wiring = stored()
    tables = group_tables(wiring.rows, wiring.layout.sources)
    tables = tuple(t._replace(least_delay=jnp.asarray(least, I32)) for t in tables)
    followed(lambda: pushed(wiring, wiring.rows, History, tables))


# ---- anything at all -----------------------------------------------------------------------------


NUMBERS = (-(2**31), -(2**31) + 1, -40, -1, 0, 1, 2, 5, 22, 23, 24, 60, 10**6, 2**31 - 2, 2**31 - 1)


def spoilt(rng, wiring: Wiring):
    """The rows with up to three numbers of their arrays changed."""
    rows = wiring.rows
    for _ in range(rng.integers(1, 4)):
        j = int(rng.integers(len(rows)))
        arrays = {f.name: getattr(rows[j], f.name) for f in dataclasses.fields(rows[j])}
        names = [n for n, a in arrays.items() if isinstance(a, jax.Array) and a.size]
        names = [n for n in names if np.issubdtype(arrays[n].dtype, np.integer)]
        array = arrays[name := names[rng.integers(len(names))]]
        number = int(rng.choice(NUMBERS)) if rng.integers(4) else int(rng.integers(-3, 40))
        if array.dtype.kind == "u":
            number &= np.iinfo(array.dtype).max
        at = tuple(int(rng.integers(n)) for n in array.shape)
        rows = changed(wiring._replace(rows=rows), j, **{name: (at, number)})
    return rows


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "make",
    [stored, narrow, every],
    ids=["stored", "of 16 bits", "every format"],
)
def test_any_numbers(make, way):
    """What `check_rows` takes is delivered; what it refuses may be refused here, by name."""
    wiring, rng = make(), np.random.default_rng(0)
    found = {"taken": 0, "refused": 0}
    for _ in range(40):
        rows = spoilt(rng, wiring)
        try:
            check_rows(rows, wiring.layout)
            good = True
        except ValueError:
            good = False
        if got := said(functools.partial(WAYS[way], wiring, rows)):
            assert not good
            assert ("nan" if KERNELS else "INVALID_ARGUMENT: deliver: ") in got
            found["refused"] += 1
        else:
            found["taken"] += 1
    assert min(found.values()) > 2, found


# ---- shapes that are known -----------------------------------------------------------------------


def test_whose_spikes_are_live_is_of_the_right_shape():
    wiring = stored()

    def do(*live):
        weights = floats(wiring.weights)
        slack, spikes = tuple(map(jnp.zeros_like, weights)), (jnp.ones(9, F32), jnp.ones(6, F32))
        how = {"index": jnp.int32(1), "layout": wiring.layout, "live": live}
        return deliver(empty(Ring, wiring, F32), spikes, wiring.rows, weights, slack, **how)

    do(jnp.ones(9, bool), jnp.ones(6, bool))
    with pytest.raises(ValueError, match=r"deliver: live\[1\]: got 'bool of shape \(5,\)'.*\(6,\)"):
        do(jnp.ones(9, bool), jnp.ones(5, bool))
    with pytest.raises(TypeError, match=r"deliver: live\[0\]: got 'float32"):
        do(jnp.ones(9, F32), jnp.ones(6, bool))
    with pytest.raises(ValueError, match="deliver: live: got '1 entries'"):
        do(jnp.ones(9, bool))


def test_rows_that_are_made_anew_have_one_weight():
    wiring = alone("procedural, in-degree")
    weights = (jnp.zeros(0, F32),)
    with pytest.raises(ValueError, match=r"weights\[0\]: got 'float32 of shape \(0,\)'.*\(\)"):
        pushed(wiring._replace(weights=weights), wiring.rows)
