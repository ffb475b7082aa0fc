"""What goes wrong while a network runs: it is said, with its place, and nothing is lost."""

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from bad_input.helpers import KEY
from contracts.helpers import assert_same

import brainjax as bj

DT = 0.5


@functools.cache
def built(weight: float = 50.0) -> bj.BuiltNetwork:
    """Two populations that spike now and then, the second driven by the first."""
    syn = {"syn": bj.ExponentialCurrent(tau_syn=3.0)}
    return bj.build(
        bj.Network(
            {
                "first": bj.Population(4, bj.LIF(i_e=500.0), syn, {"v": bj.Uniform(-70.0, -56.0)}),
                "second": bj.Population(3, bj.LIF(), syn),
            },
            [bj.Projection("first", "second.syn", bj.AllToAll(), weight, 2.0)],
        ),
        dt=DT,
        key=KEY,
    )


RECORD = {"v": bj.Trace("second", "v"), "spikes": bj.Spikes("first")}


@pytest.mark.parametrize("chunk", [1, 16, 1000])
def test_a_weight_that_overflows_is_found_at_its_step(chunk):
    """Two spikes of 3e38 pA sum beyond float32."""
    strong = built().with_weights("first->second.syn", 3e38)
    # The first step whose end is not finite, by the pure form, which does not check.
    state = strong.init_state(key=KEY)
    everything = {"i": bj.Trace("second", "syn.i"), "v": bj.Trace("second", "v")}
    _, records = jax.jit(lambda s: bj.rollout(strong, s, num_steps=100, record=everything))(state)
    finite = np.isfinite(records["i"].value) & np.isfinite(records["v"].value)
    step = int(np.argmin(finite.all(axis=1)))
    assert 0 < step < 99

    with pytest.raises(bj.NonFiniteState) as caught:
        bj.simulate(strong, 50.0, key=KEY, record=RECORD, chunk=chunk)
    error = caught.value
    assert (error.population, error.step) == ("second", step)
    for words in ("Population 'second'", f"step {step}", f"{step * DT:g} ms", "expected finite"):
        assert words in str(error)
    assert error.result.stats.num_steps == step
    assert error.result.records["v"].value.shape == (step, 3)
    before = bj.simulate(strong, step * DT, key=KEY, record=RECORD)
    assert_same(error.result[:2], before[:2])


@pytest.mark.parametrize("chunk", [1, 10, 1000])
def test_an_input_that_is_nan_is_found_at_its_step(chunk):
    current = np.zeros((60, 4))
    current[37, 2] = np.nan
    with pytest.raises(bj.NonFiniteState) as caught:
        bj.simulate(built(), 30.0, key=KEY, record=RECORD, inputs={"first": current}, chunk=chunk)
    error = caught.value
    assert (error.population, error.step) == ("first", 37)
    assert "step 37 (t = 18.5 ms)" in str(error)
    assert error.result.stats.num_steps == 37
    assert int(error.result.state.steps) == 37
    without = bj.simulate(built(), 18.5, key=KEY, record=RECORD, inputs={"first": current[:37]})
    assert_same(error.result.state, without.state)
    np.testing.assert_array_equal(error.result.records["v"].value, without.records["v"].value)


def test_a_step_is_counted_from_the_beginning_of_all_runs():
    first = bj.simulate(built(), 10.0, key=KEY)
    current = np.zeros(20)
    current[3] = np.nan
    with pytest.raises(bj.NonFiniteState) as caught:
        bj.simulate(built(), 10.0, state=first.state, inputs={"second": current})
    assert (caught.value.population, caught.value.step) == ("second", 23)


def test_simulate_says_how_much_room_spikes_need():
    spikes = bj.simulate(built(), 100.0, key=KEY, record=RECORD).records["spikes"].neuron.size
    assert spikes > 5
    with pytest.raises(RuntimeError) as caught:
        bj.simulate(built(), 100.0, key=KEY, record={"all": bj.Spikes("first", capacity=5)})
    message = str(caught.value)
    for words in ("Spikes('first')", f"{spikes} spikes", "at most 5", f"capacity={2 * spikes}"):
        assert words in message
    enough = bj.Spikes("first", capacity=spikes)
    records = bj.simulate(built(), 100.0, key=KEY, record={"all": enough}).records
    assert records["all"].neuron.size == spikes


@pytest.mark.pure
def test_rollout_says_how_much_room_spikes_need():
    record = {"all": bj.Spikes("first", capacity=5), "count": bj.SpikeCount("first")}
    _, records = bj.rollout(built(), built().init_state(key=KEY), num_steps=200, record=record)
    spikes = int(records["count"].sum())
    assert int(records["all"].length) == spikes > 5
    with pytest.raises(RuntimeError) as caught:
        records["all"].trains()
    for words in (f"{spikes} spikes", "at most 5", f"capacity={2 * spikes}"):
        assert words in str(caught.value)


INTERRUPTED = """
import signal
import jax, numpy as np
import brainjax as bj

# A shell that runs the tests in the background has its children ignore the signal.
signal.signal(signal.SIGINT, signal.default_int_handler)
cell = bj.Population(3, bj.LIF(i_e=500.0), {"syn": bj.ExponentialCurrent()})
network = bj.Network(
    {"cell": cell},
    [bj.Projection("cell", "cell.syn", bj.AllToAll(), 5.0, 1.5)],
    [bj.PoissonInput("cell.syn", 1000.0, 20.0)],
)
built = bj.build(network, dt=0.5, key=jax.random.key(0))
record = {"v": bj.Trace("cell", "v"), "spikes": bj.Spikes("cell"), "n": bj.SpikeCount("cell")}
key = jax.random.key(1)
try:
    bj.simulate(built, 1e9, key=key, record=record, progress=True, chunk=500)
except bj.Interrupted as error:
    print("CAUGHT", error)
    part = error.result
    done = part.stats.duration
    assert isinstance(error, KeyboardInterrupt)
    assert done > 0 and part.stats.num_steps == int(part.state.steps)
    assert part.stats.num_steps == len(part.records["v"].value)
    whole = bj.simulate(built, done + 20.0, key=key, record=record, chunk=500)
    rest = bj.simulate(built, 20.0, state=part.state, record=record)
    leaves = zip(jax.tree.leaves(whole.state), jax.tree.leaves(rest.state), strict=True)
    assert all(np.array_equal(a, b) for a, b in leaves)
    for name, of in {"v": "value", "spikes": "neuron"}.items():
        parts = [getattr(r.records[name], of) for r in (part, rest)]
        assert np.array_equal(np.concatenate(parts), getattr(whole.records[name], of)), name
    assert np.array_equal(part.records["n"] + rest.records["n"], whole.records["n"])
    print("SAME", part.stats.num_steps)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to send")
def test_ctrl_c_keeps_what_was_recorded():
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(bj.__file__).parent.parent)},
    )
    try:
        shown = b""
        while b"x real time" not in shown:
            piece = process.stderr.read(1)
            assert piece, shown.decode()
            shown += piece
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err.decode()
    assert "CAUGHT interrupted after" in out.decode()
    assert "error.result" in out.decode()
    assert "SAME" in out.decode(), out.decode()


def test_an_interrupt_between_chunks_leaves_a_whole_result(monkeypatch):
    """Wherever in a chunk the interrupt comes, state and records are of the same step."""
    from brainjax.simulate import _simulate

    calls = 0
    on_host = _simulate._Run.on_host

    def interrupting(*args):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return on_host(*args)

    monkeypatch.setattr(_simulate._Run, "on_host", interrupting)
    with pytest.raises(bj.Interrupted, match="interrupted after 10 of 50 ms") as caught:
        bj.simulate(built(), 50.0, key=KEY, record=RECORD, chunk=10)
    monkeypatch.undo()
    part = caught.value.result
    assert int(part.state.steps) == part.stats.num_steps == len(part.records["v"].value) == 20
    rest = bj.simulate(built(), 40.0, state=part.state, record=RECORD)
    whole = bj.simulate(built(), 50.0, key=KEY, record=RECORD)
    assert_same(rest.state, whole.state)
    assert rest.records["v"].value.shape == (80, 3)
