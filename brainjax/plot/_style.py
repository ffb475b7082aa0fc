"""How every figure looks: colours, sizes, axes; and where figures come from."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..core import explain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that people with any colour vision tell apart, and that carry text on white: M. Okabe and
# K. Ito, "Color universal design", 2008, without its yellow. Blue first: populations are given
# excitatory first, and blue and red are what the field's eye expects of the two.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C")
INK = "#262626"  # text and spines
# How a reference is drawn, such as a threshold or the value of a Poisson process.
REFERENCE = {"color": "#8C8C8C", "linewidth": 1.1, "linestyle": (0, (5, 3)), "zorder": 1}
LABEL, TICK = 13.0, 11.5  # points


def colour(position: int) -> str:
    """The colour of the population at `position` among `trains`."""
    return COLOURS[position % len(COLOURS)]


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of `width` x `height` inches, unknown to `pyplot`.

    **Raises:**

    `ImportError` where Matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "brainjax.plot draws with Matplotlib, which is not installed. Install it with "
            '`pip install "brainjax[plot]"`.'
        ) from error
    from ._notebook import NotebookFigure

    figure = NotebookFigure(figsize=(width, height), dpi=120, layout="constrained")
    figure.set_facecolor("white")
    return figure


def new_axes(ax: Any, count: int, width: float, height: float, **grid: Any) -> "list[Axes]":
    """The axes to draw into: the user's own in `ax`, or `count` fresh ones laid out by `grid`."""
    if ax is None:
        made = new_figure(width, height).subplots(squeeze=False, **grid)
        return list(made.ravel())
    axes = list(ax) if isinstance(ax, Sequence) or hasattr(ax, "ravel") else [ax]
    if not 1 <= len(axes) <= count or not all(hasattr(a, "plot") for a in axes):
        raise ValueError(
            explain(
                "ax",
                got=ax,
                expected="Matplotlib axes" if count == 1 else f"1 to {count} Matplotlib axes",
                mend="For instance `ax=figure.subplots()`; without `ax` a figure is made.",
            )
        )
    return axes


def figure_of(ax: "Axes") -> "Figure":
    """The figure `ax` is part of, through any nested subfigures."""
    figure: Any = ax.figure
    while figure.figure is not figure:
        figure = figure.figure
    return figure


def clean(ax: "Axes", *, x: str, y: str) -> None:
    """Thin spines left and below, readable ticks, and labels (with their units) on both axes."""
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set(linewidth=0.7, color=INK)
    ax.tick_params(width=0.7, length=3.5, color=INK, labelcolor=INK, labelsize=TICK)
    ax.set_xlabel(x, fontsize=LABEL, color=INK)
    ax.set_ylabel(y, fontsize=LABEL, color=INK)


def legend(ax: "Axes") -> None:
    """A legend in rows above the axes, where it covers nothing, as wide as fits."""
    labels = ax.get_legend_handles_labels()[1]
    if not labels:
        return
    entry = TICK * (0.53 * max(map(len, labels)) + 3.1)  # about, in points
    width = 1.1 * 72.0 * ax.get_window_extent().width / figure_of(ax).dpi  # once laid out
    rows = -(-len(labels) // max(1, int(width // entry)))
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=-(-len(labels) // rows),
        frameon=False,
        fontsize=TICK,
        labelcolor=INK,
        borderaxespad=0.2,
        handlelength=1.2,
        handletextpad=0.5,
        columnspacing=1.4,
    )
