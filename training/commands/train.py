"""Trains one net on a database of palms, from scratch or from ImageNet weights."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from training.database.palms import DataOptions
from training.fit.options import NetName, RunOptions, require_at_least
from training.fit.verdict import Verdict
from training.nets.recipe import Recipe, recipe_of, require_valid


@dataclass(frozen=True, kw_only=True)
class TrainConfig(DataOptions, Recipe, RunOptions):
    """Trains one net on your palms alone. 4,000 images take AlexNet 8 minutes on two cores.

    VGG16 takes 6 to 50 minutes, depending on the processor. Prefer `finetune` if you have fewer
    images, which are too few to train a net from scratch. The vein map is not trained: its channels
    are the principal components of the trained net's features. The same command resumes a run that
    was stopped. docs/training.md explains the recipes.

    Attributes:
        net: net to train.
        epochs: passes over the training images, at least 1.
        batch_size: images in a training step, at least 1; it must divide among the devices.
        devices: one, or all devices of this machine, which share each batch.
        allow_leaks: train even if training and test hold copies of one photograph.
        weights_file: .h5 file of ImageNet weights without top; by default Keras downloads it.
        tensorboard: whether to write logs for TensorBoard to the run's folder.
    """

    net: NetName
    epochs: int = 16
    batch_size: int = 32
    devices: Literal["one", "all"] = "one"
    allow_leaks: bool = False
    weights_file: Path | None = None
    tensorboard: bool = False


def train(config: TrainConfig, callbacks: Sequence[Any] = ()) -> Verdict:
    """Trains a net, or resumes a run, and writes the run's folder.

    Args:
        config: options of the command.
        callbacks: Keras callbacks that are called before the run's own.

    Raises:
        ValueError: if an option is out of range, the database cannot be split, its parts share
            copies, or `out` holds a run with other settings.
        FileNotFoundError: if there are no images.
        NetIsDead: if the guard stopped the training.
    """
    # Imported here, so that --help does not load TensorFlow.
    import keras

    from training.ablation.paper import build_from_recipe
    from training.database.split import load_split
    from training.fit.augmentation import augment
    from training.fit.batches import Batches, Ordered
    from training.fit.checkpoint import FINAL, Checkpoint, epochs_done, load_best, save_weights
    from training.fit.devices import device_count, distribute, require_divisible, use_precision
    from training.fit.evaluation import evaluate
    from training.fit.guard import findings_of, make_guards
    from training.fit.input_check import check_inputs
    from training.fit.layer_inspector import spread_images
    from training.fit.loop import fit
    from training.fit.map_fit import fit_map, spread_batches
    from training.fit.monitors import OpenSetMonitor
    from training.fit.plan import Plan, loss_of
    from training.fit.result import REPORT, Page, conclude
    from training.fit.settings import resolve_settings, write_settings
    from training.leakage.find import find_leaks, refuse_leaks
    from training.metrics.protocol import require_pairs
    from training.nets.build import scoring_model
    from training.nets.imagenet import load_imagenet, require_weights

    _require_sensible(config)
    if config.weights == "imagenet":
        require_weights(config.net, config.weights_file)
    with distribute(config.devices):
        require_divisible(config.batch_size, device_count())

    # Data
    split = load_split(config)
    open_set = split.kind == "identity"
    if open_set:
        require_pairs(split.validation)
        require_pairs(split.test)
    chosen = asdict(config) | {"dataset_sha256": split.train.sha256}
    settings = resolve_settings(chosen, config.out)
    leakage = find_leaks(split)
    refuse_leaks(leakage, allow=config.allow_leaks)

    recipe = recipe_of(settings)
    loss = loss_of(recipe)
    change = augment if recipe.augment == "palm" else None
    batches = partial(Batches, split.train, config.batch_size, config.seed, augment=change)
    keras.utils.set_random_seed(config.seed)
    with use_precision(settings["precision"]), distribute(config.devices):
        # Net
        identities = len(split.train.identities)
        whole = build_from_recipe(config.net, identities, recipe, input_px=config.size_px)
        net = scoring_model(whole)
        if recipe.weights == "imagenet" and not epochs_done(config.out):
            load_imagenet(net, config.weights_file)
        guards = make_guards(
            {config.net: net},
            *spread_images(split.train),
            loss,
            recipe,
            mode=config.guard,
            out=config.out,
        )
        for guard in guards:
            guard.report_before(check_inputs(net, batches(epoch=0), recipe))

        # Fit
        write_settings(settings, config.out)
        monitors: list[Any] = [OpenSetMonitor(split.validation)] if open_set else []
        if config.tensorboard:
            monitors.append(keras.callbacks.TensorBoard(str(config.out / "tensorboard")))
        rows = fit(
            {config.net: net},
            batches,
            loss,
            Plan.of(recipe, config.epochs),
            seed=config.seed,
            accuracy=True,
            validation=None if open_set else Ordered(split.validation, 64),
            callbacks=[*callbacks, *monitors, *guards],
            checkpoint=Checkpoint(config.out, "val_rank_1" if open_set else "val_accuracy"),
        )
        load_best(net, config.out)
        if recipe.head == "embedding":
            fit_map(whole, spread_batches(split.train))
        save_weights(whole, config.out / FINAL)

    # Conclude
    evaluation = evaluate(net, split)
    page = Page(split, evaluation, leakage.as_dict(), findings_of(guards))
    conclude(config.out, settings, rows, {}, page)
    return Verdict(config.out / REPORT, f"{evaluation}.")


def _require_sensible(config: TrainConfig) -> None:
    """Checks options that would otherwise fail after hours of decoding or training."""
    require_at_least(asdict(config), batch_size=1, epochs=1, seed=0, size_px=1)
    require_valid(config)
    if config.split != "identity":
        return
    if config.head == "paper":
        raise ValueError(
            "--split identity needs --head embedding: the paper's head has no embeddings to compare"
        )
    if config.schedule == "plateau":
        raise ValueError(
            "--schedule plateau needs a validation loss, which --split identity does not have"
        )
