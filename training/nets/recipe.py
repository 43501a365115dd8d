"""How a net is built and how it learns: every choice that the ablation changes, one at a time."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The recipe; its defaults are the shipped nets'.

    Attributes:
        filters: reduced (the paper's) or original (AlexNet's, VGG's own).
        head: embedding (256 numbers of unit length against one prototype per identity) or paper
            (two ReLU Dense of 4096 with dropout 0.5, softmax).
        normalization: none (what the paper's net has: AlexNet two BatchNorms, VGG nothing), bare
            (not even AlexNet's), batch (BatchNorm after every convolution) or weight (scaled
            weight standardisation of every kernel).
        init: initialiser of plain kernels by its Keras name; glorot_uniform is Keras's default.
        input: what the first layer sees: raw (0 to 255), rescaled (0 to 1), standardized (each
            image to mean 0, deviation 1), contrast (local contrast) or imagenet (what the
            ImageNet weights expect).
        contrast_px: side to which local contrast shrinks the image, about: it keeps the veins and
            spares the work; 0 is the net's own.
        augment: none, paper (the question's seven layers, in the graph) or palm (pose, light,
            blur; in the input pipeline).
        wiring: connected, or disconnected: the preprocessing layers are built and then not used,
            as in the question's code.
        embedding_size: numbers in an embedding; embedding head only.
        dropout: share of features that a training step hides from the embedding.
        learning_rate: Adam's; the peak of a cosine schedule.
        schedule: constant, plateau (a fifth after three epochs without progress), or cosine
            (after a warm-up of one epoch, down to 0).
        clip_norm: gradients are scaled down to this norm; 0 leaves them.
        scale: CosFace's factor from similarity to logit; embedding head only.
        margin: CosFace's margin; embedding head only.
        weights: none, or imagenet: the convolutions start from Keras's own ImageNet weights.
        freeze_epochs: epochs in which ImageNet convolutions stay as they are; after them all
            weights learn, at a tenth of the rate.
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
    dropout: float = 0.2
    learning_rate: float = 1e-3
    schedule: Literal["cosine", "constant", "plateau"] = "cosine"
    clip_norm: float = 1.0
    scale: float = 24.0
    margin: float = 0.15
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
    # The question's code: its preprocessing says rescaled and augmented, and is never used.
    "as-posted": _AS_POSTED,
    # The student's later version, which worked.
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
"""Starting points for `--preset`; single options override them."""


def recipe_of(settings: Mapping[str, Any]) -> Recipe:
    """The recipe in a run's or a manifest's settings; what they do not name is as shipped."""
    names = {field.name for field in fields(Recipe)} & settings.keys()
    return Recipe(**{name: settings[name] for name in names})
