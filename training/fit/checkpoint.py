"""Saves the state of a run after every epoch, so that a stopped run resumes where it stopped."""

import csv
import time
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import keras
import numpy as np

from training.report.files import replacing, write_text

HISTORY = "history.csv"
BEST = "best.weights.h5"
FINAL = "final.weights.h5"
"""Weights that `export` reads: whitened by `pretrain`, interpolated by `finetune`, and with a map
head by `train`."""
_STATE = "state-{:04}.weights.h5"  # weights and optimizer after so many epochs


class History(keras.callbacks.Callback):
    """Collects the figures of every epoch.

    Attributes:
        rows: a dict for each epoch, oldest first: `epoch` from 1, the epoch's logs,
            `learning_rate` and `seconds`.
    """

    def __init__(self, rows: list[dict[str, float]] | None = None) -> None:
        """Creates the callback; `rows` are the rows of the epochs that are already done."""
        super().__init__()
        self.rows = rows or []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts timing the epoch."""
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds the epoch's row."""
        model: Any = self.model
        rate = float(np.asarray(keras.ops.convert_to_numpy(model.optimizer.learning_rate)))
        seconds = round(time.perf_counter() - self._start, 2)
        self.rows.append(
            {"epoch": epoch + 1, **(logs or {}), "learning_rate": rate, "seconds": seconds}
        )


class Checkpoint(History):
    """Writes history.csv, the best weights and the state to resume from, after every epoch.

    Each file is written whole or not at all. The name of the state holds the number of epochs that
    are done; when a run resumes, the history is cut to that number.
    """

    def __init__(
        self,
        folder: Path,
        best_by: str | None = None,
        parts: Mapping[Path, keras.Model] | None = None,
    ) -> None:
        """Creates the callback, with the rows of the epochs that the folder holds.

        Args:
            folder: folder of the run.
            best_by: figure that chooses the best epoch; higher is better. None: the last epoch is
                the best.
            parts: by folder, the models whose best weights are kept there; by default the trained
                model, in the run's folder.
        """
        super().__init__(read_history(folder)[: epochs_done(folder)])
        self._folder = folder
        self._best_by = best_by
        self._parts = parts

    def restore(self, model: keras.Model, *, with_optimizer: bool) -> None:
        """Loads the last complete state into a compiled model.

        Args:
            model: the compiled model.
            with_optimizer: whether to load the optimizer's state too; False at the start of a new
                phase.
        """
        if with_optimizer:
            model.optimizer.build(model.trainable_variables)
        else:
            model = keras.Model(model.input, model.output)
        model.load_weights(self._folder / _STATE.format(epochs_done(self._folder)))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the epoch's files. The state is last: it marks the epoch as done."""
        super().on_epoch_end(epoch, logs)
        write_history(self._folder, self.rows)
        model: Any = self.model
        if self._best_by is None or self._is_best(self._best_by):
            self._save_best(model)
        save_weights(model, self._folder / _STATE.format(epoch + 1))
        for old in self._folder.glob("state-*.weights.h5"):
            if old.name != _STATE.format(epoch + 1):
                old.unlink()

    def keep_something(self, model: keras.Model) -> None:
        """Writes the current weights if no epoch has written any yet."""
        if not all((folder / BEST).exists() for folder in self._parts or [self._folder]):
            self._save_best(model)

    def _is_best(self, figure: str) -> bool:
        """Returns whether the last epoch is the best; of equal epochs the later is better."""
        *before, last = (row[figure] for row in self.rows)
        return not before or last >= max(before)

    def _save_best(self, model: keras.Model) -> None:
        """Writes the weights without the optimizer's state, which is twice their size."""
        for folder, part in (self._parts or {self._folder: model}).items():
            save_weights(keras.Model(part.input, part.output), folder / BEST)


def load_best(model: keras.Model, folder: Path) -> None:
    """Loads the weights of a run's best epoch, or of its last if none was chosen.

    The optimizer of a compiled model does not change.
    """
    keras.Model(model.input, model.output).load_weights(folder / BEST)


def epochs_done(folder: Path) -> int:
    """Returns the number of epochs in a run's saved state; 0 if there is none."""
    names = [path.name for path in folder.glob("state-*.weights.h5")]
    return max((int(name.split("-")[1].split(".")[0]) for name in names), default=0)


def read_history(folder: Path) -> list[dict[str, float]]:
    """Returns the rows of history.csv, oldest first; an empty list if there is no file."""
    path = folder / HISTORY
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def write_history(folder: Path, rows: list[dict[str, float]]) -> None:
    """Writes history.csv, whole or not at all."""
    text = StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / HISTORY, text.getvalue())


def save_weights(model: keras.Model, target: Path) -> None:
    """Writes a model's weights as .weights.h5, whole or not at all."""
    with replacing(target) as unfinished:
        model.save_weights(unfinished)
