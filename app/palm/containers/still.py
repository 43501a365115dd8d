"""What a container holds once it is read: one still image, without metadata."""

from dataclasses import dataclass

from app.palm.errors import UnsuitableImage


class Damaged(ValueError):
    """Bytes that contradict the container's format; the message says how."""


@dataclass(frozen=True, slots=True)
class Still:
    """One still image, as a file that holds nothing else.

    Attributes:
        file_format: Pillow's name of the format.
        width: pixels in a row, before the orientation is applied.
        height: rows.
        file: a file of that format with the pixels and what decoding them needs. It holds no
            EXIF, XMP, ICC profile, text, thumbnail or further frame, so that no parser of those
            ever sees an upload.
        orientation: EXIF orientation, 1 to 8.
        is_inverted: whether 0 stands for white in a grey image.
    """

    file_format: str
    width: int
    height: int
    file: bytes
    orientation: int = 1
    is_inverted: bool = False


def check_count(found: int, largest: int, what: str) -> None:
    """Refuses a file with more parts of one kind than any camera writes.

    Raises:
        UnsuitableImage: if `found` is above `largest`.
    """
    if found > largest:
        raise UnsuitableImage(
            f"the file has {found} {what} or more, above the limit of {largest}; "
            "save the image again with ordinary settings"
        )


def refuse_several(file_format: str) -> UnsuitableImage:
    """Returns the refusal of an animation or a document of several pages."""
    return UnsuitableImage(
        f"the {file_format} file holds several frames or pages; send one still image"
    )


def refuse_pixels(kind: str) -> UnsuitableImage:
    """Returns the refusal of pixels that are neither grey nor RGB."""
    return UnsuitableImage(f"the image's pixels are {kind}; send grey (8 or 16 bits) or RGB")
