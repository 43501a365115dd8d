"""Renewal: other keys transform all templates, and no answer changes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import delete, select, text, update

from app.gallery.encryption import renewal
from app.gallery.encryption.template_keys import NAME
from app.gallery.errors import GalleryUnusable
from app.gallery.following import START
from app.gallery.gallery import Gallery
from app.gallery.index.memory import GalleryIndex
from app.gallery.sql import postgresql, sqlite
from app.gallery.sql.schema import MAPS, SECRETS, SUBJECTS
from tests.app.gallery.backups import back_up, restore
from tests.app.gallery.conftest import (
    ALEXNET,
    BOTH_STORES,
    VGG16,
    Open,
    change_maps,
    enroll,
    opened,
    vein_maps,
)
from tests.app.gallery.test_erasure import reading
from tests.app.gallery.test_vault import NETS, fill, scores


@pytest.fixture(autouse=True)
def in_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "MAPS_AT_ONCE", 20)
    monkeypatch.setattr(renewal, "PAUSE_S", 0)


def between_batches(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Makes a rotation do something once, after its first batch."""
    acts = [act]

    def pause(_: float) -> None:
        if acts:
            acts.pop()()

    monkeypatch.setattr(renewal, "sleep", pause)


def transforms(gallery: Gallery) -> set[str | None]:
    """Returns the ids of the keys that transform the maps."""
    engine, _ = opened(gallery)
    with engine.connect() as connection:
        return set(connection.scalars(select(MAPS.c.transform)))


def stored_keys(gallery: Gallery) -> dict[str, bytes]:
    """Returns the template keys by id, as they are stored."""
    engine, _ = opened(gallery)
    with engine.connect() as connection:
        rows = connection.execute(select(SECRETS).where(SECRETS.c.name.startswith(NAME))).all()
    return {row.name.removeprefix(NAME): row.encrypted for row in rows}


def files_of(gallery: Gallery, path: Path) -> bytes:
    """Returns the bytes of SQLite's files, or of the secrets in PostgreSQL's."""
    if path.exists():
        return b"".join(file.read_bytes() for file in path.parent.iterdir())
    engine, _ = opened(gallery)
    with engine.begin() as connection:
        connection.execute(text("CHECKPOINT"))
        read = "SELECT pg_read_binary_file(pg_relation_filepath('secrets'))"
        return connection.scalars(text(read)).one()


def test_after_a_restore_of_former_templates_the_next_renewal_takes_a_fresh_key(
    open_gallery: Open, tmp_path: Path
) -> None:
    gallery = open_gallery()
    enroll(gallery, "ada")
    back_up(gallery, tmp_path / "gallery.palm")
    gallery.rotate_templates()
    before = transforms(gallery)
    restore(gallery, tmp_path / "gallery.palm", replace=True)
    again = open_gallery()
    again.rotate_templates()
    after = transforms(again)
    assert len(after) == 1
    assert not after & before
    assert stored_keys(again).keys() == after


def untransform(gallery: Gallery) -> None:
    """Turns a gallery into one of the release before, which transformed no template."""
    engine, vault = opened(gallery)
    with engine.begin() as connection:
        ids = {row.number: row.subject_id for row in connection.execute(select(SUBJECTS))}
        keys = {ids[number]: key for number, key in vault.keys_of(connection, ids).items()}
        for row in connection.execute(select(MAPS)).all():
            place = (row.net, row.template_id, row.number)
            plain = keys[row.subject_id].decrypt_map(row.map, *place, row.transform)
            former = keys[row.subject_id]._working().encrypt(plain, "map", *place)
            own = MAPS.c.map_id == row.map_id
            connection.execute(update(MAPS).where(own).values(map=former, transform=None))
        connection.execute(delete(SECRETS).where(SECRETS.c.name.startswith(NAME)))


@BOTH_STORES
def test_a_rotation_changes_no_score_and_destroys_the_former_key(
    open_gallery: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = open_gallery(), open_gallery()
    fill(here)
    expected = scores(here)
    plain = here.changes(START, [VGG16], 99).maps[0].maps
    (former,) = stored_keys(here).values()
    assert former in files_of(here, path)
    following = GalleryIndex(there, NETS)
    probes = [vein_maps(1, 5), vein_maps(1, 5, ALEXNET)]
    before = following.search(probes).by_net

    def use_meanwhile() -> None:
        assert transforms(here) == {"1", "2"}
        assert scores(there) == expected
        enroll(there, "eve", seed=50)
        there.remove_template("eve", there.templates("eve")[0].number)
        assert transforms(here) == {"1", "2"}
        there.delete("eve")

    between_batches(monkeypatch, use_meanwhile)
    assert here.rotate_templates()

    assert transforms(here) == {"2"}
    assert list(stored_keys(here)) == ["2"]
    assert former[:12] not in files_of(here, path)
    assert former[12:28] not in files_of(here, path)
    for gallery in (here, there, open_gallery()):
        assert scores(gallery) == expected
        assert sorted(gallery.changes(START, [VGG16], 99).maps[0].maps) == sorted(plain)
    assert [a.tolist() for a in following.search(probes).by_net] == [a.tolist() for a in before]


@BOTH_STORES
def test_templates_of_the_release_before_are_read_and_transformed_also_if_interrupted(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = open_gallery()
    fill(gallery)
    expected = scores(gallery)
    untransform(gallery)
    upgraded = open_gallery()
    assert scores(upgraded) == expected
    enroll(upgraded, "eve")
    assert transforms(upgraded) == {None, "1"}
    upgraded.delete("eve")

    def fail() -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        between_batches(patch, fail)
        with pytest.raises(RuntimeError):
            upgraded.rotate_templates()
    again = open_gallery()
    assert transforms(again) == {None, "2"}
    assert set(stored_keys(again)) == {"1", "2"}
    assert scores(again) == expected
    assert again.rotate_templates()
    assert transforms(again) == set(stored_keys(again)) == {"2"}
    assert scores(again) == expected


def test_rotations_of_the_master_key_and_of_templates_do_not_interfere(gallery: Gallery) -> None:
    enroll(gallery, "ada")
    before = gallery.changes(START, [VGG16], 9).maps[0].maps
    gallery.rotate_master_key(b"\x22" * 32)
    assert gallery.rotate_templates()
    gallery.rotate_master_key(b"\x23" * 32)
    assert gallery.changes(START, [VGG16], 9).maps[0].maps == before
    assert transforms(gallery) == set(stored_keys(gallery)) == {"2"}


def test_a_damaged_template_stops_a_rotation_before_the_former_key_is_destroyed(
    gallery: Gallery,
) -> None:
    enroll(gallery, "ada")
    enroll(gallery, "eve")
    engine, _ = opened(gallery)
    with engine.begin() as connection:
        damage = update(MAPS).where(MAPS.c.subject_id == "ada").values(map=b"damaged")
        connection.execute(damage)
    with pytest.raises(GalleryUnusable, match=r"'ada'.*delete this subject, then repeat"):
        gallery.rotate_templates()
    assert set(stored_keys(gallery)) == {"1", "2"}
    gallery.delete("ada")
    assert gallery.rotate_templates()
    assert len(gallery.changes(START, [VGG16], 9).maps[0].maps) == 2


def test_a_template_of_another_size_is_transformed_anew_too(gallery: Gallery) -> None:
    enroll(gallery, "ada")
    change_maps(gallery, lambda one: one[:-12])  # as without a scale
    before = gallery.changes(START, [VGG16, ALEXNET], 9).maps
    gallery.rotate_templates()
    after = gallery.changes(START, [VGG16, ALEXNET], 9).maps
    assert [one.maps for one in after] == [one.maps for one in before]


def test_a_damaged_template_key_is_named(open_gallery: Open) -> None:
    gallery = open_gallery()
    enroll(gallery, "ada")
    engine, _ = opened(gallery)
    with engine.begin() as connection:
        own = SECRETS.c.name == f"{NAME}1"
        connection.execute(update(SECRETS).where(own).values(encrypted=b"damaged"))
    for read in (lambda: gallery.changes(START, [VGG16], 9), open_gallery):
        with pytest.raises(GalleryUnusable, match="its secret for transform 1; restore a backup"):
            read()


def test_with_a_foreign_reader_the_next_change_removes_the_former_key(
    gallery: Gallery, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PURGE_TIMEOUT_S", 0)
    enroll(gallery, "ada")
    (former,) = stored_keys(gallery).values()
    with reading(path):
        assert not gallery.rotate_templates()
        assert former in files_of(gallery, path)
    gallery.update("ada", {"hand": "left"})
    assert former not in files_of(gallery, path)


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_an_older_transaction_on_postgresql_keeps_the_former_key_until_the_next_change(
    gallery: Gallery, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "LOCK_TIMEOUT_S", 0.001)
    enroll(gallery, "ada")
    (former,) = stored_keys(gallery).values()
    engine, _ = opened(gallery)
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as older:
        older.execute(text("SELECT count(*) FROM pg_class"))  # from now on it sees this state
        assert not gallery.rotate_templates()
        assert former in files_of(gallery, path)
    gallery.update("ada", {"hand": "left"})
    assert former not in files_of(gallery, path)
