"""Parameters: the leaves of a model, each with a unit, a meaning and a domain."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array

from ._errors import explain, near_miss, shown

UNITS = ("ms", "mV", "pA", "nS", "pF", "Hz", "1")
"""The closed set of units. Everything the library reads or returns is in these; `"1"` is a
plain number."""

DOMAINS = {
    "real": lambda x: ~np.isnan(x),
    "finite": lambda x: np.isfinite(x),
    "positive": lambda x: np.isfinite(x) & (x > 0),
    "nonnegative": lambda x: np.isfinite(x) & (x >= 0),
    "probability": lambda x: (x >= 0) & (x <= 1),
}


if TYPE_CHECKING:

    class Parameter:
        """The type of a field that is a parameter: given as a number, read as an array."""

        def __get__(self, model: Any, kind: Any = None) -> Array: ...

        def __set__(self, model: Any, value: ArrayLike | Sequence[float]) -> None: ...

else:
    Parameter = Array


def float_dtype() -> jnp.dtype:
    """The default floating-point type: float64 where x64 is enabled, float32 elsewhere."""
    return jnp.dtype(jax.dtypes.canonicalize_dtype(float))


def as_leaf(value: Any) -> Any:
    """`value`, a Python or NumPy number, as an array of the default float type.

    JAX arrays of floats stay as they are.

    This is what keeps a changed parameter from compiling anew: a Python float would be a static
    constant of the program, an array is an argument of it.
    """
    if isinstance(value, (bool, np.bool_, str)):
        return value
    if isinstance(value, (int, float, np.number, np.ndarray, list, tuple)):
        with jax.ensure_compile_time_eval():  # a number that is known stays known inside jit
            return jnp.asarray(np.asarray(value, dtype=np.float64), dtype=float_dtype())
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jnp.integer):
        return value.astype(float_dtype())
    return value


def parameter(default: Any = dataclasses.MISSING, *, unit: str, doc: str, domain: str = "finite"):
    """Declare a parameter of a model.

    **Arguments:**

    - `default`: the value if none is given; without it the parameter is required.
    - `unit`: one of `UNITS`.
    - `doc`: what it is, in a few words.
    - `domain`: the values allowed: `"finite"`, `"positive"`, `"nonnegative"`, `"probability"`, or
      `"real"`, which infinity belongs to.
      Checked when a model is made from concrete values; tracers pass.

    **Returns:**

    A dataclass field. Its value is a floating-point array of shape `()` or `(size,)`: a leaf of
    the PyTree, so it can be differentiated, swept and changed without compiling anew.

    **Raises:**

    `ValueError` for a unit or a domain that is not known.
    """
    if unit not in UNITS:
        raise ValueError(
            explain(
                "parameter unit",
                got=unit,
                expected=f"one of {', '.join(UNITS)}",
                mend=near_miss(unit, UNITS),
            )
        )
    if domain not in DOMAINS:
        raise ValueError(
            explain(
                "parameter domain",
                got=domain,
                expected=f"one of {', '.join(DOMAINS)}",
                mend=near_miss(domain, DOMAINS),
            )
        )
    metadata = {"unit": unit, "doc": doc, "domain": domain}
    if default is dataclasses.MISSING:
        return eqx.field(converter=as_leaf, metadata=metadata)
    return eqx.field(default=default, converter=as_leaf, metadata=metadata)


def parameters_of(model: Any) -> list[dataclasses.Field]:
    """The fields of `model` (an instance or a class) declared by `parameter`, in order."""
    return [f for f in dataclasses.fields(model) if "unit" in f.metadata]


def is_traced(value: Any) -> bool:
    """Whether `value` is an array that a JAX transformation traces: its numbers are not known."""
    return isinstance(value, Tracer)


def is_concrete(value: Any) -> bool:
    """Whether the numbers of the array `value` can be read now: it is not traced or abstract."""
    return isinstance(value, (np.ndarray, jax.Array)) and not is_traced(value)


def check_parameters(model: Any) -> None:
    """Raise `ValueError` if a concrete parameter of `model` is outside its domain."""
    for field in parameters_of(model):
        value = getattr(model, field.name)
        what = f"{type(model).__name__}({field.name}=...)"
        if isinstance(value, (bool, np.bool_, str)) or value is None:
            raise TypeError(
                explain(what, got=value, expected=f"a number in {field.metadata['unit']}")
            )
        if not is_concrete(value):
            continue
        numbers = np.asarray(value)
        if numbers.ndim > 1:
            raise ValueError(
                explain(what, got=f"shape {numbers.shape}", expected="a number or one per neuron")
            )
        good = DOMAINS[field.metadata["domain"]](numbers)
        if not np.all(good):
            bad = numbers if numbers.ndim == 0 else numbers[~good][0]
            unit = "" if field.metadata["unit"] == "1" else f" in {field.metadata['unit']}"
            raise ValueError(
                explain(what, got=shown(bad), expected=f"a {field.metadata['domain']} number{unit}")
            )
