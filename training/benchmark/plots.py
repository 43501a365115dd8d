"""A benchmark's plots, as SVG that stands inside its page."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.report.plots import FIRST, INK, SECOND, WRONG, new_axes, to_svg

Matchers = Sequence[dict[str, Any]]

# Stand for CSS variables until the SVG is written, as those of `training.report.plots` do.
_THIRD, _FOURTH = "#060606", "#070707"
_VARIABLES = {_THIRD: "var(--series-3)", _FOURTH: "var(--series-4)"}
_COLOURS = (FIRST, SECOND, _THIRD, _FOURTH)
_STYLES = {"fused": (WRONG, "-", 2.4), "classical": (INK, (0, (4, 2)), 1.6)}

WIDE, HIGH = 6.0, 4.2
"""Inches, of the plots that hold every matcher."""


def draw_distributions(matcher: dict[str, Any]) -> Markup:
    """Genuine and impostor similarities: the share of comparisons in each bin."""
    figure, axes = new_axes(3.9, 2.8)
    found = matcher["distributions"]
    for name, colour in (("impostors", SECOND), ("genuine", FIRST)):
        axes.stairs(found[name], found["edges"], color=colour, linewidth=1.6, label=name)
        axes.stairs(found[name], found["edges"], color=colour, alpha=0.2, fill=True)
    axes.set_xlabel("similarity", fontsize=9)
    axes.set_ylabel("share of comparisons", fontsize=9)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    _legend(axes)
    return _finish(figure, f"distributions of {matcher['name']}")


def draw_det(matchers: Matchers) -> Markup:
    """FNMR against FMR, both logarithmic; the EER is where a curve meets the diagonal."""
    figure, axes = new_axes(WIDE, HIGH)
    for i, one in enumerate(matchers):
        fmr, fnmr = (np.array(one["det"][name]) for name in ("fmr", "fnmr"))
        # Of 0 there is no logarithm, and less than one error in all comparisons cannot be seen.
        seen = (fmr > 0) & (fnmr > 0)
        axes.plot(fmr[seen], fnmr[seen], **_style(one["name"], i))
    lowest = 1 / max(one["genuine_comparisons"] for one in matchers)
    axes.plot([lowest, 1], [lowest, 1], color=INK, linewidth=0.8, linestyle=(0, (1, 3)))
    axes.set(xscale="log", yscale="log", xlabel="FMR", ylabel="FNMR", ylim=(lowest / 1.5, 1.2))
    axes.set_xlim(1 / max(one["impostor_comparisons"] for one in matchers), 1.2)
    _legend(axes)
    return _finish(figure, "DET curves")


def draw_cmc(matchers: Matchers) -> Markup:
    """Share of probes whose own identity is among the first k."""
    figure, axes = new_axes(WIDE, HIGH)
    for i, one in enumerate(matchers):
        ranks = np.arange(1, len(one["cmc"]) + 1)
        axes.plot(ranks, one["cmc"], marker="o", markersize=3, **_style(one["name"], i))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(xlabel="rank", ylabel="probes found at this rank or better")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
    _legend(axes)
    return _finish(figure, "cumulative match characteristic")


def draw_open_set(matchers: Matchers) -> Markup:
    """FNIR at each FPIR against gallery size; the bars are 95 % intervals."""
    figure, axes = new_axes(WIDE, HIGH)
    for i, one in enumerate(matchers):
        for j, fpir in enumerate(one["open_set"][0]["fnir"]):
            points = [(g["size"], g["fnir"][fpir]) for g in one["open_set"] if g["fnir"][fpir]]
            if not points:
                continue
            rates = [rate for _, rate in points]
            values = np.array([rate["value"] for rate in rates])
            ends = np.array([[rate["low"], rate["high"]] for rate in rates]).T
            style: dict[str, Any] = _style(one["name"], i) | {
                "label": f"{one['name']}, FPIR {fpir}"
            }
            axes.errorbar(
                # Beside one another, or the bars of one matcher would hide those of the next.
                np.array([size for size, _ in points]) * 1.03**i,
                values,
                np.abs(ends - values),
                marker="os"[j % 2],
                markersize=4,
                elinewidth=0.9,
                alpha=1 if j == 0 else 0.55,
                **style,
            )
    axes.set(xscale="log", xlabel="identities enrolled, N", ylabel="FNIR")
    sizes = [gallery["size"] for gallery in matchers[0]["open_set"]]
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=45, ha="right")
    axes.minorticks_off()
    axes.set_ylim(0, max(1.35 * axes.get_ylim()[1], 0.01))  # room for the legend above the bars
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
    _legend(axes, columns=2)
    return _finish(figure, "FNIR by gallery size")


def draw_reliability(matchers: Matchers) -> Markup:
    """Share of right answers against confidence; a larger dot stands for more answers."""
    figure, axes = new_axes(WIDE, HIGH)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=(0, (1, 3)))
    for i, one in enumerate(matchers):
        if not one["reliability"]:
            continue
        found, style = one["reliability"], _style(one["name"], i)
        bins = [
            row
            for row in zip(found["confidence"], found["right"], found["counts"], strict=True)
            if row[2]
        ]
        confidence, right, counts = (np.array(column) for column in zip(*bins, strict=True))
        axes.plot(confidence, right, **{**style, "linewidth": 0.9})
        axes.scatter(confidence, right, 8 + 90 * counts / counts.sum(), color=style["color"])
    axes.set(xlabel="confidence", ylabel="share of right answers", xlim=(0, 1.02), ylim=(0, 1.02))
    _legend(axes)
    return _finish(figure, "reliability")


def _style(name: str, index: int) -> dict[str, Any]:
    colour, line, width = _STYLES.get(name, (_COLOURS[index % len(_COLOURS)], "-", 1.6))
    return {"color": colour, "linestyle": line, "linewidth": width, "label": name}


def _legend(axes: Axes, columns: int = 1) -> None:
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, labelcolor=INK, fontsize=8.5, ncols=columns)


def _finish(figure: Figure, label: str) -> Markup:
    svg = to_svg(figure, label)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg
