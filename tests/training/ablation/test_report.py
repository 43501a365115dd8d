"""Outcomes from a cell's figures."""

import numpy as np

from training.ablation.report import describe_guard, read_outcome

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
        "identities": 40,
        "recipe": {"head": head},
        "history": {"accuracy": [accuracy] * 2, "loss": [loss] * 2},
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
