"""Why an image is refused."""

from collections.abc import Mapping


class PalmImageError(Exception):
    """An image that cannot be used; the message holds the values and what to do."""


class UnsupportedFormat(PalmImageError):
    """An image of a format, or of a coding within a format, that is not accepted."""


class ImageTooLarge(PalmImageError):
    """An image with more bytes or pixels than allowed, before any pixel is decoded."""


class UnreadableImage(PalmImageError):
    """An upload that is empty, truncated, damaged or no image."""


class UnsuitableImage(PalmImageError):
    """An intact image that cannot show a palm: too small, animated, CMYK or featureless."""


class PalmNotFound(PalmImageError):
    """An intact image in which no palm is recognised."""


class PoorQuality(PalmImageError):
    """An image that shows a palm too badly to compare it.

    Attributes:
        reasons: for each component of the quality that is too low, what to do.
    """

    def __init__(self, message: str, reasons: Mapping[str, str]) -> None:
        super().__init__(message)
        self.reasons = reasons
