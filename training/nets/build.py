"""AlexNet, VGG16 and VGG19 with two heads: an embedding and a vein map.

A net maps raw images to embeddings of unit length, to their cosine similarities with one prototype
per identity, and to vein maps (`training.nets.maps`). Its kernels are standardised
(`training.nets.layers.ScaledConv2D`), so the signal keeps its variance through 13 or 16 layers and
the net learns from scratch. docs/why-vgg-does-not-learn.md shows what happens without standardised
kernels.
"""

from functools import partial
from typing import Any

import keras

from training.nets.layers import CosineClassifier, ScaledConv2D
from training.nets.maps import map_head
from training.nets.preprocessing import contrast_shrink, preprocess
from training.nets.recipe import NETS, Recipe

ALEXNET_FILTERS = {
    "reduced": ((32, 3), (64, 3), (128, 3), (128, 3), (64, 3)),
    "original": ((96, 11), (256, 5), (384, 3), (384, 3), (256, 3)),
}
"""Filters and kernel side of each convolution. Original: Krizhevsky et al., NIPS 2012."""

VGG_FILTERS = {"reduced": (32, 64, 96, 128, 128), "original": (64, 128, 256, 512, 512)}
"""Filters of each of the five blocks."""

VGG_REPEATS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
"""Convolutions in each block: Simonyan and Zisserman, arXiv 1409.1556, configurations D and E."""

CONTRAST_PX = {"alexnet": 112, "vgg16": 75, "vgg19": 75}
"""Default for the approximate side in px of the local contrast."""


def build_net(
    net: str,
    identities: int,
    recipe: Recipe = Recipe(),  # noqa: B008 (frozen)
    *,
    input_px: int = 224,
    folded: bool = False,
) -> keras.Model:
    """Builds a net with an embedding head and a vein map.

    The recipe's augmentation is not part of the net: "palm" changes images as they are read, and
    "paper" is part of the nets of `training.ablation.paper`.

    Args:
        net: one of `NETS`.
        identities: number of prototypes N, at least 1.
        recipe: how to build it.
        input_px: side of the input images.
        folded: use plain convolutions instead of standardised ones, for serving; see `fold`.

    Returns:
        A model from uint8 [B, input_px, input_px, 3] to `embedding` float32 [B, embedding_size],
        rows of unit length, `similarity` float32 [B, N] in [-1, 1], and, unless the recipe has 0
        `map_channels`, the outputs of `training.nets.maps.map_head`, `map` and `mask`.

    Raises:
        ValueError: if `net` is none of `NETS`, or the recipe has the paper's head or disconnected
            wiring.
    """
    require_net(net)
    if recipe.head != "embedding" or recipe.wiring != "connected":
        raise ValueError(
            f"--head {recipe.head} --wiring {recipe.wiring} cannot be served: give "
            "--head embedding --wiring connected"
        )
    images = keras.Input((input_px, input_px, 3), dtype="uint8", name="images")
    x = preprocess(images, recipe.input, contrast_px(net, recipe))
    x = build_body(x, net, recipe, folded=folded)
    return keras.Model(images, add_heads(images, x, net, identities, recipe), name=net)


def require_net(net: str) -> None:
    """Raises ValueError if there is no net of this name."""
    if net not in NETS:
        raise ValueError(f"unknown net {net!r}: choose one of {', '.join(NETS)}")


def contrast_px(net: str, recipe: Recipe) -> int:
    """Returns the approximate side in px of the local contrast."""
    return recipe.contrast_px or CONTRAST_PX[net]


def working_side(net: str, recipe: Recipe, input_px: int) -> int:
    """Returns the side in px of the first convolution's input for images of `input_px`.

    A net built for images of this side has the same weights and gives the same outputs.
    """
    if recipe.input != "contrast":
        return input_px
    return input_px // contrast_shrink(input_px, contrast_px(net, recipe))


def build_body(x: Any, net: str, recipe: Recipe, *, folded: bool = False) -> Any:
    """Adds a net's convolutions to preprocessed images.

    Args:
        x: float32 [B, S, S, C].
        net: one of `NETS`.
        recipe: `filters`, `normalization`, `init` and `input` matter here.
        folded: use plain convolutions instead of standardised ones.

    Returns:
        The features [B, F].
    """
    conv = partial(_convolve, recipe=recipe, folded=folded)
    if net == "alexnet":
        x = _alexnet_body(x, conv, recipe)
    else:
        x = _vgg_body(x, conv, VGG_FILTERS[recipe.filters], VGG_REPEATS[net])
    return keras.layers.Flatten(name="flatten")(x)


def add_heads(
    images: Any, features: Any, net: str, identities: int, recipe: Recipe
) -> dict[str, Any]:
    """Adds the embedding, the similarities and the vein map.

    Args:
        images: the net's input, uint8 [B, S, S, 3].
        features: the features [B, F] from `build_body`.
        net: one of `NETS`.
        identities: number of prototypes.
        recipe: how to build the heads.

    Returns:
        The outputs of `build_net`, by name.
    """
    outputs = _embedding_head(features, identities, recipe)
    if not recipe.map_channels:
        return outputs
    input_px = images.shape[1]
    shrink = input_px // working_side(net, recipe, input_px)
    return outputs | map_head(images, features, net, recipe, shrink)


def _embedding_head(features: Any, identities: int, recipe: Recipe) -> dict[str, Any]:
    x = keras.layers.Dropout(recipe.dropout, name="dropout")(features)
    dense = keras.layers.Dense(
        recipe.embedding_size, use_bias=False, kernel_initializer=recipe.init, name="dense"
    )
    x = _batch_norm("dense_norm")(dense(x))
    embedding = keras.layers.UnitNormalization(name="embedding", dtype="float32")(x)
    similarity = CosineClassifier(identities, name="similarity")(embedding)
    return {"embedding": embedding, "similarity": similarity}


def scoring_model(model: keras.Model) -> keras.Model:
    """Returns the model from images to similarities or, with the paper's head, probabilities."""
    outputs: Any = model.output
    answer = outputs.get("probabilities", outputs.get("similarity"))
    return keras.Model(model.input, answer, name=model.name)


def embedding_model(model: keras.Model) -> keras.Model:
    """Returns the model from images to embeddings, without prototypes."""
    outputs: Any = model.output
    return keras.Model(model.input, outputs["embedding"], name=model.name)


def select_outputs(model: keras.Model, *names: str) -> keras.Model:
    """Returns the model from images to a dict of some of a net's outputs, such as `map`."""
    outputs: Any = model.output
    return keras.Model(model.input, {name: outputs[name] for name in names}, name=model.name)


def freeze_norms(model: keras.Model) -> None:
    """Freezes a net's BatchNorms: training changes neither their weights nor their statistics."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def fold(trained: keras.Model, recipe: Recipe = Recipe()) -> keras.Model:  # noqa: B008 (frozen)
    """Copies a trained net into a net with plain convolutions and the same outputs.

    Args:
        trained: a net of `build_net`, or of `training.ablation.paper` with an embedding head.
        recipe: the recipe that it was built with.

    Raises:
        ValueError: if the recipe has the paper's head or disconnected wiring.
    """
    images: Any = trained.input
    identities = trained.get_layer("similarity").identities
    folded = build_net(trained.name, identities, recipe, input_px=images.shape[1], folded=True)
    copy_folded(trained, folded)
    return folded


def copy_folded(trained: keras.Model, folded: keras.Model) -> None:
    """Copies weights, layer by layer, into a net that has plain convolutions of the same names."""
    for layer in folded.layers:
        source = trained.get_layer(layer.name)
        scaled = isinstance(source, ScaledConv2D)
        layer.set_weights(source.folded_weights() if scaled else source.get_weights())


def _alexnet_body(x: Any, conv: Any, recipe: Recipe) -> Any:
    """Adds five convolutions and three overlapping pools, with BatchNorm after the first two."""
    # At stride 4 a 3x3 kernel skips 7 of 16 pixels. Local contrast has halved the image by
    # averaging, so stride 2 gives the same grid without skipping any.
    first_strides = 2 if recipe.input == "contrast" else 4
    norms = recipe.normalization in ("none", "weight")
    for index, (filters, side) in enumerate(ALEXNET_FILTERS[recipe.filters], start=1):
        x = conv(x, filters, side, first_strides if index == 1 else 1, name=f"conv{index}")
        if index in (1, 2):
            x = keras.layers.MaxPooling2D(3, 2, padding="same", name=f"pool{index}")(x)
            x = _batch_norm(f"norm{index}")(x) if norms else x
    return keras.layers.MaxPooling2D(3, 2, padding="same", name="pool3")(x)


def _vgg_body(x: Any, conv: Any, filters: tuple[int, ...], repeats: tuple[int, ...]) -> Any:
    """Adds five blocks of 3x3 convolutions, each with a pool at its end; named as in Keras."""
    for block, (width, count) in enumerate(zip(filters, repeats, strict=True), start=1):
        for index in range(1, count + 1):
            x = conv(x, width, name=f"block{block}_conv{index}")
        x = keras.layers.MaxPooling2D(2, padding="same", name=f"block{block}_pool")(x)
    return x


def _convolve(
    x: Any,
    filters: int,
    side: int = 3,
    strides: int = 1,
    *,
    recipe: Recipe,
    folded: bool,
    name: str,
) -> Any:
    """Adds a convolution, its normalization and a ReLU."""
    if recipe.normalization == "weight" and not folded:
        return ScaledConv2D(filters, side, strides, name=name)(x)
    batch = recipe.normalization == "batch"
    x = keras.layers.Conv2D(
        filters,
        side,
        strides,
        padding="same",
        activation=None if batch else "relu",
        use_bias=not batch,
        kernel_initializer=recipe.init,
        name=name,
    )(x)
    if not batch:
        return x
    return keras.layers.ReLU(name=f"{name}_relu")(_batch_norm(f"{name}_norm")(x))


def _batch_norm(name: str) -> keras.layers.Layer:
    """Returns a BatchNorm with the statistics of the whole batch on any number of devices."""
    tensorflow = keras.backend.backend() == "tensorflow"  # JAX always synchronizes
    return keras.layers.BatchNormalization(synchronized=tensorflow, name=name)
