import gc
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.database.conftest import write_image
from training.database.image_files import ImageFile, default_scratch
from training.database.palms import DataOptions, load_palms

SHAPE = (8, 512, 512)
"""2 MiB."""


def draw(count: int = SHAPE[0], side: int = SHAPE[1]) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, side, side), np.uint8)


@contextmanager
def file_size_limit(size: int = 1 << 20) -> Iterator[None]:
    """A full disk that needs no privileges: writes beyond the limit fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def open_files(folder: Path) -> list[Path]:
    """This process's open files in a folder, by their entries in /proc."""
    links = [path for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return [link for link in links if os.readlink(link).startswith(str(folder))]


def test_images_are_read_by_number_in_any_order(tmp_path: Path) -> None:
    images = draw(5, 9)
    file = ImageFile.write(images, images.shape, tmp_path)
    numbers = np.array([4, 0, 0, 2])
    np.testing.assert_array_equal(file[numbers], images[numbers])


def test_the_file_has_no_name_and_leaves_nothing(tmp_path: Path) -> None:
    images = draw(2, 9)
    file = ImageFile.write(images, images.shape, tmp_path)
    assert list(tmp_path.iterdir()) == []
    (link,) = open_files(tmp_path)
    assert os.readlink(link).endswith("(deleted)")
    del file
    gc.collect()
    assert open_files(tmp_path) == []


def test_a_disk_that_is_too_small_is_reported_before_an_image_is_decoded(tmp_path: Path) -> None:
    write_image(tmp_path / "db" / "bob" / "1.png", 90)
    (tmp_path / "db" / "ada").mkdir()
    (tmp_path / "db" / "ada" / "1.png").write_bytes(b"decoding this fails")
    with (
        file_size_limit(),
        pytest.raises(OSError, match=rf"2 MiB .* {tmp_path} .*--scratch$") as caught,
    ):
        load_palms(tmp_path / "db", 1024, scratch=tmp_path)
    assert "\n" not in str(caught.value)
    assert open_files(tmp_path) == []


def test_a_disk_that_fills_up_while_writing_is_reported(tmp_path: Path) -> None:
    """As on file systems that promise room and then have none."""

    def images() -> Iterator[NDArray[np.uint8]]:
        first, *others = draw()
        yield first
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
        yield from others

    with (
        file_size_limit(4 << 20),
        pytest.raises(OSError, match="2 MiB of decoded images cannot be kept"),
    ):
        ImageFile.write(images(), SHAPE, tmp_path)
    gc.collect()  # an unclosed file would warn here
    assert open_files(tmp_path) == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"nowhere .*--scratch$"):
        ImageFile.write(draw(), SHAPE, tmp_path / "nowhere")


def test_scratch_is_tmpdir_or_var_tmp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert DataOptions(data=tmp_path).scratch == tmp_path
    monkeypatch.delenv("TMPDIR")
    assert default_scratch() == Path("/var/tmp")


def test_a_disk_that_loses_images_is_an_error(tmp_path: Path) -> None:
    images = draw(4, 16)
    file = ImageFile.write(images, images.shape, tmp_path)
    (link,) = open_files(tmp_path)
    os.truncate(link, 1000)
    np.testing.assert_array_equal(file[np.array([2])], images[2:3])
    with pytest.raises(OSError, match="image 3 is incomplete: read 232 of 256 bytes"):
        file[np.array([3])]
