"""A run's folder: which weights are kept, and which epochs count as done."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from training.fit.checkpoint import (
    Checkpoint,
    epochs_done,
    load_best,
    read_history,
    save_weights,
    write_history,
)


def toy() -> keras.Model:
    """A net with a single weight."""
    image = keras.Input((1,))
    model = keras.Model(image, keras.layers.Dense(1, use_bias=False, name="dense")(image))
    model.compile(optimizer="sgd", loss="mse")
    return model


def weight(model: Any) -> float:
    return model.get_weights()[0].item()


def run(folder: Path, best_by: str | None, accuracies: list[float]) -> keras.Model:
    """Writes epochs after each of which the net's weight is the epoch's number from 1."""
    model, checkpoint = toy(), Checkpoint(folder, best_by)
    checkpoint.set_model(model)
    for epoch, accuracy in enumerate(accuracies):
        checkpoint.on_epoch_begin(epoch)
        model.set_weights([np.array([[epoch + 1.0]])])
        checkpoint.on_epoch_end(epoch, {"val_accuracy": accuracy})
    return model


@pytest.mark.parametrize(
    ("best_by", "accuracies", "kept"),
    [
        ("val_accuracy", [0.5, 0.9, 0.7], 2),
        ("val_accuracy", [0.5, 0.9, 0.9], 3),  # of equals the later
        (None, [0.5, 0.9, 0.7], 3),
    ],
)
def test_the_best_epochs_weights_are_kept_or_else_the_last(
    best_by: str | None, accuracies: list[float], kept: int, tmp_path: Path
) -> None:
    model = run(tmp_path, best_by, accuracies)
    load_best(model, tmp_path)
    assert weight(model) == kept
    assert epochs_done(tmp_path) == 3
    assert len(list(tmp_path.glob("state-*"))) == 1
    assert [row["val_accuracy"] for row in read_history(tmp_path)] == accuracies


def test_an_epoch_whose_state_was_not_written_does_not_count(tmp_path: Path) -> None:
    """A kill between history.csv and the state: the epoch is trained once more."""
    run(tmp_path, None, [0.5])
    next(tmp_path.glob("state-*")).unlink()
    assert len(read_history(tmp_path)) == 1
    assert Checkpoint(tmp_path).rows == []


def test_an_interruption_keeps_weights_only_where_there_are_none_yet(tmp_path: Path) -> None:
    model = toy()
    model.set_weights([np.array([[7.0]])])
    Checkpoint(tmp_path / "new").keep_something(model)
    load_best(model, tmp_path / "new")
    assert weight(model) == 7
    run(tmp_path / "old", "val_accuracy", [0.5])
    Checkpoint(tmp_path / "old").keep_something(model)
    load_best(model, tmp_path / "old")
    assert weight(model) == 1


def test_parts_of_a_model_are_kept_in_folders_of_their_own(tmp_path: Path) -> None:
    parts = {tmp_path / name: toy() for name in ("one", "two")}
    parts[tmp_path / "two"].set_weights([np.array([[2.0]])])
    checkpoint = Checkpoint(tmp_path, parts=parts)
    checkpoint.set_model(toy())
    checkpoint.on_epoch_begin(0)
    checkpoint.on_epoch_end(0, {"loss": 1.0})
    model = toy()
    load_best(model, tmp_path / "two")
    assert weight(model) == 2
    assert (tmp_path / "one" / "best.weights.h5").exists()


def test_weights_that_cannot_be_written_leave_the_old_ones(tmp_path: Path) -> None:
    target = tmp_path / "best.weights.h5"
    save_weights(toy(), target)
    before = target.read_bytes()

    class Broken:
        def save_weights(self, path: Path) -> None:
            path.write_bytes(b"half")
            raise OSError("the disk is full")

    broken: Any = Broken()
    with pytest.raises(OSError, match="the disk is full"):
        save_weights(broken, target)
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [{"epoch": 1.0, "loss": 0.1 + 0.2}, {"epoch": 2.0, "loss": 1e-30}]
    write_history(tmp_path, rows)
    assert read_history(tmp_path) == rows
    assert read_history(tmp_path / "none") == []
