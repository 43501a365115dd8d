"""AlexNet, VGG16 and VGG19, from raw image to identity, built as a `Recipe` says.

With the shipped recipe all three end in the same head: an embedding of unit length, compared with
one prototype per identity. They learn from scratch because every convolution's kernel is
standardised (`training.nets.layers.ScaledConv2D`): the signal keeps its variance through 13 or 16
layers. docs/why-vgg-does-not-learn.md shows what happens without.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras

from training.nets.layers import CosineClassifier, ScaledConv2D, UnitLength
from training.nets.preprocessing import contrast_shrink, preprocess
from training.nets.recipe import Recipe

NETS = ("alexnet", "vgg16", "vgg19")

ALEXNET_FILTERS = {
    "reduced": ((32, 3), (64, 3), (128, 3), (128, 3), (64, 3)),
    "original": ((96, 11), (256, 5), (384, 3), (384, 3), (256, 3)),
}
"""Filters and kernel sides; the original is Krizhevsky, Sutskever and Hinton, NIPS 2012."""

VGG_FILTERS = {"reduced": (32, 64, 96, 128, 128), "original": (64, 128, 256, 512, 512)}
"""Filters of the five blocks."""

VGG_REPEATS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
"""Convolutions in each block: Simonyan and Zisserman, arXiv 1409.1556, configurations D and E."""

CONTRAST_PX = {"alexnet": 112, "vgg16": 75, "vgg19": 75}
"""Side, about, at which a net sees local contrast, unless its recipe names another."""

Conv = Callable[..., Any]


def build_net(
    net: str,
    identities: int,
    recipe: Recipe = Recipe(),  # noqa: B008 (frozen)
    *,
    input_px: int = 224,
    folded: bool = False,
) -> keras.Model:
    """Builds a net from uint8 [B, input_px, input_px, 3] to named outputs.

    Args:
        net: one of `NETS`.
        identities: number of prototypes, or of the softmax's classes.
        recipe: how it is built.
        input_px: side of the input image.
        folded: for serving: plain convolutions (see `fold`) instead of trainable standardised
            ones, and no augmentation.

    Returns:
        With the embedding head, a model with outputs `embedding` float32 [B, D], rows of length
        1, and `similarity` float32 [B, identities] in [-1, 1]; with the paper's head,
        `probabilities` float32 [B, identities].

    Raises:
        ValueError: if `net` is none of `NETS`.
    """
    if net not in NETS:
        raise ValueError(f"unknown net {net!r}: choose one of {', '.join(NETS)}")
    recipe = replace(recipe, contrast_px=recipe.contrast_px or CONTRAST_PX[net])
    if folded:
        recipe = replace(recipe, augment="none")
    conv = _conv(recipe, folded)
    images = keras.Input((input_px, input_px, 3), dtype="uint8", name="images")
    x = preprocess(images, recipe)
    if net == "alexnet":
        x = _alexnet_body(x, conv, recipe)
    else:
        x = _vgg_body(x, conv, VGG_FILTERS[recipe.filters], VGG_REPEATS[net])
    x = keras.layers.Flatten(name="flatten")(x)
    if recipe.head == "paper":
        outputs = _paper_head(x, identities, recipe.init)
    else:
        outputs = _embedding_head(x, identities, recipe)
    return keras.Model(images, outputs, name=net)


def working_side(net: str, recipe: Recipe, input_px: int) -> int:
    """Side at which the first convolution sees a image of `input_px`.

    A net that is built for images of this side has the same weights and answers alike.
    """
    if recipe.input != "contrast":
        return input_px
    return input_px // contrast_shrink(input_px, recipe.contrast_px or CONTRAST_PX[net])


def scoring_model(model: keras.Model) -> keras.Model:
    """The part of a net that is trained: image to similarity, or to probabilities."""
    head = "probabilities" if "probabilities" in model.output else "similarity"
    return keras.Model(model.input, model.output[head], name=model.name)


def embedding_model(model: keras.Model) -> keras.Model:
    """The part of a net without prototypes: image to embedding."""
    return keras.Model(model.input, model.output["embedding"], name=model.name)


def freeze_norms(model: keras.Model) -> None:
    """Lets a net's BatchNorms go on as they are, with the statistics that they have."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def fold(trained: keras.Model, recipe: Recipe = Recipe()) -> keras.Model:  # noqa: B008 (frozen)
    """Copies a trained net into plain convolutions, for serving; the outputs are the same."""
    folded = build_net(
        trained.name,
        trained.get_layer("similarity").identities,
        recipe,
        input_px=trained.input.shape[1],
        folded=True,
    )
    for layer in folded.layers:
        source = trained.get_layer(layer.name)
        scaled = isinstance(source, ScaledConv2D)
        layer.set_weights(source.folded_weights() if scaled else source.get_weights())
    return folded


def _alexnet_body(x: Any, conv: Conv, recipe: Recipe) -> Any:
    """Five convolutions, overlapping pools, BatchNorm after the first two pools.

    At stride 4 a 3x3 convolution skips 7 of 16 pixels; local contrast has halved the image, which
    averages them, and stride 2 reaches the same grid.
    """
    own_norms = recipe.normalization in ("none", "weight")
    for index, (filters, side) in enumerate(ALEXNET_FILTERS[recipe.filters], start=1):
        strides = 1 if index > 1 else 2 if recipe.input == "contrast" else 4
        x = conv(x, filters, side, strides, name=f"conv{index}")
        if index in (1, 2):
            x = keras.layers.MaxPooling2D(3, 2, padding="same", name=f"pool{index}")(x)
            x = _norm(f"norm{index}")(x) if own_norms else x
    return keras.layers.MaxPooling2D(3, 2, padding="same", name="pool3")(x)


def _vgg_body(x: Any, conv: Conv, filters: tuple[int, ...], repeats: tuple[int, ...]) -> Any:
    """Five blocks of 3x3 convolutions, each closed by a pool; layers named as Keras names them."""
    for block, (width, count) in enumerate(zip(filters, repeats, strict=True), start=1):
        for index in range(1, count + 1):
            x = conv(x, width, name=f"block{block}_conv{index}")
        x = keras.layers.MaxPooling2D(2, padding="same", name=f"block{block}_pool")(x)
    return x


def _conv(recipe: Recipe, folded: bool) -> Conv:
    """Convolution, normalisation and ReLU as one step of a body."""

    def apply(x: Any, filters: int, side: int = 3, strides: int = 1, *, name: str) -> Any:
        if recipe.normalization == "weight" and not folded:
            return ScaledConv2D(filters, side, strides, name=name)(x)
        if recipe.normalization != "batch":
            return plain(filters, side, strides, activation="relu", name=name)(x)
        x = plain(filters, side, strides, use_bias=False, name=name)(x)
        x = _norm(f"{name}_norm")(x)
        return keras.layers.ReLU(name=f"{name}_relu")(x)

    def plain(filters: int, side: int, strides: int, **options: Any) -> keras.layers.Layer:
        return keras.layers.Conv2D(
            filters, side, strides, padding="same", kernel_initializer=recipe.init, **options
        )

    return apply


def _norm(name: str) -> keras.layers.Layer:
    """BatchNorm over the whole batch, on however many devices it is; JAX does so by itself."""
    apart = keras.backend.backend() == "tensorflow"
    return keras.layers.BatchNormalization(synchronized=apart, name=name)


def _embedding_head(x: Any, identities: int, recipe: Recipe) -> dict[str, Any]:
    x = keras.layers.Dropout(recipe.dropout, name="dropout")(x)
    dense = keras.layers.Dense(
        recipe.embedding_size, use_bias=False, kernel_initializer=recipe.init, name="dense"
    )
    x = dense(x)
    x = _norm("dense_norm")(x)
    embedding = UnitLength(name="embedding")(x)
    similarity = CosineClassifier(identities, name="similarity")(embedding)
    return {"embedding": embedding, "similarity": similarity}


def _paper_head(x: Any, identities: int, init: str) -> dict[str, Any]:
    for index in (1, 2):
        x = keras.layers.Dense(
            4096, activation="relu", kernel_initializer=init, name=f"dense{index}"
        )(x)
        x = keras.layers.Dropout(0.5, name=f"dropout{index}")(x)
    softmax = keras.layers.Dense(
        identities, activation="softmax", dtype="float32", name="probabilities"
    )
    return {"probabilities": softmax(x)}
