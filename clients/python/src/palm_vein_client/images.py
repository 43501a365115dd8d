"""Images as callers have them: the bytes of a file, its path, or the open file."""

import os
from collections.abc import Sequence
from typing import BinaryIO, cast

Image = str | os.PathLike[str] | bytes | BinaryIO
"""A path, the bytes of an image file, or a file that is open for reading bytes."""
Images = Image | Sequence[Image]
"""One image, or several of one palm."""


def read_images(images: Images) -> list[bytes]:
    """Returns each image's bytes, read once, so that a repeated request sends the same ones.

    Raises:
        OSError: if a file cannot be read.
        ValueError: if there is no image.
        TypeError: if a file is open for text.
    """
    one = isinstance(images, (str, bytes, os.PathLike)) or hasattr(images, "read")
    several: Sequence[Image] = [images] if one else images  # pyright: ignore[reportAssignmentType]
    if not several:
        raise ValueError("there is no image; give one or more")
    return [_read(image) for image in several]


def _read(image: Image) -> bytes:
    if isinstance(image, bytes):
        return image
    if isinstance(image, (str, os.PathLike)):
        with open(image, "rb") as file:
            return file.read()
    content = cast(object, image.read())  # callers without a type checker may open a text
    if not isinstance(content, bytes):
        raise TypeError("the image's file is open for text; open it with mode 'rb'")
    return content
