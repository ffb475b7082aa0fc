"""The steps of a simulation as one native call: which networks have it; it changes no bit."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import brainjax as bj
from brainjax.ops import native_library, native_steps
from brainjax.simulate import _simulate

pytestmark = pytest.mark.skipif(native_library() is None, reason="the native library is not built")

DT, STEPS, SIZE = 0.1, 300, 90
KEY = jax.random.key(3)
RECORD = {
    "spikes": bj.Spikes("a"),
    "count": bj.SpikeCount("b"),
    "rate": bj.PopulationRate("a"),
    "v": bj.Trace("a", "v"),
    "few": bj.Trace("b", "v", neurons=(5, 0, 5)),
    "arrivals": bj.Trace("b", "in.i"),
}
INPUTS = {
    "a": jnp.linspace(100.0, 900.0, STEPS, dtype=jnp.float32),
    "b.in": jnp.ones((STEPS, SIZE), jnp.float32) * 20.0,
}


def network(receptor, delay=1.5, procedural=False, neuron=bj.LIF):
    populations = {n: bj.Population(SIZE, neuron(), {"in": receptor}) for n in "ab"}
    rule = bj.FixedOutDegree(20)
    projections = [
        bj.Projection("a", "b.in", rule, 60.0, delay, procedural=procedural),
        bj.Projection("b", "a.in", rule, bj.Normal(-30.0, 5.0), delay),
        bj.Projection("a", "a.in", bj.OneToOne(), 40.0, delay),
    ]
    stimuli = [bj.PoissonInput("a.in", 800.0, 50.0), bj.PoissonInput("b.in", 700.0, 60.0)]
    return bj.Network(populations, projections, stimuli)


def text_of(built, record, state, inputs):
    """The program of a chunk of `simulate`."""
    given = {n: x[:50] for n, x in inputs.items()}
    run_chunk: Any = _simulate._run_chunk
    return (
        run_chunk.lower(built, record, state, given, jnp.int32(7), 50).compile().compiled.as_text()
    )


NETWORKS = {
    "one delay": lambda: network(bj.ExponentialCurrent(2.0)),
    "drawn delays": lambda: network(bj.ExponentialCurrent(2.0), bj.Uniform(0.2, 4.0)),
    "alpha": lambda: network(bj.AlphaCurrent(2.0)),
    "procedural": lambda: network(bj.ExponentialCurrent(2.0), procedural=True),
}


@pytest.mark.parametrize("history", [True, False], ids=["history", "ring"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_loop_is_one_call_with_the_bits_of_rollout(name, history):
    built = bj.build(NETWORKS[name](), dt=DT, key=jax.random.key(1))
    state = built.init_state(key=KEY, history=history)
    text = text_of(built, RECORD, state, INPUTS)
    assert 'custom_call_target="brainjax_Loop"' in text and " while(" not in text
    result = bj.simulate(built, STEPS * DT, state=state, record=RECORD, inputs=INPUTS, chunk=50)
    end, records = jax.jit(lambda b, s: bj.rollout(b, s, INPUTS, num_steps=STEPS, record=RECORD))(
        built, built.init_state(key=KEY)
    )
    assert float(jnp.sum(records["count"])) > 0
    np.testing.assert_array_equal(result.records["count"], records["count"])
    np.testing.assert_array_equal(
        result.records["spikes"].neuron, records["spikes"].trains().neuron
    )
    for kept in ("rate", "v", "few", "arrivals"):
        got, expected = result.records[kept], records[kept]
        field = "rate" if kept == "rate" else "value"
        np.testing.assert_array_equal(getattr(got, field), getattr(expected, field))
    for got, expected in zip(
        jax.tree.leaves((result.state.populations, result.state.spikes)),
        jax.tree.leaves((end.populations, end.spikes)),
        strict=True,
    ):
        np.testing.assert_array_equal(got, expected)


class Crowd(bj.LIF):
    """Neurons that see the mean of all: not elementwise."""

    elementwise = False

    def flow(self, membrane, drive, *, at):
        alone = super().flow(membrane, drive, at=at)
        return alone._replace(u=alone.u + 0.001 * (jnp.cumsum(membrane.u)[-1] / SIZE - membrane.u))


def test_neurons_that_mix_run_in_a_loop_of_xla():
    receptor = bj.ExponentialCurrent(2.0)
    built = bj.build(network(receptor, neuron=Crowd), dt=DT, key=jax.random.key(1))
    state = built.init_state(key=KEY, history=True)
    assert " while(" in text_of(built, {}, state, {})
    bj.simulate(built, 5.0, state=state)
    assert "jax: it contains cumsum" in native_steps()["loop over steps"]
