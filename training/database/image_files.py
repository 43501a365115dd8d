"""Keeps decoded images in an unnamed temporary file and reads them by number.

They are not kept in memory: 100,000 images of 224x224 pixels need 4.7 GiB. Nor is the file
memory-mapped: mapped pages count as memory of the process, and a failing disk then kills the
process (SIGBUS) instead of raising OSError.
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
    """Returns $TMPDIR if set, else /var/tmp; /tmp is often in memory."""
    return Path(os.environ.get("TMPDIR") or "/var/tmp")


class ImageFile:
    """Decoded images on disk, indexed by number like an array.

    The system deletes the file when the last process that uses it ends. The object can be pickled
    and used by another process of this machine as long as this process keeps it.

    Attributes:
        shape: (M, H, W): number, height and width of the images.
    """

    def __init__(self, file: IO[bytes], shape: tuple[int, int, int]) -> None:
        """Takes ownership of an open file that holds the images one after the other."""
        self.shape = shape
        self._file = file
        # Closing it here avoids the ResourceWarning of a file left to the garbage collector.
        weakref.finalize(self, file.close)

    def __getstate__(self) -> tuple[str, tuple[int, int, int]]:
        """Returns the path by which another process can open the file, and the shape."""
        return f"/proc/{os.getpid()}/fd/{self._file.fileno()}", self.shape

    def __setstate__(self, state: tuple[str, tuple[int, int, int]]) -> None:
        """Opens the file that another process has open."""
        path, shape = state
        self.__init__(Path(path).open("rb"), shape)  # noqa: SIM115, as in write

    @classmethod
    def write(
        cls, images: Iterable[NDArray[np.uint8]], shape: tuple[int, int, int], folder: Path
    ) -> Self:
        """Writes images to an unnamed file in a folder.

        Args:
            images: at most M images uint8 [H, W].
            shape: (M, H, W).
            folder: folder of the file.

        Raises:
            OSError: if the images do not fit there; the message says how much room they need.
        """
        size = shape[0] * shape[1] * shape[2]
        with _explain_failed_write(size, folder):
            file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115, it outlives this function
        try:
            with _explain_failed_write(size, folder):
                # Reports a disk that is too small at once, not after an hour of decoding.
                os.posix_fallocate(file.fileno(), 0, size)
            for image in images:
                with _explain_failed_write(size, folder):
                    file.write(np.ascontiguousarray(image).data)
            with _explain_failed_write(size, folder):
                file.flush()
        except BaseException:
            with suppress(OSError):  # closing flushes, which fails again on a full disk
                file.close()
            raise
        return cls(file, shape)

    def __getitem__(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Reads the images with the numbers [n] as uint8 [n, H, W]; thread-safe.

        Raises:
            OSError: if the disk fails.
        """
        images = np.empty((len(numbers), *self.shape[1:]), np.uint8)
        for image, number in zip(images, numbers.tolist(), strict=True):
            read = os.preadv(self._file.fileno(), [image.data], number * image.nbytes)
            if read != image.nbytes:
                raise OSError(
                    f"decoded image {number} is incomplete: read {read} of {image.nbytes} bytes"
                )
        return images


@contextmanager
def _explain_failed_write(size: int, folder: Path) -> Iterator[None]:
    """Adds to an OSError how much room the images need, and what to do."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"{-(-size // MIB)} MiB of decoded images cannot be kept in {folder} "
            f"({error.strerror}): make room there or name another folder with --scratch"
        ) from error
