"""A table of misuse: what the user wrote, and what the error must say."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import pytest
from contracts.helpers import compilations

import brainjax as bj

DT = 0.1
KEY = jax.random.key(0)

# What must not have been compiled, nor traced, when bad input is refused.
PROGRAMS = ("run_chunk", "init_state", "rollout", "scan", "step")


class Bad(NamedTuple):
    """Misuse, and the words of its error."""

    name: str
    do: Callable[[], Any]
    error: type[Exception]
    what: str  # what was being read
    got: str
    expected: str
    mend: str = ""  # where `expected` does not say it already


def table(*rows: Bad):
    """The rows as the parameters of a test."""
    return pytest.mark.parametrize("bad", rows, ids=lambda row: row.name)


def refuses(bad: Bad, monkeypatch: pytest.MonkeyPatch) -> None:
    """The misuse is refused in words that help, before any work."""
    monkeypatch.setattr(bj.BuiltNetwork, "advance", _traced)
    with compilations() as compiled, pytest.raises(bad.error) as caught:
        bad.do()
    assert type(caught.value) is bad.error
    message = str(caught.value)
    for words in (bad.what, "got", bad.got, "expected", bad.expected, bad.mend):
        assert words in message, f"{words!r} is not in: {message}"
    assert not [name for name in compiled if any(program in name for program in PROGRAMS)]


def _traced(*args: Any) -> None:
    raise AssertionError("a step of the network was traced")


def network(**changes: Any) -> bj.Network:
    """A network without fault but for the changes: fields of its LIF, or `projections` and such."""
    parts: dict[str, Any] = {"projections": [projection()], "stimuli": []}
    for part in parts:
        parts[part] = changes.pop(part, parts[part])
    return bj.Network(populations(**changes), **parts)


def populations(**lif: Any) -> dict[str, bj.Population]:
    """Two populations, one of which has receptors."""
    receptors = {"ampa": bj.ExponentialCurrent(), "gaba": bj.ExponentialCurrent()}
    return {
        "exc": bj.Population(5, bj.LIF(**lif), receptors),
        "inh": bj.Population(3, bj.LIF()),
        "noise": bj.Population(2, bj.PoissonSource(10.0)),
    }


def projection(**changes: Any) -> bj.Projection:
    """A projection without fault but for the changes."""
    good = {"source": "inh", "target": "exc.ampa", "rule": bj.AllToAll(), "weight": 1.0}
    return bj.Projection(**{**good, "delay": 1.0, **changes})


def build(**changes: Any) -> bj.BuiltNetwork:
    """`network`, built."""
    return bj.build(network(**changes), dt=DT, key=KEY)
