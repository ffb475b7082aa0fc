"""What may stand in a config: nodes that check a value, fill in what is left out, and make objects.

A node has `resolve(value, where)`, which gives the value as plain data with every default filled
in, and `make(value, where)`, which turns resolved data into an object. `where` is the path of the
value in the config, for errors. Nothing is evaluated: a name is looked up, or refused.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from ..core import explain, near_miss


class ConfigError(ValueError):
    """A config that cannot be run. The text says where, what, and how to mend it."""


@runtime_checkable
class Node(Protocol):
    """What may stand at a place of a config."""

    @property
    def expected(self) -> str: ...  # in words, for errors and for tables

    def resolve(self, value: Any, where: str) -> Any: ...

    def make(self, value: Any, where: str) -> Any: ...


def _refuse(node: Node, value: Any, where: str, mend: str = "") -> ConfigError:
    return ConfigError(explain(where, got=value, expected=node.expected, mend=mend))


@dataclass(frozen=True)
class Scalar:
    """A number, an integer, a flag, or text; numbers and integers from `low` to `high`."""

    kind: type
    low: float = -math.inf
    high: float = math.inf

    @property
    def expected(self) -> str:
        word = {float: "a number", int: "an integer", bool: "true or false", str: "text"}
        low = "" if self.low == -math.inf else f" of at least {self.low:g}"
        return word[self.kind] + low + ("" if self.high == math.inf else f", at most {self.high}")

    def resolve(self, value, where):
        given = type(value)
        if self.kind is float and given is int:
            value, given = float(value), float
        if given is not self.kind:
            whole = self.kind is int and given is float and value.is_integer()
            raise _refuse(self, value, where, f"Write {int(value)}." if whole else "")
        if self.kind in (int, float) and not self.low <= value <= self.high:
            raise _refuse(self, value, where)
        return value

    def make(self, value, where):
        del where
        return value


@dataclass(frozen=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]

    @property
    def expected(self) -> str:
        return "one of " + ", ".join(map(repr, self.words))

    def resolve(self, value, where):
        if value not in self.words or not isinstance(value, str):
            raise _refuse(self, value, where)
        return value

    def make(self, value, where):
        del where
        return value


@dataclass(frozen=True)
class ListOf:
    """A list, of any number of items or of `number`; made, a tuple."""

    item: Node
    number: int | None = None

    @property
    def expected(self) -> str:
        number = "" if self.number is None else f" of {self.number}"
        return f"a list{number}: each {self.item.expected}"

    def resolve(self, value, where):
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        if not is_list or self.number not in (None, len(value)):
            raise _refuse(self, value, where)
        return [self.item.resolve(v, f"{where}[{i}]") for i, v in enumerate(value)]

    def make(self, value, where):
        return tuple(self.item.make(v, f"{where}[{i}]") for i, v in enumerate(value))


@dataclass(frozen=True)
class OneOf:
    """A single value, a list, or a table: each has its node, or is refused."""

    single: Node
    several: Node | None = None
    table: Node | None = None

    @property
    def expected(self) -> str:
        nodes = [n for n in (self.single, self.several, self.table) if n is not None]
        return ", or ".join(n.expected for n in nodes)

    def _node(self, value: Any, where: str) -> Node:
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        node = (
            self.table if isinstance(value, Mapping) else self.several if is_list else self.single
        )
        if node is None:
            raise _refuse(self, value, where)
        return node

    def resolve(self, value, where):
        return self._node(value, where).resolve(value, where)

    def make(self, value, where):
        return self._node(value, where).make(value, where)


@dataclass(frozen=True)
class Maybe:
    """Nothing, or what a node says. Nothing cannot be written: the key is left out."""

    node: Node

    @property
    def expected(self) -> str:
        return self.node.expected

    def resolve(self, value, where):
        return None if value is None else self.node.resolve(value, where)

    def make(self, value, where):
        return None if value is None else self.node.make(value, where)


@dataclass(frozen=True)
class Named:
    """A table of names of the author's choice."""

    item: Node

    @property
    def expected(self) -> str:
        return f"a table of names; under each {self.item.expected}"

    def resolve(self, value, where):
        if not isinstance(value, Mapping):
            raise _refuse(self, value, where)
        return {name: self.item.resolve(v, f"{where}.{name}") for name, v in value.items()}

    def make(self, value, where):
        return {name: self.item.make(v, f"{where}.{name}") for name, v in value.items()}


class _Required:
    """The default of what has none."""


REQUIRED = _Required()


class Option(NamedTuple):
    """A key of a table."""

    node: Node
    default: Any = REQUIRED
    unit: str = ""
    doc: str = ""


@dataclass(frozen=True)
class Table:
    """A table of fixed keys; `build` gets what they hold as keyword arguments."""

    options: Mapping[str, Option]
    build: Callable[..., Any] = dict
    name: str = "a table"

    @property
    def expected(self) -> str:
        return self.name

    def resolve(self, value, where):
        if not isinstance(value, Mapping):
            raise _refuse(self, value, where)
        for key in value:
            if key not in self.options:
                raise ConfigError(
                    explain(
                        _place(where, key),
                        got="a key that is not known",
                        expected=f"a key of {self.name}",
                        mend=near_miss(key, self.options),
                    )
                )
        resolved = {}
        for key, option in self.options.items():
            place = _place(where, key)
            if key in value:
                given = value[key]
                if isinstance(given, Mapping) and isinstance(option.default, Mapping):
                    given = overlaid(option.default, given)
                resolved[key] = option.node.resolve(given, place)
            elif option.default is REQUIRED:
                raise ConfigError(
                    explain(
                        place,
                        got="nothing",
                        expected=option.node.expected + (f" in {option.unit}" * bool(option.unit)),
                        mend=option.doc and f"It is: {option.doc}.",
                    )
                )
            else:
                resolved[key] = option.node.resolve(option.default, place)
        return resolved

    def make(self, value, where):
        made = {k: self.options[k].node.make(v, _place(where, k)) for k, v in value.items()}
        try:
            return self.build(**made)
        except ConfigError:
            raise
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{where}: {error}" if where else str(error)) from error


def _place(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


@dataclass(frozen=True)
class Model:
    """A table whose `type` names a model; the other keys are the model's options.

    **Arguments:**

    - `what`: what the model is, in words: `"a neuron"`.
    - `tables`: name to the table of the model's options.
    - `default`: the type of a table that does not say.
    """

    what: str
    tables: Mapping[str, Table]
    default: str | None = None

    @property
    def expected(self) -> str:
        return f'{self.what}: a table with a type, as {{ type = "{next(iter(self.tables))}" }}'

    def resolve(self, value, where):
        if not isinstance(value, Mapping):
            raise _refuse(self, value, where)
        name = value.get("type", self.default)
        if name is None:
            raise ConfigError(
                explain(
                    _place(where, "type"),
                    got="nothing",
                    expected=f"the type of {self.what}",
                    mend=f"Known: {', '.join(map(repr, self.tables))}.",
                )
            )
        if not isinstance(name, str) or name not in self.tables:
            raise ConfigError(
                explain(
                    _place(where, "type"),
                    got=name,
                    expected=f"the type of {self.what}",
                    mend=near_miss(str(name), self.tables),
                )
            )
        rest = {k: v for k, v in value.items() if k != "type"}
        return {"type": name, **self.tables[name].resolve(rest, where)}

    def make(self, value, where):
        rest = {k: v for k, v in value.items() if k != "type"}
        return self.tables[value["type"]].make(rest, where)


def overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` with the values of `above`, table by table.

    A table of another `type` replaces what is below it: the options of one model mean nothing to
    another.
    """
    if "type" in above and above["type"] != below.get("type", above["type"]):
        return dict(above)
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(below.get(key), Mapping)
        merged[key] = overlaid(below[key], value) if both else value
    return merged
