"""Checks before the first epoch that the net's input is as its recipe says.

Keras reports no error for a layer that is built and then not used. The question's code lost its
rescaling and its augmentation that way.
"""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from training.fit.batches import Batches, as_colour
from training.fit.layer_inspector import kernel_of
from training.nets.recipe import Recipe

PROMISED_RANGE = {
    "rescaled": (0.0, 1.0),
    "standardized": (-20.0, 20.0),  # standard deviations from an image's mean
    "contrast": (-20.0, 20.0),  # standard deviations from a neighbourhood's mean
    "imagenet": (-124.0, 152.0),  # 0 to 255 minus the mean colour
    "raw": (0.0, 255.0),
}
TOLERANCE = 0.05
"""Allowed excess over the promised range, as a share of it: interpolation and float16 exceed it."""


def check_inputs(net: keras.Model, batches: Batches, recipe: Recipe) -> list[str]:
    """Checks the input of the first convolution, and the labels.

    Args:
        net: model from images to one output, such as from `training.nets.build.scoring_model`.
        batches: the batches that it will be trained on.
        recipe: the recipe that it was built with.

    Returns:
        One line for each problem; empty if there is none.
    """
    images, _ = batches[0]
    output: Any = net.output
    first: Any = next(layer for layer in net.layers if kernel_of(layer) is not None)
    seen = keras.Model(net.input, first.input)
    problems = [
        _check_range(_run(seen, images, training=False), first.name, recipe.input),
        _check_augmentation(seen, batches, recipe.augment),
        *_check_labels(batches, output.shape[-1]),
    ]
    return [problem for problem in problems if problem]


def _check_range(values: NDArray[np.float32], layer: str, promised: str) -> str | None:
    low, high = PROMISED_RANGE[promised]
    slack = TOLERANCE * (high - low)
    found_low, found_high = float(values.min()), float(values.max())
    if not np.isfinite(values).all():
        return f"{layer} sees values that are not finite: an image or a layer before it is broken"
    if low - slack <= found_low and found_high <= high + slack:
        return None
    return (
        f"{layer} sees {found_low:.4g} to {found_high:.4g}, but --input {promised} promises "
        f"{low:g} to {high:g}: the preprocessing is built and not connected; pass each layer's "
        "output on to the next (--wiring connected)"
    )


def _check_augmentation(seen: keras.Model, batches: Batches, augment: str) -> str | None:
    """Checks that two versions of the same images differ if there is augmentation."""
    palms, chosen = batches.palms, batches.chosen(0)
    if augment == "palm":
        versions = [batches[0][0], as_colour(palms.images(chosen))]
        source = "the input pipeline"
    else:
        images = as_colour(palms.images(chosen))
        versions = [_run(seen, images, training=True) for _ in range(2)]
        source = "the graph"
    same = np.array([np.array_equal(a, b) for a, b in zip(*versions, strict=True)])
    if augment != "none" and same.mean() > 0.5:
        return (
            f"--augment {augment} is chosen, but {source} leaves {same.sum()} of {len(same)} "
            "images unchanged: the augmentation is built and not connected; pass its output on "
            "(--wiring connected)"
        )
    return None


def _check_labels(batches: Batches, columns: int) -> list[str]:
    """Checks that the labels fit the net's outputs, and that each image has its own label."""
    palms, chosen = batches.palms, batches.chosen(0)
    _, labels = batches[0]
    problems: list[str] = []
    if columns != len(palms.identities):
        problems.append(f"the net has {columns} outputs for {len(palms.identities)} identities")
    if absent := len(palms.identities) - len(np.unique(palms.labels)):
        problems.append(f"{absent} of {len(palms.identities)} identities have no training image")
    if not np.array_equal(labels, palms.labels[chosen]):
        problems.append(
            "the images of the first batch have the labels of other images: images and labels are "
            "in different orders"
        )
    return problems


def _run(model: keras.Model, images: Any, *, training: bool) -> NDArray[np.float32]:
    output = model(np.ascontiguousarray(images), training=training)
    return np.asarray(keras.ops.convert_to_numpy(output), np.float32)
