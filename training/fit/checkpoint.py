"""A run's folder: what survives a power cut, and what the next start goes on from."""

import csv
import os
import time
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import keras
import numpy as np

HISTORY = "history.csv"
BEST = "best.weights.h5"
FINAL = "final.weights.h5"
"""What a run comes to: the whitened net of `pretrain`, or that of `finetune` less what was taken
back."""
_STATE = "state-{:04}.weights.h5"  # weights and optimizer after so many epochs


class Checkpoint(keras.callbacks.Callback):
    """After every epoch writes its figures, the state to go on from, and the best weights.

    Every file is written beside its place and renamed, so each is whole at any moment. The state's
    name holds the number of epochs behind it; the history is cut to that when a run goes on.
    """

    def __init__(
        self, folder: Path, monitor: str | None, kept: Mapping[Path, keras.Model] | None = None
    ) -> None:
        """Creates the callback.

        Args:
            folder: the run's.
            monitor: figure by which the best epoch is chosen; higher is better. None: the last is.
            kept: parts of the model whose best weights are kept, by folder; all of it, in the
                run's, unless given.
        """
        super().__init__()
        self.history = read_history(folder)[: epochs_done(folder)]
        self._folder = folder
        self._monitor = monitor
        self._kept = kept

    def restore(self, model: keras.Model, *, with_optimizer: bool) -> None:
        """Loads the last complete state into a compiled model.

        Args:
            model: the net.
            with_optimizer: also the optimizer's memory; not where a new phase begins.
        """
        if with_optimizer:
            model.optimizer.build(model.trainable_variables)
        else:
            model = keras.Model(model.input, model.output)
        model.load_weights(self._folder / _STATE.format(epochs_done(self._folder)))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the epoch's clock."""
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the epoch's files, the state last: it alone says that the epoch is done."""
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        seconds = round(time.perf_counter() - self._start, 2)
        row = {"epoch": epoch + 1, **(logs or {}), "learning_rate": rate, "seconds": seconds}
        self.history.append(row)
        write_history(self._folder, self.history)
        if self._monitor is None or self._is_best(self._monitor):
            self._save_best(self.model)
        save_whole(self.model, self._folder / _STATE.format(epoch + 1))
        for old in self._folder.glob("state-*.weights.h5"):
            if old.name != _STATE.format(epoch + 1):
                old.unlink()

    def keep_something(self, model: keras.Model) -> None:
        """Writes the weights as they are, where no epoch's end has written any yet."""
        if not all((folder / BEST).exists() for folder in self._kept or [self._folder]):
            self._save_best(model)

    def _is_best(self, monitor: str) -> bool:
        """Whether the last epoch is; of equals the later one has learned more."""
        *before, last = (row[monitor] for row in self.history)
        return last >= max(before, default=-np.inf)

    def _save_best(self, model: keras.Model) -> None:
        """Without the optimizer's memory, two thirds of a state."""
        for folder, part in (self._kept or {self._folder: model}).items():
            save_whole(keras.Model(part.input, part.output), folder / BEST)


class Plateau(keras.callbacks.ReduceLROnPlateau):
    """A fifth of the learning rate after three epochs in which the validation loss did not fall."""

    def __init__(self, history: list[dict[str, float]]) -> None:
        """Creates the callback; `history` holds the epochs that are done already."""
        super().__init__("val_loss", factor=0.2, patience=3, min_lr=1e-6)
        self._history = list(history)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Counts the epochs that are done, without changing the rate once more."""
        super().on_train_begin(logs)
        if not self._history:
            return
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.model.optimizer.learning_rate = self._history[0]["learning_rate"]
        for row in self._history:
            super().on_epoch_end(int(row["epoch"]) - 1, dict(row))
        self.model.optimizer.learning_rate = rate


class Reseed(keras.callbacks.Callback):
    """Makes an epoch's dropout and augmentation depend on the seed and the epoch alone.

    Keras keeps its random states out of saved weights; a run that goes on would draw others.
    """

    def __init__(self, seed: int) -> None:
        """Creates the callback; `seed` is the run's."""
        super().__init__()
        self._seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Sets every random state of the model."""
        for index, state in enumerate(self.model.non_trainable_variables):
            if "seed_generator_state" in state.path:
                words = np.random.SeedSequence([self._seed, epoch, index]).generate_state(2)
                state.assign(words.astype(state.dtype))


def load_best(model: keras.Model, folder: Path) -> None:
    """Loads the weights of the run's best epoch, of a pre-training its last.

    A compiled model's optimizer is left alone.
    """
    keras.Model(model.input, model.output).load_weights(folder / BEST)


def epochs_done(folder: Path) -> int:
    """Epochs after which a run has a complete state; 0 if none."""
    names = [path.name for path in folder.glob("state-*.weights.h5")]
    return max((int(name.split("-")[1].split(".")[0]) for name in names), default=0)


def read_history(folder: Path) -> list[dict[str, float]]:
    """A figure for every epoch, oldest first; empty if the run has not begun."""
    path = folder / HISTORY
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def write_history(folder: Path, rows: list[dict[str, float]]) -> None:
    """Writes history.csv anew, whole or not at all."""
    text = StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(folder / HISTORY, text.getvalue())


def write_whole(target: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    unfinished = target.with_name(f".{target.name}")
    unfinished.write_text(text)
    os.replace(unfinished, target)


def save_whole(model: keras.Model, target: Path) -> None:
    """Writes a model's weights, whole or not at all."""
    unfinished = target.with_name(f".{target.name}")
    model.save_weights(unfinished)
    with unfinished.open("rb") as file:
        os.fsync(
            file.fileno()
        )  # before the name is given: a power cut must not leave an empty file
    os.replace(unfinished, target)
