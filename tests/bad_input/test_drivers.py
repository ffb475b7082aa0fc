"""Misuse of `build`, `simulate`, `rollout` and recorders, refused before any work."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bad_input.helpers import DT, KEY, Bad, build, network, refuses, table

import brainjax as bj

NAN = math.nan


@functools.cache
def built() -> bj.BuiltNetwork:
    """A network without fault."""
    return build()


def building(dt=DT, key=KEY, of=network):
    return lambda: bj.build(of(), dt=dt, key=key)


def running(duration=1.0, *, of=built, **options):
    return lambda: bj.simulate(of(), duration, **{"key": KEY, **options})


def rolling(**options):
    def do():
        return bj.rollout(built(), built().init_state(key=KEY), **options)

    return do


def starting(**options):
    return lambda: built().init_state(**{"key": KEY, **options})


def recording(make):
    return lambda: bj.simulate(built(), 1.0, key=KEY, record={"it": make()})


def refuses_after_a_state(bad, monkeypatch):
    built().init_state(key=KEY)  # compiled, as every state is: not by what is refused
    refuses(bad, monkeypatch)


@table(
    Bad("dt zero", building(dt=0), ValueError, "build: dt", "0", "positive number in ms", "dt=0.1"),
    Bad("dt negative", building(dt=-0.1), ValueError, "build: dt", "-0.1", "positive"),
    Bad("dt NaN", building(dt=NAN), ValueError, "build: dt", "nan", "positive"),
    Bad("dt infinite", building(dt=math.inf), ValueError, "build: dt", "inf", "positive"),
    Bad("dt a string", building(dt="0.1"), TypeError, "build: dt", "'0.1'", "a number in ms"),
    Bad("dt a bool", building(dt=True), TypeError, "build: dt", "True", "a number in ms"),
    Bad(
        "key None",
        building(key=None),
        TypeError,
        "build: key",
        "None",
        "a JAX key",
        "jax.random.key(0)",
    ),
    Bad(
        "key an integer",
        building(key=42),
        TypeError,
        "build: key",
        "42",
        "a JAX key",
        "jax.random.key(42)",
    ),
    Bad(
        "several keys",
        building(key=jax.random.split(KEY, 3)),
        TypeError,
        "build: key",
        "key",
        "a JAX key",
        "One network takes one key",
    ),
    Bad(
        "a traced key",
        lambda: jax.vmap(lambda key: bj.build(network(), dt=DT, key=key).dt_leaf)(
            jax.random.split(KEY, 3)
        ),
        TypeError,
        "build: key",
        "a traced key",
        "a concrete key",
        "outside jit and vmap",
    ),
    Bad(
        "built twice",
        building(of=built),
        TypeError,
        "build",
        "'BuiltNetwork'",
        "a brainjax.Network",
        "was made from",
    ),
    Bad("populations alone", building(of=dict), TypeError, "build", "{}", "a brainjax.Network"),
    Bad(
        "unknown implementation",
        lambda: bj.build(network(), dt=DT, key=KEY, impl="cuda"),
        ValueError,
        "impl",
        "'cuda'",
        "'native'",
    ),
)
@pytest.mark.pure
def test_build(bad, monkeypatch):
    refuses(bad, monkeypatch)


@table(
    Bad(
        "not built",
        running(of=network),
        TypeError,
        "simulate: network",
        "'Network'",
        "a built network",
        "bj.build(network, dt=0.1",
    ),
    Bad("duration negative", running(-1.0), ValueError, "duration", "-1.0", "0 or more"),
    Bad(
        "duration not a multiple",
        running(1.04),
        ValueError,
        "simulate: duration",
        "1.04",
        "a multiple of dt = 0.1 ms",
        "The nearest is 1.",
    ),
    Bad("duration NaN", running(NAN), ValueError, "duration", "nan", "a multiple of dt = 0.1 ms"),
    Bad("duration infinite", running(math.inf), ValueError, "duration", "inf", "a multiple"),
    Bad("duration a string", running("1"), TypeError, "duration", "'1'", "a number in ms"),
    Bad("no key", running(key=None), ValueError, "simulate: key", "None", "a JAX key", "key=jax."),
    Bad(
        "key an integer",
        running(key=7),
        TypeError,
        "simulate: key",
        "7",
        "a JAX key",
        "jax.random.key(7)",
    ),
    Bad("chunk 0", running(chunk=0), ValueError, "simulate: chunk", "0", "at least 1"),
    Bad("chunk a float", running(chunk=10.0), ValueError, "chunk", "10.0", "an integer"),
    Bad("chunk a bool", running(chunk=True), ValueError, "chunk", "True", "an integer"),
    Bad(
        "input of an unknown population",
        running(inputs={"ecx": np.zeros(10)}),
        ValueError,
        "inputs: key",
        "'ecx'",
        "'population.receptor'",
        "Did you mean 'exc'?",
    ),
    Bad(
        "input into an unknown receptor",
        running(inputs={"exc.amp": np.zeros(10)}),
        ValueError,
        "inputs: key",
        "'exc.amp'",
        "a receptor of 'exc'",
        "Did you mean 'ampa'?",
    ),
    Bad(
        "input into a source",
        running(inputs={"noise": np.zeros(10)}),
        ValueError,
        "inputs: key",
        "'noise'",
        "a source takes no input",
    ),
    Bad(
        "input of another duration",
        running(inputs={"exc": np.zeros(11)}),
        ValueError,
        "inputs['exc']",
        "(11,)",
        "(10, 5): steps, neurons",
    ),
    Bad(
        "input transposed",
        running(inputs={"exc": np.zeros((5, 10))}),
        ValueError,
        "inputs['exc']",
        "(5, 10)",
        "(10, 5): steps, neurons",
    ),
    Bad(
        "input without a name",
        running(inputs=np.zeros(10)),
        TypeError,
        "inputs",
        "ndarray",
        "a mapping",
        "inputs={'exc'",
    ),
    Bad(
        "state of something else",
        running(state={"v": 0.0}, key=None),
        TypeError,
        "simulate: state",
        "'dict'",
        "a NetworkState",
        "init_state(key=",
    ),
)
@pytest.mark.pure
def test_simulate(bad, monkeypatch):
    refuses_after_a_state(bad, monkeypatch)


@table(
    Bad(
        "not built",
        lambda: bj.rollout(network(), None, num_steps=3),
        TypeError,
        "rollout: network",
        "'Network'",
        "a built network",
        "bj.build(",
    ),
    Bad("no steps", rolling(), ValueError, "rollout: num_steps", "None", "a number of steps"),
    Bad("steps negative", rolling(num_steps=-1), ValueError, "num_steps", "-1", "at least 0"),
    Bad("steps a float", rolling(num_steps=10.0), ValueError, "num_steps", "10.0", "an integer"),
    Bad(
        "input of another length",
        rolling(num_steps=4, inputs={"exc": np.zeros(5)}),
        ValueError,
        "inputs['exc']",
        "(5,)",
        "(4, 5)",
    ),
    Bad(
        "no state",
        lambda: bj.rollout(built(), None, num_steps=3),
        TypeError,
        "rollout: state",
        "'NoneType'",
        "a NetworkState",
        "init_state(key=",
    ),
)
@pytest.mark.pure
def test_rollout(bad, monkeypatch):
    refuses_after_a_state(bad, monkeypatch)


@table(
    Bad(
        "unknown population",
        starting(initial={"ecx": {"v": 0.0}}),
        ValueError,
        "init_state: initial",
        "'ecx'",
        "a population",
        "Did you mean 'exc'?",
    ),
    Bad(
        "unknown field",
        starting(initial={"exc": {"ampa.g": 0.0}}),
        ValueError,
        "initial",
        "'ampa.g'",
        "a field of the state",
        "Did you mean 'ampa.i'?",
    ),
    Bad(
        "another length",
        starting(initial={"exc": {"v": jnp.zeros(4)}}),
        ValueError,
        "initial['v']",
        "(4,)",
        "(5,), one per neuron",
    ),
    Bad("no key", starting(key=None), TypeError, "init_state: key", "None", "a JAX key", "key(0)"),
    Bad(
        "key an integer", starting(key=3), TypeError, "init_state: key", "3", "a JAX key", "key(3)"
    ),
)
@pytest.mark.pure
def test_init_state(bad, monkeypatch):
    refuses_after_a_state(bad, monkeypatch)


@table(
    Bad(
        "unknown population",
        recording(lambda: bj.Spikes("exh")),
        ValueError,
        "Spikes: population",
        "'exh'",
        "a population of the network",
        "Did you mean 'exc'?",
    ),
    Bad(
        "unknown field",
        recording(lambda: bj.Trace("exc", "V")),
        ValueError,
        "Trace('exc'): field",
        "'V'",
        "a field of the state",
        "'v'",
    ),
    Bad(
        "unknown field of a receptor",
        recording(lambda: bj.Trace("exc", "ampa.g")),
        ValueError,
        "Trace('exc'): field",
        "'ampa.g'",
        "a field of the state",
        "Did you mean 'ampa.i'?",
    ),
    Bad(
        "neuron beyond the population",
        recording(lambda: bj.Trace("exc", "v", neurons=[0, 5])),
        ValueError,
        "Trace('exc'): neurons",
        "5",
        "0..4",
    ),
    Bad(
        "neuron negative",
        recording(lambda: bj.Trace("exc", "v", neurons=-1)),
        ValueError,
        "Trace('exc'): neurons",
        "-1",
        "0..4",
    ),
    Bad(
        "neurons as a mask",
        recording(lambda: bj.Trace("exc", "v", neurons=[True, False])),
        ValueError,
        "Trace('exc'): neurons",
        "True",
        "indices",
    ),
    Bad(
        "bin not a multiple",
        recording(lambda: bj.PopulationRate("exc", bin=0.25)),
        ValueError,
        "PopulationRate: bin",
        "0.25",
        "a multiple of dt = 0.1 ms",
    ),
    Bad(
        "bin zero",
        recording(lambda: bj.PopulationRate("exc", bin=0.0)),
        ValueError,
        "PopulationRate: bin",
        "0.0",
        "a multiple of dt = 0.1 ms",
    ),
    Bad(
        "bin negative",
        recording(lambda: bj.PopulationRate("exc", bin=-1.0)),
        ValueError,
        "PopulationRate: bin",
        "-1.0",
        "a multiple of dt = 0.1 ms",
    ),
    Bad(
        "bin NaN",
        recording(lambda: bj.PopulationRate("exc", bin=NAN)),
        ValueError,
        "PopulationRate: bin",
        "nan",
        "a multiple of dt = 0.1 ms",
    ),
    Bad(
        "bin a string",
        recording(lambda: bj.PopulationRate("exc", bin="1")),
        TypeError,
        "PopulationRate: bin",
        "'1'",
        "a number in ms",
    ),
    Bad("no room", lambda: bj.Spikes("exc", 0), ValueError, "Spikes: capacity", "0", "at least 1"),
    Bad(
        "a class",
        recording(lambda: bj.Spikes),
        TypeError,
        "record['it']",
        "Spikes",
        "a recorder",
        "bj.Spikes('exc')",
    ),
    Bad(
        "a name",
        lambda: bj.simulate(built(), 1.0, key=KEY, record="exc"),
        TypeError,
        "record",
        "'exc'",
        "a mapping",
        "bj.Spikes('exc')",
    ),
    Bad(
        "unknown projection",
        lambda: built().weights("inh->exc.gaba"),
        ValueError,
        "projection",
        "'inh->exc.gaba'",
        "a projection of the network",
        "Did you mean 'inh->exc.ampa'?",
    ),
    Bad(
        "weights of another length",
        lambda: built().with_weights("inh->exc.ampa", np.zeros(4)),
        ValueError,
        "with_weights('inh->exc.ampa')",
        "(4,)",
        "(15,)",
    ),
    Bad(
        "weights in another form",
        lambda: built().weights("inh->exc.ampa", "csr"),
        ValueError,
        "weights: as_",
        "'csr'",
        "'coo' or 'dense'",
    ),
)
@pytest.mark.pure
def test_recorders_and_built_networks(bad, monkeypatch):
    refuses_after_a_state(bad, monkeypatch)


def grads(loss):
    return jax.grad(loss)(jnp.float32(1.0))


def loss_of_weight(weight):
    return (
        bj.simulate(built().with_weights("inh->exc.ampa", weight), 1.0, key=KEY).state.steps * 1.0
    )


TRACED = {
    "jit, the network traced": lambda: jax.jit(
        lambda t: bj.simulate(built().with_weights("inh->exc.ampa", t), 1.0, key=KEY).state
    )(jnp.float32(1.0)),
    "jit, all concrete": lambda: jax.jit(lambda: bj.simulate(built(), 1.0, key=KEY).state.steps)(),
    "jit, the state traced": lambda: jax.jit(
        lambda state: bj.simulate(built(), 1.0, state=state).state.steps
    )(built().init_state(key=KEY)),
    "scan": lambda: jax.lax.scan(
        lambda c, _: (bj.simulate(built(), 1.0, key=KEY).state.steps, None), jnp.int32(0), length=2
    ),
    "grad": lambda: grads(loss_of_weight),
    "vmap over weights": lambda: jax.vmap(loss_of_weight)(jnp.ones(2)),
    "vmap over keys": lambda: jax.vmap(lambda key: bj.simulate(built(), 1.0, key=key).state.steps)(
        jax.random.split(KEY, 2)
    ),
    "vmap over inputs": lambda: jax.vmap(
        lambda current: bj.simulate(built(), 1.0, key=KEY, inputs={"exc": current}).state.steps
    )(jnp.ones((2, 10))),
}


@pytest.mark.pure
@pytest.mark.parametrize("do", TRACED.values(), ids=TRACED)
def test_simulate_under_a_transformation_names_rollout(do, monkeypatch):
    monkeypatch.setattr(bj.BuiltNetwork, "advance", None)
    with pytest.raises(TypeError) as caught:
        do()
    line = "state, records = bj.rollout(built, state, inputs, num_steps=10, record=record)"
    assert line in str(caught.value)


@pytest.mark.pure
def test_a_history_is_not_differentiated():
    state = built().init_state(key=KEY, history=True)

    def loss(v):
        neuron = state.populations["exc"].neuron
        moved = neuron._replace(membrane=neuron.membrane._replace(u=v))
        exc = state.populations["exc"]._replace(neuron=moved)
        first = state._replace(populations={**state.populations, "exc": exc})
        first = first._replace(spikes={**first.spikes, "inh": v[:3]})
        return built().step(first)[0].populations["exc"].receptors["ampa"].i.sum()

    with pytest.raises(NotImplementedError, match=r"got .*expected .*brainjax\.rollout\("):
        jax.grad(loss)(jnp.zeros(5))
