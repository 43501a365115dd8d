"""The region of interest: the square image that is every net's input."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def prepare(image: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    """Cuts the largest centred square out of an image and resizes it.

    Training and the service both call this, so that the nets get the same pixels in both.
    Downscaling is antialiased (a triangle filter as wide as the scale). A square image of that size
    keeps its pixels.

    Args:
        image: uint8 [H, W] or [H, W, 3].
        size_px: side of the square.

    Returns:
        uint8 [size_px, size_px, 3]; the three channels of a grey image are equal.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(image[top : top + side, left : left + side])
    resized = square.resize((size_px, size_px), Image.Resampling.BILINEAR)
    return np.array(resized.convert("RGB"))
