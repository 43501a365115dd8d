"""Why an image is refused."""


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
