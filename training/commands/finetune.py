"""Adapts an exported net to a user's own palms, and keeps what it knew about all others.

Half of every batch are synthetic palms (`training.fit.rehearsal`). Afterwards the weights are moved
back towards the exported net's until strangers lose nothing (`training.fit.interpolation`).
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from training.database.palms import DataOptions
from training.fit.options import RunOptions, require_at_least
from training.fit.verdict import Verdict
from training.synthetic.capture import TRAINING


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(DataOptions, RunOptions):
    """Adapts an exported net to your own palms. A VGG takes ten minutes for 160 palms of 6 images.

    The same command again goes on with a run that was stopped. `export` then writes a version that
    knows the database's identities.

    Attributes:
        start: a version's folder, such as models_store/vgg16/2.
        epochs: passes over the training images, at least 1.
        learning_rate: Adam's peak.
        scale: factor from similarity to logit.
        margin: similarity by which a palm's other image must win.
        rehearsed: synthetic palms that fill half of every batch; 0 for none.
        monitor: synthetic strangers, of two sessions and two shots each, whose equal error rate
            decides how much of the change is kept.
        may_rise: by how much their equal error rate may rise, from 0 to 1.
        allow_leaks: train even if copies of one photograph are on both sides of the split.
    """

    start: Annotated[Path, tyro.conf.arg(name="from")] = field(metadata={"option": "from"})
    epochs: int = 30
    learning_rate: float = 3e-4
    scale: float = 24.0
    margin: float = 0.15
    rehearsed: int = 1000
    monitor: int = 600
    may_rise: float = 0.0
    allow_leaks: bool = False


def finetune(config: FinetuneConfig, callbacks: Sequence[Any] = ()) -> Verdict:
    """Fine-tunes a net, or goes on with it, and writes the run's folder.

    Args:
        config: what to fine-tune, and on what.
        callbacks: Keras callbacks; they act before the run's own.

    Raises:
        FileNotFoundError: if there are no images.
        ValueError: if an option is out of range, `start` is not a version, the data cannot be
            split or leak, or `out` holds a run with other settings.
        NetIsDead: if the guard stopped the training.
    """
    # Imported here, so that --help does not load TensorFlow.
    import keras
    from tqdm import tqdm

    from training.database.split import load_split
    from training.fit.checkpoint import FINAL, Checkpoint, epochs_done, load_best, save_weights
    from training.fit.devices import use_precision
    from training.fit.evaluation import evaluate
    from training.fit.guard import make_guards
    from training.fit.interpolation import interpolate_weights
    from training.fit.loop import fit
    from training.fit.monitors import OpenSetMonitor, ValidationAccuracy, monitored_strangers
    from training.fit.plan import Plan
    from training.fit.prototypes import set_prototypes
    from training.fit.rehearsal import REHEARSED_SEED, Rehearsal
    from training.fit.result import REPORT, Page, conclude
    from training.fit.settings import resolve_settings, write_settings
    from training.leakage.find import find_leaks, refuse_leaks
    from training.nets.build import embedding_model, freeze_norms, scoring_model, working_side
    from training.nets.losses import PairLoss
    from training.synthetic.palms import draw_palms
    from training.synthetic.stream import PalmStream
    from training.versions.read import Version

    require_at_least(asdict(config), batch_size=4, epochs=1, monitor=2, rehearsed=0, may_rise=0)

    # Data
    version = Version.open(config.start)
    name = version.key.net
    side_px = working_side(name, version.recipe, version.input_px)
    split = load_split(replace(config, size_px=side_px))
    open_set = split.kind == "identity"
    leakage = find_leaks(split)
    refuse_leaks(leakage, allow=config.allow_leaks)
    recipe = replace(
        version.recipe,
        augment="palm",
        learning_rate=config.learning_rate,
        scale=config.scale,
        margin=config.margin,
    )
    chosen = asdict(recipe) | asdict(config)
    chosen |= {"command": "finetune", "net": name, "from": str(version.key)}
    chosen |= {"size_px": version.input_px, "dataset_sha256": split.train.sha256}
    settings = resolve_settings(chosen, config.out)
    identities, done = len(split.train.identities), epochs_done(config.out)
    own = config.batch_size // (4 if config.rehearsed else 2)
    synthetic = (
        draw_palms(config.rehearsed, REHEARSED_SEED, config.scratch) if config.rehearsed else None
    )

    def batches(epoch: int) -> Rehearsal:
        rehearsed = synthetic and PalmStream(
            synthetic,
            pairs=1,
            batch_size=2 * own,
            side_px=side_px,
            seed=config.seed,
            epoch=epoch,
            first_label=identities,
            degraded=True,  # as in pre-training
        )
        return Rehearsal(split.train, rehearsed, own, config.seed, epoch)

    # Net, and its figures before
    keras.utils.set_random_seed(config.seed)
    net = version.model(side_px, identities)
    set_prototypes(net, split.train)
    before = evaluate(scoring_model(net), split)
    tqdm.write(f"before fine-tuning: {before}", file=sys.stderr)

    # Fit
    write_settings(settings, config.out)
    loss = PairLoss(config.scale, config.margin)
    with use_precision(settings["precision"]):
        tuned = version.model(side_px, identities=1)
        freeze_norms(tuned)  # a few palms are too few for new statistics
        embedder = embedding_model(tuned)
        guards = make_guards(
            {name: embedder}, *batches(done)[0], loss, recipe, mode=config.guard, out=config.out
        )
        monitor = (
            OpenSetMonitor(split.validation)
            if open_set
            else ValidationAccuracy(split.train, split.validation)
        )
        rows = fit(
            {name: embedder},
            batches,
            loss,
            Plan.of(recipe, config.epochs),
            seed=config.seed,
            callbacks=[*callbacks, monitor, *guards],
            checkpoint=Checkpoint(config.out, "val_rank_1" if open_set else "val_accuracy"),
        )
        load_best(embedder, config.out)

    # Keep as much of the change as strangers allow
    strangers = monitored_strangers(config.monitor, TRAINING, side_px)
    kept = interpolate_weights(net, tuned, strangers, config.may_rise)
    set_prototypes(net, split.train)
    save_weights(scoring_model(net), config.out / FINAL)
    after = evaluate(scoring_model(net), split)
    for line in (f"after fine-tuning: {after}", str(kept)):
        tqdm.write(line, file=sys.stderr)

    # Conclude
    findings = [finding for guard in guards for finding in guard.findings]
    notes = [f"Before fine-tuning: {before}. After: {after}.", str(kept)]
    figures = {"before": before.metrics, "strangers": kept.as_dict()}
    page = Page(split, after, leakage.as_dict(), findings, notes)
    conclude(config.out, settings, rows, figures, page)
    return Verdict(config.out / REPORT, " ".join(notes))
