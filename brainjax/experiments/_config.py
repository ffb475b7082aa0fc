"""Reading a config file, and changing keys of it."""

import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core import explain, near_miss
from ._schema import ConfigError, overlaid

Tree = dict[str, Any]


def bundled() -> dict[str, Path]:
    """The configs that come with BrainJAX: name to file."""
    package = Path(__file__).parent.parent
    # Inside the package where it was installed, beside it in a checkout.
    for folder in (package / "configs", package.parent / "configs"):
        if folder.is_dir():
            return {file.stem: file for file in sorted(folder.glob("*.toml"))}
    return {}


def read_config(config: str | Path) -> tuple[Path, Tree]:
    """The file of a config and what it says, on top of its `base` if it names one."""
    file = Path(config)
    if str(config) in bundled() and not file.is_file():
        file = bundled()[str(config)]
    return file, _read(file, ())


def _read(file: Path, above: tuple[Path, ...]) -> Tree:
    expected = "a TOML file, or the name of a config of BrainJAX"
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        mend = near_miss(file.name, bundled())
        raise ConfigError(explain("config", got=str(file), expected=expected, mend=mend)) from None
    except IsADirectoryError:
        inside = sorted(file.glob("*.toml"))
        mend = f"For example {inside[0]}." if inside else ""
        got = f"the folder {file}"
        raise ConfigError(explain("config", got=got, expected="a TOML file", mend=mend)) from None
    except UnicodeDecodeError as error:
        got = f"a byte that is not UTF-8, at {error.start}"
        raise ConfigError(explain(f"{file}", got=got, expected="a TOML file")) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(
            explain(f"{file}", got=reason, expected="a file that can be read")
        ) from None
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            explain(
                f"{file}",
                got=str(error),
                expected="TOML",
                mend='As in: duration = 1000.0, or title = "text".',
            )
        ) from None
    if not tree:
        raise ConfigError(
            explain(
                f"{file}",
                got="an empty config",
                expected="at least duration and network",
                mend="`brainjax list` shows configs to start from.",
            )
        )
    base = tree.pop("base", None)
    if base is None:
        return tree
    if not isinstance(base, str):
        raise ConfigError(explain(f"{file}: base", got=base, expected="the name of a file"))
    below = file.parent / base
    if below in (file, *above):
        raise ConfigError(
            explain(f"{file}: base", got=base, expected="a file that is not above it")
        )
    inherited = _read(below, (file, *above))
    inherited.pop("expected", None)  # what comes out of one network says nothing of another
    return overlaid(inherited, tree)


def changed(tree: Tree, changes: Mapping[str, Any], resolve: Callable[[Tree], Tree]) -> Tree:
    """`tree` with other values at some paths, each of which must be there once all is filled in."""
    for path, value in changes.items():
        keys = path_of(path)
        try:
            filled = resolve(tree)
        except ConfigError:  # which the changes to come may mend; else it is raised at the end
            filled = None
        if filled is not None:
            _check_there(filled, keys, path)
        if keys[-1] == "type" and keys[:-1] and value != _at(filled, keys):
            keys, value = keys[:-1], {"type": value}  # the options of the other type go with it
        tree = overlaid_at(tree, keys, value)
    return tree


def _at(tree: Any, keys: list[str]) -> Any:
    """What is in `tree` at a path, or `None`."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def overlaid_at(tree: Tree, keys: list[str], value: Any) -> Tree:
    """`tree` with `value` at a path of keys."""
    first, *rest = keys
    below = tree.get(first, {})
    new = overlaid_at(below if isinstance(below, dict) else {}, rest, value) if rest else value
    return {**tree, first: new}


def path_of(path: str) -> list[str]:
    """The keys of a dotted path; quotes as in TOML."""
    try:
        tree = tomllib.loads(f"{path} = 0")
    except tomllib.TOMLDecodeError:
        tree = {}
    keys = []
    while isinstance(tree, dict) and len(tree) == 1:
        ((key, tree),) = tree.items()
        keys.append(key)
    if not keys or tree != 0:
        raise ConfigError(
            explain(
                "--set",
                got=path,
                expected="a dotted path of keys",
                mend="For example network.populations.exc.size; a key with dots stands in quotes.",
            )
        )
    return keys


def _check_there(tree: Any, keys: list[str], path: str) -> None:
    for i, key in enumerate(keys):
        if not isinstance(tree, dict) or key not in tree:
            where = ".".join(keys[:i]) or "the config"
            mend = near_miss(key, tree) if isinstance(tree, dict) else f"{where} is not a table."
            if tree == {}:
                mend = f"It is empty; fill it as a whole: --set '{where}={{ {key} = ... }}'."
            raise ConfigError(
                explain(
                    f"--set {path}",
                    got=key,
                    expected=f"a key of {where}",
                    mend=mend,
                )
            )
        tree = tree[key]


def changes_of(settings: Sequence[str]) -> dict[str, Any]:
    """The changes of `KEY=VALUE` texts: path to value, the last of equal paths."""
    changes = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            mend = "For example --set seed=3."
            raise ConfigError(explain("--set", got=setting, expected="KEY=VALUE", mend=mend))
        changes[key.strip()] = value_of(text.strip())
    return changes


def value_of(text: str) -> Any:
    """The value of a `--set`: as in TOML, where words need no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        pass
    try:
        number = float(text)  # .1 and 1. are numbers to everybody but TOML
        if math.isfinite(number):
            return number
    except ValueError:
        pass
    if re.fullmatch(r"[A-Za-z_][\w.\- >]*", text):
        return text
    raise ConfigError(
        explain(
            "--set",
            got=text,
            expected="a value as in TOML",
            mend='As in seed=3, precision=float64, rule={ type = "FixedInDegree", n = 80 }.',
        )
    )


def without_none(tree: Any) -> Any:
    """A tree without the keys whose value is `None`: TOML has none."""
    if isinstance(tree, Mapping):
        return {k: without_none(v) for k, v in tree.items() if v is not None}
    return [without_none(v) for v in tree] if isinstance(tree, list) else tree
