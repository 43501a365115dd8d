"""Keeps a gallery's file for its owner only, and notices when another file takes its place."""

import logging
import os
from pathlib import Path

from app.gallery.errors import GalleryUnreachable, GalleryUnusable

logger = logging.getLogger(__name__)


def keep_private(path: Path) -> None:
    """Creates a missing file for its owner only; warns if other users may use an existing one.

    SQLite gives the files beside it the same mode.

    Raises:
        OSError: if it cannot be created.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        logger.warning(
            "other users may use the gallery %s (mode %o), which holds templates: chmod 600 it, "
            "and its -wal and -shm if they exist",
            path,
            mode,
        )


def warn_of_missing_log(path: Path) -> None:
    """Warns if the file was separated from its -wal, which may hold the newest changes.

    The last process that closes a gallery leaves WAL mode (`app.gallery.sqlite`). So a file in that
    mode has a -wal, unless it was copied without it.

    Raises:
        OSError: if the file cannot be read.
    """
    with path.open("rb") as file:
        in_wal_mode = file.read(20)[18:] == b"\2\2"  # https://sqlite.org/fileformat2.html
    # SQLite puts it beside the file that a link leads to.
    if in_wal_mode and not Path(f"{path.resolve()}-wal").exists():
        logger.warning(
            "gallery %s comes without its -wal: if it was copied from a running service, its "
            "newest changes are missing, also erasures; copy it while the service is stopped. "
            "After an upgrade from an earlier release, ignore this once",
            path,
        )


class OpenedFile:
    """Remembers which file a path led to.

    Attributes:
        path: the path.
    """

    def __init__(self, path: Path) -> None:
        """Remembers the file; raises OSError if there is none."""
        self.path = path
        self._identity = _identify(path)

    def check(self) -> None:
        """Checks that the path still leads to the file.

        Raises:
            GalleryUnusable: if not. What SQLite still has open is not what the next start will
                read.
            GalleryUnreachable: if its disk does not tell.
        """
        try:
            found = _identify(self.path)
        except FileNotFoundError:
            found = None
        except OSError as error:  # of its disk
            raise GalleryUnreachable(f"gallery {self.path} cannot be reached: {error}") from error
        if found != self._identity:
            raise GalleryUnusable(
                f"gallery {self.path} was deleted or replaced while it was open: stop the "
                "service, put the right file there, without a -wal and -shm of another one, and "
                "start it again"
            )


def _identify(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
