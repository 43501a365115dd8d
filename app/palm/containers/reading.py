"""Recognizes a container by its first bytes, and reads it."""

import struct
from collections.abc import Callable

from app.palm.containers.bmp import read_bmp
from app.palm.containers.jpeg import read_jpeg
from app.palm.containers.png import SIGNATURE, read_png
from app.palm.containers.still import Damaged, Still
from app.palm.containers.tiff import read_tiff
from app.palm.containers.webp import read_webp
from app.palm.errors import UnreadableImage, UnsupportedFormat
from app.palm.limits import ImageLimits

ACCEPTED_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")

_Reader = Callable[[bytes, ImageLimits], Still]
_READERS: tuple[tuple[bytes, str, _Reader], ...] = (
    (SIGNATURE, "PNG", read_png),
    (b"\xff\xd8\xff", "JPEG", read_jpeg),
    (b"BM", "BMP", read_bmp),
    (b"II*\0", "TIFF", read_tiff),
    (b"MM\0*", "TIFF", read_tiff),
    (b"II+\0", "TIFF", read_tiff),
    (b"MM\0+", "TIFF", read_tiff),
)
# Formats that the refusal names, with the offset and the bytes that identify them.
_OTHER_FORMATS = {
    "GIF": (0, b"GIF8"),
    "PDF": (0, b"%PDF"),
    "Photoshop": (0, b"8BPS"),
    "JPEG 2000": (4, b"jP  "),
    "HEIF or AVIF": (4, b"ftyp"),
}


def read_container(data: bytes, limits: ImageLimits) -> Still:
    """Returns the one still image of a file, after a bounded number of steps.

    No pixel is decoded and nothing is decompressed.

    Args:
        data: a whole PNG, JPEG, MPO, BMP, TIFF or WebP file.
        limits: accepted sizes.

    Raises:
        UnsupportedFormat: if it is an image of another format, or of a coding not accepted.
        ImageTooLarge: if it has more bytes or pixels than the limits allow.
        UnreadableImage: if it is empty, truncated, damaged or no image.
        UnsuitableImage: if it is too small, has several frames or pages, holds pixels that are
            neither grey nor RGB, or has more parts than any camera writes.
    """
    limits.check_bytes(data)
    name, read = _recognize(data)
    try:
        return read(data, limits)
    except (Damaged, struct.error, IndexError) as error:
        raise unreadable(name, data, error) from error


def unreadable(name: str, data: bytes, error: Exception) -> UnreadableImage:
    """Returns the refusal of a damaged file."""
    return UnreadableImage(
        f"the {name} image of {len(data)} bytes is truncated or damaged ({error}); "
        "send the whole file"
    )


def _recognize(data: bytes) -> tuple[str, _Reader]:
    if data.startswith(b"RIFF") and data.startswith(b"WEBP", 8):
        return "WEBP", read_webp
    for signature, name, read in _READERS:
        if data.startswith(signature):
            return name, read
    accepted = ", ".join(ACCEPTED_FORMATS)
    for name, (offset, signature) in _OTHER_FORMATS.items():
        if data.startswith(signature, offset):
            raise UnsupportedFormat(f"{name} is not accepted; send {accepted}")
    raise UnreadableImage(f"the {len(data)} bytes are not a readable image; send {accepted}")
