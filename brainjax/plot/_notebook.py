"""A figure that shows itself in a notebook. Imports Matplotlib: import it in functions only."""

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


class NotebookFigure(Figure):
    """A figure that `pyplot` does not know of, and that a notebook displays all the same.

    IPython learns how to show figures when `pyplot` is imported, which we never do. Where it was
    imported, IPython's own way takes precedence, so a figure is shown once.
    """

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        FigureCanvasAgg(self).print_png(file)
        return file.getvalue()
