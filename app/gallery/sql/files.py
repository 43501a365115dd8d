"""Keeps a gallery's file for its owner only, and notices when another file takes its place."""

import logging
import os
import sqlite3
from contextlib import closing
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

    The last process that closes a gallery leaves WAL mode (`app.gallery.sql.sqlite`). So a file in
    that mode has a -wal, unless it was copied without it.

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
    """Remembers which file a path led to, and which state of a gallery it held; safe for threads.

    Attributes:
        path: the path.
    """

    def __init__(self, path: Path) -> None:
        """Remembers the file; raises OSError if there is none."""
        self.path = path
        self._identity = _identify(path.stat())
        self._written_ns = 0  # when the file was last written, as far as it was checked
        self._revision = 0

    def check(self) -> None:
        """Checks that the path still leads to the file, and that no earlier state was put into it.

        Raises:
            GalleryUnusable: if not. What SQLite still has open is not what the next start will
                read.
            GalleryUnreachable: if its disk does not tell.
        """
        try:
            found = self.path.stat()
        except FileNotFoundError:
            found = None
        except OSError as error:  # of its disk
            raise GalleryUnreachable(f"gallery {self.path} cannot be reached: {error}") from error
        if found is None or _identify(found) != self._identity:
            raise self._refusal("deleted or replaced")
        if found.st_mtime_ns != self._written_ns:  # rarely: changes go to the log first
            self._check_revision()
            self._written_ns = found.st_mtime_ns

    def _check_revision(self) -> None:
        """Checks that a gallery's file, without its log, is no earlier one than it was before.

        SQLite has parts of the file in memory and would write them into the other one.
        """
        try:
            revision = _read_revision(self.path)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorname == "SQLITE_NOTADB":
                raise self._refusal("overwritten") from error
            return  # no gallery yet, its file of keys, or just being written
        if revision < self._revision:
            raise self._refusal("overwritten by an earlier one")
        self._revision = revision

    def _refusal(self, what: str) -> GalleryUnusable:
        return GalleryUnusable(
            f"gallery {self.path} was {what} while it was open: stop the service, put the right "
            "file there, without a -wal and -shm of another one, and start it again"
        )


def _identify(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _read_revision(path: Path) -> int:
    """Reads the revision in a gallery's file; what is only in its log does not count."""
    # Not by `open`: closing the file would end SQLite's locks of it. immutable=1 takes none.
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        row = connection.execute("SELECT revision FROM gallery").fetchone()
    return row[0] if row else 0
