"""The region of interest: the square image that is every net's input."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def vein_channel(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the channel of an image that shows veins best, uint8 [H, W].

    Of a colour image that is red: it has the longest wavelengths, which reach deepest into skin,
    and colour sensors without an infrared filter are most sensitive to near infrared there.

    Args:
        image: uint8 [H, W] or RGB [H, W, 3].
    """
    return image if image.ndim == 2 else np.ascontiguousarray(image[..., 0])


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
    square = Image.fromarray(vein_channel(image[top : top + side, left : left + side]))
    return as_input(np.asarray(square.resize((size_px, size_px), Image.Resampling.BILINEAR)))


def as_input(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the nets' input image of a grey one: three equal channels."""
    return np.repeat(grey[..., np.newaxis], 3, axis=-1)
