"""Reads a palm from the bytes of a file: decode, find the palm, cut its square, measure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import floor

import numpy as np
from numpy.typing import NDArray

from app.palm.capture import CaptureMode
from app.palm.decode import ImageLimits, decode
from app.palm.errors import PalmImageError, PoorQuality
from app.palm.finder import Finder
from app.palm.hand import Region, cut, locate
from app.palm.landmarks import DIRECTIONS
from app.palm.quality import Quality, assess
from app.palm.roi import as_input, prepare, vein_channel
from app.palm.square import Square

TURNED = 0.95
"""Probability from which a square crop is said to be turned."""


@dataclass(frozen=True, slots=True)
class Palm:
    """A palm in an image.

    Attributes:
        size: height and width of the image in px.
        region: where the palm lies in it.
        pixels: uint8 [S, S, 3], the palm's square: the nets' input.
        skin: bool [S, S], which of these pixels lie on the hand.
        quality: how well it shows.
    """

    size: tuple[int, int]
    region: Region
    pixels: NDArray[np.uint8]
    skin: NDArray[np.bool_]
    quality: Quality

    def turned(self, quarters: int) -> "Palm":
        """Returns a region of interest as if the fingers pointed elsewhere.

        Args:
            quarters: by how many quarters of a turn the hand would be turned clockwise, 1 to 3.
        """
        square = self.region.square
        turned = Square(
            np.roll(square.corners, -quarters, axis=0), (0, 90, 180, -90)[quarters], square.side_px
        )
        return replace(
            self,
            region=replace(self.region, square=turned),
            pixels=np.ascontiguousarray(np.rot90(self.pixels, quarters)),
            skin=np.ascontiguousarray(np.rot90(self.skin, quarters)),
        )


class PalmReader:
    """Reads palms; safe for concurrent callers."""

    def __init__(self, finder: Finder, *, limits: ImageLimits, mode: CaptureMode) -> None:
        """Creates the reader.

        Args:
            finder: finds palms.
            limits: bounds on the files.
            mode: what images are taken for if the caller does not say.
        """
        self._finder = finder
        self._limits = limits
        self._mode: CaptureMode = mode

    def read(self, data: bytes, size_px: int, mode: CaptureMode | None = None) -> Palm:
        """Reads the palm in a file.

        Args:
            data: a whole image file.
            size_px: side S of the square.
            mode: what the image is taken for.

        Raises:
            PalmImageError: if the file cannot be decoded, or no palm is found in it.
        """
        return self.find(self.decode(data), size_px, mode)

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """Decodes a file to uint8 [H, W] or RGB [H, W, 3], upright as its EXIF says; see `read`."""
        return decode(data, self._limits)

    def find(self, image: NDArray[np.uint8], size_px: int, mode: CaptureMode | None = None) -> Palm:
        """Finds the palm in an image that is decoded; see `read`."""
        region = locate(image, self._finder, mode or self._mode)
        veins = vein_channel(image)
        if region.hand is None:
            pixels = prepare(veins, size_px)
            skin = np.ones((size_px, size_px), np.bool_)
        else:
            square, skin = cut(veins, region.hand, size_px)
            pixels = as_input(square)
        quality = assess(veins, region, pixels[..., 0], float(skin.mean()))
        return Palm((image.shape[0], image.shape[1]), region, pixels, skin, quality)


def read_palms(
    reader: PalmReader,
    images: Sequence[bytes],
    size_px: int,
    mode: CaptureMode | None,
    *,
    least_quality: int,
    lap: Callable[[str], None],
) -> list[Palm]:
    """Reads the palm in each image of a request; an error names the image.

    Args:
        reader: the reader.
        images: whole image files.
        size_px: see `PalmReader.read`.
        mode: likewise.
        least_quality: least quality of each image, 0 to 100.
        lap: told the name of each stage at its end.

    Raises:
        ValueError: if there are no images.
        PalmImageError: if one cannot be used; a `PoorQuality` has the reasons by image.
    """
    if not images:
        raise ValueError("no image is given: give at least one")
    palms: list[Palm] = []
    for position, data in enumerate(images, start=1):
        place = f"image {position} of {len(images)}"
        try:
            image = reader.decode(data)
            lap("decode")
            palm = reader.find(image, size_px, mode)
            palm.quality.refuse_below(least_quality)
            lap("find")
            palms.append(palm)
        except PoorQuality as error:
            reasons = {f"images.{position - 1}.{n}": why for n, why in error.reasons.items()}
            raise PoorQuality(f"{place}: {error}", reasons) from error
        except PalmImageError as error:
            raise type(error)(f"{place}: {error}") from error
    return palms


def warn_of_turns(palms: Sequence[Palm]) -> list[str]:
    """Returns a warning about each region of interest whose fingers probably do not point up."""
    warnings: list[str] = []
    for position, palm in enumerate(palms, start=1):
        probability, pointing = max(zip(palm.region.directions, DIRECTIONS, strict=True))
        if pointing != "up" and probability >= TURNED:
            warnings.append(
                f"the fingers in image {position} seem to point {pointing} (probability "
                f"{floor(100 * probability) / 100}): send square crops with the fingers up"
            )
    return warnings
