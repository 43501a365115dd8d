"""Preprocessing inside the net: from raw images to the input of the first convolution."""

from typing import Any

import keras
from keras import ops

from training.nets.layers import LocalContrast


def preprocess(images: Any, kind: str, contrast_px: int) -> Any:
    """Adds the preprocessing layers to an input.

    Args:
        images: [B, S, S, 3], 0 to 255.
        kind: a recipe's `input`: raw, rescaled, standardized, contrast or imagenet.
        contrast_px: approximate side in px of the result; only for contrast.

    Returns:
        float32 [B, S, S, 3]; for contrast [B, S / k, S / k, 1], where k is `contrast_shrink`.
    """
    if kind == "contrast":
        shrink = contrast_shrink(images.shape[1], contrast_px)
        window_px = 2 * round(contrast_px / 15) + 1  # about two veins wide
        return LocalContrast(shrink, window_px, name="contrast")(images)
    pixels = keras.layers.Rescaling(1.0, dtype="float32", name=f"{kind}_pixels")(images)
    if kind == "rescaled":
        return keras.layers.Rescaling(1 / 255, dtype="float32", name="rescaled")(pixels)
    if kind == "standardized":
        return Standardized(name="standardized", dtype="float32")(pixels)
    if kind == "imagenet":
        return keras.applications.vgg16.preprocess_input(pixels)  # BGR minus the mean colour
    return pixels


def contrast_shrink(image_px: int, contrast_px: int) -> int:
    """Returns the whole number by which local contrast divides an image's side."""
    return max(round(image_px / contrast_px), 1)


class Standardized(keras.layers.Layer):
    """Scales every image to mean 0 and standard deviation 1."""

    def call(self, images: Any) -> Any:
        """Maps [B, H, W, C] to the same shape."""
        moments: Any = ops.moments(images, axes=(1, 2, 3), keepdims=True)
        mean, variance = moments
        return (images - mean) * ops.rsqrt(ops.maximum(variance, 1e-6))
