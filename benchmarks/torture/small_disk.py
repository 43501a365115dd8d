"""A disk with as much room as is left on it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

PAGE = 4096
_BALLAST = ".ballast"


class NoDisk(Exception):
    """This machine lets nobody make a small disk; the message says why."""


class SmallDisk:
    """A file system in memory, filled by one file."""

    def __init__(self, folder: Path) -> None:
        """Takes the folder where it is mounted."""
        self.folder = folder
        self._ballast = folder / _BALLAST

    def leave(self, pages: int) -> None:
        """Fills the disk, except so many pages of 4 KiB."""
        self.empty()
        found = os.statvfs(self.folder)
        size = (found.f_bavail - pages) * found.f_bsize
        with self._ballast.open("wb") as file:
            if size > 0:
                os.posix_fallocate(file.fileno(), 0, size)

    def empty(self) -> None:
        """Makes room again."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(mib: int) -> Iterator[SmallDisk]:
    """Mounts a disk of so many MiB, and removes it when the block ends.

    Raises:
        NoDisk: if this user may not mount one.
    """
    with TemporaryDirectory(prefix="palm-disk-") as folder:
        command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=755", "tmpfs", folder]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", None) or str(error)
            raise NoDisk(f"no tmpfs can be mounted: {' '.join(reason.split())}") from error
        try:
            yield SmallDisk(Path(folder))
        finally:
            subprocess.run(["umount", "--lazy", folder], check=False)
