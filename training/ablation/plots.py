"""Draws the plots of the ablation: loss and accuracy by epoch, and signals by depth."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.report.files import replacing

Result = dict[str, Any]
"""Content of a cell's file; see `training.ablation.run.train_cell`."""

CURVES = ("as-posted", "both", "he", "rate-1e-4", "batch", "weight-1e-4", "embedding-weight")
"""Cells in the plot by epoch."""

DEPTH = ("as-posted", "rate-1e-4", "batch", "embedding-weight")
"""Cells in the plot by depth: the failure, two attempted remedies, and one that works."""

_TITLES = {
    "spread": "how much images differ (spread)",
    "dead": "share of dead units",
    "gradient": "gradient (rms)",
}


def plot_losses(by_cell: dict[str, Result], target: Path) -> None:
    """Plots training loss and accuracy by epoch.

    Losses of the two heads cannot be compared, so only losses of the paper's head are plotted.
    """
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in (name for name in CURVES if name in by_cell):
        result = by_cell[name]
        epochs = range(1, len(result["history"]["loss"]) + 1)
        right.plot(epochs, result["history"]["accuracy"], marker=".", label=result["change"])
        if result["recipe"]["head"] == "paper":
            left.plot(epochs, result["history"]["loss"], marker=".", label=result["change"])
    identities = next(iter(by_cell.values()))["identities"]
    left.axhline(np.log(identities), color="grey", linestyle="--", linewidth=1)
    right.axhline(1 / identities, color="grey", linestyle="--", linewidth=1, label="chance")
    left.set(xlabel="epoch", ylabel=f"training loss (paper's head); dashed: ln {identities}")
    right.set(xlabel="epoch", ylabel="training accuracy", ylim=(0, 1.02))
    _save(figure, right, target)


def plot_depth(by_cell: dict[str, Result], target: Path) -> None:
    """Plots spread, dead units and gradient by depth, before the first step and at the end."""
    figure = Figure(figsize=(12, 7), layout="constrained")
    axes = figure.subplots(2, 3, sharex=True)
    for row, (index, when) in zip(axes, ((0, "at the start"), (-1, "at the end")), strict=True):
        for name in (name for name in DEPTH if name in by_cell):
            layers = by_cell[name]["trace"][index]["layers"]
            _draw_layers(row, layers, by_cell[name]["change"], f", {when}")
    _save(figure, axes[0, 0], target)


def plot_death(result: Result, target: Path) -> None:
    """Plots spread, dead units and gradient by depth after steps of the first epoch."""
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    row = figure.subplots(1, 3)
    for record in result["trace"][:7]:
        _draw_layers(row, record["layers"], f"after {record['step']} steps")
    _save(figure, row[0], target)


def _draw_layers(row: Any, layers: list[dict[str, Any]], label: str, when: str = "") -> None:
    """Draws one line in each of three axes, with the layers from first to last."""
    names = [layer["layer"].removeprefix("block") for layer in layers]
    for ax, (key, title) in zip(row, _TITLES.items(), strict=True):
        least = 0 if key == "dead" else 1e-9  # 0 has no logarithm
        values = np.maximum([layer[key] for layer in layers], least)
        ax.plot(names, values, marker=".", label=label)
        ax.set_title(f"{title}{when}", fontsize="medium")
        ax.set_yscale("linear" if key == "dead" else "log")
        ax.tick_params(axis="x", rotation=90, labelsize="x-small")
        ax.grid(alpha=0.3)


def _save(figure: Figure, labelled: Axes, target: Path) -> None:
    """Writes the figure with one legend below all axes."""
    figure.legend(
        *labelled.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize="small",
    )
    with replacing(target) as unfinished:
        figure.savefig(unfinished, dpi=110)
