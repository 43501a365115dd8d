"""Writes and restores backups as the commands do, without their command line."""

import io
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from app.gallery.backup.contents import Contents, Later, Restored
from app.gallery.backup.rows import read_contents
from app.gallery.backup.sealing import SealedReader, SealedWriter, new_header
from app.gallery.gallery import Gallery

KEY = b"\x44" * 32
NOTHING_LATER = Later()


def back_up(gallery: Gallery, file: Path) -> int:
    """Writes a backup under `KEY`; returns the number of subjects."""
    with file.open("wb") as out:
        sealed = SealedWriter(out, KEY, new_header(KEY, "0"))
        subjects = gallery.backups.write(cast(BinaryIO, sealed)).subjects
        sealed.finish()
    return subjects


@contextmanager
def rows(file: Path) -> Generator[BinaryIO]:
    """Opens the rows of a backup."""
    with file.open("rb") as backup, io.BufferedReader(SealedReader(backup, KEY)) as source:
        yield cast(BinaryIO, source)


def contents(file: Path) -> Contents:
    """Returns what a backup holds."""
    with rows(file) as source:
        return read_contents(source)


def restore(
    gallery: Gallery, file: Path, *, replace: bool = False, later: Later = NOTHING_LATER
) -> Restored:
    """Restores a backup; the gallery must be opened again afterwards."""
    return gallery.backups.restore(contents(file), lambda: rows(file), later, replace=replace)
