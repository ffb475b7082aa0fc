"""Values over time: membrane potentials, currents, conductances."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import explain
from ._style import REFERENCE, clean, colour, figure_of, legend, new_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def trace(
    times: Any,
    values: Any,
    *,
    unit: str = "mV",
    quantity: str = "membrane potential",
    labels: Sequence[str] | None = None,
    threshold: float | None = None,
    ax: Any = None,
) -> "Figure":
    """Lines of a value over time, one a neuron.

    **Arguments:**

    - `times`: `[time]`, ms.
    - `values`: `[time, neuron]`, or `[time]` for one neuron.
    - `unit`, `quantity`: what the values are, for the axis.
    - `labels`: a name for every neuron; by default none.
    - `threshold`: a value to mark by a dashed line, in the same unit.
    - `ax`: Matplotlib axes to draw into; by default a new figure.

    **Returns:**

    The figure.

    **Raises:**

    `ImportError` without Matplotlib; `ValueError` for shapes or numbers of labels that do not
    match.
    """
    times, values = np.asarray(times), np.asarray(values)
    columns = values[:, None] if values.ndim == 1 else values
    if times.ndim != 1 or columns.ndim != 2 or columns.shape[0] != times.size:
        raise ValueError(
            explain(
                "shapes of times and values",
                got=(times.shape, values.shape),
                expected="[time] and [time, neuron]",
                mend="Values recorded as [neuron, time] are turned by `values.T`.",
            )
        )
    if isinstance(labels, str) or (labels is not None and len(labels) != columns.shape[1]):
        raise ValueError(
            explain(
                "labels",
                got=labels,
                expected=f"a sequence of {columns.shape[1]} names, one a neuron",
            )
        )
    (ax,) = new_axes(ax, 1, 10.0, 3.6)
    for neuron in range(columns.shape[1]):
        name = None if labels is None else labels[neuron]
        ax.plot(times, columns[:, neuron], color=colour(neuron), linewidth=1.3, label=name)
    if threshold is not None:
        ax.axhline(threshold, **REFERENCE, label="threshold")
    clean(ax, x="time (ms)", y=f"{quantity} ({unit})")
    if times.size > 1:
        ax.set_xlim(times[0], times[-1])
    legend(ax)
    return figure_of(ax)
