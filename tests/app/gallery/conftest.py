"""A gallery in a file of its own, and something to put into it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.gallery.gallery import Gallery
from app.gallery.sqlite import open_sqlite
from app.matching.templates import NetKey
from tests.app.conftest import unit_rows

VGG16 = NetKey("vgg16", 1)
ALEXNET = NetKey("alexnet", 2)

Open = Callable[[], Gallery]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "gallery.db"


@pytest.fixture
def open_gallery(path: Path) -> Iterator[Open]:
    opened: list[Gallery] = []

    def open_once_more() -> Gallery:
        opened.append(open_sqlite(f"sqlite:///{path}"))
        return opened[-1]

    yield open_once_more
    for gallery in opened:
        gallery.close()


@pytest.fixture
def gallery(open_gallery: Open) -> Gallery:
    return open_gallery()


def vectors(count: int, seed: int = 0) -> NDArray[np.float32]:
    return unit_rows(count, 16, seed=seed)


def enroll(gallery: Gallery, subject_id: str, seed: int = 0, *, add: bool = False) -> None:
    templates = {VGG16: vectors(2, seed), ALEXNET: vectors(1, seed + 1)}
    gallery.enroll(subject_id, None, None, templates, add=add)
