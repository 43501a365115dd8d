"""Decodes image files, and refuses those that cannot be used."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

ACCEPTED_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")

# Formats that the refusal names, with the offset and the bytes that identify them. No parser of
# theirs ever reads an upload.
_OTHER_FORMATS = {
    "GIF": (0, b"GIF8"),
    "PDF": (0, b"%PDF"),
    "Photoshop": (0, b"8BPS"),
    "JPEG 2000": (4, b"jP  "),
    "HEIF or AVIF": (4, b"ftyp"),
}
_COLOUR_MODES = frozenset({"RGB", "RGBA", "RGBX", "P", "PA", "LA", "YCbCr"})


class PalmImageError(Exception):
    """An image that cannot be used; the message holds the values and what to do."""


class UnsupportedFormat(PalmImageError):
    """An image of a format outside `ACCEPTED_FORMATS`."""


class ImageTooLarge(PalmImageError):
    """An image with more pixels than allowed, according to its header."""


class UnreadableImage(PalmImageError):
    """An upload that is empty, truncated, damaged or no image."""


class UnsuitableImage(PalmImageError):
    """An intact image that cannot show a palm: too small, animated, CMYK or featureless."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits on the size of an image.

    Attributes:
        max_pixels: largest width times height; bounds the memory that one upload can claim.
        min_side_px: least length of the shorter side; veins are not resolved below it.
    """

    max_pixels: int = 25_000_000
    min_side_px: int = 96


def decode(data: bytes, limits: ImageLimits) -> NDArray[np.uint8]:
    """Returns the pixels of one still image.

    The EXIF orientation is applied. A palette is expanded and transparency dropped. 16-bit grey is
    scaled linearly, so that 65535 becomes 255. Format, size, pixel mode and number of frames are
    checked in the header, before any pixel is decoded.

    Args:
        data: a whole PNG, JPEG, BMP, TIFF or WebP file.
        limits: accepted sizes.

    Returns:
        uint8 [H, W] if the file is grey, else RGB [H, W, 3].

    Raises:
        UnsupportedFormat: if it is an image of another format.
        ImageTooLarge: if it has more than `limits.max_pixels` pixels.
        UnreadableImage: if it is empty, truncated, damaged or no image.
        UnsuitableImage: if it is too small, has several frames or pages, or holds pixels that
            are neither grey nor RGB (CMYK, Lab, 32 bits).
    """
    image = _open(data)
    _check_header(image, limits)
    try:
        return _pixels(ImageOps.exif_transpose(image))
    except Exception as error:  # as in _open: a damaged file can raise any error
        raise _unreadable(
            f"the {image.format} image of {len(data)} bytes is truncated or damaged ({error}); "
            "send the whole file",
            error,
        ) from error


def _open(data: bytes) -> Image.Image:
    """Reads the header of an accepted format."""
    if not data:
        raise UnreadableImage("the image is empty (0 bytes); send a whole file")
    try:
        return Image.open(BytesIO(data), formats=ACCEPTED_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(f"{error}; send a smaller image") from error
    except Exception as error:  # a damaged header can raise any error in Pillow's parsers
        accepted = ", ".join(ACCEPTED_FORMATS)
        for name, (offset, signature) in _OTHER_FORMATS.items():
            if data.startswith(signature, offset):
                raise UnsupportedFormat(f"{name} is not accepted; send {accepted}") from error
        message = f"the {len(data)} bytes are not a readable image; send {accepted}"
        raise _unreadable(message, error) from error


def _unreadable(message: str, error: Exception) -> UnreadableImage:
    """Returns the error, with a message of its own if a PNG has more text than Pillow reads."""
    if "MAX_TEXT" in str(error):  # PngImagePlugin.MAX_TEXT_CHUNK and MAX_TEXT_MEMORY
        message = "the PNG's text metadata is too large; send the image without it"
    return UnreadableImage(message)


def _check_header(image: Image.Image, limits: ImageLimits) -> None:
    """Refuses an image by its size, frames and pixel mode."""
    width, height = image.size
    if width * height > limits.max_pixels:
        raise ImageTooLarge(
            f"the image has {width}x{height} = {width * height} pixels, "
            f"more than {limits.max_pixels}; send a smaller one"
        )
    if min(width, height) < limits.min_side_px:
        raise UnsuitableImage(
            f"the image is {width}x{height}; its shorter side must be at least "
            f"{limits.min_side_px} pixels"
        )
    if getattr(image, "is_animated", False):
        raise UnsuitableImage(
            f"the {image.format} file holds several frames or pages; send one still image"
        )
    if not _is_grey(image) and image.mode not in _COLOUR_MODES:
        raise UnsuitableImage(
            f"the image's pixels are {image.mode}; send grey (8 or 16 bits) or RGB"
        )


def _is_grey(image: Image.Image) -> bool:
    return image.mode in ("1", "L") or image.mode.startswith("I;16")


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Decodes to uint8 [H, W] or [H, W, 3]."""
    if image.mode.startswith("I;16"):
        # 257 = 65535 / 255
        return np.rint(np.asarray(image, np.float32) / 257).astype(np.uint8)
    return np.array(image.convert("L" if _is_grey(image) else "RGB"))
