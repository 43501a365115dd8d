"""Adapts a shipped net to a user's own palms, and keeps what it knew about everybody else's.

A few images of a few palms would soon be learned by heart. So half of every batch are synthetic
palms, whose prototypes stand beside the user's: the net must go on telling strangers apart
(rehearsal; A. Robins, "Catastrophic forgetting, rehearsal and pseudorehearsal", 1995). And what
training still cost them is taken back afterwards by moving the weights towards where they came from
(Wortsman et al., "Robust fine-tuning of zero-shot models", arXiv 2109.01903).
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from training.commands.pretrain import STRANGERS_SEED
from training.commands.train import computing_in
from training.database.palms import DataOptions, Palms, Pixels
from training.database.split import Split, load_split
from training.fit.augmentation import augment
from training.fit.batches import as_colour
from training.fit.checkpoint import FINAL, epochs_done, load_best, save_whole, write_whole
from training.fit.devices import distribute
from training.fit.loop import FitOptions, fit_stream
from training.fit.result import conclude, predict
from training.fit.settings import require_at_least, resumable_settings
from training.leakage.find import find_leaks, refuse_leaks
from training.metrics.open_set import (
    OpenSetScore,
    compiled_embedder,
    mean_templates,
    measure_open_set,
)
from training.nets.build import embedding_model, freeze_norms, scoring_model, working_side
from training.nets.losses import PairLoss
from training.nets.recipe import Recipe
from training.synthetic.capture import TRAINING
from training.synthetic.palms import draw_palms
from training.synthetic.stream import PalmStream, strangers
from training.versions.shipped import Shipped, at_side, load_shipped

REHEARSED_SEED = 2_000_003
"""Of the synthetic palms that are rehearsed: neither pre-training's nor the monitored strangers'."""

SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
"""How much of the change is kept; the largest share that does not cost strangers anything."""


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(FitOptions, DataOptions):
    """What `python -m training finetune` does; a VGG in ten minutes, 160 palms of 6 images each.

    The same command again goes on with a run that was stopped. `export` then writes a version that
    knows the database's identities.

    Attributes:
        start: --from, a version's folder, such as models_store/vgg16/2.
        epochs: passes over the training images.
        learning_rate: Adam's peak.
        scale: factor from similarity to logit of the loss of pairs.
        margin: what a palm's other image must win by.
        rehearsed: synthetic palms, of which half of every batch are; 0 for none.
        may_rise: by how much the strangers' EER may rise before the change is taken back.
        allow_leaks: train though copies of one photograph are on both sides of the split.
    """

    start: Path = field(metadata={"option": "from"})
    monitor: int = 600
    epochs: int = 30
    learning_rate: float = 3e-4
    scale: float = 24.0
    margin: float = 0.15
    rehearsed: int = 1000
    may_rise: float = 0.0
    allow_leaks: bool = False


class Rehearsal(keras.utils.PyDataset):
    """Pairs of the user's palms, augmented, beside pairs of synthetic ones, whose labels follow.

    A batch depends on the seed, the epoch and its index alone.
    """

    def __init__(
        self, own: Palms, others: PalmStream | None, people: int, seed: int, epoch: int
    ) -> None:
        """Creates the batches.

        Args:
            own: the user's training images.
            others: the synthetic pairs; None for none.
            people: of the user's palms in a batch, at most.
            seed: of order and augmentation.
            epoch: the first to run, from 0.
        """
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=8)
        self._own, self._others, self._seed = own, others, seed
        self._rows = [np.flatnonzero(own.labels == i) for i in range(len(own.identities))]
        self._people = min(people, len(self._rows))
        self._begin(epoch)

    def __len__(self) -> int:
        """Batches in which every image comes once, more or less."""
        return max(len(self._own) // (2 * self._people), 1)

    def __getitem__(self, index: int) -> tuple[Pixels, NDArray[np.int32]]:
        """Images uint8 [B, S, S, 3] and labels int32 [B], each label twice."""
        rng = np.random.default_rng([self._seed, self._epoch, index])
        people = rng.permutation(len(self._rows))[: self._people]
        # Of somebody with one image both are that one, changed in two ways.
        chosen = [rng.choice(self._rows[i], 2, replace=len(self._rows[i]) < 2) for i in people]
        images = self._own.images(np.concatenate(chosen))
        images = as_colour(np.stack([augment(image, rng) for image in images]))
        labels = np.repeat(people, 2).astype(np.int32)
        if self._others is None:
            return images, labels
        images_too, labels_too = self._others[index % len(self._others)]
        return np.concatenate([images, images_too]), np.append(labels, labels_too)

    def on_epoch_end(self) -> None:
        """Draws the next epoch of both."""
        self._begin(self._epoch + 1)
        if self._others:
            self._others.on_epoch_end()

    def _begin(self, epoch: int) -> None:
        self._epoch = epoch


class Recognition(keras.callbacks.Callback):
    """Adds `val_accuracy`: whose mean training embedding a validation image is nearest to."""

    def __init__(self, train: Palms, validation: Palms) -> None:
        """Creates the callback."""
        super().__init__()
        self._train, self._validation = train, validation

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Embeds both parts."""
        similarity = (
            predict(self.model, self._validation) @ mean_embeddings(self.model, self._train).T
        )
        right = similarity.argmax(axis=1) == self._validation.labels
        if logs is not None:
            logs["val_accuracy"] = float(right.mean())


def finetune(config: FinetuneConfig) -> Path:
    """Fine-tunes a net, or goes on with it, and writes the run's folder.

    Returns:
        The path of the report.

    Raises:
        FileNotFoundError: if `start` is no version, or there are no images.
        ValueError: if an option makes no sense, the data cannot be split or leak, or `out` holds a
            run with other settings.
        NetIsDead: if the guard stopped it.
    """
    _require_sensible(config)
    shipped = load_shipped(config.start)
    side_px = working_side(shipped.model.name, shipped.recipe, shipped.input_px)
    split = load_split(replace(config, size_px=side_px))
    leakage = find_leaks(split)
    refuse_leaks(leakage, allow=config.allow_leaks)
    recipe = replace(
        shipped.recipe,
        augment="palm",
        learning_rate=config.learning_rate,
        scale=config.scale,
        margin=config.margin,
    )
    chosen = {
        **asdict(recipe),
        **asdict(config),
        "net": shipped.model.name,
        "size_px": shipped.input_px,
        "command": "finetune",
        "from": shipped.key,
        "dataset_sha256": split.train.sha256,
    }
    settings = resumable_settings(chosen, config.out)
    config.out.mkdir(parents=True, exist_ok=True)
    write_whole(config.out / "config.json", json.dumps(settings, indent=2) + "\n")
    keras.utils.set_random_seed(config.seed)
    with computing_in(settings["precision"]), distribute(config.devices):
        tuned = _fit(shipped, split, config, recipe, side_px)
    monitored = strangers(config.monitor, STRANGERS_SEED, TRAINING, side_px=side_px)
    final, found = interpolate_weights(
        shipped, tuned, monitored, len(split.train.identities), config.may_rise
    )
    final.get_layer("similarity").set_weights(
        [mean_embeddings(embedding_model(final), split.train)]
    )
    scores = scoring_model(final)
    save_whole(scores, config.out / FINAL)
    extra = {"strangers": found}
    return conclude(scores, split, settings, leakage.as_dict(), [], config.out, extra=extra)


def _require_sensible(config: FinetuneConfig) -> None:
    require_at_least(config, batch_size=4, epochs=1, monitor=2, rehearsed=0)
    if config.devices != "one":
        raise ValueError("a few palms are no work for several devices: use --devices one")


def _fit(
    shipped: Shipped, split: Split, config: FinetuneConfig, recipe: Recipe, side_px: int
) -> keras.Model:
    """Trains all weights but the BatchNorms' and gives back the net of the best epoch."""
    done = epochs_done(config.out)
    model = at_side(shipped, side_px, identities=1)
    freeze_norms(model)  # a few palms are no statistics
    people = config.batch_size // (4 if config.rehearsed else 2)
    others = None
    if config.rehearsed:
        others = PalmStream(
            draw_palms(config.rehearsed, REHEARSED_SEED, config.scratch),
            pairs=1,
            batch_size=2 * people,
            side_px=side_px,
            seed=config.seed,
            epoch=done,
            first_label=len(split.train.identities),
            degraded=True,  # as pre-training had them
        )
    batches = Rehearsal(split.train, others, people, config.seed, done)
    open_set = split.kind == "identity"
    watcher = (
        OpenSetScore(split.validation) if open_set else Recognition(split.train, split.validation)
    )
    embedder, monitor = embedding_model(model), "val_rank_1" if open_set else "val_accuracy"
    if done < config.epochs:
        loss = PairLoss(config.scale, config.margin)
        nets, kept = {model.name: embedder}, {config.out: embedder}
        fit_stream(nets, batches, config, recipe, loss, [watcher], kept=kept, monitor=monitor)
    load_best(embedder, config.out)
    return model


def interpolate_weights(
    shipped: Shipped, tuned: keras.Model, monitored: Palms, identities: int, may_rise: float = 0.0
) -> tuple[keras.Model, dict[str, Any]]:
    """Moves a tuned net towards the one it came from, until strangers lose nothing by it.

    Args:
        shipped: the net it came from.
        tuned: what became of it.
        monitored: strangers to both, as the tuned net takes them.
        identities: prototypes to make room for.
        may_rise: by how much their EER may be higher than before.

    Returns:
        The net in float32, without prototypes yet, and what was found: the share of the change that
        is kept, and the strangers' EER before and after.
    """
    model = at_side(shipped, monitored.pixels.shape[1], identities)
    start = {layer.name: layer.get_weights() for layer in model.layers}
    embed = compiled_embedder(model)
    before = measure_open_set(embed, monitored)["eer"]
    share, after = 0.0, before
    for share in SHARES:
        for layer in model.layers:
            if layer.name != "similarity":
                goal = tuned.get_layer(layer.name).get_weights()
                pairs = zip(start[layer.name], goal, strict=True)
                layer.set_weights([a + share * (b - a) for a, b in pairs])
        after = measure_open_set(embed, monitored)["eer"]
        if after <= before + may_rise:
            break
    found = {
        "identities": len(monitored.identities),
        "eer_before": before,
        "eer_after": after,
        "share_kept": share,
    }
    return model, found


def mean_embeddings(embedder: keras.Model, palms: Palms) -> NDArray[np.float32]:
    """Prototypes float32 [C, D] of images as they lie: every identity's mean at unit length."""
    return mean_templates(predict(embedder, palms), palms.labels, len(palms.identities))
