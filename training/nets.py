"""AlexNet, VGG16 and VGG19 with the reduced filters, from raw image to identity.

All three end in the same head: an embedding of unit length, compared with one prototype per
identity. They learn from scratch because every convolution's kernel is standardised
(`training.layers.ScaledConv2D`): the signal keeps its variance through 13 or 16 layers.
"""

from collections.abc import Callable
from typing import Any

import keras

from training.layers import CosineClassifier, LocalContrast, ScaledConv2D, UnitLength

NETS = ("alexnet", "vgg16", "vgg19")

VGG_FILTERS = (32, 64, 96, 128, 128)
"""Filters of the five blocks; the originals are 64, 128, 256, 512, 512."""

VGG_REPEATS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
"""Convolutions in each block: Simonyan and Zisserman, arXiv 1409.1556, configurations D and E."""

Conv = Callable[..., Any]


def build_net(
    net: str,
    identities: int,
    *,
    input_px: int = 224,
    embedding_size: int = 256,
    folded: bool = False,
) -> keras.Model:
    """Builds a net from uint8 [B, input_px, input_px, 3] to two named outputs.

    Args:
        net: one of `NETS`.
        identities: number of prototypes.
        input_px: side of the input image.
        embedding_size: length of the embedding.
        folded: plain convolutions for serving (see `fold`), instead of trainable standardised ones.

    Returns:
        A model with outputs `embedding` float32 [B, embedding_size], rows of length 1, and
        `similarity` float32 [B, identities] in [-1, 1].

    Raises:
        ValueError: if `net` is none of `NETS`.
    """
    if net not in NETS:
        raise ValueError(f"unknown net {net!r}: choose one of {', '.join(NETS)}")
    conv = _plain_conv if folded else ScaledConv2D
    images = keras.Input((input_px, input_px, 3), dtype="uint8", name="images")
    x = _alexnet_body(images, conv) if net == "alexnet" else _vgg_body(images, conv, net)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dropout(0.2, name="dropout")(x)
    x = keras.layers.Dense(embedding_size, use_bias=False, name="dense")(x)
    x = keras.layers.BatchNormalization(name="dense_norm")(x)
    embedding = UnitLength(name="embedding")(x)
    similarity = CosineClassifier(identities, name="similarity")(embedding)
    return keras.Model(images, {"embedding": embedding, "similarity": similarity}, name=net)


def fold(trained: keras.Model) -> keras.Model:
    """Copies a trained net into plain convolutions, for serving; the outputs are the same."""
    images, embedding = trained.input, trained.get_layer("dense")
    identities = trained.get_layer("similarity").identities
    folded = build_net(
        trained.name,
        identities,
        input_px=images.shape[1],
        embedding_size=embedding.units,
        folded=True,
    )
    for layer in trained.layers:
        scaled = isinstance(layer, ScaledConv2D)
        weights = layer.folded_weights() if scaled else layer.get_weights()
        folded.get_layer(layer.name).set_weights(weights)
    return folded


def _alexnet_body(images: Any, conv: Conv) -> Any:
    """The paper's reduced AlexNet: overlapping pools, BatchNorm after the first two.

    Its first convolution, 3x3 at stride 4, skips 7 of 16 pixels; the same grid is reached here by
    halving the image, which averages them, and stride 2.
    """
    x = LocalContrast(shrink=2, window_px=15, name="contrast")(images)
    x = conv(32, strides=2, name="conv1")(x)
    x = keras.layers.MaxPooling2D(3, 2, padding="same", name="pool1")(x)
    x = keras.layers.BatchNormalization(name="norm1")(x)
    x = conv(64, name="conv2")(x)
    x = keras.layers.MaxPooling2D(3, 2, padding="same", name="pool2")(x)
    x = keras.layers.BatchNormalization(name="norm2")(x)
    for index, filters in enumerate((128, 128, 64), start=3):
        x = conv(filters, name=f"conv{index}")(x)
    return keras.layers.MaxPooling2D(3, 2, padding="same", name="pool3")(x)


def _vgg_body(images: Any, conv: Conv, net: str) -> Any:
    """VGG16 or VGG19 at a third of the input's size: it keeps the veins and a ninth of the work."""
    x = LocalContrast(shrink=3, window_px=11, name="contrast")(images)
    for block, repeats in enumerate(VGG_REPEATS[net], start=1):
        for index in range(1, repeats + 1):
            x = conv(VGG_FILTERS[block - 1], name=f"block{block}_conv{index}")(x)
        x = keras.layers.MaxPooling2D(2, padding="same", name=f"block{block}_pool")(x)
    return x


def _plain_conv(filters: int, strides: int = 1, *, name: str) -> keras.layers.Layer:
    return keras.layers.Conv2D(
        filters, 3, strides=strides, padding="same", activation="relu", name=name
    )
