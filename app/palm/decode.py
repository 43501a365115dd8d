"""Decodes image files, and refuses those that cannot be used."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.palm.containers.reading import ACCEPTED_FORMATS, read_container, unreadable
from app.palm.containers.still import Still, refuse_pixels
from app.palm.errors import (
    ImageTooLarge,
    PalmImageError,
    UnreadableImage,
    UnsuitableImage,
    UnsupportedFormat,
)
from app.palm.limits import ImageLimits

__all__ = [
    "ACCEPTED_FORMATS",
    "ImageLimits",
    "ImageTooLarge",
    "PalmImageError",
    "UnreadableImage",
    "UnsuitableImage",
    "UnsupportedFormat",
    "decode",
]

REDUCED_ABOVE_PIXELS = 8_000_000
"""A JPEG with more pixels is decoded at a half, a quarter or an eighth of its sides."""
REDUCED_SIDE_PX = 1_000
"""Least length of the shorter side after that, so that a palm in a whole hand keeps 300 pixels."""

_COLOUR_MODES = frozenset({"RGB", "RGBA", "RGBX", "P", "PA", "LA"})
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(data: bytes, limits: ImageLimits) -> NDArray[np.uint8]:
    """Returns the pixels of one still image.

    The EXIF orientation is applied. A palette is expanded and transparency dropped. 16-bit grey is
    scaled linearly from the bits that are used: see `_scale`. A JPEG above `REDUCED_ABOVE_PIXELS`
    is decoded at reduced size. All else is checked in the container before any pixel is decoded.

    Args:
        data: a whole PNG, JPEG, MPO, BMP, TIFF or WebP file. Of an MPO, and of a TIFF with
            thumbnails, the primary image is decoded.
        limits: accepted sizes.

    Returns:
        uint8 [H, W] if the file is grey, else RGB [H, W, 3].

    Raises:
        UnsupportedFormat: if it is an image of another format, or of a coding not accepted.
        ImageTooLarge: if it has more bytes or pixels than `limits` allows.
        UnreadableImage: if it is empty, truncated, damaged or no image.
        UnsuitableImage: if it is too small, has several frames or pages, has more parts than any
            camera writes, or holds pixels that are neither grey nor RGB (CMYK, Lab, 32 bits).
    """
    still = read_container(data, limits)
    try:
        image = Image.open(BytesIO(still.file), formats=[still.file_format])
    except Exception as error:  # a damaged header can raise any error in Pillow's parsers
        raise unreadable(still.file_format, data, error) from error
    if not _is_grey(image) and image.mode not in _COLOUR_MODES:
        raise refuse_pixels(image.mode)
    try:
        return _pixels(image, still)
    except Exception as error:  # so can damaged pixels
        raise unreadable(still.file_format, data, error) from error


def _is_grey(image: Image.Image) -> bool:
    return image.mode in ("1", "L") or image.mode.startswith("I;16")


def _pixels(image: Image.Image, still: Still) -> NDArray[np.uint8]:
    """Decodes to uint8 [H, W] or [H, W, 3]."""
    if still.file_format == "JPEG" and still.width * still.height > REDUCED_ABOVE_PIXELS:
        scale = _reduction(still.width, still.height)
        image.draft(None, (still.width // scale, still.height // scale))
    elif image.size != (still.width, still.height):
        raise ValueError(f"{image.size} pixels instead of {(still.width, still.height)}")
    image.load()
    if still.orientation in _TRANSPOSITIONS:
        image = image.transpose(_TRANSPOSITIONS[still.orientation])
    if image.mode.startswith("I;16"):
        pixels = _scale(np.asarray(image, np.uint16))
    else:
        mode = "L" if _is_grey(image) else "RGB"
        pixels = np.array(image if image.mode == mode else image.convert(mode))
    return 255 - pixels if still.is_inverted else pixels


def _reduction(width: int, height: int) -> int:
    """Returns by how much both sides of a large JPEG are divided: 2, 4 or 8."""
    return next((s for s in (8, 4) if min(width, height) // s >= REDUCED_SIDE_PX), 2)


def _scale(deep: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Scales uint16 [H, W] linearly to 8 bits.

    The largest value tells how many bits the camera used, 8 to 16. With b bits, 2^b - 1 becomes
    255, so that 12 bits in a 16-bit file give the pixels of its 8-bit copy.
    """
    bits = max(8, int(np.max(deep)).bit_length())
    table = np.rint(np.linspace(0, 255, 2**bits)).astype(np.uint8)
    return table[deep]
