"""The landmark net: a small U-Net with grids of landmarks and skin, and what the image shows.

A U-Net (O. Ronneberger et al., MICCAI 2015) without BatchNorm: its kernels are standardised
(`training.nets.layers.ScaledConv2D`). Landmarks are logits of a softmax over the grid's places.
"""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from app.palm.landmarks import DIRECTIONS, KINDS, LANDMARKS
from training.finder.targets import STRIDE
from training.nets.build import copy_folded
from training.nets.layers import ScaledConv2D

FILTERS = (16, 32, 48, 64, 64)
"""Filters of the levels, each at half the side of the one before; the first is at half the side of
the view."""

NEIGHBOURHOOD = 5
"""Side, in places of the grid, of the box averages of the local contrast: about a finger's width in
a closer view."""

DEEPEST = STRIDE * 2 ** (len(FILTERS) - 2)
"""Px of a view for each place of the last level: a view's side must be a multiple of it."""


class GreyAndContrast(keras.layers.Layer):
    """Computes what the net sees of an image x, 0 to 1: local contrast, and x scaled as a whole.

    Local contrast is (x - m) / (s + floor), where m and s are the mean and the standard deviation
    of a neighbourhood, the same for all pixels of a place of the grid: averages around every pixel
    would take a third of a training step. The other channel has mean 0 and deviation 1. Averages
    are products with constant matrices, which run faster than pools. Computes in float32.
    """

    def __init__(self, floor: float = 0.01, **kwargs: Any) -> None:
        """Creates the layer.

        Args:
            floor: standard deviation below which contrast counts as noise.
            kwargs: arguments of `keras.layers.Layer`.
        """
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.floor = floor

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Computes the matrices for images of [B, S, S, 1]."""
        side = input_shape[1] or 0
        self.grid: int = side // STRIDE
        places: Any = np.arange(self.grid)
        near: Any = np.abs(places[:, None] - places) <= NEIGHBOURHOOD // 2
        near = near / near.sum(axis=1, keepdims=True)
        spread = np.kron(np.eye(self.grid), np.ones((STRIDE, 1)))
        around, everywhere = near @ near @ spread.T / STRIDE, np.full((1, side), 1 / side)
        self._spread = spread.astype(np.float32)
        self._averages = np.concatenate([around, everywhere]).astype(np.float32)

    def call(self, images: Any) -> Any:
        """Maps uint8 [B, S, S, 1] to float32 [B, S, S, 2]."""
        pixels: Any = ops.cast(images, "float32")
        x: Any = pixels[..., 0] / 255.0
        mean = _on_both_sides(self._averages, x)
        variance: Any = ops.maximum(_on_both_sides(self._averages, x * x) - mean * mean, 0.0)
        deviation: Any = ops.sqrt(variance)
        scale = 1 / (deviation + self.floor)
        local = np.s_[:, : self.grid, : self.grid]
        whole = np.s_[:, self.grid :, self.grid :]
        contrast = x - _on_both_sides(self._spread, mean[local])
        contrast *= _on_both_sides(self._spread, scale[local])
        grey = (x - mean[whole]) * ops.rsqrt(ops.maximum(variance[whole], 1e-6))
        return ops.stack([contrast, grey], axis=-1)


def _on_both_sides(matrix: NDArray[np.float32], x: Any) -> Any:
    """Applies a matrix to the rows and to the columns of images [B, S, S]."""
    constant: Any = ops.convert_to_tensor(matrix)
    return ops.matmul(ops.matmul(constant, x), ops.transpose(constant))


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
    levels = _look_down(GreyAndContrast(name="seen")(images), folded)
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
