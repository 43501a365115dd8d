"""Decodes image files to square grey images, on all cores."""

import os
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from app.palm.decode import ImageLimits, PalmImageError, decode
from app.palm.roi import prepare

Pixels = NDArray[np.uint8]

READ_AHEAD = 256
"""Images decoded ahead of use: about 25 MiB of pixels and files at 224 px."""

DATABASE_LIMITS = ImageLimits(max_bytes=256 * 2**20, max_pixels=25_000_000)
"""A database is the operator's own, so that larger files are read than the service accepts."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image file's content.

    Attributes:
        pixels: grey, uint8 [size_px, size_px].
        sha256: digest of the file's bytes.
        kind: size and mode of the file's image, such as "800x600 RGB".
    """

    pixels: Pixels
    sha256: str
    kind: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An image file that cannot be used, and the reason in one line."""

    reason: str


@contextmanager
def decode_files(
    folder: Path, files: Sequence[str], size_px: int
) -> Iterator[Iterator[Decoded | Unreadable]]:
    """Decodes image files as the service does, and shows a progress bar.

    The threads end with this context. If the iterator owned them, they would be joined when it is
    garbage-collected. That can happen while another thread starts, and then both wait forever.

    Args:
        folder: folder of the database.
        files: paths relative to the folder.
        size_px: side to which every image is cropped and resized.

    Yields:
        An iterator over each file's content, or the reason why it cannot be read, in the order of
        `files`. Decoding starts when the first item is requested.

    Raises:
        ValueError: if `size_px` is not positive.
    """
    if size_px < 1:
        raise ValueError(f"--size-px must be at least 1, such as 224, not {size_px}")
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=len(files), desc=f"reading {folder}", unit="image", leave=False) as progress,
    ):

        def contents() -> Generator[Decoded | Unreadable]:
            for start in range(0, len(files), READ_AHEAD):
                window = files[start : start + READ_AHEAD]
                for content in pool.map(lambda file: _decode_file(folder / file, size_px), window):
                    yield content
                    progress.update()

        with closing(contents()) as iterator:  # which cancels what it has submitted
            yield iterator


def _decode_file(path: Path, size_px: int) -> Decoded | Unreadable:
    try:
        data = path.read_bytes()
        pixels = decode(data, DATABASE_LIMITS)
    except OSError as error:
        return Unreadable(error.strerror or str(error))
    except PalmImageError as error:
        return Unreadable(" ".join(str(error).split()))
    grey = prepare(pixels, size_px)[..., 0]
    with Image.open(BytesIO(data)) as header:  # reads no pixels
        kind = f"{header.width}x{header.height} {header.mode}"
    return Decoded(grey, sha256(data).hexdigest(), kind)
