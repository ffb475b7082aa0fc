"""Rows laid out block by block are those of a definition over all synapses at once."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import brainjax as bj
from brainjax.connect import Distribution, FixedInDegree, FixedOutDegree, FixedProbability
from brainjax.core import HostStream
from brainjax.network import _layout
from brainjax.network._layout import edges_of
from brainjax.network._projection import build_projection
from brainjax.ops import pointers

FIELDS = ("source_ptr", "group_delay", "group_ptr", "target")
DT, OFFSET, WORDS = 0.1, 5, (7, 42)
LISTED = np.random.default_rng(0)
EXPLICIT = bj.Explicit(LISTED.integers(0, 40, 300), LISTED.integers(0, 30, 300))
STEPS = LISTED.integers(1, 70, 300)

# Rule, sizes, weight, delay in ms.
CASES = {
    "constant": (FixedProbability(0.2), 40, 30, 3.0, 0.4),
    "weights drawn, delay constant": (FixedProbability(0.2), 40, 30, bj.Normal(5.0, 1.0), 0.4),
    "delays drawn, weight constant": (FixedInDegree(9), 40, 30, 3.0, bj.Uniform(0.1, 2.0)),
    "total": (bj.FixedTotalNumber(900), 40, 30, bj.Normal(5.0, 1.0), bj.Normal(1.5, 0.75, 0.05)),
    "many sources without synapses": (
        bj.FixedTotalNumber(60),
        5000,
        30,
        bj.Normal(5.0, 1.0),
        bj.Normal(1.5, 0.75, low=0.05),
    ),
    "fixed out-degree": (FixedOutDegree(12), 40, 30, bj.LogNormal(0.0, 1.0), bj.Uniform(0.1, 0.5)),
    "long delays": (FixedOutDegree(12), 40, 30, bj.LogNormal(0.0, 1.0), bj.Uniform(0.1, 1e5)),
    "one source": (bj.FixedTotalNumber(200), 1, 30, bj.Normal(5.0, 1.0), bj.Uniform(0.1, 2.0)),
    "one target": (bj.AllToAll(), 40, 1, bj.Normal(5.0, 1.0), bj.Uniform(0.1, 2.0)),
    "nothing": (bj.FixedTotalNumber(0), 40, 30, bj.Normal(5.0, 1.0), bj.Uniform(0.1, 2.0)),
    "nothing, constant": (bj.FixedProbability(0.0), 40, 30, 2.0, 0.1),
    "nothing listed": (bj.Explicit([], []), 40, 30, [], []),
    "listed": (EXPLICIT, 40, 30, LISTED.normal(size=300), STEPS * DT),
    "listed edges, drawn values": (EXPLICIT, 40, 30, bj.Normal(5.0, 1.0), bj.Uniform(0.1, 2.0)),
    "listed delays, constant weight": (EXPLICIT, 40, 30, -2.0, (STEPS * DT).tolist()),
    "listed values of a drawn rule": (
        FixedOutDegree(12),
        40,
        30,
        LISTED.normal(size=480),
        jnp.asarray(LISTED.integers(1, 9, 480) * DT),
    ),
}


def whole(case):
    """The rows of a projection, its weights and its longest row, group and delay."""
    rule, num_pre, num_post, weight, delay = case
    stream = HostStream(WORDS).child("projection", "p")
    pre, post = rule.draw(num_pre, num_post, stream.child("rule"), same=False)
    given = getattr(rule, "order", slice(None))

    def values(value, name):
        if isinstance(value, Distribution):
            return value.sample(stream.child(name), pre.size)
        value = np.asarray(value, np.float64)
        return np.broadcast_to(value, pre.shape) if value.ndim == 0 else value[given]

    steps = np.floor(values(delay, "delay") / DT + 0.5).astype(np.int64)
    key = pre.astype(np.int64) * 2**21 + steps
    order = np.argsort(key, kind="stable")
    key, first = np.unique(key[order], return_index=True)
    ends = np.append(first, pre.size)
    source_ptr = np.searchsorted(key >> 21, np.arange(num_pre + 1))
    rows = (source_ptr, key & (2**21 - 1), ends, post[order])
    longest = (
        np.bincount(pre, minlength=1).max(),
        np.diff(ends).max(initial=0),
        steps.max(initial=1),
    )
    return rows, values(weight, "weight")[order], longest


def built(case, weight=None):
    rule, num_pre, num_post, own_weight, delay = case
    populations = {
        "a": bj.Population(num_pre, bj.LIF()),
        "b": bj.Population(num_post, bj.LIF(), {"in": bj.Delta()}),
    }
    weight = own_weight if weight is None else weight
    projection = bj.Projection("a", "b.in", rule, weight, delay, name="p")
    return build_projection(projection, populations, OFFSET, DT, WORDS)


@pytest.mark.parametrize("block", [1, 7, 64, None])
@pytest.mark.parametrize("name", CASES)
def test_blocks_do_not_show(name, block, monkeypatch):
    case = CASES[name]
    if block is not None:
        monkeypatch.setattr(_layout, "_BLOCK", block)
    rows, weight, longest = whole(case)
    got = built(case)
    for field, expected in zip(FIELDS, rows, strict=True):
        held = getattr(got.rows, field)
        assert held.dtype == (jnp.uint16 if field == "target" else jnp.int32)
        np.testing.assert_array_equal(held, expected, err_msg=field)
    assert got.rows.origin == OFFSET
    assert got.weight.dtype == jnp.float32
    if got.weight.ndim == 0:
        weight = np.float64(case[3])
    np.testing.assert_array_equal(got.weight, np.float32(weight))
    assert (got.rows.longest_row, got.rows.longest_group, got.longest_delay) == longest


@pytest.mark.parametrize("name", ["total", "nothing", "many sources without synapses"])
def test_wide_offsets_are_the_same_numbers(name, monkeypatch):
    narrow = built(CASES[name]).rows
    monkeypatch.setattr(_layout, "_WIDE", 0)
    wide = built(CASES[name]).rows
    assert wide.group_ptr.shape == (*narrow.group_ptr.shape, 2)
    np.testing.assert_array_equal(pointers(wide.group_ptr), narrow.group_ptr)
    for field in ("source_ptr", "group_delay", "target"):
        np.testing.assert_array_equal(getattr(wide, field), getattr(narrow, field))


@pytest.mark.parametrize(("num_post", "dtype"), [(1 << 16, jnp.uint16), ((1 << 16) + 1, jnp.int32)])
@pytest.mark.parametrize("delay", [0.3, bj.Uniform(0.1, 2.0)], ids=["one delay", "delays drawn"])
@pytest.mark.parametrize("rule", [FixedOutDegree(90), bj.FixedTotalNumber(270)])
def test_targets_are_as_wide_as_their_population_asks(num_post, dtype, rule, delay):
    got = built((rule, 3, num_post, 1.0, delay))
    stream = HostStream(WORDS).child("projection", "p").child("rule")
    pre, post = rule.draw(3, num_post, stream, same=False)
    assert got.rows.target.dtype == dtype
    edges = edges_of(got.rows, OFFSET)[0]
    expected = np.lexsort((post, pre))
    np.testing.assert_array_equal(edges.pre, np.asarray(pre)[expected])
    np.testing.assert_array_equal(edges.post, np.asarray(post)[expected])
    assert edges.post.max() > 1 << 15  # no number of 16 bits with a sign holds it


@pytest.mark.parametrize("name", ["total", "constant", "listed", "nothing"])
def test_traced_weights_come_into_the_same_order(name, monkeypatch):
    monkeypatch.setattr(_layout, "_BLOCK", 64)
    case = CASES[name]
    num_synapses = built(case).num_synapses
    weight = np.random.default_rng(1).normal(size=num_synapses).astype(np.float32)
    expected = built(case, weight).weight
    got = eqx.filter_jit(lambda w: built(case, w).weight)(jnp.asarray(weight))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.usefixtures("x64")
def test_weights_of_double_precision_are_not_rounded():
    _, weight, _ = whole(CASES["total"])
    got = built(CASES["total"]).weight
    assert got.dtype == jnp.float64
    np.testing.assert_array_equal(got, weight)
