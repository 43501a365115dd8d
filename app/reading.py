"""Reads the palm in each image of a request; a refusal names the image."""

from collections.abc import Sequence

from app.clock import Clock
from app.palm.capture import CaptureMode
from app.palm.errors import PalmImageError, PoorQuality
from app.palm.reader import Palm, PalmReader


def read_palms(
    reader: PalmReader,
    images: Sequence[bytes],
    side_px: int,
    mode: CaptureMode | None,
    least_quality: int,
    clock: Clock,
) -> list[Palm]:
    """Returns the palm in each image.

    Args:
        reader: finds palms.
        images: files, at least one.
        side_px: side of the nets' input.
        mode: what the images are taken for; None leaves it to the reader.
        least_quality: least quality of an image, 0 to 100.
        clock: measures the stages.

    Raises:
        PalmImageError: if an image cannot be used; the message names it.
    """
    if not images:
        raise ValueError("no image is given: give at least one")
    palms: list[Palm] = []
    for position, data in enumerate(images, start=1):
        place = f"image {position} of {len(images)}"
        try:
            image = reader.decode(data)
            clock.lap("decode")
            palm = reader.find(image, side_px, mode)
            palm.quality.refuse_below(least_quality)
            clock.lap("find")
            palms.append(palm)
        except PoorQuality as error:
            reasons = {f"images.{position - 1}.{n}": why for n, why in error.reasons.items()}
            raise PoorQuality(f"{place}: {error}", reasons) from error
        except PalmImageError as error:
            raise type(error)(f"{place}: {error}") from error
    return palms
