"""Scan of a database: all its readable images, and what is wrong with the others."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from training.database.decoding import Pixels, Unreadable, decode_files
from training.database.image_files import ImageFile
from training.database.index import Index, IndexedImage
from training.database.palms import DataOptions, Palms, label_images

GREY_SAMPLE = 256
"""Images whose grey levels are measured: one image in hundreds hardly moves a percentile."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What was read of a database.

    Attributes:
        palms: the readable images; their digest is empty.
        kinds: numbers of readable images by size and mode of their files, such as "800x600 RGB".
        unreadable: reasons by path.
    """

    palms: Palms
    kinds: Counter[str]
    unreadable: dict[str, str]


def scan_database(index: Index, options: DataOptions) -> Scan:
    """Reads every image of an index, and goes on where one cannot be read.

    Raises:
        ValueError: if none can be read.
        OSError: if the decoded images do not fit into scratch.
    """
    contents = decode_files(options.data, index.files, options.size_px)
    kinds: Counter[str] = Counter()
    unreadable: dict[str, str] = {}
    readable: list[IndexedImage] = []

    def images() -> Iterator[Pixels]:
        for image, content in zip(index.images, contents, strict=True):
            if isinstance(content, Unreadable):
                unreadable[image.path] = content.reason
                continue
            kinds[content.kind] += 1
            readable.append(image)
            yield content.pixels

    shape = (len(index.images), options.size_px, options.size_px)
    pixels = ImageFile.write(images(), shape, options.scratch)
    if not readable:
        path, reason = next(iter(unreadable.items()))
        raise ValueError(
            f"{options.data}: none of the {len(unreadable)} images can be read, such as {path}: "
            f"{reason}"
        )
    palms = label_images(replace(index, images=tuple(readable)), pixels, "")
    return Scan(palms, kinds, unreadable)


def grey_range(palms: Palms) -> tuple[int, int]:
    """Returns the 1st and 99th percentile of the grey levels, 0 to 255, after decoding.

    At most `GREY_SAMPLE` images are read, spread evenly over the database.
    """
    chosen = np.linspace(0, len(palms) - 1, min(len(palms), GREY_SAMPLE)).astype(np.int64)
    low, high = np.percentile(palms.images(chosen), (1, 99), method="nearest")
    return int(low), int(high)
