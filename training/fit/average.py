"""Copies the running mean of a training's weights into another net."""

from typing import Any

import keras


class RunningMean(keras.callbacks.Callback):
    """Keeps a net at the running mean of the trained one's weights, after every epoch.

    The mean of the weights over many steps errs less than the last weights: B. Polyak and
    A. Juditsky, "Acceleration of stochastic approximation by averaging", 1992. Adam keeps it
    (`Plan.averaged`) and the trained net goes on from its own weights.
    """

    def __init__(self, mean: keras.Model) -> None:
        """Creates the callback; `mean` is a net as the trained one, whose weights are set."""
        super().__init__()
        self._mean = mean

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Sets the weights."""
        model: Any = self.model
        model.optimizer.finalize_variable_values(self._mean.trainable_variables)
