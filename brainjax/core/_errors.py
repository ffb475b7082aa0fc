"""How every error of the library reads: what, got, expected, how to mend it."""

import difflib
from collections.abc import Iterable
from typing import Any

import numpy as np


def explain(what: str, *, got: object, expected: str, mend: str = "") -> str:
    """The text of an error about bad input.

    **Arguments:**

    - `what`: what was being read, in the user's words (`"Population 'exc': size"`).
    - `got`: the value found; shown with `repr`.
    - `expected`: what would have been right.
    - `mend`: the change, preferably code, that mends it.

    **Returns:**

    One string to be raised by the caller.
    """
    text = f"{what}: got {got!r}, expected {expected}."
    return f"{text} {mend}" if mend else text


def shown(number: Any) -> float:
    """`number`, of any precision, as the user wrote it: 2.05, not 2.049999952316284."""
    return float(str(np.asarray(number)[()]))


def near_miss(name: str, known: Iterable[str]) -> str:
    """`Did you mean 'exc'? Known: 'exc', 'inh'.` for a name that is not among `known`."""
    known = list(known)
    listed = ", ".join(repr(k) for k in known) if known else "none"
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"Did you mean {close[0]!r}? Known: {listed}." if close else f"Known: {listed}."
