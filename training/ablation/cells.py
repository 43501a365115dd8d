"""Cells of the ablation's table: recipes from the question's code to the shipped nets."""

from dataclasses import dataclass, replace

from training.nets.recipe import NETS, PRESETS, Recipe


@dataclass(frozen=True, slots=True)
class Cell:
    """One recipe of the table.

    Attributes:
        name: name of the cell and of its files.
        change: description of the recipe.
        recipe: the recipe.
        nets: nets to train with the recipe.
    """

    name: str
    change: str
    recipe: Recipe
    nets: tuple[str, ...] = NETS


_POSTED = PRESETS["as-posted"]
_WIRED = replace(_POSTED, wiring="connected", augment="none")  # rescaling alone
_EMBEDDING = replace(_WIRED, head="embedding")

CELLS = (
    Cell("as-posted", "the question's code", _POSTED),
    Cell("rescaling", "rescaling connected", _WIRED),
    Cell("augmentation", "augmentation connected, rescaling not",
         replace(_POSTED, wiring="connected", input="raw")),
    Cell("both", "both connected", replace(_POSTED, wiring="connected")),
    Cell("he", "rescaling, He initialisation", replace(_WIRED, init="he_normal")),
    Cell("warm-up", "rescaling, warm-up and cosine schedule, clipped gradients",
         replace(_WIRED, schedule="cosine", clip_norm=1.0)),
    Cell("posted-1e-4", "the question's code, Adam 1e-4", replace(_POSTED, learning_rate=1e-4)),
    Cell("rate-3e-4", "rescaling, Adam 3e-4", replace(_WIRED, learning_rate=3e-4)),
    Cell("rate-1e-4", "rescaling, Adam 1e-4", replace(_WIRED, learning_rate=1e-4)),
    Cell("he-1e-4", "rescaling, He, Adam 1e-4",
         replace(_WIRED, init="he_normal", learning_rate=1e-4)),
    Cell("bare", "AlexNet without its two BatchNorms, otherwise as posted",
         replace(_POSTED, normalization="bare"), ("alexnet",)),
    Cell("batch-raw", "the question's code, BatchNorm",
         replace(_POSTED, normalization="batch")),
    Cell("batch", "rescaling, BatchNorm", replace(_WIRED, normalization="batch")),
    Cell("batch-1e-4", "rescaling, BatchNorm, Adam 1e-4",
         replace(_WIRED, normalization="batch", learning_rate=1e-4)),
    Cell("weight", "rescaling, weight standardisation",
         replace(_WIRED, normalization="weight")),
    Cell("weight-1e-4", "rescaling, weight standardisation, Adam 1e-4",
         replace(_WIRED, normalization="weight", learning_rate=1e-4)),
    Cell("embedding", "rescaling, embedding head", _EMBEDDING),
    Cell("embedding-1e-4", "rescaling, embedding head, Adam 1e-4",
         replace(_EMBEDDING, learning_rate=1e-4)),
    Cell("embedding-batch", "rescaling, embedding head, BatchNorm",
         replace(_EMBEDDING, normalization="batch")),
    Cell("embedding-weight", "rescaling, embedding head, weight standardisation",
         replace(_EMBEDDING, normalization="weight")),
    Cell("shipped", "the shipped recipe", PRESETS["shipped"]),
    Cell("original", "the question's code, original filters", replace(_POSTED, filters="original")),
    Cell("original-weight", "original filters, rescaling, embedding head, weight standardisation",
         replace(_EMBEDDING, normalization="weight", filters="original"), ("vgg16",)),
    Cell("transfer", "original filters, ImageNet weights", PRESETS["transfer"],
         ("vgg16", "vgg19")),
)  # fmt: skip
"""All cells, in the order of the table."""


BATCH_SIZE = 32
"""Images in a training step of every cell, as in the question's code."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Size of a cell's training.

    Attributes:
        size_px: side of the images.
        identities: number of identities, from the first of the database; None for all.
        epochs: passes over the training images.
    """

    size_px: int
    identities: int | None
    epochs: int


SCALES = {"quick": Scale(48, 40, 8), "full": Scale(224, None, 6)}
"""Scales by their names for `--scale`."""
