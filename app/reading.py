"""Reads the palms in the images of one request."""

from collections.abc import Sequence

from app.clock import Clock
from app.palm.capture import CaptureMode
from app.palm.errors import PalmImageError, PoorQuality
from app.palm.reader import Palm, PalmReader


def read_palms(
    reader: PalmReader,
    images: Sequence[bytes],
    size_px: int,
    mode: CaptureMode | None,
    clock: Clock,
    least_quality: int,
) -> list[Palm]:
    """Returns the palm in each image.

    Args:
        reader: reads palms from files.
        images: the files, at least one.
        size_px: side of the nets' input image.
        mode: what the images are taken for; None leaves it to the reader.
        clock: measures the stages.
        least_quality: least quality of an image, 0 to 100.

    Raises:
        PalmImageError: if an image cannot be used; the message tells which.
        ValueError: if there is no image.
    """
    if not images:
        raise ValueError("no image is given: give at least one")
    palms: list[Palm] = []
    for position, data in enumerate(images, start=1):
        place = f"image {position} of {len(images)}"
        try:
            image = reader.decode(data)
            clock.lap("decode")
            palm = reader.find(image, size_px, mode)
            palm.quality.refuse_below(least_quality)
            clock.lap("find")
            palms.append(palm)
        except PoorQuality as error:
            reasons = {f"images.{position - 1}.{n}": why for n, why in error.reasons.items()}
            raise PoorQuality(f"{place}: {error}", reasons) from error
        except PalmImageError as error:
            raise type(error)(f"{place}: {error}") from error
    return palms
