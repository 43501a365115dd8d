"""Draws the charts of a training run: figures by epoch, and the confusion matrix."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from training.report import chart
from training.report.chart import Chart, add_legend, new_axes, to_svg

History = Sequence[dict[str, float]]
Series = dict[str, tuple[list[float], list[float]]]

MATRIX_IN = (7.6, 7.6)
MATRIX_AXES_PT = 6 * 72
"""Side of the matrix without its labels, in points."""

SMALLEST_MARK_PT = 5.0
"""Smallest side of a mark in points: smaller marks are hard to see."""

LABELLED = 40
"""Largest number of identities that are all named on the axes; of more, about 20 are named."""

VECTOR_MARKS = 4_000
"""Largest number of marks drawn as shapes. More are drawn as pixels: browsers are slow with SVGs of
many shapes."""

NOT_FINITE = "The value was not a finite number in any epoch, so there is nothing to draw."


def draw_curves(history: History, identities: int, *, cross_entropy: bool) -> list[Chart]:
    """Draws loss, accuracy, equal error rate and learning rate by epoch, if the history has them.

    Args:
        history: a dict for each epoch; see `training.report.page.RunRecord`.
        identities: C, the number of identities that the net is trained on. Guessing has the
            accuracy 1 / C.
        cross_entropy: whether the loss is the cross-entropy over the identities; guessing then has
            the loss ln C.
    """
    charts = [
        _draw_loss(history, identities, cross_entropy),
        _draw_accuracy(history, identities),
        _draw_eer(history),
        _draw_learning_rate(history),
    ]
    return list(filter(None, charts))


def draw_confusion(confusion: NDArray[np.int64], identities: Sequence[str]) -> Markup:
    """Draws the confusion matrix.

    Every confusion has a visible mark, even among 1,000 identities. Marks are blue on the diagonal
    and red elsewhere; a stronger colour is a larger share of the identity's test images.

    Args:
        confusion: int64 [C, C], number of images by true identity (row) and found identity
            (column).
        identities: names of the C identities.
    """
    count = len(identities)
    figure, axes = new_axes(MATRIX_IN)
    size = max(0.8 * MATRIX_AXES_PT / count, SMALLEST_MARK_PT)
    rows, columns = np.nonzero(confusion)
    wrong = rows != columns
    share = confusion[rows, columns] / confusion.sum(axis=1)[rows]
    order = np.argsort(wrong)  # errors last, on top of the marks that they overlap
    axes.scatter(
        columns[order],
        rows[order],
        s=size**2,
        c=np.where(wrong, chart.RED, chart.BLUE)[order],
        alpha=(0.6 + 0.4 * share)[order],
        marker="s",
        linewidths=0,
        rasterized=len(rows) > VECTOR_MARKS,
    )
    axes.set(xlim=(-1, count), ylim=(count, -1), xlabel="identified as", ylabel="true identity")
    axes.set_aspect("equal")
    ticks = range(0, count, 1 if count <= LABELLED else -(-count // 20))
    names = [_shorten(identities[i]) for i in ticks]
    # A name may hold a dollar sign, which would start a formula.
    axes.set_xticks(ticks, names, rotation=90, parse_math=False)
    axes.set_yticks(ticks, names, parse_math=False)
    return to_svg(figure, "confusion matrix")


def _draw_loss(history: History, identities: int, cross_entropy: bool) -> Chart | None:
    names = ("loss", "val_loss")
    if not (lines := _series(history, names)):
        return _explain_absence(history, "Loss", names)
    figure, axes = _plot(lines)
    caption = (
        "With this head, guessing has no fixed loss. A loss that falls shows that the net learns."
    )
    if cross_entropy:
        chance = float(np.log(identities))
        _draw_chance(axes, chance, f"guessing: ln {identities} = {chance:.2f}")
        caption = (
            f"Dashed: a net that guesses gives each of the {identities} identities the probability "
            f"1/{identities}. Its loss is the natural logarithm of {identities}, ln {identities} = "
            f"{chance:.2f}. A loss that stays there means that the net has learned nothing yet."
        )
    axes.set_ylim(0, 1.15 * axes.get_ylim()[1])  # room for the text above the dashed line
    add_legend(axes)
    return Chart("Loss", to_svg(figure, "loss"), caption)


def _draw_accuracy(history: History, identities: int) -> Chart | None:
    names = ("accuracy", "val_accuracy", "val_rank_1")
    if not (lines := _series(history, names)):
        return _explain_absence(history, "Accuracy", names)
    figure, axes = _plot(lines)
    captions = []
    if lines.keys() - {"val_rank_1"}:
        _draw_chance(axes, 1 / identities, f"guessing: 1 of {identities}")
        captions.append(f"Dashed: a net that guesses is right for 1 of {identities} images.")
    if "val_rank_1" in lines:
        captions.append(
            "Validation: rank-1, the share of probes whose most similar template is of their own "
            "identity. The net was not trained on these identities."
        )
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    add_legend(axes)
    return Chart("Accuracy", to_svg(figure, "accuracy"), " ".join(captions))


def _draw_eer(history: History) -> Chart | None:
    if not (lines := _series(history, ["val_eer"])):
        return None
    figure, axes = _plot(lines)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
    caption = (
        "At the threshold of the equal error rate, the share of accepted pairs of two identities "
        "equals the share of refused pairs of one identity. Lower is better."
    )
    return Chart("Equal error rate in validation", to_svg(figure, "equal error rate"), caption)


def _draw_learning_rate(history: History) -> Chart | None:
    if not (lines := _series(history, ["learning_rate"])):
        return None
    figure, axes = _plot(lines)
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=False)
    axes.yaxis.get_offset_text().set(color=chart.INK, fontsize=9)
    return Chart("Learning rate", to_svg(figure, "learning rate"), "At the end of each epoch.")


def _explain_absence(history: History, title: str, names: Sequence[str]) -> Chart | None:
    """Returns a chart without a drawing if the history has figures but no finite one, else None."""
    has_some = any(name in row for row in history for name in names)
    return Chart(title, None, NOT_FINITE) if has_some else None


def _series(history: History, names: Sequence[str]) -> Series:
    """Returns epochs and values by name; values that are not finite are left out."""
    found: Series = {}
    for name in names:
        rows = [(n, row) for n, row in enumerate(history, 1) if np.isfinite(row.get(name, np.nan))]
        if rows:
            found[name] = [row.get("epoch", n) for n, row in rows], [row[name] for _, row in rows]
    return found


def _plot(lines: Series) -> tuple[Figure, Axes]:
    figure, axes = new_axes()
    for name, (epochs, values) in lines.items():
        validation = name.startswith("val_")
        axes.plot(
            epochs,
            values,
            color=chart.ORANGE if validation else chart.BLUE,
            linewidth=2,
            marker="o",
            markersize=3.5 if len(epochs) < 60 else 0,
            label="validation" if validation else "training",
        )
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.set_xlabel("epoch")
    return figure, axes


def _draw_chance(axes: Axes, level: float, text: str) -> None:
    axes.axhline(level, color=chart.INK, linewidth=1, linestyle=chart.DASHED)
    axes.annotate(
        text,
        (0.99, level),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        color=chart.INK,
        fontsize=8.5,
    )


def _shorten(name: str) -> str:
    return name if len(name) <= 14 else f"{name[:13]}…"
