"""Draws the charts of a benchmark; a chart without a drawing says why, and what to do."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from training.benchmark.verification import MIN_ERRORS
from training.report import chart
from training.report.chart import Chart, add_legend, new_axes, to_svg

Matcher = dict[str, Any]
"""An element of `matchers` in benchmark.json."""

COLOURS = (chart.BLUE, chart.ORANGE, chart.GREEN, chart.VIOLET)
STYLES: dict[str, tuple[str, Any, float]] = {
    "fused": (chart.RED, "-", 2.4),
    "classical": (chart.INK, chart.DASHED, 1.6),
}
"""Colour, line style and line width of the matchers that are not nets."""


def draw_distributions(matcher: Matcher) -> Chart:
    """Draws a matcher's distributions of genuine and of impostor similarities."""
    name, found = matcher["name"], matcher["distributions"]
    figure, axes = new_axes()
    for kind, colour in (("impostors", chart.ORANGE), ("genuine", chart.BLUE)):
        axes.stairs(found[kind], found["edges"], color=colour, linewidth=1.6, label=kind)
        axes.stairs(found[kind], found["edges"], color=colour, alpha=0.2, fill=True)
    axes.set(xlabel="score", ylabel="share of comparisons")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    add_legend(axes)
    counts = f"{matcher['genuine_comparisons']:,} genuine, {matcher['impostor_comparisons']:,}"
    return Chart(name, to_svg(figure, f"distributions of {name}"), f"{counts} impostor comparisons")


def draw_det(matchers: Sequence[Matcher]) -> Chart:
    """Draws FNMR against FMR, both logarithmic."""
    title = "DET: false non-matches against false matches"
    figure, axes = new_axes(chart.LARGE_IN)
    missing = []
    for i, one in enumerate(matchers):
        fmr, fnmr = (np.array(one["det"][name]) for name in ("fmr", "fnmr"))
        seen = (fmr > 0) & (fnmr > 0)  # 0 has no logarithm
        if seen.any():
            # A single point makes no line.
            marker = "o" if seen.sum() < 3 else None
            axes.plot(fmr[seen], fnmr[seen], marker=marker, **_style(one["name"], i))
        else:
            missing.append(one["name"])
    absent = (
        f"Not drawn: {', '.join(missing)}. One threshold separates all genuine comparisons from "
        "all impostor comparisons, so there is no error to draw. More probes are needed."
    )
    if len(missing) == len(matchers):
        return Chart(title, None, absent)
    lowest = 1 / max(one["genuine_comparisons"] for one in matchers)
    axes.plot([lowest, 1], [lowest, 1], color=chart.INK, linewidth=0.8, linestyle=chart.DOTTED)
    axes.set(xscale="log", yscale="log", xlabel="FMR", ylabel="FNMR", ylim=(lowest / 1.5, 1.2))
    axes.set_xlim(1 / max(one["impostor_comparisons"] for one in matchers), 1.2)
    add_legend(axes)
    caption = "Lower is better. A curve meets the dotted line at its equal error rate."
    return Chart(title, to_svg(figure, "DET"), f"{caption} {absent}" if missing else caption)


def draw_cmc(matchers: Sequence[Matcher]) -> Chart:
    """Draws the share of probes whose own identity is among the first k."""
    title = "CMC: closed-set identification"
    worst = min(one["cmc"][0] for one in matchers)
    if worst == 1:
        caption = (
            "Every matcher ranks the right identity first for every probe, so all curves would be "
            "at 100 %. More identities are needed to show differences between the matchers."
        )
        return Chart(title, None, caption)
    figure, axes = new_axes(chart.LARGE_IN)
    for i, one in enumerate(matchers):
        ranks = np.arange(1, len(one["cmc"]) + 1)
        axes.plot(ranks, one["cmc"], marker="o", markersize=3, **_style(one["name"], i))
    axes.set(xlabel="rank k", ylabel="share of probes")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
    add_legend(axes)
    caption = "The share of probes whose own identity is among the k most similar identities."
    return Chart(title, to_svg(figure, "CMC"), caption)


def draw_open_set(matchers: Sequence[Matcher]) -> Chart:
    """Draws FNIR against gallery size for each FPIR, with 95 % intervals."""
    title = "FNIR by gallery size: open-set identification"
    galleries = matchers[0]["open_set"]
    fpirs = list(galleries[0]["fnir"])
    stated = [fpir for fpir in fpirs if any(one["fnir"][fpir] for one in galleries)]
    unstated = _explain_unstated(galleries, [fpir for fpir in fpirs if fpir not in stated])
    if not stated:
        return Chart(title, None, unstated)
    figure, axes = new_axes(chart.LARGE_IN)
    for i, one in enumerate(matchers):
        for j, fpir in enumerate(stated):
            _draw_fnir(axes, one, i, fpir, faint=j > 0)
    sizes = [gallery["size"] for gallery in galleries]
    axes.set(xscale="log", xlabel="identities enrolled, N", ylabel="FNIR")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=45, ha="right")
    axes.minorticks_off()
    axes.set_ylim(0, max(1.35 * axes.get_ylim()[1], 0.01))  # room for the legend above the bars
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
    add_legend(axes, columns=2)
    caption = "Bars are 95 % intervals. Points are moved sideways so that bars do not overlap."
    return Chart(title, to_svg(figure, "FNIR"), f"{caption} {unstated}".strip())


def draw_reliability(matchers: Sequence[Matcher]) -> Chart:
    """Draws the share of right answers against confidence."""
    title = "Reliability of the confidences"
    calibrated = [one for one in matchers if one["reliability"]]
    if not calibrated:
        caption = (
            "No matcher here has calibrated confidences. Only maps have them: run the benchmark "
            "with --nets and without --shift."
        )
        return Chart(title, None, caption)
    figure, axes = new_axes(chart.LARGE_IN)
    axes.plot([0, 1], [0, 1], color=chart.INK, linewidth=0.8, linestyle=chart.DOTTED)
    for i, one in enumerate(matchers):
        found = one["reliability"]
        if not found:
            continue
        columns = zip(found["confidence"], found["right"], found["counts"], strict=True)
        bins = np.array([row for row in columns if row[2]])
        confidence, right, counts = bins.T
        area = 12 + 90 * counts / counts.sum()
        colour = _style(one["name"], i)["color"]
        axes.scatter(confidence, right, area, color=colour, alpha=0.8, label=one["name"])
    axes.set(xlabel="confidence", ylabel="share of right answers", xlim=(0, 1.02), ylim=(0, 1.02))
    add_legend(axes)
    answers = calibrated[0]["reliability"]["ece"]["count"]
    caption = (
        f"{answers:,} answers per matcher, in bins by confidence. A larger dot is a bin with more "
        "answers. On the dotted line, the confidence equals the share of right answers."
    )
    return Chart(title, to_svg(figure, "reliability"), caption)


def _draw_fnir(axes: Axes, matcher: Matcher, index: int, fpir: str, *, faint: bool) -> None:
    points = [(one["size"], rate) for one in matcher["open_set"] if (rate := one["fnir"][fpir])]
    sizes = np.array([size for size, _ in points])
    values = np.array([rate["value"] for _, rate in points])
    ends = np.array([[rate["low"], rate["high"]] for _, rate in points]).T
    style = _style(matcher["name"], index)
    axes.errorbar(
        sizes * 1.03**index,
        values,
        np.abs(ends - values),
        marker="s" if faint else "o",
        markersize=4,
        elinewidth=0.9,
        alpha=0.55 if faint else 1,
        **{**style, "label": f"{matcher['name']}, FPIR {fpir}"},
    )


def _explain_unstated(galleries: Sequence[dict[str, Any]], fpirs: Sequence[str]) -> str:
    """Returns why FNIR is missing at those FPIRs; "" if there are none."""
    if not fpirs:
        return ""
    seen = max(gallery["stranger_probes"] for gallery in galleries)
    needed = " and ".join(f"{round(MIN_ERRORS / float(fpir)):,} for FPIR {fpir}" for fpir in fpirs)
    return (
        f"FNIR is stated only with enough probes of strangers: {needed}. This database has at most "
        f"{seen:,}. Add identities, or more images of each."
    )


def _style(name: str, index: int) -> dict[str, Any]:
    """Returns how a matcher is drawn: a net's map and embedding in one colour."""
    of_net = COLOURS[index // 2 % len(COLOURS)]
    default = (of_net, chart.DOTTED if name.endswith(" embedding") else "-", 1.6)
    colour, line, width = STYLES.get(name, default)
    return {"color": colour, "linestyle": line, "linewidth": width, "label": name}
