"""The region of interest: the square that every net sees."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def prepare(image: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    """Cuts the largest centred square and resizes it.

    Training and the service both call this, so that the nets meet the same pixels in both.
    Downscaling is antialiased (a triangle filter as wide as the scale). An image that has the
    wanted size keeps its pixels.

    Args:
        image: uint8 [H, W] or [H, W, 3].
        size_px: side of the result.

    Returns:
        uint8 [size_px, size_px, 3]; grey fills the three channels alike.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(image[top : top + side, left : left + side])
    resized = square.resize((size_px, size_px), Image.Resampling.BILINEAR)
    return np.array(resized.convert("RGB"))
