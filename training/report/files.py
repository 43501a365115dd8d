"""Files that are written whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yields a path beside `target` that takes its place at the end.

    What the caller writes there, a file or a folder, becomes `target` in one step. If the caller
    fails, it is removed and `target` stays as it was. The target's folder is created if missing.

    Raises:
        FileExistsError: if `target` is a folder that holds something.
        OSError: if `target` cannot be written.
    """
    if target.is_dir() and any(target.iterdir()):
        raise FileExistsError(f"{target} exists: remove it or choose another place")
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".unfinished-{target.name}")
    _remove(unfinished)  # left by a process that was killed
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
