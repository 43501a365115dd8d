"""Recipes: the choices for building and training a net. The ablation changes them one by one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

NETS = ("alexnet", "vgg16", "vgg19")
"""Names of the nets."""

LOSS_SHIFT = 3
"""Largest shift in places when a loss compares maps: one more than when the service does."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Choices for building and training a net; the defaults are those of the shipped nets.

    Attributes:
        filters: numbers of filters. reduced: as in the paper; original: as published for AlexNet
            and VGG.
        head: layers after the convolutions. embedding: a vector of unit length, compared with one
            prototype per identity; paper: two ReLU layers of 4096 units with dropout 0.5, then a
            softmax.
        normalization: how the signal's variance is kept from layer to layer. weight: every kernel
            is standardised; batch: BatchNorm after every convolution; none: as in the paper, where
            AlexNet has two BatchNorms and VGG has none; bare: no BatchNorm in AlexNet either.
        init: Keras name of the initializer of plain kernels.
        input: input of the first convolution. contrast: local contrast; raw: pixels from 0 to 255;
            rescaled: pixels from 0 to 1; standardized: mean 0 and standard deviation 1 in every
            image; imagenet: as Keras's ImageNet weights expect.
        contrast_px: approximate side in px to which --input contrast shrinks an image; 0 is the
            net's default (AlexNet 112, VGG 75).
        augment: augmentation of training images. palm: changes of pose, light and blur as images
            are read; paper: the seven layers of the question's code, inside the net; none: no
            augmentation.
        wiring: whether the preprocessing layers are used. disconnected builds them without using
            them, which is the defect of the question's code.
        embedding_size: numbers in an embedding, at least 1; embedding head only.
        map_channels: channels of the vein map, an even number from 2 to 64; embedding head only.
        dropout: share of the features set to 0 in a training step, from 0 to less than 1; embedding
            head only.
        learning_rate: Adam's learning rate, above 0; the peak of a cosine schedule.
        schedule: schedule of the learning rate. cosine: one epoch of warm-up, then down to 0;
            constant: no change; plateau: divided by five after three epochs without a lower
            validation loss.
        clip_norm: largest norm of a weight's gradient; a larger gradient is scaled down. 0: no
            limit.
        scale: factor from similarity to logit in CosFace, above 0; embedding head only.
        margin: similarity by which the true identity must win in CosFace, from 0 to 1; embedding
            head only.
        map_scale: factor from similarity to logit in the vein map's loss, above 0; for `pretrain`
            and `finetune`.
        map_margin: similarity by which the maps of one palm must win in that loss, from 0 to 1.
        weights: initial weights of the convolutions. none: random; imagenet: Keras's ImageNet
            weights, for VGG16 and VGG19 with --filters original.
        freeze_epochs: epochs during which ImageNet convolutions are not trained; after them all
            layers are, at a tenth of the learning rate.
    """

    filters: Literal["reduced", "original"] = "reduced"
    head: Literal["embedding", "paper"] = "embedding"
    normalization: Literal["none", "bare", "batch", "weight"] = "weight"
    init: str = "glorot_uniform"
    input: Literal["raw", "rescaled", "standardized", "contrast", "imagenet"] = "contrast"
    contrast_px: int = 0
    augment: Literal["none", "paper", "palm"] = "palm"
    wiring: Literal["connected", "disconnected"] = "connected"
    embedding_size: int = 256
    map_channels: int = 16
    dropout: float = 0.2
    learning_rate: float = 1e-3
    schedule: Literal["cosine", "constant", "plateau"] = "cosine"
    clip_norm: float = 1.0
    scale: float = 24.0
    margin: float = 0.15
    map_scale: float = 24.0
    map_margin: float = 0.2
    weights: Literal["none", "imagenet"] = "none"
    freeze_epochs: int = 5


_AS_POSTED = Recipe(
    head="paper",
    normalization="none",
    input="rescaled",
    augment="paper",
    wiring="disconnected",
    schedule="constant",
    clip_norm=0.0,
)

PRESETS = {
    "shipped": Recipe(),
    # The question's code.
    "as-posted": _AS_POSTED,
    # The student's later version, which learned.
    "student": replace(
        _AS_POSTED,
        normalization="batch",
        wiring="connected",
        learning_rate=1e-4,
        schedule="plateau",
    ),
    "transfer": replace(
        _AS_POSTED,
        filters="original",
        input="imagenet",
        wiring="connected",
        weights="imagenet",
        learning_rate=1e-4,
    ),
}
"""Recipes by their names for `--preset`; single options override their choices."""


RANGES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "contrast_px": ("at least 0", lambda value: value >= 0),
    "embedding_size": ("at least 1", lambda value: value >= 1),
    # At most 32 of each tap: AlexNet's first pool has no more.
    "map_channels": ("even and from 2 to 64", lambda value: 2 <= value <= 64 and value % 2 == 0),
    "dropout": ("from 0 to less than 1", lambda value: 0 <= value < 1),
    "learning_rate": ("above 0", lambda value: value > 0),
    "clip_norm": ("at least 0", lambda value: value >= 0),
    "scale": ("above 0", lambda value: value > 0),
    "margin": ("from 0 to 1", lambda value: 0 <= value <= 1),
    "map_scale": ("above 0", lambda value: value > 0),
    "map_margin": ("from 0 to 1", lambda value: 0 <= value <= 1),
    "freeze_epochs": ("at least 0", lambda value: value >= 0),
}
"""The range of each number in a recipe, in words and as a check."""


def require_valid(recipe: Recipe) -> None:
    """Checks the numbers of a recipe.

    Raises:
        ValueError: if one is out of range; the message names the option, its range and its value.
    """
    for name, (words, holds) in RANGES.items():
        value = getattr(recipe, name)
        if not holds(value):
            raise ValueError(f"--{name.replace('_', '-')} must be {words}, not {value}")


def recipe_of(settings: Mapping[str, Any]) -> Recipe:
    """Returns the recipe in the settings of a run or a manifest.

    Choices that are not in the settings are those of the shipped nets; other keys are ignored.
    """
    names = {field.name for field in fields(Recipe)} & settings.keys()
    return Recipe(**{name: settings[name] for name in names})
