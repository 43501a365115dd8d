"""What a run leaves behind when it has ended."""

import json
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from training.database.palms import Palms
from training.database.split import Split, split_palms
from training.fit.evaluation import Evaluation, count_correct, evaluate
from training.fit.result import Page, conclude

SETTINGS = {"net": "alexnet", "precision": "float32", "head": "embedding"}
ROWS = [
    {"epoch": 1.0, "loss": 2.0, "val_accuracy": 0.25, "learning_rate": 0.1, "seconds": 40.0},
    {"epoch": 2.0, "loss": 1.0, "val_accuracy": 0.75, "learning_rate": 0.0, "seconds": 50.0},
]


@pytest.fixture
def split(make_palms: Callable[..., Palms]) -> Split:
    """Four identities, three sessions, two shots."""
    return split_palms(make_palms(4, 3, 2), by="session")


@pytest.fixture
def evaluation(split: Split) -> Evaluation:
    """Seven of eight test images are right."""
    scores = np.eye(4, dtype=np.float32)[split.test.labels]
    scores[0] = scores[0][::-1]
    return Evaluation(count_correct(scores, split.test.labels), scores)


def test_a_run_leaves_its_figures_a_plot_and_a_report(
    split: Split, evaluation: Evaluation, tmp_path: Path
) -> None:
    page = Page(split, evaluation, {"exact": 0}, ["epoch 1: slow"], ["Nothing is kept."])
    conclude(tmp_path, SETTINGS, ROWS, {"before": 1}, page)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["net"] == "alexnet"
    assert (result["epochs"], result["minutes"], result["before"]) == (2, 1.5, 1)
    assert result["test"]["correct"] == 7
    assert (result["guard"], result["notes"]) == (["epoch 1: slow"], ["Nothing is kept."])
    assert result["environment"]["precision"] == "float32"
    assert "epoch 1: slow" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.iterdir())) == 3


def test_a_run_without_a_test_part_has_no_report(tmp_path: Path) -> None:
    conclude(tmp_path, SETTINGS, ROWS, {"whitened": {"eer": 0.1}})
    assert json.loads((tmp_path / "result.json").read_text())["whitened"] == {"eer": 0.1}
    assert not (tmp_path / "report.html").exists()


def test_a_report_that_fails_leaves_the_old_result(
    split: Split, evaluation: Evaluation, tmp_path: Path
) -> None:
    conclude(tmp_path, SETTINGS, ROWS, {}, Page(split, evaluation, {}))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    broken = Evaluation(evaluation.metrics, np.zeros((1, 4), np.float32))
    with pytest.raises(ValueError, match="test scores have the shape"):
        conclude(tmp_path, SETTINGS, ROWS, {}, Page(split, broken, {}))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_accuracy_is_counted_with_its_interval(evaluation: Evaluation) -> None:
    metrics = evaluation.metrics
    assert (metrics["images"], metrics["correct"], metrics["accuracy"]) == (8, 7, 0.875)
    low, high = metrics["accuracy_interval"]
    assert 0.5 < low < 0.875 < high < 1
    assert metrics["top_5"] == 1
    assert str(evaluation).startswith("test accuracy 87.5% (7 of 8, 95 % interval ")


def test_a_label_below_the_first_five_is_not_in_the_top_five() -> None:
    scores = np.arange(7, dtype=np.float32)[None].repeat(2, axis=0)
    assert count_correct(scores, np.array([2, 1], np.int32))["top_5"] == 0.5


def test_a_split_by_identity_is_evaluated_by_comparing_embeddings(
    make_palms: Callable[..., Palms],
) -> None:
    split = split_palms(make_palms(10, 2, 2), by="identity")
    images = keras.Input((1, 1, 3), dtype="uint8")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images))
    net = keras.Model(images, keras.layers.UnitNormalization(name="embedding")(x))
    evaluation = evaluate(net, split)
    assert set(evaluation.metrics) == {"rank_1", "eer"}
    assert evaluation.scores is None
    assert str(evaluation).startswith("rank-1 ")
