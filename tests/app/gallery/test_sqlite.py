"""The SQLite gallery: what it keeps, what it erases, and which files it refuses."""

import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.gallery.gallery import (
    Gallery,
    GalleryUnusable,
    NetKey,
    SubjectExists,
    SubjectUnknown,
)
from app.gallery.sqlite import open_sqlite

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
    drawn = np.random.default_rng(seed).normal(size=(count, 16)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def enroll(gallery: Gallery, subject_id: str, seed: int = 0, *, add: bool = False) -> None:
    templates = {VGG16: vectors(2, seed), ALEXNET: vectors(1, seed + 1)}
    gallery.enroll(subject_id, None, None, templates, add=add)


def test_an_enrolled_subject_is_found_with_its_templates(gallery: Gallery) -> None:
    templates = {VGG16: vectors(3), ALEXNET: vectors(1)}
    stored = gallery.enroll("ada", "Ada Lovelace", "left", templates, add=False)
    assert stored == gallery.subject("ada")
    assert (stored.name, stored.hand, stored.origin) == ("Ada Lovelace", "left", "enrolled")
    assert stored.created_at.utcoffset() is not None
    assert stored.template_counts == {"vgg16/1": 3, "alexnet/2": 1}
    found = gallery.templates(VGG16)
    assert found.subject_ids == ("ada", "ada", "ada")
    assert found.vectors.dtype == np.float32
    np.testing.assert_array_equal(found.vectors, vectors(3))


def test_a_net_without_templates_has_none(gallery: Gallery) -> None:
    enroll(gallery, "ada")
    found = gallery.templates(NetKey("vgg16", 2))
    assert found.subject_ids == ()
    assert found.vectors.shape[0] == 0


def test_enrolling_twice_without_add_changes_nothing(gallery: Gallery) -> None:
    enroll(gallery, "ada")
    revision = gallery.revision()
    with pytest.raises(SubjectExists, match=r"'ada'.*add=true"):
        enroll(gallery, "ada", seed=7)
    assert gallery.revision() == revision
    assert len(gallery.templates(VGG16).subject_ids) == 2


def test_add_appends_templates_and_keeps_what_is_not_given(gallery: Gallery) -> None:
    gallery.enroll("ada", "Ada", "left", {VGG16: vectors(1)}, add=True)
    stored = gallery.enroll("ada", None, None, {VGG16: vectors(2, seed=1)}, add=True)
    assert (stored.name, stored.hand) == ("Ada", "left")
    assert stored.template_counts == {"vgg16/1": 3}


def test_everything_survives_reopening(open_gallery: Open) -> None:
    first = open_gallery()
    first.seed_trained(["p001", "p002"])
    first.delete("p002")
    enroll(first, "ada")
    before = (first.subjects(after=None, limit=9), first.revision())
    first.close()
    second = open_gallery()
    assert (second.subjects(after=None, limit=9), second.revision()) == before
    np.testing.assert_array_equal(second.templates(VGG16).vectors, vectors(2))


def test_what_was_committed_survives_a_killed_process(open_gallery: Open, path: Path) -> None:
    script = (
        "import os, sys, numpy as np\n"
        "from app.gallery.gallery import NetKey\n"
        "from app.gallery.sqlite import open_sqlite\n"
        "gallery = open_sqlite(f'sqlite:///{sys.argv[1]}')\n"
        "templates = {NetKey('vgg16', 1): np.ones((1, 4), np.float32)}\n"
        "gallery.enroll('ada', None, None, templates, add=False)\n"
        "os._exit(9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert killed.returncode == 9
    assert open_gallery().subject("ada").template_counts == {"vgg16/1": 1}


def test_subjects_are_paged_in_order(gallery: Gallery) -> None:
    for subject_id in ("c", "a", "d", "b"):
        enroll(gallery, subject_id)
    first = gallery.subjects(after=None, limit=3)
    assert [subject.subject_id for subject in first] == ["a", "b", "c"]
    assert all(subject.template_counts["vgg16/1"] == 2 for subject in first)
    assert [s.subject_id for s in gallery.subjects(after="c", limit=3)] == ["d"]
    assert gallery.subjects(after="d", limit=3) == []


def test_update_sets_and_clears(gallery: Gallery) -> None:
    gallery.enroll("ada", "Ada", "left", {VGG16: vectors(1)}, add=False)
    changed = gallery.update("ada", {"name": None, "hand": "right"})
    assert (changed.name, changed.hand) == (None, "right")
    assert gallery.update("ada", {}) == changed
    with pytest.raises(ValueError, match="origin"):
        gallery.update("ada", {"origin": "trained"})


def test_an_unknown_subject_is_named(gallery: Gallery) -> None:
    for ask in (gallery.subject, gallery.delete, lambda i: gallery.update(i, {"name": "x"})):
        with pytest.raises(SubjectUnknown, match="'nobody'"):
            ask("nobody")


def test_two_galleries_on_one_file_see_each_others_changes(open_gallery: Open) -> None:
    here, there = open_gallery(), open_gallery()
    changes: list[Callable[[], object]] = [
        lambda: enroll(here, "ada"),
        lambda: here.update("ada", {"name": "Ada"}),
        lambda: enroll(here, "ada", seed=3, add=True),
        lambda: here.delete("ada"),
        lambda: here.seed_trained(["p001"]),
    ]
    for change in changes:
        before = there.revision()
        change()
        assert there.revision() != before
        assert there.subjects(after=None, limit=9) == here.subjects(after=None, limit=9)


def test_reading_leaves_the_revision(gallery: Gallery) -> None:
    enroll(gallery, "ada")
    before = gallery.revision()
    gallery.subjects(after=None, limit=9)
    gallery.templates(VGG16)
    assert gallery.revision() == before


@pytest.mark.parametrize("shared", [True, False], ids=["one gallery", "a gallery each"])
def test_of_many_enrolling_one_id_exactly_one_wins(open_gallery: Open, shared: bool) -> None:
    galleries = [open_gallery()] * 8 if shared else [open_gallery() for _ in range(8)]
    start = threading.Barrier(len(galleries))
    outcomes: list[str] = []

    def race(gallery: Gallery, seed: int) -> None:
        start.wait()
        try:
            enroll(gallery, "ada", seed)
        except SubjectExists:
            outcomes.append("exists")
        else:
            outcomes.append("won")

    threads = [
        threading.Thread(target=race, args=(gallery, seed))
        for seed, gallery in enumerate(galleries)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["exists"] * 7 + ["won"]
    assert galleries[0].subject("ada").template_counts == {"vgg16/1": 2, "alexnet/2": 1}


def test_concurrent_additions_are_all_kept(gallery: Gallery) -> None:
    def add_ten(seed: int) -> None:
        for i in range(10):
            enroll(gallery, "ada", seed * 100 + i, add=True)

    threads = [threading.Thread(target=add_ten, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gallery.subject("ada").template_counts == {"vgg16/1": 120, "alexnet/2": 60}


def test_trained_identities_are_there_from_the_start(gallery: Gallery) -> None:
    gallery.seed_trained(["p002", "p001"])
    assert gallery.trained() == {"p001", "p002"}
    assert gallery.subject("p001").origin == "trained"
    assert gallery.subject("p001").template_counts == {}


def test_seeding_again_keeps_names_and_adds_only_new_ones(gallery: Gallery) -> None:
    gallery.seed_trained(["p001"])
    named = gallery.update("p001", {"name": "Ada"})
    gallery.seed_trained(["p001", "p002"])
    assert gallery.subject("p001") == named
    assert gallery.trained() == {"p001", "p002"}


def test_an_erased_trained_identity_stays_erased(open_gallery: Open) -> None:
    first = open_gallery()
    first.seed_trained(["p001", "p002"])
    first.delete("p001")
    first.close()
    gallery = open_gallery()
    gallery.seed_trained(["p001", "p002"])
    assert gallery.trained() == {"p002"}
    with pytest.raises(SubjectUnknown):
        gallery.subject("p001")


def test_an_erased_trained_id_can_be_enrolled_but_never_regains_its_prototype(
    gallery: Gallery,
) -> None:
    gallery.seed_trained(["p001"])
    gallery.delete("p001")
    enroll(gallery, "p001")
    assert gallery.subject("p001").origin == "enrolled"
    assert gallery.trained() == frozenset()
    gallery.delete("p001")
    gallery.seed_trained(["p001"])
    assert gallery.trained() == frozenset()


def test_an_enrolled_id_is_not_taken_over_by_a_net_trained_later(gallery: Gallery) -> None:
    enroll(gallery, "p200")
    gallery.seed_trained(["p200"])
    assert gallery.subject("p200").origin == "enrolled"
    gallery.delete("p200")
    gallery.seed_trained(["p200"])
    assert gallery.trained() == frozenset()


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


def test_an_id_moved_about_by_the_database_is_erased_too(gallery: Gallery, path: Path) -> None:
    """Rebalanced pages keep stale copies of rows, which secure_delete does not reach."""
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
    """The gallery's file with its log and its shared index."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))


def spoil(path: Path, how: str) -> None:
    intact = path.read_bytes()
    if how == "no database":
        path.write_bytes(b"these are not the bytes you are looking for" * 100)
    elif how == "truncated":
        path.write_bytes(intact[: len(intact) // 2])
    elif how == "overwritten in the middle":
        path.write_bytes(intact[:4096] + b"\xff" * 4096 + intact[8192:])
    elif how == "of another application":
        path.unlink()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE recipes (title TEXT)")
    elif how == "of another schema version":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE gallery SET schema_version = 99")
            connection.commit()
    elif how == "read-only":
        path.chmod(0o444)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no database", "cannot be read"),
        ("truncated", "cannot be read|corrupt"),
        ("overwritten in the middle", "cannot be read|corrupt"),
        ("of another application", "no gallery.*recipes"),
        ("of another schema version", "99"),
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
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GalleryUnusable, match=r"file/gallery\.db"):
        open_sqlite(f"sqlite:///{tmp_path}/file/gallery.db")


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GalleryUnusable, match=str(tmp_path)):
        open_sqlite(f"sqlite:///{tmp_path}")


def test_a_failure_while_running_names_the_file_and_no_template(
    gallery: Gallery, path: Path
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE templates")
    with pytest.raises(GalleryUnusable, match=str(path)) as failure:
        enroll(gallery, "ada")
    assert "[SQL" not in str(failure.value)
    with pytest.raises(SubjectUnknown):
        gallery.subject("nobody")
