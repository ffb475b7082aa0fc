"""What there is: configs with their titles, models with their keys."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

from ..core import explain, near_miss
from ..network._network import table as columns
from ._config import bundled, read_config
from ._experiment import Experiment, config_table
from ._options import KINDS, Entry
from ._registry import registry
from ._schema import REQUIRED, ConfigError, Named, Table


def titles() -> dict[str, str]:
    """The configs that come with BrainJAX: name to title."""
    return {name: read_config(file)[1].get("title", "") for name, file in bundled().items()}


def first_line(entry: Entry) -> str:
    """What a model is, in a line."""
    return (inspect.getdoc(entry.make) or "").partition("\n")[0]


def describe(name: str, *, models: Sequence[Any] = ()) -> str:
    """What a model is, and the keys of its table in a config; of `"config"`, the keys of a config.

    **Arguments:**

    - `name`: in the registry, in any case.
    - `models`: as of `load`.

    **Raises:**

    `ConfigError` for a name that is not in the registry.
    """
    kinds = registry(models)
    known = {n: e for entries in kinds.values() for n, e in entries.items()}
    known["config"] = Entry("network", Experiment, config_table(kinds))
    found = next((n for n in known if n.lower() == name.lower()), None)
    if found is None:
        mend = near_miss(name, known)
        raise ConfigError(explain("describe", got=name, expected="the name of a model", mend=mend))
    entry = known[found]
    rows = [("key", "default", "unit", "what it is"), *_rows(entry.table, "")]
    head = f"{found}: {KINDS[entry.kind].what}"
    about = inspect.getdoc(entry.make) or ""
    if found == "config":
        head, about = "config", "The keys of a config itself. `base` names a file that it changes."
    text = [head, "=" * len(head), "", about, ""]
    return "\n".join([*text, columns(rows) if len(rows) > 1 else "It has no keys but its type."])


def _rows(table: Table, prefix: str) -> Iterator[tuple[str, str, str, str]]:
    """The keys of a table, and of the tables of names in it."""
    for key, option in table.options.items():
        node = option.node
        if isinstance(node, Named) and isinstance(node.item, Table):
            yield from _rows(node.item, f"{prefix}{key}.NAME.")
            continue
        default = "required" if option.default is REQUIRED else _shown(option.default)
        yield prefix + key, default, option.unit, option.doc or node.expected


def _shown(default: Any) -> str:
    if default is None or default == {}:
        return "-"
    if isinstance(default, dict):
        return str(default.get("type", "-"))
    return str(default).lower() if isinstance(default, bool) else f"{default}"
