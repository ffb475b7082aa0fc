"""Histograms over neurons: how fast they fire, and how irregularly."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import analysis
from ..analysis import Spikes
from ._style import REFERENCE, clean, colour, figure_of, legend, new_axes
from ._trains import named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def rates(
    trains: Mapping[str, Spikes] | Spikes,
    *,
    start: float | None = None,
    stop: float | None = None,
    ax: Any = None,
) -> "Figure":
    """Histogram of the neurons' firing rates, one outline a population, its mean in the legend.

    **Arguments:**

    - `trains`: name of the population -> its spikes; or the spikes of one population.
    - `start`, `stop`: the window in ms; by default the whole recording.
    - `ax`: Matplotlib axes to draw into; by default a new figure.

    **Returns:**

    The figure.

    **Raises:**

    `ImportError` without Matplotlib; `ValueError` for an empty mapping or window.
    """
    trains = named(trains)
    values = {n: analysis.rates(s, start=start, stop=stop) for n, s in trains.items()}
    (ax,) = new_axes(ax, 1, 6.5, 4.2)
    # A rate is a whole number of spikes over the window: a bin that holds now 2, now 3 of the
    # possible values draws a comb. So bins are whole multiples of one spike, centred on them.
    first = next(iter(trains.values()))
    seen = analysis._spikes.window(first, start, stop)
    spike = 1000.0 / (seen[1] - seen[0])  # Hz of one spike in the window
    high = max(float(v.max()) for v in values.values())
    step = spike * max(1, int(np.ceil(high / spike / 40)))
    edges = np.arange(0.0, high + 2 * step, step) - spike / 2
    histogram(ax, values, edges, text="{name} {mean:.1f} Hz")
    clean(ax, x="firing rate (Hz)", y="neurons (%)")
    ax.set_xlim(min(0.0, edges[0]), edges[-1])
    legend(ax)
    return figure_of(ax)


def isis(
    trains: Mapping[str, Spikes] | Spikes,
    *,
    min_spikes: int = 3,
    start: float | None = None,
    stop: float | None = None,
    ax: Any = None,
) -> "Figure":
    """Histograms of inter-spike intervals, and of their coefficient of variation (CV) per neuron.

    **Arguments:**

    - `trains`: name of the population -> its spikes; or the spikes of one population.
    - `min_spikes`: neurons with fewer spikes have no CV; at least 3.
    - `start`, `stop`: the window in ms; by default the whole recording.
    - `ax`: Matplotlib axes to draw into: one for the CV alone, or two with the intervals first. By
        default a new figure.

    **Returns:**

    The figure.

    **Raises:**

    `ImportError` without Matplotlib; `ValueError` for an empty mapping or window, or `min_spikes`
    below 3.
    """
    trains = named(trains)
    seen = {"start": start, "stop": stop}
    intervals = {n: analysis.isi(s, **seen)[1] for n, s in trains.items()}
    cvs = {n: analysis.cv_per_neuron(s, min_spikes, **seen) for n, s in trains.items()}
    cvs = {n: v[~np.isnan(v)] for n, v in cvs.items()}
    axes = new_axes(ax, 2, 11.0, 4.2, ncols=2)
    if len(axes) == 2:
        every = np.concatenate(list(intervals.values()))
        every = every[every > 0]  # 0: two spikes of a Poisson source in one step
        low, high = (every.min(), every.max()) if every.size else (1.0, 1000.0)
        edges = np.geomspace(0.9 * low, 1.1 * high, 41)
        histogram(axes[0], intervals, edges, text="{name} {mean:.0f} ms")
        axes[0].set_xscale("log")
        axes[0].xaxis.set_major_formatter("{x:g}")
        clean(axes[0], x="inter-spike interval (ms)", y="intervals (%)")
        legend(axes[0])
    high = max([1.2] + [float(v.max()) for v in cvs.values() if v.size])
    histogram(axes[-1], cvs, np.linspace(0.0, 1.05 * high, 36), text="{name} {mean:.2f}")
    axes[-1].axvline(1.0, **REFERENCE, label="Poisson 1")
    clean(axes[-1], x="CV of inter-spike intervals", y="neurons (%)")
    legend(axes[-1])
    return figure_of(axes[0])


def histogram(
    ax: "Axes", values: Mapping[str, np.ndarray], edges: np.ndarray, *, text: str
) -> None:
    """Draw one outline a population, in per cent of its values, the mean of them in the label."""
    for position, (name, v) in enumerate(values.items()):
        percent = 100.0 * np.histogram(v, edges)[0] / max(1, v.size)
        mean = float(v.mean()) if v.size else float("nan")
        label = text.format(name=name or "mean", mean=mean) if v.size else f"{name} none".strip()
        ax.stairs(percent, edges, color=colour(position), linewidth=1.6, label=label)
        if len(values) <= 3:  # more of them mix to mud
            ax.stairs(percent, edges, color=colour(position), fill=True, alpha=0.13, linewidth=0.0)
    ax.set_ylim(bottom=0.0)
