"""Writes the ablation's table and plots from the files of the cells."""

import json
from pathlib import Path
from typing import Literal

import numpy as np

from training.ablation.cells import BATCH_SIZE
from training.ablation.plots import Result, plot_death, plot_depth, plot_losses
from training.fit.guard import FIRST_EPOCHS, STUCK_LOSS, find_death
from training.fit.layer_inspector import LayerSignal
from training.metrics.rates import wilson_interval
from training.report.files import write_text

Outcome = Literal["learned", "stuck", "dead"]

MARKS = {"learned": "**learned**", "stuck": "at chance", "dead": "dead"}
"""Names of the outcomes in the table."""

NO_GRADIENT = 1e-6
"""Ratio of the first kernel's gradient to the kernel below which it is only a rounding error."""


def write_ablation(folder: Path, order: list[str]) -> Path:
    """Writes table.md and, for every net, <net>-loss.png, <net>-depth.png and <net>-death.png.

    Args:
        folder: folder with the files <net>/<cell>-<seed>.json.
        order: names of the cells in the order of the table.

    Returns:
        The path of table.md.
    """
    nets = sorted({path.parent.name for path in folder.glob("*/*.json")})
    table: list[str] = []
    for net in nets:
        cells = [json.loads(path.read_text()) for path in (folder / net).glob("*.json")]
        results = sorted(cells, key=lambda cell: (order.index(cell["cell"]), cell["seed"]))
        table += [f"## {net}", "", *as_table(results), ""]
        by_cell = {result["cell"]: result for result in reversed(results)}  # of the first seed
        plot_losses(by_cell, folder / f"{net}-loss.png")
        plot_depth(by_cell, folder / f"{net}-depth.png")
        if "as-posted" in by_cell:
            plot_death(by_cell["as-posted"], folder / f"{net}-death.png")
    target = folder / "table.md"
    write_text(target, "\n".join(table))
    return target


def as_table(results: list[Result]) -> list[str]:
    """Returns the lines of a Markdown table with a row for each cell and seed."""
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
            f"| {r['cell']} | {r['change']} | {r['seed']} | {MARKS[read_outcome(r)]} "
            f"| {history['loss'][-1]:.3f} | {history['accuracy'][-1]:.1%} "
            f"| {max(history['val_accuracy']):.1%} | {last[-1]['spread']:.0e} "
            f"| {last[0]['gradient']:.0e} | {describe_guard(r)} | {r['seconds_per_epoch']:.0f} |"
        )
    return lines


def read_outcome(result: Result) -> Outcome:
    """Returns a cell's outcome, from its training accuracy and its last gradient.

    The validation accuracy is not used: BatchNorm's running averages need more steps than --scale
    quick has, so a net that has learned its training images can be at chance on others.

    Returns:
        "learned" if the lower end of the 95 % interval of the last training accuracy is above
        twice the chance level; otherwise "dead" if the first layer has no gradient, and "stuck" if
        it has one.
    """
    right = result["history"]["accuracy"][-1] * result["training_images"]
    least, _ = wilson_interval(round(right), result["training_images"])
    if least > 2 / result["identities"]:
        return "learned"
    return "dead" if result["trace"][-1]["layers"][0]["step"] < NO_GRADIENT else "stuck"


def describe_guard(result: Result) -> str:
    """Returns what the guard of `train` would do about a cell, and when; "" for nothing.

    The guard stops a net that is dead after an epoch, and notes a net that has not begun to learn
    after the first epochs.
    """
    steps = max(result["training_images"] // BATCH_SIZE, 1)
    for record in result["trace"]:
        epoch, rest = divmod(record["step"], steps)
        signals = [LayerSignal(**layer) for layer in record["layers"]]
        if rest == 0 and epoch >= 1 and find_death(signals):
            return f"stops, epoch {epoch}"
    losses = result["history"]["loss"]
    if result["recipe"]["head"] != "paper" or len(losses) < FIRST_EPOCHS:
        return ""
    near = abs(losses[FIRST_EPOCHS - 1] - np.log(result["identities"])) < STUCK_LOSS
    return f"notes, epoch {FIRST_EPOCHS}" if near else ""
