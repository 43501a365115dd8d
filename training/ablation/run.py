"""Trains one cell of the ablation."""

import gc
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from training.ablation.cells import BATCH_SIZE, Cell
from training.ablation.paper import build_from_recipe
from training.ablation.trace import Trace
from training.database.split import Split
from training.fit.augmentation import augment
from training.fit.batches import Batches, Ordered
from training.fit.guard import Guard
from training.fit.layer_inspector import LayerInspector, spread_images
from training.fit.loop import fit
from training.fit.plan import Plan, loss_of
from training.nets.build import scoring_model
from training.nets.imagenet import load_imagenet

FIGURES = ("loss", "accuracy", "val_loss", "val_accuracy")
"""Figures of every epoch that a cell's file holds."""


def train_cell(
    net: str, cell: Cell, seed: int, split: Split, *, epochs: int, weights_file: Path | None = None
) -> dict[str, Any]:
    """Trains one net with one recipe.

    Args:
        net: one of the cell's nets.
        cell: the cell, with the recipe.
        seed: seed of weights, order and augmentation.
        split: the split database.
        epochs: passes over the training images, at least 1.
        weights_file: ImageNet weights, for a recipe that needs them.

    Returns:
        Values for JSON: the cell's description, the guard's findings, the figures of every epoch
        (`history`) and the layers' signals (`trace`).
    """
    keras.backend.clear_session()
    gc.collect()
    keras.utils.set_random_seed(seed)
    recipe, train = cell.recipe, split.train
    side_px = train.pixels.shape[-1]
    scores = scoring_model(build_from_recipe(net, len(train.identities), recipe, input_px=side_px))
    if recipe.weights == "imagenet":
        load_imagenet(scores, weights_file)
    change = augment if recipe.augment == "palm" else None
    loss = loss_of(recipe)
    inspector = LayerInspector(scores, *spread_images(train), loss)
    guard, trace = Guard(inspector, recipe, stop=False), Trace(inspector)
    start = time.perf_counter()
    rows = fit(
        {net: scores},
        lambda epoch: Batches(train, BATCH_SIZE, seed, epoch=epoch, augment=change),
        loss,
        Plan.of(recipe, epochs),
        seed=seed,
        accuracy=True,
        validation=Ordered(split.validation, 64),
        callbacks=[guard, trace],
    )
    seconds = (time.perf_counter() - start) / len(rows)
    return {
        "net": net,
        "cell": cell.name,
        "change": cell.change,
        "seed": seed,
        "identities": len(train.identities),
        "training_images": len(train),
        "validation_images": len(split.validation),
        "seconds_per_epoch": round(seconds, 1),
        "guard": guard.findings,
        "history": {name: [row[name] for row in rows] for name in FIGURES},
        "trace": trace.records,
    }


def first_identities(split: Split, count: int | None) -> Split:
    """Returns the split with only its first `count` identities; None keeps all."""
    if count is None or count >= len(split.train.identities):
        return split
    return split.change_parts(
        lambda part: replace(part.select(part.labels < count), identities=part.identities[:count])
    )
