"""How a net is trained on images that are made as it goes: pre-training and fine-tuning do it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras
from tqdm.keras import TqdmCallback

from training.commands.train import compile_phase, phases_of
from training.database.image_files import default_scratch
from training.fit.checkpoint import Checkpoint, Reseed, epochs_done
from training.fit.guard import Guard
from training.fit.layer_inspector import LayerInspector
from training.nets.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a training runs.

    Attributes:
        out: folder of the run: final.weights.h5, history.csv, config.json, result.json.
        epochs: how often an epoch's images are drawn.
        batch_size: images per step, over all devices.
        precision: float32, mixed_bfloat16, or auto: bfloat16 where the machine gains by it.
        devices: one, or all.
        seed: of palms, images and weights.
        guard: stop a net that is dead, or warn only, or off: nobody looks, which spares a GPU the
            compiling of each net once more.
        monitor: synthetic strangers, of two visits and two shots each, that it is judged on.
        scratch: folder for palms and images, in unnamed files that end with the process.
    """

    out: Path
    epochs: int = 20
    batch_size: int = 64
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "auto"
    devices: Literal["one", "all"] = "one"
    seed: int = 1
    guard: Literal["stop", "warn", "off"] = "stop"
    monitor: int = 250
    scratch: Path = field(default_factory=default_scratch)


class SharedBatches(keras.utils.PyDataset):
    """The same images and labels for several nets at once, by the nets' names."""

    def __init__(self, batches: keras.utils.PyDataset, nets: Iterable[str]) -> None:
        """Creates the batches."""
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=8)
        self._batches, self._nets = batches, tuple(nets)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[Any, dict[str, Any]]:
        """Images, and a batch's labels for every net."""
        images, labels = self._batches[index]
        return images, dict.fromkeys(self._nets, labels)

    def on_epoch_end(self) -> None:
        """Draws the next epoch's order."""
        self._batches.on_epoch_end()


def fit_stream(
    nets: Mapping[str, keras.Model],
    batches: keras.utils.PyDataset,
    config: FitOptions,
    recipe: Recipe,
    loss: keras.losses.Loss,
    watchers: list[keras.callbacks.Callback],
    *,
    kept: Mapping[Path, keras.Model],
    monitor: str | None = None,
) -> None:
    """Trains the epochs that are not done yet, under guards, keeping a state after each.

    Several nets learn side by side, from the same images and each as if alone: of the sum of
    their losses each has the gradient of its own.

    Args:
        nets: by name, from image to what the loss takes.
        batches: an epoch's, from the first that is not done.
        config: how long and where.
        recipe: how the nets learn.
        loss: what each of them minimises.
        watchers: callbacks that add figures to an epoch's.
        kept: parts of the nets whose best weights are kept, and in which folders.
        monitor: the figure that the best epoch is chosen by; None keeps the last: where no image
            comes twice nothing is learned by heart.
    """
    done = epochs_done(config.out)
    checkpoint = Checkpoint(config.out, monitor, kept)
    guards = _guards(nets, batches, config, recipe, loss)
    scores = next(iter(nets.values()))
    if len(nets) > 1:
        scores = keras.Model(
            images := keras.Input(scores.input.shape[1:], dtype="uint8", name="images"),
            {name: net(images) for name, net in nets.items()},
        )
        batches = SharedBatches(batches, nets)
    (phase,) = phases_of(recipe, config.epochs)
    compile_phase(scores, phase, len(batches), recipe, loss)
    if done:
        checkpoint.restore(scores, with_optimizer=True)
    bar = TqdmCallback(verbose=1, initial=done)
    try:
        scores.fit(
            batches,
            initial_epoch=done,
            epochs=config.epochs,
            callbacks=[Reseed(config.seed), bar, *watchers, *guards, checkpoint],
            shuffle=False,  # the batches do it, repeatably
            verbose=0,
        )
    except KeyboardInterrupt:
        checkpoint.keep_something(scores)
        raise


def _guards(
    nets: Mapping[str, keras.Model],
    batches: keras.utils.PyDataset,
    config: FitOptions,
    recipe: Recipe,
    loss: keras.losses.Loss,
) -> list[Guard]:
    """One for every net, unless none is wanted."""
    if config.guard == "off":
        return []
    images, labels = batches[0]
    beside = len(nets) > 1
    return [
        Guard(
            LayerInspector(net, images[:32].copy(), labels[:32], loss),
            recipe,
            stop=config.guard == "stop",
            log=config.out / (name if beside else "") / "guard.txt",
            net=name if beside else "",
        )
        for name, net in nets.items()
    ]
