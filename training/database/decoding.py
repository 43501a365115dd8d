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

from app.palm.capture import Capture
from app.palm.decode import ImageLimits, PalmImageError, decode
from app.palm.errors import PalmNotFound
from app.palm.reader import PalmReader
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
        capture: "hand" if the palm was found in a photograph, else "roi".
    """

    pixels: Pixels
    sha256: str
    kind: str
    capture: Capture


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An image file that cannot be used.

    Attributes:
        reason: why, in one line.
        without_palm: whether the file is intact, but no palm is found in it.
    """

    reason: str
    without_palm: bool = False


@contextmanager
def decode_files(
    folder: Path, files: Sequence[str], size_px: int, reader: PalmReader | None = None
) -> Iterator[Iterator[Decoded | Unreadable]]:
    """Decodes image files as the service does, and shows a progress bar.

    The threads end with this context. If the iterator owned them, they would be joined when it is
    garbage-collected. That can happen while another thread starts, and then both wait forever.

    Args:
        folder: folder of the database.
        files: paths relative to the folder.
        size_px: side to which every image is cropped and resized.
        reader: finds the palms in photographs of hands; None takes the largest centred square.

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
                for content in pool.map(
                    lambda file: _decode_file(folder / file, size_px, reader), window
                ):
                    yield content
                    progress.update()

        with closing(contents()) as iterator:  # which cancels what it has submitted
            yield iterator


def _decode_file(path: Path, size_px: int, reader: PalmReader | None) -> Decoded | Unreadable:
    capture: Capture = "roi"
    try:
        data = path.read_bytes()
        if reader is None:
            pixels = prepare(decode(data, DATABASE_LIMITS), size_px)
        else:
            palm = reader.read(data, size_px)
            pixels, capture = palm.pixels, palm.region.capture
    except OSError as error:
        return Unreadable(error.strerror or str(error))
    except PalmImageError as error:
        return Unreadable(" ".join(str(error).split()), isinstance(error, PalmNotFound))
    with Image.open(BytesIO(data)) as header:  # reads no pixels
        kind = f"{header.width}x{header.height} {header.mode}"
    return Decoded(pixels[..., 0], sha256(data).hexdigest(), kind, capture)
