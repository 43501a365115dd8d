"""The region of interest: the square image that is every net's input."""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

ONE_COLOUR = 1 / 3
"""Share of the brightest channel's mean below which red is taken for nearly empty. Skin itself is
never that dark in red, and a hand fills so much of an image that no background makes it so."""


def vein_channel(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the channel of an image that shows veins best, uint8 [H, W].

    Of a colour image that is red: its light reaches deepest into skin, and near infrared passes all
    three filters of a sensor. Only if the image is in shades of another colour it is the brightest
    channel (`ONE_COLOUR`). `benchmarks/colour.py` compares it with other channels and mixtures.

    Args:
        image: uint8 [H, W] or RGB [H, W, 3].
    """
    if image.ndim == 2:
        return image
    means = cv2.mean(image)[:3]
    chosen = 0 if means[0] >= ONE_COLOUR * max(means) else int(np.argmax(means))
    return np.asarray(cv2.extractChannel(image, chosen), np.uint8)


def prepare(image: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    """Cuts the largest centred square out of an image and resizes it.

    Training and the service both call this, so that the nets get the same pixels in both.
    Downscaling is antialiased (a triangle filter as wide as the scale). A square image of that size
    keeps its pixels.

    Args:
        image: uint8 [H, W] or RGB [H, W, 3].
        size_px: side of the square.

    Returns:
        `vein_channel` of the square, three times: uint8 [size_px, size_px, 3].
    """
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(vein_channel(image)[top : top + side, left : left + side])
    return as_input(np.asarray(square.resize((size_px, size_px), Image.Resampling.BILINEAR)))


def as_input(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the nets' input image of a grey one: three equal channels."""
    return np.asarray(cv2.merge([grey, grey, grey]), np.uint8)
