"""Teaches a net what tells palms apart, on thousands of synthetic ones that no epoch repeats."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from training.checkpoint import (
    BEST,
    FINAL,
    epochs_done,
    load_best,
    read_history,
    save_whole,
    write_whole,
)
from training.config import require_at_least, resumable_settings
from training.data import Palms
from training.devices import device_count, distribute, require_agreement, require_divisible
from training.fitting import FitOptions, fit_stream
from training.layers import MarginLoss, PairLoss
from training.nets import NETS, build_net, embedder_of, scores_of, working_side
from training.openset import OpenSetScore, enrol, judge_strangers
from training.recipe import Recipe, recipe_of
from training.result import describe_environment, plot_history
from training.scratch import PictureFile
from training.synthetic.capture import HELD_OUT, TRAINING
from training.synthetic.stream import PalmStream, strangers
from training.synthetic.synthesize import draw_palms
from training.train import computing_in
from training.whitening import whiten

SERVED_PX = 224
"""Side of the pictures that the exported net takes; it shrinks them by a whole number."""

RESULT = "result.json"

UNSEEN_SEED = 3_000_003
"""Of the visits that set prototypes and whitening; the epochs' are drawn with other seeds."""

STAGE_STEP = 10_000_019
"""From the seed of one stage's pictures to the next one's."""

STRANGERS_SEED = 1_000_003
"""Of the palms a pre-training is watched with; its own are drawn with another seed."""


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(FitOptions):
    """What `python -m training pretrain` does; docs/training.md says how long it takes.

    The same command again goes on with a run that was stopped. The net learns to embed, from pairs
    first and, --from that, against prototypes of all palms: the one begins faster, the other tells
    more alike palms apart. `export` gives it prototypes of a database, and `finetune` adapts it.

    Attributes:
        net: one of `training.nets.NETS`.
        start: --from, a run to start from, as it was before its whitening; of another net those
            layers that fit.
        against: what each picture is compared with: the other pictures of its batch (pairs), or
            one prototype for every palm (prototypes).
        identities: synthetic palms to tell apart.
        pairs: pictures of each in an epoch, two by two; every one is of another visit.
        disturb: spoil pictures as no camera does: hide a part, smear, coarsen, misplace them more.
        contrast_px: side, about, at which the net sees; 0 is its own.
        embedding_size: numbers in an embedding.
        learning_rate: Adam's peak.
        scale: factor from similarity to logit.
        margin: what a palm's other picture must win by.
    """

    net: str
    start: Path | None = field(default=None, metadata={"option": "from"})
    against: Literal["pairs", "prototypes"] = "pairs"
    identities: int = 10_000
    pairs: int = 1
    disturb: bool = True
    contrast_px: int = 0
    embedding_size: int = 256
    learning_rate: float = 1e-3
    scale: float = 24.0
    margin: float = 0.15

    @property
    def recipe(self) -> Recipe:
        """The shipped recipe with these choices; the stream does what augmentation would."""
        return Recipe(
            augment="none",
            dropout=0.0,  # no picture comes twice, so none can be learned by heart
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
        """Side of the pictures after the exported net's shrinking, at which it is trained."""
        return working_side(self.net, self.recipe, SERVED_PX)


def pretrain(config: PretrainConfig) -> Path:
    """Trains an embedding, or goes on training it, and writes the run's folder.

    Returns:
        The path of result.json.

    Raises:
        ValueError: if an option makes no sense, or `out` holds a run with other settings.
        NetIsDead: if the guard stopped it.
        OSError: if the drawn palms find no room in scratch.
    """
    _require_sensible(config)
    chosen = {
        **asdict(config.recipe),
        **asdict(config),
        "command": "pretrain",
        "stage": _stage(config),
    }
    settings = resumable_settings(chosen, config.out)
    if epochs_done(config.out) < config.epochs or not (config.out / FINAL).exists():
        _train(config, settings)
    return config.out / RESULT


def _require_sensible(config: PretrainConfig) -> None:
    if config.net not in NETS:
        raise ValueError(f"unknown net {config.net!r}: choose one of {', '.join(NETS)}")
    require_at_least(config, identities=2, watched=2, epochs=1, pairs=1, embedding_size=1)
    if config.batch_size < 4 or config.batch_size % 2:
        raise ValueError(
            f"--batch-size must be an even number of at least 4, not {config.batch_size}"
        )
    if config.start and not (config.start / BEST).exists():
        raise ValueError(f"--from {config.start} holds no {BEST}: name the folder of a run")
    with distribute(config.devices):
        require_divisible(config.batch_size, device_count())


def _stage(config: PretrainConfig) -> int:
    """How many runs are behind this one: each has pictures of its own."""
    if config.start is None:
        return 0
    return json.loads((config.start / "config.json").read_text()).get("stage", 0) + 1


def _train(config: PretrainConfig, settings: dict[str, Any]) -> None:
    """Trains the epochs that are not done yet, whitens the net and writes it."""
    keras.utils.set_random_seed(config.seed)
    palms = draw_palms(config.identities, config.seed, config.scratch)
    watched = {
        prefix: strangers(config.watched, STRANGERS_SEED, style, side_px=config.side_px)
        for prefix, style in (("val", TRAINING), ("held_out", HELD_OUT))
    }
    with computing_in(settings["precision"]), distribute(config.devices):
        require_agreement(epochs_done=epochs_done(config.out))
        config.out.mkdir(parents=True, exist_ok=True)
        write_whole(config.out / "config.json", json.dumps(settings, indent=2) + "\n")
        net = _begin(config, palms)
        fit_stream(
            scores_of(net) if config.against_palms else embedder_of(net),
            _stream(palms, config, config.seed, epochs_done(config.out)),
            config,
            config.recipe,
            config.loss,
            [OpenSetScore(some, prefix=prefix) for prefix, some in watched.items()],
            kept=embedder_of(net),
        )
    with computing_in(settings["precision"]):
        _finish(config, settings, palms, watched)


def _begin(config: PretrainConfig, palms: PictureFile) -> keras.Model:
    """The net as its training begins; one that goes on restores its own weights."""
    count = config.identities if config.against_palms else 1
    net = build_net(config.net, count, config.recipe, input_px=config.side_px)
    if config.start is None or epochs_done(config.out):
        return net
    _load_start(embedder_of(net), config, config.start)
    if config.against_palms:
        embeddings, labels = _look_at_all(net, "embedding", palms, config, epoch=0)
        (placed,), seen = net.get_layer("similarity").get_weights(), np.unique(labels)
        # Who filled no batch keeps a place at random.
        placed[seen] = enrol(embeddings, labels, len(placed))[seen]
        net.get_layer("similarity").set_weights([placed])
    return net


def _finish(
    config: PretrainConfig,
    settings: dict[str, Any],
    palms: PictureFile,
    watched: dict[str, Palms],
) -> None:
    """Whitens the trained net, judges it and writes what the run came to."""
    net = build_net(config.net, 1, config.recipe, input_px=config.side_px)
    load_best(embedder_of(net), config.out)
    features, _ = _look_at_all(net, "dense_norm", palms, config, epoch=1)
    whiten(net, features.reshape(-1, 2, config.embedding_size))
    found = {prefix: judge_strangers(net, some) for prefix, some in watched.items()}
    _conclude(settings, found, config.out)
    save_whole(embedder_of(net), config.out / FINAL)  # the last: it says that all is done


def _look_at_all(
    net: keras.Model, layer: str, palms: PictureFile, config: PretrainConfig, *, epoch: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """A layer's outputs [N, D] for pairs of pictures that no epoch has, and whose they are [N]."""
    part = keras.Model(net.input, net.get_layer(layer).output)
    stream = _stream(palms, config, UNSEEN_SEED, epoch, whole=True)
    outputs, labels = [], []
    for images, whose in (stream[index] for index in range(len(stream))):
        outputs.append(keras.ops.convert_to_numpy(part(images, training=False)))
        labels.append(whose)
    return np.concatenate(outputs).astype(np.float32), np.concatenate(labels)


def _stream(
    palms: PictureFile, config: PretrainConfig, seed: int, epoch: int, *, whole: bool = False
) -> PalmStream:
    return PalmStream(
        palms,
        pairs=config.pairs,
        batch_size=config.batch_size,
        side_px=config.side_px,
        seed=seed + STAGE_STEP * _stage(config),
        epoch=epoch,
        disturbed=config.disturb,
        whole=whole,
    )


def _load_start(embedder: keras.Model, config: PretrainConfig, run: Path) -> None:
    """Copies every layer that the other run's net has under the same name and in the same shape.

    So a VGG19 can start from a VGG16: Simonyan and Zisserman, arXiv 1409.1556, section 3.1, start
    their deeper nets from a shallower one.
    """
    settings = json.loads((run / "config.json").read_text())
    recipe = recipe_of(settings)
    other = embedder_of(build_net(settings["net"], 1, recipe, input_px=config.side_px))
    load_best(other, run)
    donors = {layer.name: layer for layer in other.layers}
    for layer in embedder.layers:
        own = [weight.shape for weight in layer.get_weights()]
        if layer.name in donors and own:
            values = donors[layer.name].get_weights()
            if [value.shape for value in values] == own:
                layer.set_weights(values)


def _conclude(settings: dict[str, Any], found: dict[str, Any], out: Path) -> None:
    """Writes what the run came to: result.json and history.png."""
    history = read_history(out)
    result = {
        "net": settings["net"],
        "watched": {"identities": settings["watched"], "sessions": 2, "shots": 2},
        "last": history[-1],
        "whitened": found,
        "epochs": len(history),
        "pictures": len(history) * 2 * settings["identities"] * settings["pairs"],
        "minutes": round(sum(row["seconds"] for row in history) / 60, 1),
        "environment": describe_environment(settings),
    }
    write_whole(out / RESULT, json.dumps(result, indent=1) + "\n")
    plot_history(history, out / "history.png")
