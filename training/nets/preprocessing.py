"""What stands between the raw image and the first convolution, inside the graph."""

from typing import Any

import keras
from keras import ops

from training.nets.layers import LocalContrast
from training.nets.recipe import Recipe


def preprocess(images: Any, recipe: Recipe) -> Any:
    """Maps uint8 [B, S, S, 3] to what the recipe's `input` says, after its augmentation.

    Args:
        images: the net's input.
        recipe: `input`, `contrast_px`, `augment` and `wiring` count here.

    Returns:
        float32 [B, S, S, 3], or [B, about contrast_px, about contrast_px, 1] for `contrast`.
    """
    augmented = _paper_augmentation(images) if recipe.augment == "paper" else images
    if recipe.wiring == "disconnected":
        _scale(images, recipe.input, recipe.contrast_px)  # built, and never used: the defect
        return _scale(images, "raw", recipe.contrast_px)
    return _scale(augmented, recipe.input, recipe.contrast_px)


def contrast_shrink(image_px: int, contrast_px: int) -> int:
    """By which whole number local contrast divides the image's side."""
    return max(round(image_px / contrast_px), 1)


def _scale(images: Any, kind: str, contrast_px: int) -> Any:
    if kind == "contrast":
        shrink = contrast_shrink(images.shape[1], contrast_px)
        window_px = 2 * round(contrast_px / 15) + 1  # some two veins wide
        return LocalContrast(shrink, window_px, name="contrast")(images)
    pixels = keras.layers.Rescaling(1.0, dtype="float32", name=f"{kind}_pixels")(images)
    if kind == "rescaled":
        return keras.layers.Rescaling(1 / 255, dtype="float32", name="rescaled")(pixels)
    if kind == "standardized":
        return Standardized(name="standardized")(pixels)
    if kind == "imagenet":
        return ImageNetColours(name="imagenet")(pixels)
    return pixels


def _paper_augmentation(images: Any) -> Any:
    """The question's seven layers; each acts in training only.

    Keras 3 has no RandomHeight and RandomWidth: a zoom of one axis stretches the same way, and
    keeps the image's size, which a Flatten needs.
    """
    x = keras.layers.Rescaling(1.0, dtype="float32", name="augmented_pixels")(images)
    for layer in (
        keras.layers.RandomFlip("horizontal", name="random_flip"),
        keras.layers.RandomRotation(0.1, name="random_rotation"),
        keras.layers.RandomZoom(0.1, name="random_zoom"),
        keras.layers.RandomContrast(0.1, value_range=(0, 255), name="random_contrast"),
        keras.layers.RandomTranslation(0.1, 0.1, name="random_translation"),
        keras.layers.RandomZoom(0.1, 0.0, name="random_height"),
        keras.layers.RandomZoom(0.0, 0.1, name="random_width"),
    ):
        x = layer(x)
    return x


class Standardized(keras.layers.Layer):
    """Every image to mean 0 and standard deviation 1, in float32."""

    def __init__(self, **options: Any) -> None:
        """Creates the layer; `options` as of `keras.layers.Layer`."""
        super().__init__(**{**options, "dtype": "float32"})

    def call(self, images: Any) -> Any:
        """Maps [B, H, W, C] to the same shape."""
        mean, variance = ops.moments(images, axes=(1, 2, 3), keepdims=True)
        return (images - mean) * ops.rsqrt(ops.maximum(variance, 1e-6))


class ImageNetColours(keras.layers.Layer):
    """What VGG's ImageNet weights were trained on: BGR, 0 to 255, less the mean colour.

    The means are those of `keras.applications.imagenet_utils.preprocess_input(mode="caffe")`.
    """

    def __init__(self, **options: Any) -> None:
        """Creates the layer; `options` as of `keras.layers.Layer`."""
        super().__init__(**{**options, "dtype": "float32"})

    def call(self, images: Any) -> Any:
        """Maps RGB [B, H, W, 3], 0 to 255, to BGR less the means."""
        return ops.flip(images, axis=-1) - ops.convert_to_tensor([103.939, 116.779, 123.68])
