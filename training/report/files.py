"""Writes files whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yields a temporary path, and renames it to `target` at the end of the `with` block.

    The caller writes a file or a folder to the temporary path. If the block raises, it is removed
    and `target` does not change. The folder of `target` is created if missing.

    Raises:
        FileExistsError: if `target` is a folder that is not empty.
        OSError: if `target` cannot be written.
    """
    if target.is_dir() and any(target.iterdir()):
        raise FileExistsError(f"{target} exists: remove it or choose another place")
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".unfinished-{target.name}")
    _remove(unfinished)  # a process that was killed may have left it
    try:
        yield unfinished
        if unfinished.is_file():
            with unfinished.open("rb") as file:
                os.fsync(file.fileno())  # a power cut must not leave an empty file of that name
        os.rename(unfinished, target)
    except BaseException:
        _remove(unfinished)
        raise


def write_text(target: Path, text: str) -> None:
    """Writes a UTF-8 text file, whole or not at all."""
    with replacing(target) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
