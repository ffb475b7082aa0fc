"""No public model is forgotten by the contracts."""

import pytest
from contracts.helpers import CASES, ROOMS, public_classes, zoo, zoo_record

import brainjax as bj
from brainjax.core import parameters_of

pytestmark = pytest.mark.pure


@pytest.mark.parametrize("kind", ROOMS)
def test_every_public_model_has_a_case(kind):
    listed = {case.cls for case in CASES if case.kind == kind}
    assert listed == public_classes(kind), (
        "add the new model to CASES in tests/contracts/helpers.py"
    )


def test_every_public_dynamics_is_of_a_known_kind():
    known = tuple(base for _, base in ROOMS.values())
    others = {bj.Dynamics, bj.Population, bj.BuiltNetwork}
    shown = {c for c in map(bj.__dict__.get, dir(bj)) if isinstance(c, type) and c not in others}
    strays = {c for c in shown if issubclass(c, bj.Dynamics) and not issubclass(c, known)}
    assert strays == set(), "a new kind of model needs a row in ROOMS in tests/contracts/helpers.py"


def test_every_case_is_what_it_says():
    for case in CASES:
        assert type(case.make()) is case.cls
        assert case.flat <= {field.name for field in parameters_of(case.cls)}


def test_the_zoo_holds_every_model():
    network = zoo()
    held = {type(s) for s in network.stimuli} | {type(r) for r in zoo_record().values()}
    for population in network.populations.values():
        held |= {type(population.neuron), *map(type, population.receptors.values())}
        held.add(type(getattr(population.neuron, "surrogate", None)))
    assert {case.cls for case in CASES} <= held
