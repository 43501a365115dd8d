"""Teaches nets what tells palms apart, on thousands of synthetic ones that no epoch repeats."""

import json
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from training.commands.train import computing_in
from training.database.image_files import ImageFile
from training.fit.checkpoint import (
    FINAL,
    HISTORY,
    epochs_done,
    load_best,
    write_whole,
)
from training.fit.devices import (
    device_count,
    distribute,
    require_agreement,
    require_divisible,
)
from training.fit.loop import FitOptions, fit_stream
from training.fit.pretrained import finish, layer_outputs
from training.fit.settings import require_at_least, resumable_settings
from training.fit.start import CONFIG, is_version, load_start, require_start, stage_after
from training.metrics.open_set import OpenSetScore, mean_templates
from training.nets.build import (
    NETS,
    build_net,
    embedding_model,
    freeze_norms,
    scoring_model,
    working_side,
)
from training.nets.losses import MarginLoss, PairLoss
from training.nets.recipe import Recipe
from training.synthetic.capture import HELD_OUT, TRAINING
from training.synthetic.pairs import SERVED_PX
from training.synthetic.palms import draw_palms, processes
from training.synthetic.stream import PalmStream, strangers

UNSEEN_SEED = 3_000_003
"""Of the visits that set prototypes and whitening; the epochs' are drawn with other seeds."""

STAGE_STEP = 10_000_019
"""From the seed of one stage's images to the next one's."""

STRANGERS_SEED = 1_000_003
"""Of the palms a pre-training is monitored with; its own are drawn with another seed."""


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(FitOptions):
    """What `python -m training pretrain` does; docs/training.md says how long it takes.

    The same command again goes on with a run that was stopped. The nets learn to embed, from pairs
    first and, --from that, against prototypes of all palms: the one begins faster, the other tells
    more alike palms apart. Side by side they share every image, which on a GPU costs more time
    than what a net learns from it; each learns as if alone, and has a folder in `out`. `export`
    gives it prototypes of a database, and `finetune` adapts it.

    Attributes:
        nets: which, of alexnet, vgg16 and vgg19.
        start: --from, a run of the same nets to start from, as it was before its whitening; or a
            version's folder, such as models_store/vgg16/2, to start one net from.
        processes: how many take the images, ahead of the training; 0 leaves it to this one, which
            is best where the nets, too, have no more than a few cores.
        against: what each image is compared with: the other images of its batch (pairs), or
            one prototype for every palm (prototypes).
        identities: synthetic palms to tell apart.
        pairs: images of each in an epoch, two by two; every one is of another visit.
        degrade: spoil images as no camera does: hide a part, smear, coarsen, misplace them more.
        contrast_px: side, about, at which the nets see.
        embedding_size: numbers in an embedding.
        learning_rate: Adam's peak.
        scale: factor from similarity to logit.
        margin: what a palm's other image must win by.
    """

    nets: tuple[str, ...] = NETS
    start: Path | None = field(default=None, metadata={"option": "from"})
    against: Literal["pairs", "prototypes"] = "pairs"
    identities: int = 10_000
    pairs: int = 1
    degrade: bool = True
    contrast_px: int = 112
    embedding_size: int = 256
    processes: int = 0
    learning_rate: float = 1e-3
    scale: float = 24.0
    margin: float = 0.15

    @property
    def recipe(self) -> Recipe:
        """The shipped recipe with these choices; the stream does what augmentation would."""
        return Recipe(
            augment="none",
            dropout=0.0,  # no image comes twice, so none can be learned by heart
            contrast_px=self.contrast_px,
            embedding_size=self.embedding_size,
            learning_rate=self.learning_rate,
            scale=self.scale,
            margin=self.margin,
        )

    @property
    def against_palms(self) -> bool:
        """Whether there is a prototype for every palm."""
        return self.against == "prototypes"

    @property
    def loss(self) -> keras.losses.Loss:
        """What the net minimises."""
        kind = MarginLoss if self.against_palms else PairLoss
        return kind(self.scale, self.margin)

    @property
    def side_px(self) -> int:
        """Side of the images after the exported net's shrinking, at which it is trained."""
        return working_side(self.nets[0], self.recipe, SERVED_PX)


def pretrain(config: PretrainConfig) -> Path:
    """Trains embeddings, or goes on training them, and writes the run's folder.

    Returns:
        The path of history.csv; beside it each net has a folder with its weights and result.json.

    Raises:
        ValueError: if an option makes no sense, or `out` holds a run with other settings.
        NetIsDead: if a guard stopped it.
        OSError: if the drawn palms find no room in scratch.
    """
    _require_sensible(config)
    chosen = {
        **asdict(config.recipe),
        **asdict(config),
        "command": "pretrain",
        "stage": stage_after(config.start),
    }
    settings = resumable_settings(chosen, config.out)
    ended = all((config.out / net / FINAL).exists() for net in config.nets)
    if epochs_done(config.out) < config.epochs or not ended:
        with processes(config.processes) if config.processes else nullcontext() as pool:
            _train(config, settings, pool)
    return config.out / HISTORY


def _require_sensible(config: PretrainConfig) -> None:
    for net in config.nets:
        if net not in NETS:
            raise ValueError(f"unknown net {net!r}: choose of {', '.join(NETS)}")
    require_at_least(config, identities=2, monitor=2, epochs=1, pairs=1, embedding_size=1)
    require_at_least(config, processes=0, contrast_px=1)
    if config.batch_size < 4 or config.batch_size % 2:
        raise ValueError(
            f"--batch-size must be an even number of at least 4, not {config.batch_size}"
        )
    if config.start:
        require_start(config.start, config.nets, config.recipe)
    with distribute(config.devices):
        require_divisible(config.batch_size, device_count())


def _train(config: PretrainConfig, settings: dict[str, Any], pool: Executor | None) -> None:
    """Trains the epochs that are not done yet, whitens the nets and writes them."""
    keras.utils.set_random_seed(config.seed)
    palms = draw_palms(config.identities, config.seed, config.scratch)
    stream = partial(_stream, palms, config, pool)
    monitored = {
        prefix: strangers(config.monitor, STRANGERS_SEED, style, side_px=config.side_px)
        for prefix, style in (("val", TRAINING), ("held_out", HELD_OUT))
    }
    with computing_in(settings["precision"]), distribute(config.devices):
        require_agreement(epochs_done=epochs_done(config.out))
        _write_settings(config, settings)
        nets = _begin(config, stream)
        fit_stream(
            {
                name: scoring_model(net) if config.against_palms else embedding_model(net)
                for name, net in nets.items()
            },
            stream(config.seed, epochs_done(config.out)),
            config,
            config.recipe,
            config.loss,
            [
                OpenSetScore(some, config.batch_size, prefix=f"{name}_{prefix}", net=net)
                for name, net in nets.items()
                for prefix, some in monitored.items()
            ],
            kept={config.out / name: embedding_model(net) for name, net in nets.items()},
        )
    with computing_in(settings["precision"]):
        nets = _build(config, 1)
        for name, net in nets.items():
            load_best(embedding_model(net), config.out / name)
        finish(nets, stream(UNSEEN_SEED, 1, everybody=True), monitored, settings, config.out)


def _write_settings(config: PretrainConfig, settings: dict[str, Any]) -> None:
    """Into the run's folder, and into each net's what `export` has to know of it."""
    for name in config.nets:
        (config.out / name).mkdir(parents=True, exist_ok=True)
        own = json.dumps({**settings, "net": name}, indent=2)
        write_whole(config.out / name / CONFIG, own + "\n")
    write_whole(config.out / CONFIG, json.dumps(settings, indent=2) + "\n")


def _begin(config: PretrainConfig, stream: Callable[..., PalmStream]) -> dict[str, keras.Model]:
    """The nets as their training begins; one that goes on restores its own weights."""
    count = config.identities if config.against_palms else 1
    nets = _build(config, count)
    if config.start is None:
        return nets
    if is_version(config.start):
        for net in nets.values():
            freeze_norms(net)  # whitening left no statistics in them
    if epochs_done(config.out):
        return nets
    load_start(config.start, nets)
    if config.against_palms:
        everybody = stream(UNSEEN_SEED, 0, everybody=True)
        embeddings, labels = layer_outputs(nets, "embedding", everybody)
        seen = np.unique(labels)
        for name, net in nets.items():
            (placed,) = net.get_layer("similarity").get_weights()
            # Who filled no batch keeps a place at random.
            placed[seen] = mean_templates(embeddings[name], labels, count)[seen]
            net.get_layer("similarity").set_weights([placed])
    return nets


def _build(config: PretrainConfig, count: int) -> dict[str, keras.Model]:
    return {
        name: build_net(name, count, config.recipe, input_px=config.side_px) for name in config.nets
    }


def _stream(
    palms: ImageFile,
    config: PretrainConfig,
    pool: Executor | None,
    seed: int,
    epoch: int,
    *,
    everybody: bool = False,
) -> PalmStream:
    """An epoch's images, or one pair of every palm for whoever has to see them all."""
    return PalmStream(
        palms,
        pairs=1 if everybody else config.pairs,
        batch_size=config.batch_size,
        side_px=config.side_px,
        seed=seed + STAGE_STEP * stage_after(config.start),
        epoch=epoch,
        degraded=config.degrade,
        whole=everybody,
        pool=pool,
    )
