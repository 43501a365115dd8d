"""The vein map: a net's second head, which says where on the palm each feature is.

A map is a small grid of features from a net's early layers, standardised in every image. Two palms
are compared where their veins lie: one map is laid over the other, shifted a little and correlated.
J. Daugman's iris codes and PalmCode (D. Zhang et al., IEEE TPAMI 25, 2003) compare so.
"""

from typing import Any

import keras
from keras import ops

from training.nets.recipe import Recipe

MAP_PLACES = 28
"""Approximate side of a map in places: that of every tap for images of 112 px."""

LOCAL_TAPS = {
    "alexnet": ("norm1", "pool1"),
    "vgg16": ("block2_pool",),
    "vgg19": ("block2_pool",),
}
"""Layers with small receptive fields, which see a piece of a vein; the first that a net has."""

WIDE_TAPS = {
    "alexnet": ("conv2_relu", "conv2"),
    "vgg16": ("block3_conv3_relu", "block3_conv3"),
    "vgg19": ("block3_conv4_relu", "block3_conv4"),
}
"""Later layers of the same grid, which see how veins meet; the first that a net has."""

BRIGHTEST, DARKEST = 249.9, 2.1
"""Grey levels, 0 to 255, beyond which a sensor is saturated: 250 and 2, moved by 0.1 so that a
mean of whole grey levels is never at the limit, where engines may round differently."""

SPECULAR_EXCESS = 0.25
"""Brightness above the neighbourhood's mean, as a share of the range, that is a reflection: skin is
smoother than that."""

NEIGHBOURHOOD_SHARE = 1 / 8
"""Side of that neighbourhood as a share of the image's side: wider than most reflections."""

UNUSABLE_SHARE = 0.26
"""Share of unusable pixels above which a place is unusable: a quarter, and 0.01 for rounding."""


def map_head(images: Any, features: Any, net: str, recipe: Recipe, shrink: int) -> dict[str, Any]:
    """Adds the vein map to a net. Half of its channels are local, half are wide.

    Args:
        images: the net's input, uint8 [B, H, H, 3].
        features: the output of the net's convolutions.
        net: one of `training.nets.recipe.NETS`.
        recipe: `map_channels` matters here.
        shrink: factor by which the preprocessing divides the side of an image.

    Returns:
        `map` float32 [B, S, S, map_channels], every channel of mean 0 and standard deviation 1 over
        the usable places of its image and 0 elsewhere; and `mask` float32 [B, S, S], 1 for a usable
        place and 0 for another.
    """
    body = keras.Model(images, features)
    parts: list[Any] = []
    for name, taps in (("map_local", LOCAL_TAPS[net]), ("map_wide", WIDE_TAPS[net])):
        x = _tap(body, taps)
        if (times := round(x.shape[1] / MAP_PLACES)) > 1:
            x = keras.layers.AveragePooling2D(times, padding="same", name=f"{name}_pool")(x)
        parts.append(keras.layers.Conv2D(recipe.map_channels // 2, 1, name=name)(x))
    channels: Any = keras.layers.Concatenate(name="map_channels")(parts)
    mask = UsablePlaces(shrink, channels.shape[1], name="mask")(images)
    return {"map": StandardisedMap(name="map")([channels, mask]), "mask": mask}


class UsablePlaces(keras.layers.Layer):
    """Finds the places of an image in which skin is visible, neither saturated nor reflecting.

    Computes in float32 on the grey image that local contrast sees, so that an image and the same
    image at half the side have the same mask.
    """

    def __init__(self, shrink: int, places: int, **kwargs: Any) -> None:
        """Creates the layer.

        Args:
            shrink: factor by which the image is first made smaller, at least 1.
            places: side S of the map.
            kwargs: arguments of `keras.layers.Layer`.
        """
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.shrink = shrink
        self.places = places

    def call(self, images: Any) -> Any:
        """Maps uint8 [B, H, H, 3] to float32 [B, S, S]: 1 for a usable place, 0 for another."""
        pixels: Any = ops.cast(images, "float32")
        grey: Any = ops.mean(pixels, axis=-1, keepdims=True)
        if self.shrink > 1:
            grey = ops.average_pool(grey, self.shrink)
        window = 2 * round(grey.shape[1] * NEIGHBOURHOOD_SHARE / 2) + 1
        # A column average and a row average are faster than a square one.
        mean: Any = ops.average_pool(grey, (window, 1), strides=1, padding="same")
        mean = ops.average_pool(mean, (1, window), strides=1, padding="same")
        unusable: Any = ops.cast(
            (grey > BRIGHTEST) | (grey < DARKEST) | (grey - mean > SPECULAR_EXCESS * 255), "float32"
        )
        cell = -(-grey.shape[1] // self.places)
        # With strides: without them, Keras 3.15 on JAX fails for padding="same".
        share: Any = ops.average_pool(unusable, cell, cell, padding="same")
        return ops.cast(share[..., 0] <= UNUSABLE_SHARE, "float32")


class StandardisedMap(keras.layers.Layer):
    """Standardises every channel of every image over its usable places, in float32.

    Without this, similarities of strangers depend on the camera, and thresholds do not carry over.
    """

    def __init__(self, epsilon: float = 1e-5, **kwargs: Any) -> None:
        """Creates the layer.

        Args:
            epsilon: added to the variance, so that a channel without any stays 0.
            kwargs: arguments of `keras.layers.Layer`.
        """
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.epsilon = epsilon

    def call(self, inputs: Any) -> Any:
        """Maps channels [B, S, S, C] and a mask [B, S, S] to float32 [B, S, S, C]."""
        channels, mask = inputs
        weights: Any = mask[..., None]
        count: Any = ops.maximum(ops.sum(weights, axis=(1, 2), keepdims=True), 1.0)
        mean: Any = ops.sum(weights * channels, axis=(1, 2), keepdims=True) / count
        centred = weights * (channels - mean)
        variance: Any = ops.sum(ops.square(centred), axis=(1, 2), keepdims=True) / count
        return centred * ops.rsqrt(variance + self.epsilon)


def _tap(body: keras.Model, names: tuple[str, ...]) -> Any:
    """Returns the output of the first of these layers that a body has."""
    known = {layer.name: layer for layer in body.layers}
    return next(known[name].output for name in names if name in known)
