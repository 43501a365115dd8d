"""A run's plots as SVG that stands inside an HTML page and takes that page's colours.

Every colour is one of the page's CSS variables, so that one drawing is legible in light and dark.
"""

import re
from collections.abc import Sequence
from io import StringIO

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

History = Sequence[dict[str, float]]

# Colours that stand for CSS variables until the SVG is written; no other part of a plot has them.
INK, _FAINT, FIRST, SECOND, WRONG = "#010101", "#020202", "#030303", "#040404", "#050505"
_VARIABLES = {
    INK: "var(--ink-2)",
    _FAINT: "var(--line)",
    FIRST: "var(--series-1)",
    SECOND: "var(--series-2)",
    WRONG: "var(--wrong)",
}

LABELLED = 40
"""Identities up to which every one has its name on the confusion matrix; of more, every n-th."""

POINTS = 4_000
"""Marks beyond which the matrix is drawn as pixels: an SVG of so many shapes is slow to show."""

_PIXELS = ("#3b82c4", "#e05a33")  # right and wrong, where pixels cannot take a page's colours


def draw_curves(history: History, classes: int, *, cross_entropy: bool = True) -> dict[str, Markup]:
    """Loss, accuracy and learning rate by epoch, as far as the history has them.

    Args:
        history: a dict for each epoch; see `training.report.page.RunRecord`.
        classes: the number of identities C: a net that knows nothing has the loss ln C and the
            accuracy 1 / C, and both are drawn.
        cross_entropy: the loss is one, so that ln C is chance; CosFace's is on another scale.
    """
    plots = {}
    if lines := _series(history, "loss", "val_loss"):
        figure, axes = new_axes()
        _draw(axes, lines)
        if cross_entropy:
            chance = float(np.log(classes))
            _draw_chance(axes, chance, f"knows nothing: ln {classes} = {chance:.2f}")
        axes.set_ylim(bottom=0)
        plots["Loss"] = to_svg(figure, "loss by epoch")
    if lines := _series(history, "accuracy", "val_accuracy", "val_rank_1"):
        figure, axes = new_axes()
        _draw(axes, lines)
        _draw_chance(axes, 1 / classes, f"chance: 1 of {classes}")
        axes.set_ylim(-0.02, 1.02)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        plots["Accuracy"] = to_svg(figure, "accuracy by epoch")
    if lines := _series(history, "learning_rate"):
        figure, axes = new_axes()
        _draw(axes, lines)
        axes.set_ylim(bottom=0)
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=False)
        axes.yaxis.get_offset_text().set(color=INK, fontsize=9)
        plots["Learning rate"] = to_svg(figure, "learning rate by epoch")
    return plots


def draw_confusion(confusion: NDArray[np.int64], identities: Sequence[str]) -> Markup:
    """The confusion matrix, with a mark for every confusion that stays visible with 1,000 classes.

    Args:
        confusion: int64 [C, C], rows the true identity, columns the one found.
        identities: C names.
    """
    count = len(identities)
    figure, axes = new_axes(7.6, 7.6)
    # Of 72 points an inch, the axes' six inches: one cell, or what the eye still finds.
    size = max(0.8 * 6 * 72 / count, 5.0)
    rows, columns = np.nonzero(confusion)
    wrong = rows != columns
    share = confusion[rows, columns] / np.maximum(confusion.sum(axis=1)[rows], 1)
    as_pixels = len(rows) > POINTS
    colours = _PIXELS if as_pixels else (FIRST, WRONG)
    for chosen, colour in zip((~wrong, wrong), colours, strict=True):
        if not chosen.any():
            continue
        axes.scatter(
            columns[chosen],
            rows[chosen],
            s=size**2,
            c=colour,
            alpha=0.5 + 0.5 * share[chosen],
            marker="s",
            linewidths=0,
            rasterized=as_pixels,
        )
    axes.set(xlim=(-1, count), ylim=(count, -1), xlabel="identified as", ylabel="true identity")
    axes.set_aspect("equal")
    step = 1 if count <= LABELLED else -(-count // 20)
    ticks = np.arange(0, count, step)
    names = [_shorten(identities[i]) for i in ticks]
    axes.set_xticks(ticks, names, rotation=90, parse_math=False)
    axes.set_yticks(ticks, names, parse_math=False)
    return to_svg(figure, "confusion matrix")


def _series(history: History, *names: str) -> dict[str, tuple[list[float], list[float]]]:
    """Epochs and values of the figures that the history has, without those that are no numbers."""
    found = {}
    for name in names:
        points = [
            (row.get("epoch", number), row[name])
            for number, row in enumerate(history, 1)
            if np.isfinite(row.get(name, np.nan))
        ]
        if points:
            epochs, values = zip(*points, strict=True)
            found[name] = (list(epochs), list(values))
    return found


def new_axes(width: float = 3.9, height: float = 2.8) -> tuple[Figure, Axes]:
    """An empty plot in the page's style; inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_FAINT)
    axes.tick_params(colors=INK, labelsize=9, color=_FAINT)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.grid(color=_FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _draw(axes: Axes, lines: dict[str, tuple[list[float], list[float]]]) -> None:
    """Training in the first colour, validation in the second, each named at its last point."""
    for name, (epochs, values) in lines.items():
        validation = name.startswith("val_")
        axes.plot(
            epochs,
            values,
            color=SECOND if validation else FIRST,
            linewidth=2,
            marker="o",
            markersize=3.5 if len(epochs) < 60 else 0,
            label="validation" if validation else "training",
        )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("epoch", fontsize=9)
    if len(lines) > 1:
        axes.legend(frameon=False, labelcolor=INK, fontsize=9)


def _draw_chance(axes: Axes, level: float, text: str) -> None:
    axes.axhline(level, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        text,
        (0.99, level),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        color=INK,
        fontsize=8.5,
    )


def _shorten(name: str) -> str:
    return name if len(name) <= 14 else f"{name[:13]}…"


def to_svg(figure: Figure, label: str) -> Markup:
    """The figure as an inline SVG element: no declarations, no addresses, the page's colours."""
    file = StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.image_inline": True}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r'(<svg[^>]*?)\swidth="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?)\sheight="[^"]*"', r"\1", svg, count=1)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1))
