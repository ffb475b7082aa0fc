"""From a TOML file to typed objects: what is read, filled in, changed, and refused."""

import itertools
import re
import shlex
import tomllib
from pathlib import Path
from typing import ClassVar

import equinox as eqx
import jax
import numpy as np
import pytest
from experiments.tiny import TINY, tiny
from jax import Array

import brainjax as bj
from brainjax import experiments
from brainjax.cli import main
from brainjax.experiments import ConfigError, load
from brainjax.experiments._catalogue import first_line
from brainjax.experiments._config import changes_of

pytestmark = pytest.mark.pure


def test_a_config_is_the_network_it_says(tmp_path):
    network = load(tiny(tmp_path)).network
    assert list(network.populations) == ["exc", "inh"]
    exc = network.populations["exc"]
    assert exc.size == 40 and isinstance(exc.neuron, bj.LIF)
    assert float(exc.neuron.i_e) == 600 and float(exc.neuron.tau_m) == 10
    assert float(exc.neuron.surrogate.beta) == 10
    assert [p.name for p in network.projections] == ["exc->exc.syn", "exc->inh.syn"]
    assert network.projections[0].weight == bj.Normal(30.0, 3.0, low=0.0)
    assert network.projections[1].rule == bj.FixedProbability(0.2)
    assert [type(s) for s in network.stimuli] == [bj.PoissonInput]


def test_coba_of_the_config_is_coba_in_python():
    neuron = bj.LIF(c_m=200, tau_m=20, e_l=-60, v_th=-50, v_reset=-60, t_ref=5, i_e=200)
    receptors = {
        "ampa": bj.ExponentialConductance(tau_syn=5.0, e_rev=0.0),
        "gaba": bj.ExponentialConductance(tau_syn=10.0, e_rev=-80.0),
    }
    start = {"v": bj.Uniform(-60.0, -50.0)}
    rule = bj.FixedProbability(0.02)
    network = bj.Network(
        {
            "exc": bj.Population(3200, neuron, receptors, start),
            "inh": bj.Population(800, neuron, receptors, start),
        },
        [
            bj.Projection("exc", "exc.ampa", rule, weight=6.0, delay=0.1),
            bj.Projection("exc", "inh.ampa", rule, weight=6.0, delay=0.1),
            bj.Projection("inh", "exc.gaba", rule, weight=67.0, delay=0.1),
            bj.Projection("inh", "inh.gaba", rule, weight=67.0, delay=0.1),
        ],
    )
    ours = bj.build(network, dt=0.1, key=jax.random.key(0))
    theirs = load("coba").build()
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(a, b)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)


def test_defaults_are_filled_in_and_the_resolved_config_gives_the_same(tmp_path):
    import tomli_w

    from brainjax.experiments._config import without_none

    first = load(tiny(tmp_path))
    assert first.config["network"]["populations"]["inh"]["neuron"]["t_ref"] == 2.0
    assert first.config["network"]["populations"]["exc"]["neuron"]["surrogate"] == {
        "type": "SuperSpike",
        "beta": 10.0,
    }
    again = load(tiny(tmp_path, tomli_w.dumps(without_none(first.config))))
    assert again.config == first.config


@pytest.mark.parametrize("name", experiments.titles())
def test_every_config_that_comes_along_is_valid(name, capsys):
    assert experiments.titles()[name]
    experiment = load(name)
    assert experiment.config["source"].startswith("doi:")
    assert main(["validate", name]) == 0
    assert "is valid" in capsys.readouterr().out


def test_a_base_is_overlaid(tmp_path):
    tiny(tmp_path)
    above = tmp_path / "above.toml"
    above.write_text(
        'base = "tiny.toml"\nduration = 7.0\n[network.populations.exc]\nsize = 5\n'
        '[network.projections.recurrent]\nrule = { type = "FixedInDegree", n = 3 }\n'
    )
    network = load(above).network
    assert load(above).duration == 7 and network.populations["exc"].size == 5
    assert float(network.populations["exc"].neuron.i_e) == 600  # from below
    assert network.projections[0].rule == bj.FixedInDegree(3)  # no p is left from below
    assert load("coba_brette").expected["network"]["rate_hz"]["published"] == 19.0
    above.write_text(f'base = "{experiments.bundled()["coba"]}"\nduration = 7.0\n')
    assert not load(above).expected  # which are those of the network below


# ---- changes


def test_changes_reach_any_key(tmp_path):
    changes = changes_of(
        [
            "seed=3",
            "dt=.2",
            "precision=float64",
            "network.populations.exc.neuron.t_ref = 4.0",  # not in the file
            "network.populations.inh.initial={v = -60.0}",
            'network.projections.recurrent.rule={ type = "FixedInDegree", n = 2 }',
            "record.v.neurons=[1]",
        ]
    )
    experiment = load(tiny(tmp_path), changes)
    network = experiment.network
    assert (experiment.seed, experiment.dt, experiment.precision) == (3, 0.2, "float64")
    assert float(network.populations["exc"].neuron.t_ref) == 4
    assert network.populations["exc"].neuron.t_ref.dtype == np.float64
    assert float(network.populations["inh"].initial["v"]) == -60
    assert network.projections[1].rule == bj.FixedInDegree(2)
    assert experiment.record["v"].neurons == (1,)


def test_a_change_of_type_drops_the_options_of_the_old(tmp_path):
    where = "network.projections.recurrent.rule"
    changes = {f"{where}.type": "FixedInDegree", f"{where}.n": 2, "scaling.type": "resized"}
    assert load(tiny(tmp_path), changes).network.projections[0].rule == bj.FixedInDegree(2)
    assert load("pd14_tenth", {"scaling.type": "resized"}).network.populations["L23E"].size == 2068
    with pytest.raises(ConfigError, match=r"rule\.n: got 'nothing', expected an integer"):
        load(tiny(tmp_path), {f"{where}.type": "FixedInDegree"})


def test_two_changes_that_are_valid_only_together(tmp_path):
    where = "network.populations.exc.initial.v"
    changes = {f"{where}.low": -50.0, f"{where}.high": -40.0}
    assert load(tiny(tmp_path), changes).network.populations["exc"].initial["v"]


def test_expectations_are_of_the_published_network_alone():
    assert load("coba", {"seed": 7, "record": {}, "impl": "jax"}).expected
    assert not load("coba", {"network.populations.exc.neuron.t_ref": 4.0}).expected
    assert not load("coba", {"scale": 0.5}).expected


# ---- models of one's own


class Sleepy(bj.SpikingNeuron):
    """A neuron of a user that never fires."""

    c_m: Array = bj.parameter(1.0, unit="pF", doc="capacitance")
    t_ref: Array = bj.parameter(0.0, unit="ms", doc="refractory period")
    surrogate: bj.Surrogate = eqx.field(default_factory=bj.NoSurrogate)
    detach_reset: bool = eqx.field(default=True, static=True)
    mood: int = eqx.field(default=3, static=True)
    held: ClassVar[tuple[str, ...]] = ("u",)

    def init_membrane(self, shape, dtype, v=None):
        return bj.LIF().init_membrane(shape, dtype, v)

    def flow(self, membrane, drive, *, at):
        return membrane

    def jump(self, membrane, amount):
        return membrane

    def threshold(self, membrane):
        return membrane.u - 1000.0

    def reset(self, membrane):
        return membrane

    def observe(self, state):
        return {"v": state.membrane.u}


def my_network(*, size: int, kind: str = "LIF") -> bj.Network:
    """A network of a user."""
    return bj.Network({kind: bj.Population(size, bj.LIF())})


def test_models_of_ones_own(tmp_path, capsys):
    text = TINY.replace('type = "LIF", i_e = 500.0', 'type = "Sleepy", mood = 4')
    file = tiny(tmp_path, text)
    with pytest.raises(ConfigError, match=r"inh\.neuron\.type: got 'Sleepy'"):
        load(file)
    neuron = load(file, models=[Sleepy]).network.populations["inh"].neuron
    assert isinstance(neuron, Sleepy) and neuron.mood == 4
    assert main(["validate", str(file)], models=[Sleepy]) == 0
    assert main(["describe", "sleepy"], models=[Sleepy]) == 0
    assert "capacitance" in capsys.readouterr().out
    text = 'duration = 1.0\n[network]\ntype = "my_network"\nsize = 3\n'
    network = load(tiny(tmp_path, text), models=[my_network]).network
    assert network.populations["LIF"].size == 3


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="models: got 3, expected a subclass of .*SpikingNeuron"):
        load("coba", models=[3])


# ---- what is refused


def first_lines(tree, path=()):
    """Every table of a config: path to table."""
    yield path
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from first_lines(value, (*path, key))


TABLES = [
    p for p in first_lines(tomllib.loads(TINY)) if p[-1:] not in [("receptors",), ("record",)]
]
NAMED = ["network.populations", "network.projections", "network.stimuli"]


@pytest.mark.parametrize("path", [p for p in TABLES if ".".join(p) not in NAMED], ids=".".join)
def test_an_unknown_key_is_refused_at_any_depth(path, tmp_path):
    import tomli_w

    tree = tomllib.loads(TINY)
    table = tree
    for key in path:
        table = table[key]
    table["tau_x"] = 1.0
    with pytest.raises(ConfigError, match=r"tau_x.*Known:") as refused:
        load(tiny(tmp_path, tomli_w.dumps(tree)))
    # Fields of a state are known once the population is made, which refuses them.
    where = path[:-1] if path[-1:] == ("initial",) else (*path, "tau_x")
    assert ".".join(where) in str(refused.value)


WRONG = {
    "an integer for text": ("title = 3", 'title = "tiny"', "title: got 3, expected text"),
    "text for a number": ('duration = "20"', "duration = 20.0", "duration: got '20', expected a"),
    "a flag for a number": ("duration = true", "duration = 20.0", "duration: got True"),
    "a negative time": ("warmup = -5.0", "warmup = 5.0", "warmup: got -5.0, expected a number of"),
    "a fraction for a size": ("size = 40.5", "size = 40", r"exc\.size: got 40.5, expected an int"),
    "a whole float": ("size = 40.0", "size = 40", r"exc\.size: got 40.0.*Write 40\."),
    "a size of nobody": ("size = 0", "size = 40", "size: got 0, expected an integer of at least 1"),
    "text for a parameter": ('i_e = "x"', "i_e = 600.0", r"neuron\.i_e: got 'x', expected a num"),
    "a table for a number": (
        "beta = { a = 1 }",
        "beta = 10.0",
        r"exc\.neuron\.surrogate\.beta: got \{'a': 1\}, expected a number",
    ),
    "a number for a table": ("receptors.syn = 3", "receptors.syn = {", None),
    "a parameter beyond its domain": ("tau_syn = -2.0", "tau_syn = 2.0", "expected a positive num"),
    "a type of nothing": ('type = "LIIF"', 'type = "LIF"', "Did you mean 'LIF'"),
    "another kind of model": ('type = "Delta"', 'type = "LIF"', r"got 'Delta', expected the type"),
    "a probability beyond 1": ("p = 1.2", "p = 0.2", "got 1.2, expected 0 to 1"),
    "no such population": ('source = "ex"', 'source = "exc"', "Did you mean 'exc'"),
    "no such receptor": ('target = "inh.sym"', 'target = "inh.syn"', "Did you mean 'syn'"),
    "a list of the wrong": ("neurons = [0, 3.5]", "neurons = [0, 3]", r"v\.neurons\[1\]: got 3.5"),
    "a recorder of nobody": ('population = "ex"', 'population = "exc"', "Did you mean 'exc'"),
    "a field of nothing": ('field = "w"', 'field = "v"', "got 'w', expected a field of the state"),
    "an index beyond": ("neurons = [0, 99]", "neurons = [0, 3]", r"got 99, expected indices in"),
    "a delay off the grid": ("delay = 1.03", "delay = 1.0", "1.03, expected a multiple of dt"),
    "a delay of nothing": ("delay = 0.0", "delay = 1.0", "expected at least dt = 0.1"),
    "a duration off the grid": ("duration = 20.03", "duration = 20.0", "20.03.*multiple of dt"),
    "a missing key": ("", "duration = 20.0", "duration: got 'nothing', expected a number"),
    "a missing type": ("tau_syn = 2.0", 'type = "ExponentialCurrent", tau_syn = 2.0', "Known: 'D"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_is_refused_with_its_place(case, tmp_path):
    new, old, message = WRONG[case]
    if message is None:
        old = 'receptors.syn = { type = "ExponentialCurrent", tau_syn = 2.0 }'
        message = r"receptors\.syn: got 3, expected a receptor: a table with a type"
    assert old in TINY
    file = tiny(tmp_path, TINY.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message) as refused:
        load(file).check()
    assert str(file) in str(refused.value)


FILES = {
    "not TOML": (b"duration = = 3", "expected TOML"),
    "empty": (b"", "got 'an empty config'"),
    "only comments": (b"# nothing\n", "got 'an empty config'"),
    "not text": (b"\xff\xfe\x00", "not UTF-8"),
    "a base that is not there": (b'base = "nobody.toml"', "nobody.toml"),
    "a base of itself": (b'base = "config.toml"', "a file that is not above it"),
    "a base that is no name": (b"base = 3", "got 3, expected the name of a file"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_config(case, tmp_path):
    content, message = FILES[case]
    file = tmp_path / "config.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load(file)


def test_a_file_that_cannot_be_read(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    file = tiny(tmp_path)
    monkeypatch.setattr(Path, "read_text", refuse)  # a superuser may read every file
    with pytest.raises(ConfigError, match="got 'Permission denied', expected a file that can be"):
        load(file)


def test_a_folder_and_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="got 'the folder .*', expected a TOML file"):
        load(tmp_path)
    with pytest.raises(ConfigError, match="Did you mean 'coba'"):
        load("cobba")


def test_a_folder_does_not_hide_a_config_that_comes_along(tmp_path, monkeypatch):
    (tmp_path / "cuba").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load("cuba").name == "cuba"


def test_the_keys_of_a_config_are_described():
    described = experiments.describe("config")
    assert all(key in described for key in ("warmup", "precision", "expected"))


SETTINGS = {
    "duration": "got 'duration', expected KEY=VALUE",
    "sed=3": "got 'sed', expected a key of the config. Did you mean 'seed'",
    "network.populations.ex.size=3": r"expected a key of network.populations. Did you mean 'exc'",
    "seed.x=3": "expected a key of seed. seed is not a table",
    "network.populations.inh.initial.v=3": "It is empty; fill it as a whole: --set 'network",
    "seed=three": "seed: got 'three', expected an integer",
    "seed=3 +": "got '3 [+]', expected a value as in TOML",
    "=3": "expected a dotted path of keys",
    "a b=3": "expected a dotted path of keys",
    "seed=-1": "seed: got -1, expected an integer of at least 0",
    "seed=4294967296": "seed: got 4294967296, expected an integer",
    "network.stimuli.noise.rate=-1": "expected a nonnegative number in Hz",
    "scale=0": "scale = 0: ",
    "duration=inf": "duration: got inf, expected",
    "duration=1e12": "duration: got 1000000000000.0, expected at most 2147483647 steps of 0.1 ms",
    "network.populations.exc.size=90000000000": "synapses, which needs .* [TP]B', expected at",
    "network.projections.recurrent.rule={type='FixedInDegree',n=900000000000}": "needs .* [TP]B",
    "record.v={type='Trace',population='exc',field='v'}": "traces which need .* GB', expected at",
    "scale=-1": "scale: got -1.0",
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_change_that_is_refused(setting, tmp_path):
    long = {"duration": 1e8} if "traces" in SETTINGS[setting] else {}
    with pytest.raises(ConfigError, match=SETTINGS[setting]):
        load(tiny(tmp_path), {**long, **changes_of([setting])}).check()


def test_nothing_of_a_config_is_evaluated(tmp_path):
    for word in ("__import__('os').getcwd()", "brainjax.LIF", "os.system"):
        text = TINY.replace('"LIF"', f'"{word}"', 1)
        with pytest.raises(ConfigError, match="expected the type of a neuron"):
            load(tiny(tmp_path, text))


def test_options_of_every_model_can_be_read():
    for kind, entries in experiments.registry().items():
        for name, entry in entries.items():
            assert first_line(entry), (kind, name)
            described = experiments.describe(name)
            for key, option in itertools.islice(entry.table.options.items(), 3):
                assert key in described and option.node.expected


def test_the_configs_in_the_docs_are_valid(tmp_path):
    page = (Path(__file__).parents[2] / "docs/experiments.md").read_text(encoding="utf-8")
    whole, spatial, changed = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "balanced.toml").write_text(whole)
    (tmp_path / "pulse.toml").write_text(changed)
    load(tmp_path / "balanced.toml").check()
    image, surround = load(tiny(tmp_path, spatial)).build().projections.values()
    assert image.weight.shape == (5, 5, 1, 1) and image.num_synapses == 54**2
    assert 0 < surround.num_synapses < 144 * 120
    pulsed = load(tmp_path / "pulse.toml")
    pulsed.check()
    assert len(pulsed.network.stimuli) == 3
    for setting in re.findall(r"^brainjax run (\S+) (--set .*)$", page, re.MULTILINE):
        config, settings = setting
        load(config, changes_of(shlex.split(settings.split("#")[0])[1::2])).check()
