"""How a net is trained on pictures that are made as it goes: pre-training and fine-tuning do it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import keras
from tqdm.keras import TqdmCallback

from training.checkpoint import Checkpoint, Reseed, epochs_done
from training.diagnosis import Probe
from training.guard import Guard
from training.recipe import Recipe
from training.scratch import default_scratch
from training.train import compile_phase, phases_of


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a training runs.

    Attributes:
        out: folder of the run: final.weights.h5, history.csv, config.json, result.json.
        epochs: how often an epoch's pictures are drawn.
        batch_size: pictures per step, over all devices.
        precision: float32, mixed_bfloat16, or auto: bfloat16 where the machine gains by it.
        devices: one, or all.
        seed: of palms, pictures and weights.
        guard: stop a net that is dead, or warn only.
        watched: synthetic strangers, of two visits and two shots each, that it is judged on.
        scratch: folder for palms and pictures, in unnamed files that end with the process.
    """

    out: Path
    epochs: int = 20
    batch_size: int = 64
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "auto"
    devices: Literal["one", "all"] = "one"
    seed: int = 1
    guard: Literal["stop", "warn"] = "stop"
    watched: int = 250
    scratch: Path = field(default_factory=default_scratch)


def fit_stream(
    scores: keras.Model,
    batches: keras.utils.PyDataset,
    config: FitOptions,
    recipe: Recipe,
    loss: keras.losses.Loss,
    watchers: list[keras.callbacks.Callback],
    *,
    monitor: str | None = None,
    kept: keras.Model | None = None,
) -> None:
    """Trains the epochs that are not done yet, under a guard, keeping a state after each.

    Args:
        scores: from image to what the loss takes.
        batches: an epoch's, from the first that is not done.
        config: how long and where.
        recipe: how the net learns.
        loss: what it minimises.
        watchers: callbacks that add figures to an epoch's.
        monitor: the figure that the best epoch is chosen by; None keeps the last: where no picture
            comes twice nothing is learned by heart.
        kept: part of `scores` whose best weights are kept; all of it unless given.
    """
    done = epochs_done(config.out)
    checkpoint = Checkpoint(config.out, monitor, kept)
    images, labels = batches[0]
    probe = Probe(scores, images[:32].copy(), labels[:32], loss)
    guard = Guard(probe, recipe, stop=config.guard == "stop", log=config.out / "guard.txt")
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
            callbacks=[Reseed(config.seed), bar, *watchers, guard, checkpoint],
            shuffle=False,  # the batches do it, repeatably
            verbose=0,
        )
    except KeyboardInterrupt:
        checkpoint.keep_something(scores)
        raise
