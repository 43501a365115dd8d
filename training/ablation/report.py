"""The ablation's table and plots, from the cells' files alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.fit.guard import FIRST_EPOCHS, STUCK_LOSS, find_death
from training.fit.layer_inspector import LayerSignal
from training.metrics.rates import wilson_interval

CURVES = ("as-posted", "both", "he", "rate-1e-4", "batch", "weight-1e-4", "embedding-weight")
DEPTH = ("as-posted", "rate-1e-4", "batch", "embedding-weight")
"""Cells drawn in the plots: the failure, its supposed cures, and what works."""

MARKS = {"learned": "**learned**", "stuck": "at chance", "dead": "dead"}

NO_GRADIENT = 1e-6
"""Gradient to the first kernel, over that kernel's size, that is nothing but rounding."""

Result = dict[str, Any]


def write_ablation(folder: Path, order: list[str]) -> Path:
    """Writes table.md and, for every net, <net>-loss.png, <net>-depth.png and <net>-death.png.

    Args:
        folder: holds <net>/<cell>-<seed>.json.
        order: the cells' names as the table lists them.

    Returns:
        The path of table.md.
    """
    nets = sorted({path.parent.name for path in folder.glob("*/*.json")})
    table = []
    for net in nets:
        results = read_results(folder / net, order)
        table += [f"## {net}", "", *as_table(results), ""]
        by_cell = {result["cell"]: result for result in reversed(results)}  # the first seed's
        plot_losses(by_cell, folder / f"{net}-loss.png")
        plot_depth(by_cell, folder / f"{net}-depth.png")
        if "as-posted" in by_cell:
            plot_death(by_cell["as-posted"], folder / f"{net}-death.png")
    target = folder / "table.md"
    target.write_text("\n".join(table))
    return target


def read_results(folder: Path, order: list[str]) -> list[Result]:
    """The cells that are done, in the table's order, each cell's seeds in theirs."""
    results = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    return sorted(results, key=lambda r: (order.index(r["cell"]), r["seed"]))


def as_table(results: list[Result]) -> list[str]:
    """A row for each cell and seed."""
    first = results[0]
    lines = [
        f"{first['training_images']} training and {first['validation_images']} validation "
        f"images of {first['identities']} identities; chance is {1 / first['identities']:.2%}, "
        f"ln {first['identities']} = {np.log(first['identities']):.3f}.",
        "",
        "| cell | what it is | seed | outcome | last loss | last training accuracy "
        "| best validation | answers differ by | gradient, first layer | guard | s/epoch |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        last, history = r["trace"][-1]["layers"], r["history"]
        lines.append(
            f"| {r['cell']} | {r['change']} | {r['seed']} | {MARKS[outcome_of(r)]} "
            f"| {history['loss'][-1]:.3f} | {history['accuracy'][-1]:.1%} "
            f"| {max(history['val_accuracy']):.1%} | {last[-1]['spread']:.0e} "
            f"| {last[0]['gradient']:.0e} | {guard_says(r)} | {r['seconds_per_epoch']:.0f} |"
        )
    return lines


def outcome_of(result: Result) -> str:
    """What became of a cell, by its accuracy and the gradient in the end.

    Returns:
        learned: surely more than twice as many training images right as chance gets, in the last
        epoch; dead: not, and no gradient reaches the first layer any more; stuck: not, though one
        does. Training images, since BatchNorm's running averages need more steps than --scale
        quick has: a net that knows its training images may be at chance on others till then.
    """
    right = result["history"]["accuracy"][-1] * result["training_images"]
    least, _ = wilson_interval(round(right), result["training_images"])
    if least > 2 / result["identities"]:
        return "learned"
    return "dead" if result["trace"][-1]["layers"][0]["step"] < NO_GRADIENT else "stuck"


def guard_says(result: Result) -> str:
    """What the guard does: stop, note at the end of the first two epochs, or nothing."""
    steps = max(result["training_images"] // 32, 1)
    for record in result["trace"]:
        epoch, rest = divmod(record["step"], steps)
        if rest == 0 and epoch >= 1 and find_death(_signals(record)):
            return f"stops, epoch {epoch}"
    losses = result["history"]["loss"][:FIRST_EPOCHS]
    near = abs(losses[-1] - np.log(result["identities"])) < STUCK_LOSS
    paper = result["recipe"]["head"] == "paper"
    return f"notes, epoch {len(losses)}" if near and paper else ""


def _signals(record: dict[str, Any]) -> list[LayerSignal]:
    return [LayerSignal(**layer) for layer in record["layers"]]


def plot_losses(by_cell: dict[str, Result], target: Path) -> None:
    """Training loss and accuracy by epoch; the losses of two heads differ in kind."""
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
    """Spread, dead units and gradient by depth, before the first step and at the end."""
    figure = Figure(figsize=(12, 7), layout="constrained")
    axes = figure.subplots(2, 3, sharex=True)
    for row, (index, when) in zip(axes, ((0, "at the start"), (-1, "at the end")), strict=True):
        for name in (name for name in DEPTH if name in by_cell):
            layers = by_cell[name]["trace"][index]["layers"]
            _draw_layers(row, layers, by_cell[name]["change"])
        for ax, title in zip(row, _TITLES, strict=True):
            ax.set_title(f"{title}, {when}", fontsize="medium")
    _save(figure, axes[0, 0], target)


def plot_death(result: Result, target: Path) -> None:
    """The same by steps of the first epoch: how the net as posted dies."""
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    row = figure.subplots(1, 3)
    for record in result["trace"][:7]:
        _draw_layers(row, record["layers"], f"after {record['step']} steps")
    for ax, title in zip(row, _TITLES, strict=True):
        ax.set_title(title, fontsize="medium")
    _save(figure, row[0], target)


_TITLES = ("how much images differ (spread)", "share of dead units", "gradient (rms)")


def _draw_layers(row: Any, layers: list[dict[str, Any]], label: str) -> None:
    """One line in each of three axes; layers from the image to the answer."""
    names = [layer["layer"].removeprefix("block") for layer in layers]
    for ax, key in zip(row, ("spread", "dead", "gradient"), strict=True):
        values = np.array([layer[key] for layer in layers])
        ax.plot(
            names, values if key == "dead" else np.maximum(values, 1e-9), marker=".", label=label
        )
        _label_depth(ax, log=key != "dead")


def _label_depth(ax: Axes, log: bool) -> None:
    ax.set_yscale("log" if log else "linear")
    ax.tick_params(axis="x", rotation=90, labelsize="x-small")
    ax.grid(alpha=0.3)


def _save(figure: Figure, labelled: Axes, target: Path) -> None:
    """Writes the figure with one legend below all its axes, where it hides no line."""
    figure.legend(
        *labelled.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize="small",
    )
    figure.savefig(target, dpi=110)
