"""Misuse of what describes a network: models, populations, projections, stimuli."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bad_input.helpers import Bad, build, network, populations, projection, refuses, table

import brainjax as bj

NAN, INF = math.nan, math.inf


def on_grid(**changes):
    return lambda: build(projections=[projection(**changes)])


def lif(**fields):
    return lambda: bj.LIF(**fields)


def of_size(size):
    return lambda: bj.Population(size, bj.LIF())


def stimulus(make):
    return lambda: build(stimuli=[make()])


def source(make):
    def do():
        found = {**populations(), "noise": bj.Population(2, make())}
        return bj.build(bj.Network(found), dt=0.1, key=jax.random.key(0))

    return do


@table(
    Bad("unit", lambda: bj.parameter(unit="mv", doc="x"), ValueError, "unit", "'mv'", "ms", "'mV'"),
    Bad(
        "domain",
        lambda: bj.parameter(unit="mV", doc="x", domain="positiv"),
        ValueError,
        "domain",
        "'positiv'",
        "nonnegative",
        "Did you mean 'positive'?",
    ),
    Bad("NaN", lif(c_m=NAN), ValueError, "LIF(c_m=...)", "nan", "positive number in pF"),
    Bad("infinite", lif(e_l=-INF), ValueError, "LIF(e_l=...)", "-inf", "finite number in mV"),
    Bad("negative c_m", lif(c_m=-1.0), ValueError, "LIF(c_m=...)", "-1.0", "positive"),
    Bad("zero tau", lif(tau_m=0), ValueError, "LIF(tau_m=...)", "0.0", "positive number in ms"),
    Bad("one of many", lif(tau_m=[9.0, -2.0]), ValueError, "LIF(tau_m=...)", "-2.0", "positive"),
    Bad("negative t_ref", lif(t_ref=-0.1), ValueError, "LIF(t_ref=...)", "-0.1", "nonnegative"),
    Bad("string", lif(v_th="-50"), TypeError, "LIF(v_th=...)", "'-50'", "a number in mV"),
    Bad("bool", lif(i_e=True), TypeError, "LIF(i_e=...)", "True", "a number in pA"),
    Bad("None", lif(i_e=None), TypeError, "LIF(i_e=...)", "None", "a number in pA"),
    Bad("matrix", lif(i_e=np.ones((2, 2))), ValueError, "LIF(i_e=...)", "(2, 2)", "one per neuron"),
    Bad(
        "surrogate by name",
        lif(surrogate="SuperSpike"),
        TypeError,
        "LIF(surrogate=...)",
        "'SuperSpike'",
        "a surrogate derivative",
        "bj.SuperSpike(",
    ),
    Bad(
        "negative tau_syn",
        lambda: bj.ExponentialCurrent(tau_syn=-2.0),
        ValueError,
        "ExponentialCurrent(tau_syn=...)",
        "-2.0",
        "positive number in ms",
    ),
    Bad(
        "over_step",
        lambda: bj.AlphaConductance(over_step="end"),
        ValueError,
        "AlphaConductance(over_step=...)",
        "'end'",
        "'mean' or 'start'",
    ),
    Bad(
        "negative beta",
        lambda: bj.SuperSpike(beta=-1.0),
        ValueError,
        "SuperSpike(beta=...)",
        "-1.0",
        "positive",
    ),
)
@pytest.mark.pure
def test_models(bad, monkeypatch):
    refuses(bad, monkeypatch)


@table(
    Bad("negative", of_size(-3), ValueError, "Population: size", "-3", "at least 1", "100"),
    Bad("zero", of_size(0), ValueError, "Population: size", "0", "at least 1"),
    Bad("float", of_size(3.0), TypeError, "Population: size", "3.0", "an integer", "100"),
    Bad("string", of_size("3"), TypeError, "Population: size", "'3'", "an integer"),
    Bad("None", of_size(None), TypeError, "Population: size", "None", "an integer"),
    Bad("bool", of_size(True), ValueError, "Population: size", "True", "an integer"),
    Bad(
        "a class for a neuron",
        lambda: bj.Population(3, bj.LIF),
        TypeError,
        "Population: neuron",
        "LIF",
        "a neuron model",
        "bj.LIF()",
    ),
    Bad(
        "a neuron for a receptor",
        lambda: bj.Population(3, bj.LIF(), {"ampa": bj.LIF()}),
        TypeError,
        "receptors['ampa']",
        "LIF",
        "a receptor",
        "bj.ExponentialCurrent(",
    ),
    Bad(
        "a receptor with a dot",
        lambda: bj.Population(3, bj.LIF(), {"a.b": bj.Delta()}),
        TypeError,
        "receptors['a.b']",
        "Delta",
        "without dots",
    ),
    Bad(
        "parameters of another length",
        lambda: bj.Population(3, bj.LIF(v_th=[-50.0] * 4)),
        ValueError,
        "LIF(v_th=...)",
        "(4,)",
        "(3,), one per neuron",
    ),
    Bad(
        "receptor's parameters of another length",
        lambda: bj.Population(3, bj.LIF(), {"syn": bj.ExponentialCurrent([1.0, 2.0])}),
        ValueError,
        "syn: ExponentialCurrent(tau_syn=...)",
        "(2,)",
        "(3,), one per neuron",
    ),
    Bad(
        "unknown initial field",
        lambda: bj.Population(3, bj.LIF(), initial={"V": -60.0}),
        ValueError,
        "Population: initial",
        "'V'",
        "a field of the state",
        "Known: 'v'",
    ),
    Bad(
        "unknown field of a receptor",
        lambda: bj.Population(3, bj.LIF(), {"ampa": bj.ExponentialConductance()}, {"ampa.i": 1.0}),
        ValueError,
        "Population: initial",
        "'ampa.i'",
        "a field of the state",
        "Did you mean 'ampa.g'?",
    ),
    Bad(
        "initial values of another length",
        lambda: bj.Population(3, bj.LIF(), initial={"v": [-60.0, -61.0]}),
        ValueError,
        "initial['v']",
        "(2,)",
        "(3,), one per neuron",
    ),
    Bad(
        "an initial value that is NaN",
        lambda: bj.Population(3, bj.LIF(), initial={"v": NAN}),
        ValueError,
        "initial['v']",
        "nan",
        "finite",
    ),
    Bad(
        "an initial value that is a string",
        lambda: bj.Population(3, bj.LIF(), initial={"v": "rest"}),
        TypeError,
        "initial['v']",
        "'rest'",
        "a distribution",
    ),
    Bad(
        "a source with receptors",
        lambda: bj.Population(3, bj.PoissonSource(5.0), {"ampa": bj.Delta()}),
        ValueError,
        "PoissonSource",
        "'ampa'",
        "a source takes no input",
    ),
    Bad(
        "a source with initial values",
        lambda: bj.Population(3, bj.PoissonSource(5.0), initial={"v": -60.0}),
        ValueError,
        "PoissonSource",
        "'v'",
        "a source takes no input",
    ),
)
@pytest.mark.pure
def test_populations(bad, monkeypatch):
    refuses(bad, monkeypatch)


@table(
    Bad(
        "unknown source",
        lambda: network(projections=[projection(source="ihn")]),
        ValueError,
        "Projection 'ihn->exc.ampa': source",
        "'ihn'",
        "a population",
        "Did you mean 'inh'?",
    ),
    Bad(
        "unknown target",
        lambda: network(projections=[projection(target="ecx.ampa")]),
        ValueError,
        "Projection 'inh->ecx.ampa': target",
        "'ecx'",
        "a population",
        "Did you mean 'exc'?",
    ),
    Bad(
        "unknown receptor",
        lambda: network(projections=[projection(target="exc.ampla")]),
        ValueError,
        "target",
        "'exc.ampla'",
        "a receptor of it",
        "Did you mean 'ampa'?",
    ),
    Bad(
        "no receptor",
        lambda: network(projections=[projection(target="exc")]),
        ValueError,
        "Projection 'inh->exc': target",
        "'exc'",
        "a receptor of it",
        "Write 'exc.ampa'.",
    ),
    Bad(
        "a population without receptors",
        lambda: network(projections=[projection(target="inh.ampa")]),
        ValueError,
        "target",
        "'inh.ampa'",
        "a receptor of it",
        "receptors={...}",
    ),
    Bad(
        "a source as target",
        lambda: network(projections=[projection(target="noise.ampa")]),
        ValueError,
        "target",
        "'noise.ampa'",
        "a receptor of it",
    ),
    Bad(
        "a rule's class",
        lambda: projection(rule=bj.AllToAll),
        TypeError,
        "Projection: rule",
        "AllToAll",
        "a connection rule",
        "bj.FixedProbability(0.02)",
    ),
    Bad(
        "a population as source",
        lambda: projection(source=populations()["exc"]),
        TypeError,
        "Projection: source",
        "LIF",
        "a name",
    ),
    Bad(
        "two of one name",
        lambda: network(projections=[projection(), projection(weight=2.0)]),
        ValueError,
        "two projections of one name",
        "'inh->exc.ampa'",
        "different names",
        "name=",
    ),
    Bad(
        "NaN weight",
        lambda: projection(weight=NAN),
        ValueError,
        "Projection 'inh->exc.ampa': weight",
        "nan",
        "finite",
    ),
    Bad(
        "one infinite weight",
        lambda: projection(weight=[1.0, INF]),
        ValueError,
        "weight",
        "inf",
        "finite",
    ),
    Bad("weight a string", lambda: projection(weight="1"), TypeError, "weight", "'1'", "a number"),
    Bad("no delay", lambda: projection(delay=None), TypeError, "delay", "None", "a distribution"),
    Bad("NaN delay", lambda: projection(delay=NAN), ValueError, "delay", "nan", "finite"),
    Bad(
        "populations in a list",
        lambda: bj.Network(list(populations().values())),
        TypeError,
        "Network: populations",
        "LIF",
        "a mapping",
        "{'exc': bj.Population(",
    ),
    Bad(
        "a population's name with a dot",
        lambda: bj.Network({"exc.l4": populations()["exc"]}),
        ValueError,
        "population name",
        "'exc.l4'",
        "without dots",
    ),
    Bad(
        "a neuron as population",
        lambda: bj.Network({"exc": bj.LIF()}),
        TypeError,
        "populations['exc']",
        "LIF",
        "a Population",
    ),
    Bad(
        "p above 1",
        lambda: bj.FixedProbability(2),
        ValueError,
        "FixedProbability: p",
        "2.0",
        "0 to 1",
        "p=0.02",
    ),
    Bad("p negative", lambda: bj.FixedProbability(-0.1), ValueError, "p", "-0.1", "0 to 1"),
    Bad("p NaN", lambda: bj.FixedProbability(NAN), ValueError, "p", "nan", "a finite number"),
)
@pytest.mark.pure
def test_projections_and_networks(bad, monkeypatch):
    refuses(bad, monkeypatch)


@table(
    Bad("below dt", on_grid(delay=0.05), ValueError, "delay", "0.05", "at least dt = 0.1 ms"),
    Bad("zero", on_grid(delay=0.0), ValueError, "delay", "0.0", "at least dt = 0.1 ms", "Use dt"),
    Bad("negative", on_grid(delay=-1.0), ValueError, "delay", "-1.0", "at least dt = 0.1 ms"),
    Bad("off the grid", on_grid(delay=1.04), ValueError, "delay", "1.04", "a multiple", "Round it"),
    Bad(
        "drawn, below dt",
        on_grid(delay=bj.Uniform(0.0, 1e-3)),
        ValueError,
        "Projection 'inh->exc.ampa': delay",
        "e-0",
        "at least dt = 0.1 ms",
        "low=0.05",
    ),
    Bad(
        "of another length",
        on_grid(delay=[0.1, 0.2]),
        ValueError,
        "Projection 'inh->exc.ampa': delay",
        "(2,)",
        "(15,)",
    ),
    Bad(
        "weights of another length",
        on_grid(weight=np.ones(14)),
        ValueError,
        "Projection 'inh->exc.ampa': weight",
        "(14,)",
        "(15,)",
    ),
    Bad(
        "one-to-one of unlike sizes",
        on_grid(rule=bj.OneToOne()),
        ValueError,
        "Projection 'inh->exc.ampa'",
        "(3, 5)",
        "equal size",
        "Explicit",
    ),
    Bad(
        "an index beyond the population",
        on_grid(rule=bj.Explicit([3], [0])),
        ValueError,
        "Projection 'inh->exc.ampa'",
        "3",
        "0..2",
    ),
    Bad(
        "t_ref off the grid",
        lambda: build(t_ref=2.05),
        ValueError,
        "Population 'exc': t_ref",
        "2.05",
        "a multiple of dt = 0.1 ms",
        "Round it",
    ),
    Bad(
        "one t_ref off the grid",
        lambda: build(t_ref=[2.0, 2.0, 2.03, 2.0, 2.0]),
        ValueError,
        "Population 'exc': t_ref",
        "2.03",
        "a multiple of dt = 0.1 ms",
    ),
)
@pytest.mark.pure
def test_what_build_refuses_of_them(bad, monkeypatch):
    refuses(bad, monkeypatch)


@pytest.mark.pure
def test_sizes_may_be_of_numpy():
    assert type(bj.Population(np.int64(3), bj.LIF()).size) is int


@pytest.mark.pure
def test_drawn_delays_are_rounded():
    built = build(projections=[projection(delay=bj.Uniform(0.06, 0.34))])
    assert set(built.edges("inh->exc.ampa").delay.tolist()) == {1, 2, 3}


@table(
    Bad(
        "unknown population",
        stimulus(lambda: bj.DC("ecx", 1.0)),
        ValueError,
        "DC: target",
        "'ecx'",
        "a population",
        "Did you mean 'exc'?",
    ),
    Bad(
        "current into a receptor",
        stimulus(lambda: bj.DC("exc.ampa", 1.0)),
        ValueError,
        "DC(target=...)",
        "'exc.ampa'",
        "'exc'",
    ),
    Bad(
        "events without receptor",
        stimulus(lambda: bj.PoissonInput("exc", 10.0, 1.0)),
        ValueError,
        "PoissonInput(target=...)",
        "'exc'",
        "'exc.ampa'",
    ),
    Bad(
        "current into a source",
        stimulus(lambda: bj.DC("noise", 1.0)),
        ValueError,
        "DC('noise')",
        "PoissonSource",
        "a source takes no input",
    ),
    Bad(
        "target no name",
        lambda: bj.DC(5, 1.0),
        TypeError,
        "DC(target=...)",
        "5",
        "'population'",
    ),
    Bad(
        "amplitudes of another length",
        stimulus(lambda: bj.DC("exc", [1.0, 2.0])),
        ValueError,
        "DC('exc'): amplitude",
        "(2,)",
        "(5,), one per neuron",
    ),
    Bad(
        "NaN stop",
        lambda: bj.DC("exc", 1.0, stop=NAN),
        ValueError,
        "DC(stop=...)",
        "nan",
        "a real number in ms",
    ),
    Bad(
        "negative rate",
        lambda: bj.PoissonInput("exc.ampa", -1.0, 1.0),
        ValueError,
        "PoissonInput(rate=...)",
        "-1.0",
        "nonnegative number in Hz",
    ),
    Bad(
        "enormous rate",
        stimulus(lambda: bj.PoissonInput("exc.ampa", 1e9, 1.0)),
        ValueError,
        "PoissonInput('exc.ampa'): rate",
        "00000.0",
        "500000 Hz",
        "fewer, stronger events",
    ),
    Bad(
        "no events allowed",
        stimulus(lambda: bj.PoissonInput("exc.ampa", 10.0, 1.0, max_events=0)),
        ValueError,
        "PoissonInput('exc.ampa'): max_events",
        "0",
        "at least 1",
    ),
    Bad(
        "more targets than neurons",
        stimulus(lambda: bj.PoissonInput("exc.ampa", 10.0, 1.0, num_targets=6)),
        ValueError,
        "PoissonInput('exc.ampa'): num_targets",
        "6",
        "at most 5, the size of 'exc'",
    ),
    Bad(
        "a current for more targets than neurons",
        stimulus(lambda: bj.DC("exc", 10.0, num_targets=6)),
        ValueError,
        "DC('exc'): num_targets",
        "6",
        "at most 5, the size of 'exc'",
    ),
    Bad(
        "no targets",
        lambda: bj.DC("exc", 10.0, num_targets=0),
        ValueError,
        "DC('exc'): num_targets",
        "0",
        "at least 1",
    ),
    Bad(
        "a fraction of a target",
        lambda: bj.PoissonInput("exc.ampa", 10.0, 1.0, num_targets=2.0),
        TypeError,
        "PoissonInput('exc.ampa'): num_targets",
        "2.0",
        "an integer",
        "Write 2.",
    ),
    Bad(
        "a traced rate",
        lambda: jax.jit(
            lambda rate: build(stimuli=[bj.PoissonInput("exc.ampa", rate, 1.0)]).stimuli[0].rate
        )(jnp.float32(10.0)),
        ValueError,
        "PoissonInput('exc.ampa'): rate",
        "a traced value",
        "max_events=",
        "pass max_events",
    ),
    Bad(
        "steps of unlike lengths",
        lambda: bj.StepCurrent("exc", [0.0, 1.0], [2.0]),
        ValueError,
        "StepCurrent",
        "((2,), (1,))",
        "one length",
    ),
    Bad(
        "steps not ascending",
        lambda: bj.StepCurrent("exc", [1.0, 0.0], [2.0, 3.0]),
        ValueError,
        "StepCurrent: times",
        "[1.0, 0.0]",
        "ascending",
    ),
    Bad(
        "steps off the grid",
        stimulus(lambda: bj.StepCurrent("exc", [0.0, 1.05], [2.0, 3.0])),
        ValueError,
        "StepCurrent: times",
        "1.05",
        "multiples of dt = 0.1 ms",
    ),
    Bad(
        "source's rates of another length",
        source(lambda: bj.PoissonSource([1.0, 2.0, 3.0])),
        ValueError,
        "PoissonSource(rate=...)",
        "(3,)",
        "(2,), one per unit",
    ),
    Bad(
        "source's enormous rate",
        source(lambda: bj.PoissonSource(1e9)),
        ValueError,
        "PoissonSource: rate",
        "00000.0",
        "500000 Hz",
    ),
    Bad(
        "spikes off the grid",
        source(lambda: bj.SpikeSource([1.0, 2.04], [0, 1])),
        ValueError,
        "SpikeSource: times",
        "2.04",
        "multiples of dt = 0.1 ms",
        "np.round(",
    ),
    Bad(
        "spikes before the run",
        lambda: bj.SpikeSource([1.0, -2.0], [0, 1]),
        ValueError,
        "SpikeSource: times",
        "-2.0",
        "above 0 ms",
        "the first may be at dt",
    ),
    Bad(
        "spike at 0",
        lambda: bj.SpikeSource([0.0], [0]),
        ValueError,
        "SpikeSource: times",
        "0.0",
        "above 0 ms",
    ),
    Bad(
        "spike at NaN",
        lambda: bj.SpikeSource([NAN], [0]),
        ValueError,
        "SpikeSource: times",
        "nan",
        "finite",
    ),
    Bad(
        "neurons out of range",
        source(lambda: bj.SpikeSource([1.0, 1.0], [0, 2])),
        ValueError,
        "SpikeSource: neurons",
        "2",
        "0..1",
        "2 units",
    ),
    Bad(
        "neurons negative",
        source(lambda: bj.SpikeSource([1.0], [-1])),
        ValueError,
        "SpikeSource: neurons",
        "-1",
        "0..1",
    ),
    Bad(
        "neurons no integers",
        source(lambda: bj.SpikeSource([1.0], [0.5])),
        ValueError,
        "SpikeSource: neurons",
        "0.5",
        "indices in 0..1",
    ),
    Bad(
        "times without neurons",
        lambda: bj.SpikeSource([1.0, 2.0], [0]),
        ValueError,
        "SpikeSource: times and neurons",
        "(2, 1)",
        "one neuron for each time",
    ),
    Bad(
        "no stimulus",
        lambda: network(stimuli=[5.0]),
        TypeError,
        "Network: stimuli",
        "5.0",
        "bj.PoissonInput",
    ),
)
@pytest.mark.pure
def test_stimuli_and_sources(bad, monkeypatch):
    refuses(bad, monkeypatch)


class Crowd(bj.SpikingNeuron):
    """A neuron that is pulled towards the mean of its population."""

    held = ("u",)
    cumulate: bool = eqx.field(default=False, static=True)
    lif: bj.LIF = eqx.field(default_factory=bj.LIF)
    t_ref: jax.Array = bj.parameter(2.0, unit="ms", doc="refractory period")
    surrogate: bj.Surrogate = eqx.field(default_factory=bj.SuperSpike)
    detach_reset: bool = eqx.field(default=True, static=True)

    def init_membrane(self, shape, dtype, **initial):
        return self.lif.init_membrane(shape, dtype, **initial)

    def flow(self, membrane, drive, *, at):
        moved = self.lif.flow(membrane, drive, at=at)
        mixed = jnp.cumsum(moved.u) if self.cumulate else jnp.mean(moved.u)
        return moved._replace(u=moved.u + 0.1 * mixed)

    def jump(self, membrane, amount):
        return self.lif.jump(membrane, amount)

    def threshold(self, membrane):
        return self.lif.threshold(membrane)

    def reset(self, membrane):
        return self.lif.reset(membrane)

    def observe(self, state):
        return self.lif.observe(state)


class OpenCrowd(bj.SpikingNeuron):
    """The same, which says so."""

    elementwise = False
    held = ("u",)
    crowd: Crowd
    t_ref: jax.Array = bj.parameter(2.0, unit="ms", doc="refractory period")
    surrogate: bj.Surrogate = eqx.field(default_factory=bj.SuperSpike)
    detach_reset: bool = eqx.field(default=True, static=True)

    def init_membrane(self, shape, dtype, **initial):
        return self.crowd.init_membrane(shape, dtype, **initial)

    def flow(self, membrane, drive, *, at):
        return self.crowd.flow(membrane, drive, at=at)

    def jump(self, membrane, amount):
        return self.crowd.jump(membrane, amount)

    def threshold(self, membrane):
        return self.crowd.threshold(membrane)

    def reset(self, membrane):
        return self.crowd.reset(membrane)

    def observe(self, state):
        return self.crowd.observe(state)


def build_crowd(neuron):
    start = {"v": jnp.linspace(-69.9, -69.6, 4)}
    crowd = bj.Population(4, neuron, initial=start)
    return bj.build(bj.Network({"crowd": crowd}), dt=0.1, key=jax.random.key(0))


@table(
    Bad(
        "mean",
        lambda: build_crowd(Crowd()),
        ValueError,
        "Population 'crowd': its step must be elementwise",
        "'reduce_sum'",
        "no operation that mixes neurons",
        "elementwise = False",
    ),
    Bad(
        "cumsum",
        lambda: build_crowd(Crowd(cumulate=True)),
        ValueError,
        "Population 'crowd': its step must be elementwise",
        "'cumsum'",
        "no operation that mixes neurons",
        "elementwise = False",
    ),
)
@pytest.mark.pure
def test_neurons_that_mix(bad, monkeypatch):
    refuses(bad, monkeypatch)


def test_neurons_that_mix_and_say_so_are_run():
    for cumulate in (False, True):
        built = build_crowd(OpenCrowd(Crowd(cumulate=cumulate)))
        record = {"v": bj.Trace("crowd", "v")}
        v = bj.simulate(built, 1.0, key=jax.random.key(0), record=record).records["v"].value
        u = np.linspace(0.1, 0.4, 4)
        for row in v:
            u = u * np.exp(-0.1 / 10.0)
            u = u + 0.1 * (np.cumsum(u) if cumulate else u.mean())
            np.testing.assert_allclose(row, u - 70.0, rtol=1e-5)
            u = np.where(u >= 15, 0.0, u)
            if (u == 0).any():
                break
