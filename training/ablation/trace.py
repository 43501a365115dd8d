"""Records the signals of a net's layers while it is trained."""

from dataclasses import asdict
from typing import Any

import keras

from training.fit.layer_inspector import LayerInspector


class Trace(keras.callbacks.Callback):
    """Inspects a net before the first step, after 1, 2, 4, ... steps, and after every epoch.

    Steps are inspected in the first epoch only. The training ends if the first layer has no
    gradient after an epoch and had none at the inspection before.

    Attributes:
        records: `{"step": n, "layers": [...]}`, oldest first; layers from first to last.
    """

    def __init__(self, inspector: LayerInspector) -> None:
        """Creates the callback."""
        super().__init__()
        self.records: list[dict[str, Any]] = []
        self._inspector = inspector
        self._step = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Inspects the net as it was initialised."""
        self._inspect()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Inspects the net after a step whose number is a power of two."""
        self._step += 1
        if len(self.records) <= self._step.bit_length() and self._step.bit_count() == 1:
            self._inspect()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Inspects the net after an epoch, and ends the training if no gradient is left."""
        before = self.records[-1]
        self._inspect()
        gradients = [record["layers"][0]["gradient"] for record in (before, self.records[-1])]
        if max(gradients) == 0 and self.model is not None:
            self.model.stop_training = True

    def _inspect(self) -> None:
        _ = self.model  # on JAX this brings the weights up to date
        layers = [asdict(signal) for signal in self._inspector.inspect()]
        self.records.append({"step": self._step, "layers": layers})
