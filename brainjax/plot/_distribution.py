"""Histograms over neurons: how fast they fire, and how irregularly."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import analysis
from ..analysis import Spikes
from ._style import REFERENCE, clean, colour, figure_of, legend, new_axes
from ._trains import named

MANY = 3  # populations: outlines of more mix to mud

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

    Of more than three populations a box is drawn each: median, quartiles, 5th and 95th per cent.

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
    if len(values) > MANY:
        clean(ax, x="firing rate (Hz)", y="")
        boxes(ax, values, text="{name} {mean:.1f} Hz")
        return figure_of(ax)
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

    Of more than three populations a box is drawn each: median, quartiles, 5th and 95th per cent.

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
    many = len(trains) > MANY
    axes = new_axes(ax, 2, 11.0, 4.2, ncols=2)
    if len(axes) == 2:
        from matplotlib.ticker import LogLocator

        every = np.concatenate(list(intervals.values()))
        every = every[every > 0]  # 0: two spikes of a Poisson source in one step
        low, high = (every.min(), every.max()) if every.size else (1.0, 1000.0)
        axes[0].set_xscale("log")
        axes[0].xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if many else (1.0,)))
        axes[0].xaxis.set_major_formatter("{x:g}")
        axes[0].xaxis.set_minor_formatter("")
        clean(axes[0], x="inter-spike interval (ms)", y="" if many else "intervals (%)")
        if many:
            boxes(axes[0], intervals, text="{name} {mean:.0f} ms")
        else:
            edges = np.geomspace(0.9 * low, 1.1 * high, 41)
            histogram(axes[0], intervals, edges, text="{name} {mean:.0f} ms")
            legend(axes[0])
    clean(axes[-1], x="CV of inter-spike intervals", y="" if many else "neurons (%)")
    if many:
        boxes(axes[-1], cvs, text="{name} {mean:.2f}")
    else:
        high = max([1.2] + [float(v.max()) for v in cvs.values() if v.size])
        histogram(axes[-1], cvs, np.linspace(0.0, 1.05 * high, 36), text="{name} {mean:.2f}")
    axes[-1].axvline(1.0, **REFERENCE, label="Poisson 1")
    legend(axes[-1])
    return figure_of(axes[0])


def boxes(ax: "Axes", values: Mapping[str, np.ndarray], *, text: str) -> None:
    """Draw one horizontal box a population, the first on top, the mean in its label."""
    rows = range(len(values))
    drawn = ax.boxplot(
        [v if v.size else [np.nan] for v in values.values()],
        positions=[-float(row) for row in rows],
        orientation="horizontal",
        widths=0.6,
        whis=(5, 95),
        showfliers=False,
        patch_artist=True,
        medianprops={"color": "white", "linewidth": 2.0},
    )
    for row in rows:
        drawn["boxes"][row].set(facecolor=colour(row), edgecolor=colour(row))
        for line in drawn["whiskers"][2 * row : 2 * row + 2] + drawn["caps"][2 * row : 2 * row + 2]:
            line.set(color=colour(row), linewidth=1.6)
    means = [float(v.mean()) if v.size else np.nan for v in values.values()]
    labels = [text.format(name=n, mean=m) for n, m in zip(values, means, strict=True)]
    ax.set_yticks([-float(row) for row in rows], labels)
    for row, tick in enumerate(ax.get_yticklabels()):
        tick.set(color=colour(row), fontweight="bold")
    ax.tick_params(axis="y", length=0)


def histogram(
    ax: "Axes", values: Mapping[str, np.ndarray], edges: np.ndarray, *, text: str
) -> None:
    """Draw one outline a population, in per cent of its values, the mean of them in the label."""
    for position, (name, v) in enumerate(values.items()):
        percent = 100.0 * np.histogram(v, edges)[0] / max(1, v.size)
        mean = float(v.mean()) if v.size else float("nan")
        label = text.format(name=name or "mean", mean=mean) if v.size else f"{name} none".strip()
        ax.stairs(percent, edges, color=colour(position), linewidth=1.6, label=label)
        if len(values) <= MANY:
            ax.stairs(percent, edges, color=colour(position), fill=True, alpha=0.13, linewidth=0.0)
    ax.set_ylim(bottom=0.0)
