"""`describe`: what a model is, in words a person reads before trusting it."""

import inspect
from typing import Any

import numpy as np

from ._errors import explain
from ._parameters import is_concrete, parameters_of


def _value(value: Any) -> str:
    if not is_concrete(value):
        return "traced"
    numbers = np.asarray(value)
    if numbers.ndim == 0:
        return f"{float(numbers):g}"
    return f"{numbers.size} values, {float(numbers.min()):g} to {float(numbers.max()):g}"


def describe(model: Any) -> str:
    """The equations, parameters with units, and source of a model, as text.

    **Arguments:**

    - `model`: a model, or its class. Of a class the defaults are shown.

    **Returns:**

    Text for `print`: the docstring of the model, then a table of its parameters.

    **Raises:**

    `TypeError` if `model` has no documented parameters.

    !!! example

        ```python
        print(bj.describe(bj.LIF))
        ```
    """
    cls = model if inspect.isclass(model) else type(model)
    if not hasattr(cls, "__dataclass_fields__") or not cls.__doc__:
        raise TypeError(
            explain(
                "describe",
                got=model,
                expected="a model of BrainJAX or its class",
                mend="For example bj.describe(bj.LIF).",
            )
        )
    rows = []
    for field in parameters_of(cls):
        if inspect.isclass(model):
            required = not isinstance(field.default, (int, float))
            shown = "required" if required else f"{field.default:g}"
        else:
            shown = _value(getattr(model, field.name))
        rows.append((field.name, shown, field.metadata["unit"], field.metadata["doc"]))
    lines = [cls.__name__, "=" * len(cls.__name__), "", inspect.cleandoc(cls.__doc__)]
    if rows:
        rows = [("parameter", "value", "unit", "meaning"), *rows]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines += ["", *("  ".join([*map(str.ljust, row, widths), row[3]]).rstrip() for row in rows)]
    return "\n".join(lines)
