"""What many tests of the service need: files of images, unit vectors, a gallery."""

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.gallery.gallery import Gallery
from app.gallery.sql.sqlite import open_sqlite
from app.master_key import MasterKeys

MASTER_KEYS = MasterKeys("11" * 32, Path("no-file"))


def encode(
    image: Image.Image | NDArray[np.generic], file_format: str = "PNG", **options: object
) -> bytes:
    """The image as a file."""
    file = BytesIO()
    opened = image if isinstance(image, Image.Image) else Image.fromarray(image)
    opened.save(file, file_format, **options)
    return file.getvalue()


def execute(path: Path, statement: str, *values: object) -> list[Any]:
    """Executes a statement on a gallery's file, behind its back."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, values).fetchall()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Keeps this process from writing a file beyond `size` bytes, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    """An empty gallery in a file."""
    gallery = open_sqlite(f"sqlite:///{tmp_path}/gallery.db", MASTER_KEYS)
    yield gallery
    gallery.close()
