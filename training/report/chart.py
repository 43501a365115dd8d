"""A chart of a report page: its drawing and its caption.

Charts are drawn in dark ink without a background. On a page in dark colours, a CSS rule of
page.html.j2 inverts them.
"""

from dataclasses import dataclass
from io import StringIO

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, VIOLET, RED = "#1f6fb2", "#d9822b", "#2a8f5b", "#7b57b8", "#c8321f"
INK, GRID = "#4a5563", "#d3d9e0"
DASHED, DOTTED = (0, (4, 3)), (0, (1, 3))

SMALL_IN, LARGE_IN = (3.9, 2.8), (6.0, 4.2)
"""Width and height in inches. The page scales a chart to its column."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with a heading and a caption.

    Attributes:
        title: the heading.
        svg: the drawing; None if there is nothing to draw.
        caption: how to read the drawing, or why there is none and what to do.
    """

    title: str
    svg: Markup | None
    caption: str = ""


def new_axes(size_in: tuple[float, float] = SMALL_IN) -> tuple[Figure, Axes]:
    """Returns an empty figure and its axes in the style of the report."""
    figure = Figure(figsize=size_in, layout="constrained")
    axes = figure.subplots()
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.tick_params(labelcolor=INK, labelsize=9, color=GRID)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(color=INK, fontsize=9)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def add_legend(axes: Axes, *, columns: int = 1) -> None:
    """Adds a legend if the plot has labelled lines."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, labelcolor=INK, fontsize=8.5, ncols=columns)


def to_svg(figure: Figure, title: str) -> Markup:
    """Returns the figure as an SVG element for an HTML page; text remains text.

    Equal figures with equal titles give equal SVGs.

    Args:
        figure: the drawing.
        title: title that no other chart of the page has; the ids in the SVG are made from it.
    """
    file = StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(file, format="svg", metadata=nothing)
    svg = file.getvalue()
    return Markup(svg[svg.index("<svg") :])  # HTML allows no XML declaration
