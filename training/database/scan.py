"""A database read through to the end: all its readable images, and what is wrong with others."""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from training.database.image_files import ImageFile
from training.database.index import Index, IndexedImage
from training.database.palms import READ_AHEAD, DataOptions, Palms, label_images, read_image

GREY_SAMPLE = 256
"""Images that tell a database's grey levels: one in hundreds moves a percentile little."""


def read_through(index: Index, options: DataOptions) -> tuple[Palms, Counter[str], dict[str, str]]:
    """Reads every image of an index, also where some cannot be read.

    Returns:
        The readable ones; how many there are of each size and mode in the files, such as
        "800x600 RGB"; and by path why the others cannot be read.

    Raises:
        ValueError: if none can be read.
        OSError: if the decoded images find no room in scratch.
    """
    sizes: Counter[str] = Counter()
    unreadable: dict[str, str] = {}
    readable: list[IndexedImage] = []

    def images() -> Iterator[NDArray[np.uint8]]:
        for image, found in zip(index.images, _scan(index, options), strict=True):
            if isinstance(found, str):
                unreadable[image.path] = found
                continue
            size, pixels = found
            sizes[size] += 1
            readable.append(image)
            yield pixels

    shape = (len(index.images), options.size_px, options.size_px)
    pixels = ImageFile.write(images(), shape, options.scratch)
    if not readable:
        first, why = next(iter(unreadable.items()))
        raise ValueError(
            f"{options.data}: none of the {len(unreadable)} images can be read, such as {first}: "
            f"{why}"
        )
    return label_images(replace(index, images=tuple(readable)), pixels, ""), sizes, unreadable


def _scan(index: Index, options: DataOptions) -> Iterator[tuple[str, NDArray[np.uint8]] | str]:
    """Of each image in order the size with the decoded pixels, or why it cannot be read."""
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=len(index.files), desc=f"reading {options.data}", leave=False) as progress,
    ):
        for start in range(0, len(index.files), READ_AHEAD):
            window = index.files[start : start + READ_AHEAD]
            for found in pool.map(lambda file: _scan_one(options, file), window):
                yield found
                progress.update()


def _scan_one(options: DataOptions, file: str) -> tuple[str, NDArray[np.uint8]] | str:
    try:
        pixels, _ = read_image(options.data, file, options.size_px)
    except ValueError as error:
        return " ".join(str(error.__cause__ or error).split())
    with Image.open(options.data / file) as image:
        return f"{image.width}x{image.height} {image.mode}", pixels


def grey_range(palms: Palms) -> tuple[int, int]:
    """1st and 99th percentile of the grey levels, 0 to 255, as the nets see the images.

    Of images spread evenly over the database, `GREY_SAMPLE` at most.
    """
    chosen = np.linspace(0, len(palms) - 1, min(len(palms), GREY_SAMPLE)).astype(np.int64)
    low, high = np.percentile(palms.images(chosen), (1, 99), method="nearest")
    return int(low), int(high)
