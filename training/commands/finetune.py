"""Adapts an exported net to a user's palms without making it worse on all others.

Half of every batch is synthetic palms (`training.fit.rehearsal`). Afterwards the weights are moved
back towards the exported net's until the error rate on strangers has not risen
(`training.fit.interpolation`).
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from training.database.palms import DataOptions
from training.fit.options import RunOptions, require_at_least
from training.fit.verdict import Verdict
from training.nets.recipe import Recipe, require_valid
from training.synthetic.styles import TRAINING


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(DataOptions, RunOptions):
    """Adapts an exported net to your palms. 160 palms of 6 images take a VGG about 20 minutes.

    Afterwards the net is measured on synthetic strangers. If it has become worse on them, only part
    of the change is kept; the report says how much and why. The same command resumes a run that was
    stopped. `export` then writes a version that knows the identities of the database.

    Attributes:
        start: folder of the version to adapt, such as models_store/vgg16/12.
        epochs: passes over the training images, at least 1.
        batch_size: images in a training step, at least 4.
        learning_rate: Adam's peak learning rate, above 0.
        scale: factor from similarity to logit, above 0.
        margin: similarity by which the other image of the same palm must win, from 0 to 1.
        map_scale: factor from similarity to logit for vein maps, above 0.
        map_margin: similarity by which the palm's other map must win, from 0 to 1.
        rehearsed: number of synthetic palms that fill half of every batch; 0 for none.
        monitor: number of synthetic strangers, at least 2. The equal error rate of their vein maps
            decides how much of the change is kept.
        may_rise: allowed rise of that equal error rate, from 0 to 1.
        allow_leaks: train even if training and test hold copies of one photograph.
    """

    start: Annotated[Path, tyro.conf.arg(name="from")]
    size_px: tyro.conf.Fixed[tyro.conf.Suppress[int]] = 0  # the version's
    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 3e-4
    scale: float = 24.0
    margin: float = 0.15
    map_scale: float = 24.0
    map_margin: float = 0.2
    rehearsed: int = 1000
    monitor: int = 600
    may_rise: float = 0.0
    allow_leaks: bool = False


def finetune(config: FinetuneConfig, callbacks: Sequence[Any] = ()) -> Verdict:
    """Fine-tunes a net, or resumes a run, and writes the run's folder.

    Args:
        config: options of the command.
        callbacks: Keras callbacks that are called before the run's own.

    Raises:
        FileNotFoundError: if there are no images.
        ValueError: if an option is out of range, `start` is not a version, the database cannot be
            split, its parts share copies, or `out` holds a run with other settings.
        NetIsDead: if the guard stopped the training.
    """
    # Imported here, so that --help does not load TensorFlow.
    import keras
    from tqdm import tqdm

    from training.database.split import load_split
    from training.fit.checkpoint import FINAL, Checkpoint, epochs_done, load_best, save_weights
    from training.fit.devices import use_precision
    from training.fit.evaluation import evaluate
    from training.fit.guard import findings_of, make_guards
    from training.fit.interpolation import interpolate_weights
    from training.fit.loop import fit
    from training.fit.monitors import OpenSetMonitor, ValidationAccuracy, monitored_strangers
    from training.fit.plan import Plan
    from training.fit.prototypes import set_prototypes
    from training.fit.rehearsal import REHEARSED_SEED, rehearse
    from training.fit.result import REPORT, Page, conclude
    from training.fit.settings import resolve_settings, write_settings
    from training.leakage.find import find_leaks, refuse_leaks
    from training.nets.build import (
        embedding_model,
        freeze_norms,
        scoring_model,
        select_outputs,
        working_side,
    )
    from training.nets.losses import PairLoss, ShiftLoss
    from training.synthetic.palms import draw_palms
    from training.versions.read import Version

    _require_sensible(config)
    version = Version.open(config.start)
    name = version.key.net

    # Data: the user's palms and synthetic palms
    side_px = working_side(name, version.recipe, version.input_px)
    split = load_split(replace(config, size_px=side_px))
    open_set = split.kind == "identity"
    leakage = find_leaks(split)
    refuse_leaks(leakage, allow=config.allow_leaks)
    recipe = replace(version.recipe, augment="palm", **_numbers(config))
    settings = resolve_settings(
        asdict(recipe)
        | asdict(config)
        | {"command": "finetune", "net": name, "from": str(version.key)}
        | {"size_px": version.input_px, "dataset_sha256": split.train.sha256},
        config.out,
    )
    synthetic = None
    if config.rehearsed:
        synthetic = draw_palms(config.rehearsed, REHEARSED_SEED, config.scratch)
    batches = rehearse(split.train, synthetic, config.batch_size, config.seed)

    # Net, and its figures before
    keras.utils.set_random_seed(config.seed)
    net = version.model(side_px, len(split.train.identities))
    set_prototypes(net, split.train)
    before = evaluate(scoring_model(net), split)
    tqdm.write(f"before fine-tuning: {before}", file=sys.stderr)

    # Fit
    write_settings(settings, config.out)
    loss = PairLoss(config.scale, config.margin)
    losses = {"embedding": loss, "map": ShiftLoss(config.map_scale, config.map_margin)}
    with use_precision(settings["precision"]):
        tuned = version.model(side_px, identities=1)
        freeze_norms(tuned)  # a few palms are too few for new statistics
        trained = select_outputs(tuned, "embedding", "map")
        images, labels = batches(epochs_done(config.out))[0]
        guards = make_guards(
            {name: embedding_model(tuned)},
            images,
            labels,
            loss,
            recipe,
            mode=config.guard,
            out=config.out,
        )
        if open_set:
            monitor = OpenSetMonitor(split.validation, net=tuned, maps=True)
        else:
            monitor = ValidationAccuracy(tuned, split.train, split.validation)
        rows = fit(
            {name: trained},
            batches,
            losses,
            Plan.of(recipe, config.epochs),
            seed=config.seed,
            callbacks=[*callbacks, monitor, *guards],
            checkpoint=Checkpoint(config.out, "val_rank_1" if open_set else "val_accuracy"),
        )
        load_best(trained, config.out)

    # Keep as much of the change as strangers allow
    strangers = monitored_strangers(config.monitor, TRAINING, side_px)
    kept = interpolate_weights(net, tuned, strangers, config.may_rise)
    set_prototypes(net, split.train)
    save_weights(net, config.out / FINAL)
    after = evaluate(scoring_model(net), split)
    tqdm.write(f"after fine-tuning: {after}\n{kept}", file=sys.stderr)

    # Conclude
    notes = [f"Before fine-tuning: {before}. After: {after}.", str(kept)]
    figures = {"before": before.metrics, "strangers": kept.as_dict()}
    page = Page(split, after, leakage.as_dict(), findings_of(guards), notes)
    conclude(config.out, settings, rows, figures, page)
    return Verdict(config.out / REPORT, " ".join(notes))


def _require_sensible(config: FinetuneConfig) -> None:
    options = asdict(config)
    require_at_least(options, batch_size=4, epochs=1, monitor=2, rehearsed=0, seed=0)
    if not 0 <= config.may_rise <= 1:
        raise ValueError(f"--may-rise must be from 0 to 1, not {config.may_rise}")
    require_valid(Recipe(**_numbers(config)))


def _numbers(config: FinetuneConfig) -> dict[str, Any]:
    """Returns the numbers of the recipe that the command sets."""
    names = ("learning_rate", "scale", "margin", "map_scale", "map_margin")
    return {name: getattr(config, name) for name in names}
