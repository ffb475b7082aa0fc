"""The raster: who fired when, with the rate of every population under it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis import Spikes, population_rate
from ..analysis._spikes import View, view
from ..core import explain
from ._distribution import MANY
from ._style import INK, TICK, clean, colour, figure_of, new_axes
from ._trains import common_window, named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def raster(
    trains: Mapping[str, Spikes] | Spikes,
    *,
    start: float | None = None,
    stop: float | None = None,
    max_neurons: int = 800,
    bin: float | None = None,
    ax: Any = None,
) -> "Figure":
    """Spikes of stacked populations, one row a neuron, and their rates on the same axis of time.

    **Arguments:**

    - `trains`: name of the population -> its spikes, the first on top (excitatory first is the
        custom); or the spikes of one population.
    - `start`, `stop`: the window in ms; by default what all the recordings cover.
    - `max_neurons`: about how many rows are drawn. Larger networks are thinned evenly, populations
        in proportion to their size (the smallest are given a few rows more), and the axis says so.
        The rates are of all neurons.
    - `bin`: width of the bins of the rate in ms; by default a round number near 1/200 of the
        window.
    - `ax`: Matplotlib axes to draw into: one for the raster alone, or two with the rates second. By
        default a new figure.

    **Returns:**

    The figure.

    **Raises:**

    `ImportError` without Matplotlib; `ValueError` for an empty mapping or window, or a
    `max_neurons` that is not positive.
    """
    trains = named(trains)
    if not max_neurons >= 1:
        raise ValueError(
            explain("max_neurons", got=max_neurons, expected="the number of rows, at least 1")
        )
    start, stop = common_window(trains, start, stop)
    seen = {name: view(spikes, start, stop) for name, spikes in trains.items()}
    bin = round_bin(stop - start) if bin is None else bin
    axes = new_axes(
        ax, 2, 10.0, 6.0, nrows=2, sharex=True, gridspec_kw={"height_ratios": (3.0, 1.0)}
    )
    draw_rows(axes[0], seen, max_neurons)
    if len(axes) == 2:
        draw_rates(axes[1], trains, start, stop, bin)
        axes[0].set_xlabel("")
        axes[0].tick_params(labelbottom=False)
    return figure_of(axes[0])


def round_bin(duration: float) -> float:
    """A width in ms for about 200 bins: of 1, 2, 5, 10, ..., or all of a window below 1 ms."""
    width = duration / 200
    power = 10.0 ** np.floor(np.log10(width))
    step = max(k for k in (1.0, 2.0, 5.0) if k * power <= width * (1 + 1e-9))
    return min(max(1.0, step * power), duration)


def thinned(size: int, total: int, max_neurons: int) -> np.ndarray:
    """Indices of the neurons drawn of a population of `size` in a network of `total`."""
    share = round(size * min(1.0, max_neurons / total))
    share = min(size, max(1, max_neurons // 25, share))  # enough of the smallest to see and name it
    return np.arange(share) * size // share


def draw_rows(ax: "Axes", seen: Mapping[str, View], max_neurons: int) -> None:
    """Draw one band of rows a population, the first on top. Line k of `ax` is population k."""
    total = sum(v.size for v in seen.values())
    drawn = {name: thinned(v.size, total, max_neurons) for name, v in seen.items()}
    rows = sum(map(len, drawn.values()))
    gap = 0.02 * rows if len(seen) > 1 else 0.0
    inches = ax.get_window_extent().height / figure_of(ax).dpi
    height = 72.0 * inches / (rows + gap * (len(seen) - 1))  # of a row, in points
    size = float(np.clip(1.1 * height, 1.7, 9.0))
    first, middles = 0.0, []
    for position, (name, v) in enumerate(seen.items()):
        chosen = drawn[name]
        row = np.full(v.size, -1)
        row[chosen] = np.arange(len(chosen))
        mine = row[v.neuron] >= 0
        ax.plot(
            v.time[mine],
            first + row[v.neuron[mine]],
            linestyle="none",
            marker="|" if size > 3.0 else "o",
            markersize=size,
            markeredgewidth=0.9 if size > 3.0 else 0.0,
            color=colour(position),
            label=name,
            rasterized=True,
        )
        middles.append(first + (len(chosen) - 1) / 2)
        first += len(chosen) + gap
    shown = f"{rows} of {total} neurons" if rows < total else f"{total} neurons"
    v = next(iter(seen.values()))
    clean(ax, x="time (ms)", y=shown)
    ax.set(xlim=(v.start, v.stop), ylim=(first - gap - 0.5, -0.5))
    ax.spines["left"].set_visible(False)
    ax.set_yticks(middles, list(seen))
    ax.tick_params(axis="y", length=0)
    for position, tick in enumerate(ax.get_yticklabels()):
        tick.set(color=colour(position), fontweight="bold", fontsize=TICK)


def draw_rates(
    ax: "Axes", trains: Mapping[str, Spikes], start: float, stop: float, bin: float
) -> None:
    """Draw the rate of every population over time, as steps; of many, that of all neurons."""
    found = [population_rate(s, bin, start=start, stop=stop) for s in trains.values()]
    times, values = found[0][0], [rate for _, rate in found]
    edges = np.append(times - bin / 2, times[-1] + bin / 2)
    lines = {name: (v, colour(i)) for i, (name, v) in enumerate(zip(trains, values, strict=True))}
    if len(trains) > MANY:
        sizes = [spikes.size for spikes in trains.values()]
        lines = {"all": (np.average(values, axis=0, weights=sizes), INK)}
    for name, (rate, ink) in lines.items():
        ax.stairs(rate, edges, baseline=None, color=ink, linewidth=1.4, label=name)
    whose = "rate of all" if len(trains) > MANY else "rate"
    clean(ax, x="time (ms)", y=f"{whose} (Hz)\n{bin:g} ms bins")
    ax.set(xlim=(start, stop))
    ax.set_ylim(bottom=0.0)
