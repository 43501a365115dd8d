"""The SQLite file: what survives, what is erased, and which files are refused."""

import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from sqlalchemy import create_engine

from app.gallery.gallery import Gallery, GalleryUnusable, SubjectUnknown
from app.gallery.sql import named_failures
from app.gallery.sqlite import open_sqlite
from app.matching.templates import NetKey
from tests.app.conftest import execute
from tests.app.gallery.conftest import VGG16, Open, enroll, vectors


def test_what_was_committed_survives_a_killed_process(open_gallery: Open, path: Path) -> None:
    script = (
        "import os, sys, numpy as np\n"
        "from app.gallery.sqlite import open_sqlite\n"
        "from app.matching.templates import NetKey\n"
        "gallery = open_sqlite(f'sqlite:///{sys.argv[1]}')\n"
        "templates = {NetKey('vgg16', 1): np.ones((1, 4), np.float32)}\n"
        "gallery.enroll('ada', None, None, templates, add=False)\n"
        "os._exit(9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert killed.returncode == 9
    assert open_gallery().subject("ada").template_counts == {"vgg16/1": 1}


def test_nothing_of_an_erased_subject_remains_in_the_files(gallery: Gallery, path: Path) -> None:
    templates = {VGG16: vectors(3, seed=5)}
    for i in range(40):
        enroll(gallery, f"somebody-else-{i * 7919 % 40}", seed=100 + i)
    gallery.enroll("ada-lovelace", "Ada Byron", "left", templates, add=False)
    traces = [b"ada-lovelace", b"Ada Byron"]
    traces += [vector.tobytes()[i : i + 16] for vector in templates[VGG16] for i in (0, 16, 48)]
    assert all(trace in file_bytes(path) for trace in traces)
    gallery.delete("ada-lovelace")
    assert not [trace for trace in traces if trace in file_bytes(path)]
    assert len(gallery.templates(VGG16).subject_ids) == 80


def test_an_id_in_a_rebalanced_page_is_erased_too(gallery: Gallery, path: Path) -> None:
    # Rebalanced pages keep stale copies of rows, which secure_delete does not overwrite.
    draw = random.Random(2)  # leaves a stale copy of one id where the gallery does not vacuum
    alive: list[str] = []
    for step in range(63):
        alive.append(f"s{draw.randrange(10**9)}")
        templates = {NetKey("a", 1): np.ones((draw.randint(1, 9), 16), np.float32)}
        gallery.enroll(alive[-1], None, None, templates, add=False)
        if step % 3 == 2:
            erased = alive.pop(draw.randrange(len(alive)))
            gallery.delete(erased)
            assert erased.encode() not in file_bytes(path)


def file_bytes(path: Path) -> bytes:
    """Returns the bytes of the gallery's file, its log and its shared index."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))


def spoil(path: Path, how: str) -> None:
    intact = path.read_bytes()
    if how == "no database":
        path.write_bytes(b"these are not the bytes you are looking for" * 100)
    elif how == "truncated":
        path.write_bytes(intact[: len(intact) // 2])
    elif how == "overwritten in the middle":
        path.write_bytes(intact[:4096] + b"\xff" * 4096 + intact[8192:])
    elif how == "overwritten within a page":
        ((page,),) = execute(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'templates'")
        cells = 4096 * (page - 1) + 8
        path.write_bytes(intact[:cells] + b"\xff" * 4 + intact[cells + 4 :])
    elif how == "of another application":
        path.unlink()
        execute(path, "CREATE TABLE recipes (title TEXT)")
    elif how == "of another schema version":
        execute(path, "UPDATE gallery SET schema_version = 99")
    elif how == "read-only":
        path.chmod(0o444)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no database", "cannot be read: file is not a database; restore a backup"),
        ("truncated", "cannot be read: .*; restore a backup"),
        ("overwritten in the middle", "cannot be read: .*; restore a backup"),
        ("overwritten within a page", "cannot be read: .*; restore a backup"),
        ("of another application", r"is not a gallery, it has the tables \['recipes'\]"),
        ("of another schema version", "has schema version 99, not 1"),
        ("read-only", "read-only"),
    ],
)
def test_an_unusable_file_is_refused_and_left_untouched(
    open_gallery: Open, path: Path, how: str, message: str
) -> None:
    gallery = open_gallery()
    enroll(gallery, "ada")
    gallery.close()
    spoil(path, how)
    before = path.read_bytes()
    with pytest.raises(GalleryUnusable, match=message) as refusal:
        open_gallery()
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_start_that_fails_later_leaves_only_the_file(open_gallery: Open, path: Path) -> None:
    open_gallery().close()
    execute(path, "ALTER TABLE gallery DROP COLUMN revision")
    with pytest.raises(GalleryUnusable, match=str(path)):
        open_gallery()
    assert list(path.parent.iterdir()) == [path]


def test_what_is_only_in_the_log_is_checked_too(gallery: Gallery, path: Path) -> None:
    assert gallery.revision() == 0  # holds the file open, or closing it would end the log
    execute(path, "UPDATE gallery SET schema_version = 99")
    with pytest.raises(GalleryUnusable, match="99"):
        open_sqlite(f"sqlite:///{path}")


@contextmanager
def unprivileged() -> Iterator[None]:
    """Runs as user nobody if the tests run as root, who may write any file."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("locked", ["file", "folder"])
def test_a_gallery_that_another_user_owns_is_refused_and_left_untouched(locked: str) -> None:
    if locked == "file" and os.geteuid() != 0:
        pytest.skip("takes root to make a file of another owner")
    with TemporaryDirectory() as folder:  # pytest's own is closed to other users
        path = Path(folder) / "gallery.db"
        open_sqlite(f"sqlite:///{path}").close()
        path.chmod(0o644 if locked == "file" else 0o666)
        path.parent.chmod(0o777 if locked == "file" else 0o555)
        before = path.read_bytes()
        with unprivileged(), pytest.raises(GalleryUnusable, match=r"owner, mode") as refusal:
            open_sqlite(f"sqlite:///{path}")
        path.parent.chmod(0o700)
        assert str(path) in str(refusal.value)
        assert path.read_bytes() == before
        assert list(path.parent.iterdir()) == [path]


def test_what_the_driver_itself_raises_names_the_file(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    failure = pytest.raises(GalleryUnusable, match=f"{path} failed: disk I/O error")
    with failure, named_failures(engine):
        raise sqlite3.OperationalError("disk I/O error")


@pytest.mark.parametrize("place", ["file/gallery.db", ""], ids=["in a file", "a folder"])
def test_a_place_where_no_file_can_be_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GalleryUnusable, match=str(tmp_path / place)):
        open_sqlite(f"sqlite:///{tmp_path / place}")


def test_a_failure_while_running_names_only_the_file(gallery: Gallery, path: Path) -> None:
    execute(path, "DROP TABLE templates")
    with pytest.raises(GalleryUnusable, match=str(path)) as failure:
        enroll(gallery, "ada")
    assert "[SQL" not in str(failure.value)
    with pytest.raises(SubjectUnknown):
        gallery.subject("nobody")
