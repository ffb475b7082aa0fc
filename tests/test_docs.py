"""What is public is documented, and what the documentation says can be run."""

import ast
import dataclasses
import importlib
import inspect
import re
import textwrap
from pathlib import Path

import jax
import pytest
from contracts.helpers import CASES, MODELS

import brainjax as bj
from brainjax.core import UNITS, parameters_of

ROOT = Path(__file__).parent.parent
ROOMS = "core connect neurons synapses stimuli network simulate analysis plot models ops".split()
ROOMS += ["experiments"]
CITED = {"neuron", "receptor", "surrogate"}
# Models that are no one's invention.
UNCITED = {"Delta", "NoSurrogate"}


def public() -> dict[str, object]:
    """Every public name: those of `brainjax`, and those of its rooms."""
    found = {f"brainjax.{n}": v for n, v in vars(bj).items()}
    for room in ROOMS:
        module = importlib.import_module(f"brainjax.{room}")
        found |= {f"brainjax.{room}.{n}": v for n, v in vars(module).items()}
    return {
        name: value
        for name, value in found.items()
        if not name.rpartition(".")[2].startswith("_") and not inspect.ismodule(value)
    }


def once(names: dict[str, object]) -> dict[str, object]:
    """Each value under one of its names."""
    return dict({id(v): (n, v) for n, v in reversed(names.items())}.values())


PUBLIC = once(public())
CLASSES = {n: v for n, v in PUBLIC.items() if inspect.isclass(v)}
FUNCTIONS = {n: v for n, v in PUBLIC.items() if inspect.isfunction(v)}
FUNCTIONS |= {
    f"{name}.{member}": value
    for name, cls in CLASSES.items()
    for member, value in vars(cls).items()
    if not member.startswith("_") and inspect.isfunction(value)
}


def doc_of(value: object) -> str:
    """The docstring of a thing itself, not of its base."""
    return inspect.cleandoc(getattr(value, "__doc__", None) or "")


def inherited_doc(name: str) -> str:
    """The docstring of a method, or else that of the method it stands in for."""
    owner, _, member = name.rpartition(".")
    for cls in CLASSES[owner].__mro__ if owner in CLASSES else ():
        if member in vars(cls) and doc_of(vars(cls)[member]):
            return doc_of(vars(cls)[member])
    return doc_of(FUNCTIONS[name])


def mentions(text: str, argument: str) -> bool:
    """Whether a docstring names an argument as code."""
    return re.search(rf"`[^`\n]*\b{re.escape(argument)}\b[^`\n]*`", text) is not None


@pytest.mark.pure
def test_there_is_something_to_check():
    assert len(CLASSES) > 30 and len(FUNCTIONS) > 100


@pytest.mark.pure
@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_a_docstring(name):
    value = PUBLIC[name]
    if not (inspect.isclass(value) or callable(value)):
        pytest.skip(f"{name} is a value")
    text = doc_of(value)
    assert len(text) > 10, f"{name} has no docstring"
    # equinox and dataclasses make up a docstring: the signature.
    assert not text.startswith(f"{name.rpartition('.')[2]}("), f"{name} has no docstring of its own"
    assert text.splitlines()[0].rstrip().endswith((".", ":")), (
        f"{name}: the first line is no sentence"
    )


@pytest.mark.pure
@pytest.mark.parametrize("name", CLASSES)
def test_every_public_method_has_a_docstring(name):
    if getattr(CLASSES[name], "_is_protocol", False):
        pytest.skip("the attributes of a protocol are described by it")
    methods = [n for n in FUNCTIONS if n.rpartition(".")[0] == name]
    silent = [n for n in methods if not inherited_doc(n)]
    properties = vars(CLASSES[name]).items()
    bases = CLASSES[name].__mro__
    silent += [
        n
        for n, v in properties
        if isinstance(v, property)
        and n[0] != "_"
        and not any(doc_of(vars(c)[n]) for c in bases if n in vars(c))
    ]
    assert silent == []


@pytest.mark.pure
@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n.rpartition(".")[0] not in CLASSES])
def test_functions_document_their_arguments(name):
    function = FUNCTIONS[name]
    arguments = [
        a
        for a, p in inspect.signature(function).parameters.items()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    text = doc_of(function)
    assert [a for a in arguments if not mentions(text, a)] == []


@pytest.mark.pure
@pytest.mark.parametrize("name", CLASSES)
def test_classes_document_their_arguments(name):
    """Each argument is a `parameter`, or the docstring names it, or the docstring of a base."""
    cls = CLASSES[name]
    if issubclass(cls, tuple):
        documents_fields(cls)
        return
    if not dataclasses.is_dataclass(cls) or inspect.isabstract(cls):
        pytest.skip(f"{name} is not constructed by users")
    documented = {f.name for f in parameters_of(cls)}
    text = "\n".join(doc_of(c) for c in cls.__mro__[:-1])
    arguments = [a for a in inspect.signature(cls).parameters if a not in documented]
    if cls is bj.BuiltNetwork or name.endswith("BuiltProjection"):
        return  # made by `build`
    assert [a for a in arguments if not mentions(text, a)] == []


def documents_fields(cls):
    """Fields of a record are documented by the comments beside them."""
    fields = getattr(cls, "_fields", ())
    source = inspect.getsource(cls)
    silent = [
        f for f in fields if not re.search(rf"^ +{f}: [^#\n]+(# \S|\n)", source, re.MULTILINE)
    ]
    assert silent == []


@pytest.mark.pure
@pytest.mark.parametrize("name", CLASSES)
def test_parameters_have_unit_and_meaning(name):
    if not dataclasses.is_dataclass(CLASSES[name]):
        pytest.skip(f"{name} has no fields")
    for field in parameters_of(CLASSES[name]):
        assert field.metadata["unit"] in UNITS
        assert len(field.metadata["doc"]) > 2, f"{name}.{field.name}"
        assert "\n" not in field.metadata["doc"]


@pytest.mark.pure
@pytest.mark.parametrize("case", [c for c in CASES if c.kind in CITED], ids=lambda c: c.name)
def test_models_cite_their_source(case):
    cited = re.search(r"doi:10\.\d{4,}/\S+", doc_of(case.cls)) is not None
    assert cited != (case.name in UNCITED), f"{case.name}: Source: ... doi:10...."


def blocks(text: str) -> list[str]:
    """The ```python blocks of a text, wherever it is indented."""
    found = re.findall(r"^( *)```python\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(code) for _, code in found]


EXAMPLES = {
    f"{name} {i}": code
    for name, value in {**PUBLIC, **FUNCTIONS}.items()
    for i, code in enumerate(blocks(doc_of(value)))
}


@pytest.mark.pure
def test_examples_are_found():
    assert {"brainjax.simulate 0", "brainjax.rollout 0", "brainjax.build 0"} <= EXAMPLES.keys()


@pytest.mark.pure
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_parse(name):
    ast.parse(EXAMPLES[name])


@pytest.mark.pure
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_use_names_that_exist(name):
    """`bj.anything` of an example exists, with the keyword arguments that it is given."""
    for node in ast.walk(ast.parse(EXAMPLES[name])):
        if is_of_library(node):
            assert hasattr(bj, node.attr), f"bj.{node.attr}"
        if isinstance(node, ast.Call) and is_of_library(node.func):
            function = getattr(bj, node.func.attr)
            if not callable(function):
                continue
            given = {k.arg for k in node.keywords if k.arg}
            assert given <= set(inspect.signature(function).parameters), ast.unparse(node)


def is_of_library(node: ast.AST) -> bool:
    """Whether a node reads `bj.name`."""
    is_attribute = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    return is_attribute and node.value.id == "bj"


@pytest.mark.pure
def test_a_block_marked_as_example_is_closed():
    for name, value in {**PUBLIC, **FUNCTIONS}.items():
        text = doc_of(value)
        assert text.count("```") % 2 == 0, name
        assert text.count("!!! example") <= len(blocks(text)), name


def test_the_readme_runs(monkeypatch, tmp_path):
    """Its Python blocks, in order, in one namespace, as they are written."""
    code = blocks((ROOT / "README.md").read_text(encoding="utf-8"))
    if not code:
        pytest.skip("README.md has no Python block yet")
    monkeypatch.chdir(tmp_path)
    try:
        import matplotlib

        matplotlib.use("Agg")
    except ImportError:
        if any("plot" in block for block in code):
            pytest.skip("the README plots, and matplotlib is absent")
    # As its reader runs it: without the strictness of the tests.
    namespace = {"__name__": "__main__"}
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for i, block in enumerate(code):
            exec(compile(block, f"README.md, block {i}", "exec"), namespace)


@pytest.mark.pure
@pytest.mark.parametrize("case", MODELS, ids=lambda case: case.name)
@pytest.mark.parametrize("of", ["class", "instance"])
def test_describe_shows_every_parameter(case, of):
    model = case.make() if of == "instance" else case.cls
    text = bj.describe(model)
    assert text.startswith(case.name)
    assert doc_of(case.cls).splitlines()[0] in text
    for field in parameters_of(case.cls):
        (line,) = [x for x in text.splitlines() if re.match(rf"{field.name} ", x)]
        assert re.search(rf" {field.metadata['unit']} +{re.escape(field.metadata['doc'])}", line)
        if of == "instance":
            value = getattr(model, field.name)
            number = f"{float(value):g}" if value.ndim == 0 else f"{value.size} values"
            assert number in line
        else:
            given = isinstance(field.default, (int, float))
            assert (f"{field.default:g}" if given else "required") in line


@pytest.mark.pure
def test_describe_shows_arrays_and_tracers():
    assert "3 values, 8 to 12" in bj.describe(bj.LIF(tau_m=[8.0, 10.0, 12.0]))
    seen = []
    jax.jit(lambda tau: seen.append(bj.describe(bj.LIF(tau_m=tau))) or tau)(1.0)
    (line,) = [x for x in seen[0].splitlines() if x.startswith("tau_m ")]
    assert "traced" in line


@pytest.mark.pure
@pytest.mark.parametrize(
    "wrong", [5, "LIF", bj.simulate, object()], ids=["number", "text", "function", "object"]
)
def test_describe_refuses_what_is_no_model(wrong):
    with pytest.raises(TypeError, match=r"describe: got .* expected a model .*bj\.LIF"):
        bj.describe(wrong)


@pytest.mark.pure
def test_summaries_name_everything():
    cell = bj.Population(7, bj.LIF(), {"ampa": bj.ExponentialCurrent(), "gaba": bj.Delta()})
    network = bj.Network(
        {"exc": cell, "inh": cell, "noise": bj.Population(4, bj.PoissonSource(10.0))},
        [
            bj.Projection("exc", "inh.ampa", bj.FixedTotalNumber(123), 1.0, 1.0),
            bj.Projection("inh", "exc.gaba", bj.AllToAll(), bj.Normal(-1.0, 0.1), 1.0),
            bj.Projection("noise", "exc.ampa", bj.AllToAll(), 1.0, 2.5, name="drive"),
        ],
        [bj.PoissonInput("exc.ampa", 100.0, 1.0)],
    )
    built = bj.build(network, dt=0.1, key=jax.random.key(0))
    names = ["exc", "inh", "noise", "exc->inh.ampa", "inh->exc.gaba", "drive", "LIF"]
    names += ["PoissonSource", "ExponentialCurrent", "Delta", "7", "4"]
    for text in (network.summary(), built.summary()):
        for name in names:
            assert name in text
    assert "PoissonInput into exc.ampa" in network.summary()
    text = built.summary()
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line}
    counts = {"exc->inh.ampa": 123, "inh->exc.gaba": 49, "drive": 28}
    assert {name: int(rows[name][1]) for name in counts} == counts
    assert f"{sum(counts.values())} synapses" in text
    assert (
        "2.5" in " ".join(rows["drive"]) and "pA" in rows["drive"] and "mV" in rows["inh->exc.gaba"]
    )
    assert "0.1 ms" in text


@pytest.mark.pure
def test_summary_of_a_network_without_projections():
    network = bj.Network({"only": bj.Population(2, bj.LIF())})
    built = bj.build(network, dt=0.1, key=jax.random.key(0))
    for text in (network.summary(), built.summary()):
        assert "only" in text and "LIF" in text
