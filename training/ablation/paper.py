"""Builds the paper's net as the question's code does.

Only this module has the paper's head, its augmentation inside the net, and the defect of the
question's code, which builds preprocessing layers and does not use them. Its nets are for training
only.
"""

from typing import Any

import keras

from training.nets.build import add_heads, build_body, build_net, contrast_px, require_net
from training.nets.preprocessing import preprocess
from training.nets.recipe import Recipe


def build_from_recipe(
    net: str, identities: int, recipe: Recipe, *, input_px: int = 224
) -> keras.Model:
    """Builds the trainable net of any recipe, this project's or the paper's.

    Args:
        net: one of `training.nets.recipe.NETS`.
        identities: number of prototypes, or of the softmax's classes, N, at least 1.
        recipe: how to build it.
        input_px: side of the input images.

    Returns:
        A model from uint8 [B, input_px, input_px, 3] to the outputs of
        `training.nets.build.build_net`, or, with the paper's head, to `probabilities` float32
        [B, N].

    Raises:
        ValueError: if there is no net of this name.
    """
    if recipe.head == "embedding" and recipe.wiring == "connected" and recipe.augment != "paper":
        return build_net(net, identities, recipe, input_px=input_px)
    require_net(net)
    images = keras.Input((input_px, input_px, 3), dtype="uint8", name="images")
    x = _preprocess(images, recipe, contrast_px(net, recipe))
    features = build_body(x, net, recipe)
    if recipe.head == "paper":
        outputs = _paper_head(features, identities, recipe.init)
    else:
        outputs = add_heads(images, features, net, identities, recipe)
    return keras.Model(images, outputs, name=net)


def _preprocess(images: Any, recipe: Recipe, contrast: int) -> Any:
    """Adds preprocessing with the recipe's augmentation and wiring."""
    augmented = _augment(images) if recipe.augment == "paper" else images
    if recipe.wiring == "connected":
        return preprocess(augmented, recipe.input, contrast)
    preprocess(augmented, recipe.input, contrast)  # built and not used: the defect
    return preprocess(images, "raw", contrast)


def _augment(images: Any) -> Any:
    """Adds the question's seven augmentation layers, which change images in training only.

    Keras 3 has no RandomHeight and RandomWidth. Zooming one axis stretches the image in the same
    way and keeps its size, as Flatten requires.
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


def _paper_head(features: Any, identities: int, init: str) -> dict[str, Any]:
    """Adds two ReLU layers of 4096 units with dropout, and a softmax."""
    x = features
    for index in (1, 2):
        x = keras.layers.Dense(
            4096, activation="relu", kernel_initializer=init, name=f"dense{index}"
        )(x)
        x = keras.layers.Dropout(0.5, name=f"dropout{index}")(x)
    softmax = keras.layers.Dense(
        identities, activation="softmax", dtype="float32", name="probabilities"
    )
    return {"probabilities": softmax(x)}
