"""The options of a model, read from its class or signature.

Parameters bring their units; static fields of simple types are flags, numbers, words and lists.
What the library uses inside (`metadata={"internal": True}`) cannot be set.
"""

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import AbstractArray

from .. import connect, neurons, stimuli, synapses
from ..core import explain, is_concrete, shown
from ..simulate import Recorder
from ._schema import (
    REQUIRED,
    Choice,
    ListOf,
    Maybe,
    Model,
    Named,
    Node,
    OneOf,
    Option,
    Scalar,
    Table,
)


class Kind(NamedTuple):
    """A kind of model: what it is called, and the class all of it derive from."""

    what: str
    base: type | None  # None: functions


# A kind that is an option of another stands before it.
KINDS = {
    "surrogate": Kind("a surrogate derivative", neurons.Surrogate),
    "distribution": Kind("a distribution", connect.Distribution),
    "neuron": Kind("a neuron", neurons.SpikingNeuron),
    "source": Kind("a source of spikes", stimuli.Source),
    "receptor": Kind("a receptor", synapses.Receptor),
    "profile": Kind("a profile of probabilities", connect.Profile),
    "rule": Kind("a connection rule", connect.Rule),
    "stimulus": Kind("a stimulus", stimuli.Stimulus),
    "recorder": Kind("a recorder", Recorder),
    "network": Kind("a network", None),
    "scaling": Kind("a way to scale a network", None),
}


class Entry(NamedTuple):
    """A model in the registry."""

    kind: str
    make: Callable[..., Any]  # the class, or the function
    table: Table


Registry = Mapping[str, Mapping[str, Entry]]
"""Kind to name to entry."""


def model_node(known: Registry, *kinds: str, default: str | None = None) -> Model:
    """The node of a table whose `type` is any model of some kinds."""
    tables = {name: entry.table for kind in kinds for name, entry in known[kind].items()}
    return Model(KINDS[kinds[0]].what, tables, default)


def value_node(known: Registry) -> OneOf:
    """The node of a number, one number each, or a distribution."""
    number = Scalar(float)
    return OneOf(number, ListOf(number), model_node(known, "distribution"))


def table_of(model: Any, known: Registry) -> Table:
    """The table of the options of a class, or of the keyword arguments of a function."""
    found = _of_class(model, known) if inspect.isclass(model) else _of_function(model, known)
    return Table(dict(found), model, model.__name__)


def _of_class(cls: Any, known: Registry) -> Iterator[tuple[str, Option]]:
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if field.metadata.get("internal") or field.name.startswith("_"):
            continue
        default = REQUIRED
        if field.default is not dataclasses.MISSING:
            default = field.default
        elif field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        unit = field.metadata.get("unit", "")
        if unit:
            node: Node | None = OneOf(Scalar(float), ListOf(Scalar(float)))
        else:
            node = _node(hints[field.name], known)
        yield from _option(cls, field.name, node, default, unit, field.metadata.get("doc", ""))


def _of_function(function: Callable, known: Registry) -> Iterator[tuple[str, Option]]:
    """The network that a scaling transforms is positional, and no option."""
    hints = typing.get_type_hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        default = REQUIRED if parameter.default is inspect.Parameter.empty else parameter.default
        yield from _option(function, name, _node(hints.get(name), known), default, "", "")


def _option(
    model, name: str, node: Node | None, default: Any, unit: str, doc: str
) -> Iterator[tuple[str, Option]]:
    if node is None:
        if default is REQUIRED:
            raise TypeError(
                explain(
                    f"{model.__name__}: {name}",
                    got="a type that a config cannot hold",
                    expected="a number, a flag, text, a list of these, or a model",
                    mend="Give it a default, or mark it metadata={'internal': True}.",
                )
            )
        return
    yield name, Option(node, tabled(default), "" if unit == "1" else unit, doc)


def _node(hint: Any, known: Registry) -> Node | None:
    """The node for a type of the annotations, or `None` if a config cannot hold it."""
    if hint in (float, int, bool, str):
        return Scalar(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return Choice(arguments)
    if origin in (typing.Union, types.UnionType):
        rest = [a for a in arguments if a is not type(None)]
        node = _either([_node(a, known) for a in rest])
        return Maybe(node) if node and len(rest) < len(arguments) else node
    if origin is tuple:
        number = None if arguments[1:] == (Ellipsis,) else len(arguments)
        node = _node(arguments[0], known) if len({*arguments} - {Ellipsis}) == 1 else None
        return ListOf(node, number) if node else None
    if inspect.isclass(origin) and issubclass(origin, Mapping) and arguments[:1] == (str,):
        node = _node(arguments[1], known)
        return Named(node) if node else None
    if not inspect.isclass(hint):
        return None
    if issubclass(hint, AbstractArray):  # as Int32[np.ndarray, "nnz"]; arrays of JAX are internal
        integers = getattr(hint, "array_type", None) is np.ndarray
        return ListOf(Scalar(int)) if integers else None
    for name, kind in KINDS.items():
        if kind.base and issubclass(hint, kind.base):
            return model_node(known, name)
    return None


def _either(nodes: list[Node | None]) -> Node | None:
    """The node of one alternative, or of a single value and a list; others are not told apart."""
    match nodes:
        case [node]:
            return node
        case [Scalar() | Choice() as single, ListOf() as several]:
            return OneOf(single, several)
    return None


def tabled(value: Any) -> Any:
    """A default as plain data: a model becomes a table with its type."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return shown(value) if is_concrete(value) else value
    fields = [f for f in dataclasses.fields(value) if not f.metadata.get("internal")]
    return {
        "type": type(value).__name__,
        **{f.name: tabled(getattr(value, f.name)) for f in fields},
    }
