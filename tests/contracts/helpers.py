"""The matrix as data: every public model once, in a tiny network in which it has something to do.

A new model is added to `CASES`; `test_completeness.py` fails until it is.
"""

import functools
import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np

import brainjax as bj
from brainjax import neurons, stimuli, synapses
from brainjax.ops import Ring

DT = 0.5  # ms
NUM_STEPS = 15
SIZE = 4

# `brainjax.simulate` is the function.
_simulate = importlib.import_module("brainjax.simulate")

# What a contract is about is found by walking the rooms for subclasses of these.
ROOMS = {
    "neuron": (neurons, neurons.SpikingNeuron),
    "receptor": (synapses, synapses.Receptor),
    "surrogate": (neurons, neurons.Surrogate),
    "stimulus": (stimuli, stimuli.Stimulus),
    "source": (stimuli, stimuli.Source),
    "recorder": (_simulate, bj.Recorder),
}


class Case(NamedTuple):
    """One public model, and what is known of it."""

    kind: str
    cls: type
    make: Callable[[], Any]
    weight: float = 0.0  # of the synapses of a receptor: strong enough to make spikes
    flat: frozenset[str] = frozenset()  # parameters through which no gradient passes

    @property
    def name(self) -> str:
        """How pytest calls it."""
        return self.cls.__name__


def _flat(names: str) -> frozenset[str]:
    return frozenset(names.split())


CASES = [
    # No derivative passes through a number of refractory steps, nor through onsets and offsets,
    # nor through the number of Poisson events; a surrogate shapes gradients, not values.
    Case("neuron", bj.LIF, lambda: bj.LIF(i_e=500.0), flat=_flat("t_ref")),
    Case("receptor", bj.Delta, bj.Delta, 3.0),
    Case("receptor", bj.ExponentialCurrent, lambda: bj.ExponentialCurrent(tau_syn=3.0), 400.0),
    Case("receptor", bj.AlphaCurrent, lambda: bj.AlphaCurrent(tau_syn=2.0), 300.0),
    Case("receptor", bj.ExponentialConductance, bj.ExponentialConductance, 5.0),
    Case("receptor", bj.AlphaConductance, bj.AlphaConductance, 5.0),
    Case("surrogate", bj.SuperSpike, bj.SuperSpike, flat=_flat("beta")),
    Case("surrogate", bj.ArcTan, bj.ArcTan, flat=_flat("alpha")),
    Case("surrogate", bj.Triangle, lambda: bj.Triangle(width=5.0), flat=_flat("width")),
    Case("surrogate", bj.NoSurrogate, bj.NoSurrogate),
    Case(
        "stimulus",
        bj.DC,
        lambda: bj.DC("cell", 300.0, start=1.0, stop=6.5),
        flat=_flat("start stop"),
    ),
    Case(
        "stimulus",
        bj.StepCurrent,
        lambda: bj.StepCurrent("cell", [0.5, 3.0], [400.0, 200.0]),
        flat=_flat("times"),
    ),
    Case(
        "stimulus",
        bj.PoissonInput,
        lambda: bj.PoissonInput("cell.syn", 2000.0, 100.0, max_events=15),
        flat=_flat("rate start stop"),
    ),
    Case(
        "source",
        bj.PoissonSource,
        lambda: bj.PoissonSource(1500.0, max_events=15),
        flat=_flat("rate start stop"),
    ),
    Case("source", bj.SpikeSource, lambda: bj.SpikeSource([0.5, 2.0, 2.0, 5.5], [0, 1, 1, 2])),
    Case("recorder", bj.Spikes, lambda: bj.Spikes("cell")),
    Case("recorder", bj.SpikeCount, lambda: bj.SpikeCount("cell")),
    Case("recorder", bj.PopulationRate, lambda: bj.PopulationRate("cell", bin=2.0)),
    Case("recorder", bj.Trace, lambda: bj.Trace("cell", "v", neurons=[2, 0])),
]
MODELS = [case for case in CASES if case.kind != "recorder"]
RECORDERS = [case for case in CASES if case.kind == "recorder"]
RECORD = {"n": bj.SpikeCount("cell"), "v": bj.Trace("cell", "v")}


def public_classes(kind: str) -> set[type]:
    """The final classes of a kind that a room, or `brainjax` itself, shows."""
    room, base = ROOMS[kind]
    named = [getattr(where, n) for where in (room, bj) for n in dir(where) if n[0] != "_"]
    return {
        c for c in named if inspect.isclass(c) and issubclass(c, base) and not inspect.isabstract(c)
    }


def network_of(case: Case, model: Any = None) -> bj.Network:
    """The network of a case: a source drives some cells, which also act on each other."""
    model = case.make() if model is None else model
    neuron = model if case.kind == "neuron" else bj.LIF(i_e=500.0)
    if case.kind == "surrogate":
        neuron = bj.LIF(i_e=500.0, surrogate=model)
    receptor = model if case.kind == "receptor" else bj.ExponentialCurrent(tau_syn=3.0)
    source = model if case.kind == "source" else bj.SpikeSource([0.5, 1.0, 4.0], [0, 1, 2])
    weight = case.weight or 200.0
    return bj.Network(
        {
            "source": bj.Population(3, source),
            "cell": bj.Population(SIZE, neuron, {"syn": receptor}, {"v": bj.Uniform(-65.0, -57.0)}),
        },
        [
            bj.Projection("source", "cell.syn", bj.AllToAll(), weight, DT),
            bj.Projection("cell", "cell.syn", bj.AllToAll(), weight / 2, bj.Uniform(DT, 4 * DT)),
        ],
        [model] if case.kind == "stimulus" else [],
    )


def built_of(case: Case, model: Any = None) -> bj.BuiltNetwork:
    """The network of a case, or of another model in its place, built."""
    return bj.build(network_of(case, model), dt=DT, key=jax.random.key(0))


def held_model(case: Case, built: bj.BuiltNetwork) -> Any:
    """Where the model of a case is in its built network."""
    cell = built.populations["cell"]
    match case.kind:
        case "neuron":
            return cell.neuron
        case "surrogate":
            return cell.neuron.surrogate
        case "receptor":
            return cell.receptors["syn"]
        case "source":
            return built.populations["source"].neuron
        case "stimulus":
            return built.stimuli[0]
    raise ValueError(case.kind)


def record_of(case: Case) -> dict[str, bj.Recorder]:
    """What a run of a case keeps."""
    return {"own": case.make()} if case.kind == "recorder" else RECORD


def run(case: Case, built: bj.BuiltNetwork, state: bj.NetworkState):
    """A rollout of a case, not compiled."""
    return bj.rollout(built, state, num_steps=NUM_STEPS, record=record_of(case))


@functools.cache
def prepared(case: Case) -> tuple[bj.BuiltNetwork, bj.NetworkState, Callable]:
    """`(built, state, rollout)`, made once a process; the rollout is compiled."""
    built = built_of(case)
    return built, built.init_state(key=jax.random.key(1)), eqx.filter_jit(run_of(case))


def run_of(case: Case) -> Callable:
    """`(built, state) -> (state, records)`."""
    return functools.partial(run, case)


def zoo() -> bj.Network:
    """A network of every model there is at once, for what is about drivers, not models.

    All receptors are on one population; the other neurons, and one for each surrogate, stand by.
    """
    of = {kind: [c for c in CASES if c.kind == kind] for kind in ROOMS}
    receptors = {c.name.lower(): c.make() for c in of["receptor"]}
    others = [c.make() for c in of["neuron"]]
    others += [bj.LIF(i_e=350.0, surrogate=c.make()) for c in of["surrogate"]]
    start = {"v": bj.Uniform(-65.0, -57.0)}
    cells = {"cell": bj.Population(4, bj.LIF(i_e=200.0), receptors, start)}
    cells |= {f"other{i}": bj.Population(3, n, initial=start) for i, n in enumerate(others)}
    sources = {f"source{i}": bj.Population(3, c.make()) for i, c in enumerate(of["source"])}
    senders = [*sources, *cells]
    projections = [
        bj.Projection(
            senders[i % len(senders)],
            f"cell.{c.name.lower()}",
            bj.FixedProbability(0.6),
            bj.Normal(c.weight / 6, c.weight / 30),
            bj.Uniform(DT, 5 * DT) if i % 2 else (1 + i) * DT,
        )
        for i, c in enumerate(of["receptor"])
    ]
    driven = [
        bj.PoissonInput("cell.exponentialcurrent", 2000.0, 20.0),
        bj.DC("cell", 50.0, 1.0, 9.0),
        bj.StepCurrent("other0", [0.5, 3.0], [100.0, 20.0]),
    ]
    return bj.Network({**sources, **cells}, projections, driven)


def zoo_record() -> dict[str, bj.Recorder]:
    """One of every recorder, and more traces."""
    return {
        "spikes": bj.Spikes("cell"),
        "count": bj.SpikeCount("other0"),
        "rate": bj.PopulationRate("cell", bin=2.0),
        "v": bj.Trace("cell", "v"),
        "g": bj.Trace("cell", "exponentialconductance.g", neurons=[1]),
        "sent": bj.Trace("source0", "spikes"),
    }


@functools.cache
def built_zoo() -> bj.BuiltNetwork:
    """The zoo, built once a process."""
    return bj.build(zoo(), dt=DT, key=jax.random.key(0))


def assert_same(a: Any, b: Any, what: str = "") -> None:
    """Two PyTrees are equal to the bit, dtypes and structure too."""
    (a, structure), (b, other) = jax.tree.flatten(a), jax.tree.flatten(b)
    assert structure == other, f"{what}: {structure} and {other}"
    for x, y in zip(a, b, strict=True):
        assert np.asarray(x).dtype == np.asarray(y).dtype, what
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y), err_msg=what, strict=True)


def assert_close(a: Any, b: Any, tol: float) -> None:
    """Two PyTrees are equal within a tolerance, relative to the largest number of a leaf."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        x, y = np.asarray(x), np.asarray(y)
        scale = max(np.abs(x).max(initial=0), 1)
        np.testing.assert_allclose(x, y, rtol=tol, atol=tol * scale)


def without_pending(state: bj.NetworkState) -> bj.NetworkState:
    """A state without spikes under way, whose form differs between drivers."""
    return state._replace(pending=Ring(jnp.zeros(())))


def arrays(tree: Any) -> list[jax.Array]:
    """The array leaves of a PyTree; keys of random numbers are arrays of integers."""
    return [x for x in jax.tree.leaves(tree) if eqx.is_array(x)]


def arrays_alone(tree: Any) -> Any:
    """A PyTree without its leaves that are no arrays."""
    return eqx.filter(tree, eqx.is_array)


def floats(tree: Any) -> list[jax.Array]:
    """The floating-point leaves of a PyTree."""
    return [x for x in arrays(tree) if jnp.issubdtype(x.dtype, jnp.floating)]


_COMPILED = "/jax/core/compile/backend_compile_duration"


@contextmanager
def compilations() -> Iterator[list[str]]:
    """The names of the programs that are compiled inside the `with`."""
    names: list[str] = []

    def listen(event: str, duration: float, **details: Any) -> None:
        del duration
        if event == _COMPILED:
            names.append(str(details.get("fun_name")))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
