"""Plans a training by a recipe: the loss, the epochs and the learning rates."""

from dataclasses import dataclass
from typing import Any, Literal, Self

import keras
import numpy as np

from training.nets.losses import MarginLoss
from training.nets.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Phase:
    """Consecutive epochs with one learning rate schedule.

    Attributes:
        first: the first epoch, from 0.
        end: the epoch after the last.
        learning_rate: Adam's learning rate; the peak of a cosine schedule.
        frozen: whether the convolutions keep their weights.
    """

    first: int
    end: int
    learning_rate: float
    frozen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Epochs and learning rates of a training.

    Attributes:
        epochs: passes over the training batches, at least 1.
        learning_rate: Adam's learning rate; the peak of a cosine schedule.
        schedule: constant, plateau (see `Plateau`), or cosine: a warm-up of one epoch from a
            twentieth of the peak, then down to 0.
        clip_norm: largest norm of each weight's gradient; 0 for no limit.
        freeze_epochs: number of first epochs in which the convolutions keep their weights; in the
            other epochs all weights are trained at a tenth of the learning rate. None: all weights
            are trained in every epoch.
        averaged: share of the weights' running mean that a step keeps; 0 for no mean. The trained
            net itself gets the mean when the training ends; `RunningMean` copies it before.
    """

    epochs: int
    learning_rate: float
    schedule: Literal["cosine", "constant", "plateau"] = "cosine"
    clip_norm: float = 1.0
    freeze_epochs: int | None = None
    averaged: float = 0.0

    @classmethod
    def of(cls, recipe: Recipe, epochs: int) -> Self:
        """Returns the plan of a recipe; only ImageNet weights are frozen at first."""
        return cls(
            epochs=epochs,
            learning_rate=recipe.learning_rate,
            schedule=recipe.schedule,
            clip_norm=recipe.clip_norm,
            freeze_epochs=recipe.freeze_epochs if recipe.weights == "imagenet" else None,
        )

    def phases(self) -> list[Phase]:
        """Returns the phases in order: one, or two if convolutions are frozen at first."""
        if self.freeze_epochs is None:
            return [Phase(0, self.epochs, self.learning_rate, frozen=False)]
        thaw = min(self.freeze_epochs, self.epochs)
        frozen = Phase(0, thaw, self.learning_rate, frozen=True)
        fine = Phase(thaw, self.epochs, self.learning_rate / 10, frozen=False)
        return [phase for phase in (frozen, fine) if phase.first < phase.end]

    def rates(self, phase: Phase, steps: int) -> Any:
        """Returns the learning rate of a phase, or its schedule.

        Args:
            phase: one of `phases()`.
            steps: batches in an epoch.
        """
        if self.schedule != "cosine":
            return phase.learning_rate
        return keras.optimizers.schedules.CosineDecay(
            phase.learning_rate / 20,
            decay_steps=steps * max(phase.end - phase.first - 1, 1),
            warmup_target=phase.learning_rate,
            warmup_steps=steps,
        )


def loss_of(recipe: Recipe) -> keras.losses.Loss:
    """Returns CosFace for an embedding head, and cross-entropy for the paper's head."""
    if recipe.head == "embedding":
        return MarginLoss(recipe.scale, recipe.margin)
    return keras.losses.SparseCategoricalCrossentropy()


class Plateau(keras.callbacks.ReduceLROnPlateau):
    """Divides the learning rate by 5 after three epochs without a lower validation loss."""

    def __init__(self, rows: list[dict[str, float]]) -> None:
        """Creates the callback; `rows` is the history of the epochs that are already done."""
        super().__init__("val_loss", factor=0.2, patience=3, min_lr=1e-6)
        self._rows = list(rows)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Replays the epochs that are done, without changing the current learning rate."""
        super().on_train_begin(logs)
        if not self._rows:
            return
        model: Any = self.model
        optimizer = model.optimizer
        rate = float(np.asarray(keras.ops.convert_to_numpy(optimizer.learning_rate)))
        optimizer.learning_rate = self._rows[0]["learning_rate"]
        for row in self._rows:
            super().on_epoch_end(int(row["epoch"]) - 1, dict(row))
        optimizer.learning_rate = rate
