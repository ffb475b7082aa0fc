"""What makes delivery fast changes no bit: tables of groups, ports, threads, sorted targets."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ops.structures import (
    FORMS,
    ascending,
    empty,
    narrowed,
    random_spikes,
    random_wiring,
    run,
    run_wiring,
    wire,
)

from brainjax.ops import (
    FixedFanOut,
    History,
    Layout,
    Regular,
    check_rows,
    group_tables,
    native_library,
)

STEPS = 60
needs_native = pytest.mark.skipif(native_library() is None, reason="no native library")


def in_ports(seed, ports, sizes=(9, 40, 1), num_targets=12, num_slots=7):
    """Projections of random synapses, each ending in the accumulators of its port alone."""
    rng = np.random.default_rng(seed)
    width = num_targets // (max(ports) + 1)
    drawn = []
    for j, port in enumerate(ports):
        source, count = j % len(sizes), 30 * sizes[j % len(sizes)]
        pre = rng.integers(0, sizes[source], count)
        post = port * width + rng.integers(0, width, count)
        delay = rng.integers(1, num_slots + 1, count)
        drawn.append((source, pre, post, delay, rng.normal(size=count) if j % 2 else rng.normal()))
    wiring = wire(sizes, num_targets, drawn, num_slots)
    return wiring._replace(
        layout=wiring.layout._replace(ports=tuple(ports), sizes=(width,) * (max(ports) + 1))
    )


def of_long_rows():
    """Groups long enough for threads to take a part of each: stored, dense, of a fixed number."""
    rng = np.random.default_rng(6)
    projections = [(0, 3600, 2, False), (1, 2400, 1, True), (0, 3000, 2, False)]
    stored = ascending(random_wiring(rng, (3, 2), 1000, projections, 3))
    target = np.sort(rng.integers(0, 1000, (2, 400)), axis=1).ravel()
    counted = (
        Regular(jnp.int32(2), jnp.int32(90), 3, 800, 0),
        FixedFanOut(jnp.int32(1), jnp.asarray(target, jnp.int32), 2, 400, 0, True),
        stored.rows[2],
    )
    weights = (rng.normal(size=2400), rng.normal(size=800), stored.weights[2])
    alone = stored._replace(layout=stored.layout._replace(ports=(0, 0, 0), sizes=(1000,)))
    yield alone
    yield narrowed(alone, (0, 0, 0))
    yield alone._replace(rows=counted, weights=weights)


@pytest.fixture(scope="module")
def wiring():
    return in_ports(3, (0, 1, 2, 1, 0, 0, 2))


@pytest.fixture(scope="module")
def spikes(wiring):
    return random_spikes(np.random.default_rng(1), wiring.sizes, STEPS)


# ---- tables --------------------------------------------------------------------------------------


@pytest.mark.pure
def test_a_table_says_where_groups_begin(wiring):
    tables = group_tables(wiring.rows, wiring.layout.sources)
    for p, table in enumerate(tables):
        begin, least = np.asarray(table.begin), int(table.least_delay)
        from_here = [j for j, s in enumerate(wiring.layout.sources) if s == p]
        assert begin.shape[0] == wiring.sizes[p] and begin.shape[2] == len(from_here)
        for i, j in enumerate(from_here):
            pre, _, delay = wiring.synapses[j]
            assert begin[-1, -1, i] == len(pre)
            for source, d in np.ndindex(begin.shape[0], begin.shape[1] - 1):
                expected = np.flatnonzero((pre == source) & (delay == least + d))
                found = np.arange(begin[source, d, i], begin[source, d + 1, i])
                np.testing.assert_array_equal(found, expected)


@pytest.mark.pure
def test_no_table_where_it_would_be_large():
    """Two synapses of a source whose delays lie far apart; no synapses; no projections."""
    far = wire((1,), 1, [(0, [0, 0], [0, 0], [1, 64], 1.0)], 64)
    near = wire((1,), 1, [(0, [0, 0], [0, 0], [63, 64], 1.0)], 64)
    none = wire((1,), 1, [(0, [], [], [], 1.0)], 1)
    sizes = [group_tables(w.rows, w.layout.sources)[0].begin.size for w in (far, near, none)]
    assert sizes == [0, 3, 0]
    assert group_tables((), ()) == ()


@pytest.mark.pure
@pytest.mark.parametrize("start", [0, 5, 2**20 + 17])
def test_a_table_changes_no_bit(wiring, spikes, impl, start):
    how = {"impl": impl, "dtype": np.float32, "start": start}
    pending, expected = run_wiring(wiring, History, spikes, **how)
    held, due = run_wiring(wiring, History, spikes, tables=True, **how)
    np.testing.assert_array_equal(due, expected)
    assert np.count_nonzero(due) > due.size / 2
    jax.tree.map(np.testing.assert_array_equal, held, pending)


@needs_native
@pytest.mark.parametrize("seed", range(8))
def test_a_table_beside_a_search(seed):
    """Populations of many delays, of one, of few far apart, and of none; sizes about a block."""
    rng = np.random.default_rng(seed)
    size, slots = int(rng.choice([1, 63, 64, 65, 130])), 40
    projections = [(0, 60 * size, slots, False), (1, 2, slots, True), (0, 5, 3, True), (2, 0, 1, 0)]
    made = random_wiring(rng, (size, 3, 2), 11, projections, slots)
    tables = [t.begin.size > 0 for t in group_tables(made.rows, made.layout.sources)]
    assert tables == [True, False, False]
    spikes = random_spikes(rng, made.sizes, STEPS)
    spikes[0][3], spikes[0][4] = 0, 1  # silence, and all at once
    how = {"impl": "native", "dtype": np.float32}
    _, expected = run_wiring(made, History, spikes, **how)
    _, due = run_wiring(made, History, spikes, tables=True, **how)
    np.testing.assert_array_equal(due, expected)


def test_vmap_with_tables_is_a_loop_to_the_bit(wiring, spikes, impl):
    tables = group_tables(wiring.rows, wiring.layout.sources)
    weights = tuple(jnp.asarray(w, jnp.float32) for w in wiring.weights)
    many = tuple(jnp.stack([jnp.asarray(x[:9], jnp.float32), -x[1:10]]) for x in spikes)

    def f(x):
        how = {"layout": wiring.layout, "impl": impl}
        pending = empty(History, wiring, jnp.float32)
        return run(pending, x, wiring.rows, weights, jnp.int32(2), tables, **how)[1]

    both = jax.jit(jax.vmap(f))(many)
    for i in range(2):
        np.testing.assert_array_equal(both[i], jax.jit(f)(tuple(x[i] for x in many)))


# ---- what is known of targets --------------------------------------------------------------------


@pytest.mark.pure
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_what_is_known_of_targets_changes_no_bit(form, impl):
    """That they ascend within a group, and of which port they are."""
    known = ascending(in_ports(5, (0, 1, 2, 1, 0, 0, 2, 2)))
    plain = known._replace(
        rows=tuple(dataclasses.replace(r, sorted_targets=False) for r in known.rows),
        layout=known.layout._replace(ports=(), sizes=()),
    )
    assert known.rows[0].sorted_targets and known.layout.ports
    spikes = random_spikes(np.random.default_rng(1), known.sizes, STEPS)
    for tables in (False, True):
        how = {"impl": impl, "dtype": np.float32, "tables": tables and form is History}
        _, expected = run_wiring(plain, form, spikes, **how)
        _, due = run_wiring(known, form, spikes, **how)
        np.testing.assert_array_equal(due, expected)
        assert np.count_nonzero(due) > due.size / 2


# ---- threads -------------------------------------------------------------------------------------

DELIVER = """
import hashlib, sys
import numpy as np
from brainjax.ops import History, _deliver_history
from ops.structures import random_spikes, run_wiring
from ops.test_deliver_tables import in_ports, of_long_rows

_deliver_history.WORTH_SHARING = 0  # share what little there is
digest = hashlib.sha256()
several = ((0, 1, 2, 3, 1, 0, 0, 2), (0, 0, 0, 1), (0, 0, 0), tuple(range(12)) * 2)
for wiring in [*(in_ports(len(ports), ports) for ports in several), *of_long_rows()]:
    if sys.argv[1] == "one port":
        wiring = wiring._replace(layout=wiring.layout._replace(ports=(), sizes=()))
    spikes = random_spikes(np.random.default_rng(2), wiring.sizes, 400)
    for tables in (False, True):
        how = {"impl": "native", "dtype": np.float32, "tables": tables}
        digest.update(run_wiring(wiring, History, spikes, **how)[1].tobytes())
print(digest.hexdigest())
"""


@needs_native
def test_threads_and_ports_change_no_bit():
    """NPROC is how many threads XLA's pool has."""

    def digest(threads, ports="many ports"):
        path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
        environment = os.environ | {"NPROC": str(threads), "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", DELIVER, ports],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    expected = digest(1, "one port")
    assert len(expected) == 65
    assert [digest(n) for n in (1, 2, 4)] == [expected] * 3


def test_layout_of_a_network_has_a_port_for_each_receptor():
    import brainjax as bj

    built = bj.experiments.load("pd14_tenth", {"scale": 0.01}).build()
    assert isinstance(built.layout, Layout)
    by_port = {}
    for name, port in zip(built.projection_names, built.layout.ports, strict=True):
        by_port.setdefault(port, set()).add(built.projections[name].target)
    check_rows([p.rows for p in built.projections.values()], built.layout)
    assert all(p.rows.sorted_targets for p in built.projections.values())
    assert len(by_port) == 8
    assert all(len(targets) == 1 for targets in by_port.values())
