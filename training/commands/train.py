"""Trains one net on a database of palms; a run that was killed goes on where it stopped."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm.keras import TqdmCallback

from training.ablation.paper import build_from_recipe
from training.database.palms import Palms
from training.database.split import Split, load_split
from training.fit.augmentation import augment
from training.fit.batches import Batches, Ordered, as_colour
from training.fit.checkpoint import (
    Checkpoint,
    Plateau,
    Reseed,
    epochs_done,
    load_best,
    write_whole,
)
from training.fit.devices import adam, distribute, require_agreement
from training.fit.guard import Guard
from training.fit.input_check import check_inputs
from training.fit.layer_inspector import LayerInspector
from training.fit.result import conclude
from training.fit.settings import TrainConfig, require_sensible, resolve_settings
from training.leakage.find import find_leaks, refuse_leaks
from training.metrics.open_set import OpenSetScore, require_pairs
from training.nets.build import scoring_model
from training.nets.imagenet import load_imagenet
from training.nets.losses import MarginLoss
from training.nets.recipe import Recipe

PROBE_IMAGES = 32

OWN_TO_A_MACHINE = ("data", "out", "scratch", "weights_file")
"""Settings in which the processes of one training may differ."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Epochs that are trained alike; only transfer learning has two."""

    first: int
    end: int
    learning_rate: float
    frozen: bool


def train(config: TrainConfig) -> Path:
    """Trains a net, or goes on training it, and writes the run's folder.

    Returns:
        The path of the report.

    Raises:
        ValueError: if the net or an option is unknown, the data cannot be split or leak, or `out`
            holds a run with other settings.
        FileNotFoundError: if there are no images.
        NetIsDead: if the guard stopped it.
    """
    require_sensible(config)
    split = load_split(config)
    if split.kind == "identity":
        for part in (split.validation, split.test):
            require_pairs(part)
    settings = resolve_settings(config, split.train.sha256)
    leakage = find_leaks(split)
    refuse_leaks(leakage, allow=config.allow_leaks)
    keras.utils.set_random_seed(config.seed)
    with computing_in(settings["precision"]), distribute(config.devices):
        alike = {name: value for name, value in settings.items() if name not in OWN_TO_A_MACHINE}
        require_agreement(**alike, epochs_done=epochs_done(config.out))
        identities = len(split.train.identities)
        scores = scoring_model(
            build_from_recipe(config.net, identities, config, input_px=config.size_px)
        )
        if config.weights == "imagenet" and not epochs_done(config.out):
            load_imagenet(scores, config.weights_file)
        guard = watch(scores, split, config)
        config.out.mkdir(parents=True, exist_ok=True)
        write_whole(config.out / "config.json", json.dumps(settings, indent=2) + "\n")
        fit(scores, split, config, guard)
        load_best(scores, config.out)
    return conclude(scores, split, settings, leakage.as_dict(), guard.findings, config.out)


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Sets Keras's dtype policy, and sets it back: what follows in the process has its own."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def loss_of(recipe: Recipe) -> keras.losses.Loss:
    """CosFace for an embedding, cross-entropy for the paper's softmax."""
    if recipe.head == "embedding":
        return MarginLoss(recipe.scale, recipe.margin)
    return keras.losses.SparseCategoricalCrossentropy()


def watch(scores: keras.Model, split: Split, config: TrainConfig) -> Guard:
    """Checks the input pipeline and sets a guard over the net.

    Raises:
        NetIsDead: if the net does not see what the recipe promises and `guard` is stop.
    """
    log = config.out / "guard.txt"
    if not epochs_done(config.out):
        log.unlink(missing_ok=True)  # of a run that was stopped, and begins anew
    probe = make_inspector(scores, split.train, config)
    guard = Guard(probe, config, stop=config.guard == "stop", log=log)
    if guard.findings:
        return guard
    for problem in check_inputs(scores, batches_of(split, config), config):
        guard.report(f"before epoch 1: {problem}")
    return guard


def make_inspector(scores: keras.Model, train: Palms, recipe: Recipe) -> LayerInspector:
    """A few training images of as many identities as can be, to look into the net with."""
    chosen = np.linspace(0, len(train) - 1, PROBE_IMAGES).astype(int)
    images = np.ascontiguousarray(as_colour(train.images(chosen)))
    return LayerInspector(scores, images, train.labels[chosen], loss_of(recipe))


def batches_of(split: Split, config: TrainConfig, epoch: int = 0) -> Batches:
    """The training batches, from an epoch on."""
    change = augment if config.augment == "palm" else None
    return Batches(split.train, config.batch_size, config.seed, augment=change, epoch=epoch)


def fit(scores: keras.Model, split: Split, config: TrainConfig, guard: Guard) -> None:
    """Trains the epochs that are not done yet."""
    open_set = split.kind == "identity"
    checkpoint = Checkpoint(config.out, "val_rank_1" if open_set else "val_accuracy")
    done = epochs_done(config.out)
    for phase in phases_of(config, config.epochs):
        if done >= phase.end:
            continue
        batches = batches_of(split, config, epoch=max(done, phase.first))
        compile_phase(scores, phase, len(batches), config)
        if done:
            checkpoint.restore(scores, with_optimizer=done > phase.first)
        try:
            scores.fit(
                batches,
                initial_epoch=max(done, phase.first),
                epochs=phase.end,
                validation_data=None if open_set else Ordered(split.validation, 64),
                callbacks=callbacks_of(split, config, guard, checkpoint),
                shuffle=False,  # Batches does it, repeatably; Keras would by Python's own lots
                verbose=0,
            )
        except KeyboardInterrupt:
            checkpoint.keep_something(scores)
            raise
        done = 0  # what is restored is restored once


def phases_of(recipe: Recipe, epochs: int) -> list[Phase]:
    """One phase, or two where ImageNet convolutions are frozen first."""
    if recipe.weights == "none":
        return [Phase(0, epochs, recipe.learning_rate, frozen=False)]
    thaw = min(recipe.freeze_epochs, epochs)
    frozen = Phase(0, thaw, recipe.learning_rate, frozen=True)
    fine = Phase(thaw, epochs, recipe.learning_rate / 10, frozen=False)
    return [phase for phase in (frozen, fine) if phase.first < phase.end]


def compile_phase(
    scores: keras.Model,
    phase: Phase,
    steps: int,
    config: Recipe,
    loss: keras.losses.Loss | None = None,
) -> None:
    """Freezes or thaws the convolutions and gives the net a fresh optimizer.

    Its loss is the recipe's unless another is given, which then has no accuracy.
    """
    for layer in scores.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.trainable = not phase.frozen
    rate: Any = phase.learning_rate
    if config.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(
            phase.learning_rate / 20,
            decay_steps=steps * max(phase.end - phase.first - 1, 1),
            warmup_target=phase.learning_rate,
            warmup_steps=steps,
        )
    scores.compile(
        optimizer=adam(rate, config.clip_norm),
        loss=loss or loss_of(config),
        weighted_metrics=[] if loss else [keras.metrics.SparseCategoricalAccuracy("accuracy")],
    )


def callbacks_of(
    split: Split, config: TrainConfig, guard: Guard, checkpoint: Checkpoint
) -> list[keras.callbacks.Callback]:
    """In the order in which they act; the checkpoint is last, so that it holds what they did."""
    callbacks: list[keras.callbacks.Callback] = [
        Reseed(config.seed),
        TqdmCallback(verbose=1, initial=len(checkpoint.history)),
    ]
    if split.kind == "identity":
        callbacks.append(OpenSetScore(split.validation))
    if config.schedule == "plateau":
        callbacks.append(Plateau(checkpoint.history))
    if config.tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(os.fspath(config.out / "tensorboard")))
    return [*callbacks, guard, checkpoint]
