"""The landmark net: a small U-Net with grids of landmarks and skin, and what the image shows.

A U-Net (O. Ronneberger et al., MICCAI 2015) without BatchNorm: its kernels are standardised
(`training.nets.layers.ScaledConv2D`). Landmarks are logits of a softmax over the grid's places.
"""

from typing import Any

import keras
from keras import ops

from app.palm.landmarks import DIRECTIONS, KINDS, LANDMARKS
from training.finder.targets import STRIDE
from training.nets.build import copy_folded
from training.nets.layers import ScaledConv2D
from training.nets.preprocessing import Standardized

FILTERS = (16, 32, 48, 64, 64)
"""Filters of the levels, each at half the side of the one before; the first is at half the side of
the view."""

NEIGHBOURHOOD = 5
"""Side, in places of the grid, of the box averages of the local contrast: about a finger's width in
a closer view."""

DEEPEST = STRIDE * 2 ** (len(FILTERS) - 2)
"""Px of a view for each place of the last level: a view's side must be a multiple of it."""


class CoarseContrast(keras.layers.Layer):
    """Computes local contrast as `training.nets.layers.LocalContrast` does, from coarse averages.

    y = (x - m) / (s + floor), where m and s are the mean and the standard deviation of a
    neighbourhood, the same for all pixels of a place of the grid. Averages around every pixel
    would take a third of a training step. Computes in float32.
    """

    def __init__(self, floor: float = 0.01, **kwargs: Any) -> None:
        """Creates the layer.

        Args:
            floor: standard deviation below which contrast counts as noise.
            kwargs: arguments of `keras.layers.Layer`.
        """
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.floor = floor

    def call(self, x: Any) -> Any:
        """Maps [B, S, S, 1], 0 to 1, to the same shape."""
        grid = x.shape[1] // STRIDE
        blocks: Any = ops.reshape(x, (-1, grid, STRIDE, grid, STRIDE, 1))
        # Not average_pool, which OpenVINO first copies to a layout for 16 channels.
        parts = [ops.mean(one, axis=(2, 4)) for one in (blocks, ops.square(blocks))]
        moments: Any = ops.concatenate(parts, axis=-1)
        for _ in range(2):
            moments = ops.average_pool(moments, NEIGHBOURHOOD, strides=1, padding="same")
        mean, square = moments[..., :1], moments[..., 1:]
        deviation: Any = ops.sqrt(ops.maximum(square - ops.square(mean), 0.0))
        centred = blocks - mean[:, :, None, :, None]
        contrast = centred / (deviation[:, :, None, :, None] + self.floor)
        return ops.reshape(contrast, (-1, *x.shape[1:]))


def build_finder(side_px: int, *, folded: bool = False) -> keras.Model:
    """Builds the net.

    Args:
        side_px: side S of the views, a multiple of `DEEPEST`.
        folded: use plain convolutions instead of standardised ones, for serving.

    Returns:
        A model from views uint8 [B, S, S, 1] to the outputs of `app.palm.landmarks.Run`, float32.

    Raises:
        ValueError: if the side is no multiple of `DEEPEST`.
    """
    require_side(side_px)
    images = keras.Input((side_px, side_px, 1), dtype="uint8", name="images")
    pixels = keras.layers.Rescaling(1 / 255, dtype="float32", name="pixels")(images)
    contrast = CoarseContrast(name="contrast")(pixels)
    grey = Standardized(name="grey", dtype="float32")(pixels)
    x = keras.layers.Concatenate(name="seen")([contrast, grey])
    levels = _look_down(x, folded)
    return keras.Model(
        images, {**_grids(levels, folded), **_answers(levels[-1], folded)}, name="finder"
    )


def require_side(side_px: int) -> None:
    """Raises ValueError if the side of a view is no multiple of `DEEPEST`."""
    if side_px < DEEPEST or side_px % DEEPEST:
        raise ValueError(f"--side-px must be a multiple of {DEEPEST}, not {side_px}")


def fold_finder(trained: keras.Model) -> keras.Model:
    """Copies a trained net into one with plain convolutions and the same outputs."""
    images: Any = trained.input
    folded = build_finder(images.shape[1], folded=True)
    copy_folded(trained, folded)
    return folded


def _look_down(x: Any, folded: bool) -> list[Any]:
    """Adds the levels from fine to coarse, and returns those from the landmarks' grid on."""
    x = _convolve(x, FILTERS[0], "level1_down", folded, strides=2)
    levels: list[Any] = []
    for level, filters in enumerate(FILTERS[1:], start=2):
        x = _convolve(x, filters, f"level{level}_down", folded, strides=2)
        for index in range(1 if level == 2 else 2):
            x = _convolve(x, filters, f"level{level}_conv{index + 1}", folded)
        levels.append(x)
    return levels


def _grids(levels: list[Any], folded: bool) -> dict[str, Any]:
    """Adds the way back to the grid, with landmarks and skin."""
    x = levels[-1]
    for level in range(len(levels) - 1, 0, -1):
        filters, name = FILTERS[level], f"level{level + 1}"
        x = _convolve(x, filters, f"{name}_widen", folded, side=1)
        x = keras.layers.UpSampling2D(2, name=f"{name}_up")(x)
        x = keras.layers.Add(name=f"{name}_join")([x, levels[level - 1]])
        x = _convolve(x, filters, f"{name}_merge", folded)
    landmarks = keras.layers.Conv2D(len(LANDMARKS), 1, dtype="float32", name="landmarks")(x)
    skin = keras.layers.Conv2D(1, 1, activation="sigmoid", dtype="float32", name="skin_grid")(x)
    side = skin.shape[1]
    return {
        "landmarks": landmarks,
        "skin": keras.layers.Reshape((side, side), dtype="float32", name="skin")(skin),
    }


def _answers(deepest: Any, folded: bool) -> dict[str, Any]:
    """Adds what the whole view shows: the kind of image, which hand, and a crop's direction."""
    x = _convolve(deepest, 32, "answer_conv", folded, side=1)
    x = keras.layers.Flatten(name="answer_flat")(x)
    x = keras.layers.Dense(64, activation="relu", name="answer_dense")(x)
    left = keras.layers.Dense(1, activation="sigmoid", dtype="float32", name="left_dense")(x)
    return {
        "kind": _probabilities(x, len(KINDS), "kind"),
        "left": keras.layers.Reshape((), dtype="float32", name="left")(left),
        "direction": _probabilities(x, len(DIRECTIONS), "direction"),
    }


def _probabilities(x: Any, count: int, name: str) -> Any:
    return keras.layers.Dense(count, activation="softmax", dtype="float32", name=name)(x)


def _convolve(
    x: Any, filters: int, name: str, folded: bool, *, side: int = 3, strides: int = 1
) -> Any:
    """Adds a convolution and a ReLU."""
    if not folded:
        return ScaledConv2D(filters, side, strides, name=name)(x)
    layer = keras.layers.Conv2D(
        filters, side, strides, padding="same", activation="relu", name=name
    )
    return layer(x)
