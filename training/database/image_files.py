"""Decoded images in a file without a name: written once, read by number, gone with the process.

Not in memory: 100,000 images of 224x224 are 4.7 GiB. Not memory-mapped either: mapped pages count
as the process's own memory, and a disk that fails under a mapping kills the process (SIGBUS) where
a read raises OSError.
"""

import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

MIB = 1 << 20


def default_scratch() -> Path:
    """$TMPDIR if set, else /var/tmp, which unlike /tmp is seldom memory, else the system's own."""
    if os.environ.get("TMPDIR"):
        return Path(os.environ["TMPDIR"])
    var_tmp = Path("/var/tmp")
    return var_tmp if var_tmp.is_dir() else Path(tempfile.gettempdir())


class ImageFile:
    """Images on disk, read by number as from an array; another process of this machine may, too.

    Attributes:
        shape: (M, H, W).
    """

    def __init__(self, file: IO[bytes], shape: tuple[int, int, int]) -> None:
        """Takes over an open file that holds the images one after the other."""
        self.shape = shape
        self._file = file
        # A file that is left to the garbage collector is closed with a ResourceWarning.
        weakref.finalize(self, file.close)

    def __getstate__(self) -> tuple[str, tuple[int, int, int]]:
        """Where another process finds the file as long as this one has it, and its shape."""
        return f"/proc/{os.getpid()}/fd/{self._file.fileno()}", self.shape

    def __setstate__(self, state: tuple[str, tuple[int, int, int]]) -> None:
        """Opens the file that another process has open."""
        place, shape = state
        self.__init__(Path(place).open("rb"), shape)  # noqa: SIM115, as below

    @classmethod
    def write(
        cls, images: Iterable[NDArray[np.uint8]], shape: tuple[int, int, int], folder: Path
    ) -> Self:
        """Writes images to an unnamed file in a folder.

        Args:
            images: M images uint8 [H, W].
            shape: (M, H, W).
            folder: where the file is to be.

        Raises:
            OSError: if they do not fit there; the line says how much room they need.
        """
        size = shape[0] * shape[1] * shape[2]
        with _room(size, folder):
            file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115, for it outlives this function
        try:
            with _room(size, folder):
                # A disk that is too small shows at once, not after an hour of decoding.
                os.posix_fallocate(file.fileno(), 0, size)
            for image in images:
                with _room(size, folder):
                    file.write(np.ascontiguousarray(image).data)
            with _room(size, folder):
                file.flush()
        except BaseException:
            with suppress(OSError):  # what could not be written cannot be flushed either
                file.close()
            raise
        return cls(file, shape)

    def __getitem__(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images uint8 [n, H, W] of those numbers [n]; any thread may ask.

        Raises:
            OSError: if the disk fails.
        """
        images = np.empty((len(numbers), *self.shape[1:]), np.uint8)
        for image, number in zip(images, numbers.tolist(), strict=True):
            read = os.preadv(self._file.fileno(), [image], number * image.nbytes)
            if read != image.nbytes:
                raise OSError(f"read {read} of {image.nbytes} bytes of decoded image {number}")
        return images


@contextmanager
def _room(size: int, folder: Path) -> Iterator[None]:
    """Says of a failed write what it was for and what helps."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"{-(-size // MIB)} MiB of decoded images cannot be kept in {folder} "
            f"({error.strerror}): make room there or name another folder with --scratch"
        ) from error
