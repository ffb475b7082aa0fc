"""Checks of the values that rules and distributions are built from."""

import math
import numbers

import numpy as np

from ..core._errors import explain

_CONCRETE = "Structure is drawn once, on the host, so this must be a concrete Python number."


def check_real(what: str, value: object, *, infinite: bool = False) -> float:
    """`value` as a `float`, if it is a real number (no `bool`), not NaN.

    **Arguments:**

    - `what`: what the value is, in the user's words; the beginning of the error.
    - `value`: a Python or NumPy real number.
    - `infinite`: whether plus and minus infinity are allowed.

    **Raises:** `TypeError` if it is no number, `ValueError` if it is NaN or infinite.
    """
    expected = "a number" if infinite else "a finite number"
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(explain(what, got=value, expected=expected, mend=_CONCRETE))
    number = float(value)
    if math.isnan(number) or (math.isinf(number) and not infinite):
        raise ValueError(explain(what, got=number, expected=expected))
    return number


def check_flag(what: str, value: object) -> bool:
    """`value`, if it is `True` or `False`. **Raises:** `TypeError` if it is anything else."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(explain(what, got=value, expected="True or False"))
    return bool(value)
