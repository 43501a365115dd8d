"""Outcomes, table and plots from cells' figures."""

import json
from pathlib import Path

import numpy as np

from training.ablation.report import describe_guard, read_outcome, write_ablation

CHANCE = float(np.log(40))


def result(accuracy: float, step: float, spread: float, loss: float, head: str = "paper"):
    """A cell of 40 identities and 960 images that has these figures after every epoch."""
    layer = {"rms": 1.0, "dead": 0.1, "gradient": step}
    layers = [
        {**layer, "layer": "conv1", "spread": 0.2, "step": step},
        {**layer, "layer": "answer", "spread": spread, "step": step},
    ]
    return {
        "training_images": 960,
        "validation_images": 320,
        "identities": 40,
        "recipe": {"head": head},
        "change": f"a net with the {head} head",
        "seconds_per_epoch": 3.0,
        "history": {"accuracy": [accuracy] * 2, "loss": [loss] * 2, "val_accuracy": [0.1, 0.2]},
        "trace": [{"step": step, "layers": layers} for step in (0, 30, 60)],
    }


def test_an_outcome_depends_on_the_accuracy_and_the_gradient_that_is_left() -> None:
    assert read_outcome(result(0.30, 1e-2, 1.0, 2.0)) == "learned"
    assert read_outcome(result(0.03, 1e-2, 1e-2, CHANCE)) == "stuck"
    assert read_outcome(result(0.03, 1e-8, 1e-7, CHANCE)) == "dead"
    assert read_outcome(result(0.055, 1e-2, 1.0, CHANCE)) == "stuck"  # chance is 0.025


def test_the_guard_stops_a_dead_net_and_notes_one_that_has_not_begun() -> None:
    assert describe_guard(result(0.03, 1e-8, 1e-7, CHANCE)) == "stops, epoch 1"
    assert describe_guard(result(0.03, 1e-2, 1e-2, CHANCE)) == "notes, epoch 2"
    assert describe_guard(result(0.30, 1e-2, 1.0, 2.0)) == ""
    assert describe_guard(result(0.30, 1e-2, 1.0, CHANCE, head="embedding")) == ""
    short = result(0.03, 1e-2, 1e-2, CHANCE)
    short["history"]["loss"] = [CHANCE]
    assert describe_guard(short) == ""


def test_the_table_lists_cells_in_the_order_asked_for_and_by_seed(tmp_path: Path) -> None:
    (tmp_path / "vgg16").mkdir()
    dead, learned = result(0.03, 1e-8, 1e-7, CHANCE), result(0.30, 1e-2, 1.0, 2.0, "embedding")
    for figures, cell, seed in (
        (learned, "batch", 1),
        (dead, "as-posted", 2),
        (dead, "as-posted", 1),
    ):
        text = json.dumps({**figures, "cell": cell, "seed": seed})
        (tmp_path / "vgg16" / f"{cell}-{seed}.json").write_text(text)
    table = write_ablation(tmp_path, ["as-posted", "batch"]).read_text().splitlines()
    assert table[0] == "## vgg16"
    assert "960 training and 320 validation images of 40 identities; chance is 2.50%" in table[2]
    rows = [line.split(" | ") for line in table if line.startswith(("| as", "| ba"))]
    assert [(row[0], row[2], row[3]) for row in rows] == [
        ("| as-posted", "1", "dead"),
        ("| as-posted", "2", "dead"),
        ("| batch", "1", "**learned**"),
    ]
    for plot in ("loss", "depth", "death"):
        assert (tmp_path / f"vgg16-{plot}.png").stat().st_size > 1000
