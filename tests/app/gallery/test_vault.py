"""Encryption at rest: nothing is stored in plain bytes, and no row can be moved unnoticed."""

import sqlite3
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, text

from app.gallery.encryption import reencryption as encryption
from app.gallery.encryption.cipher import Cipher, NotAuthentic, derive_key
from app.gallery.errors import GalleryUnusable
from app.gallery.following import START
from app.gallery.gallery import Gallery
from app.gallery.index.memory import GalleryIndex
from app.gallery.sql import enrolling, sqlite
from app.gallery.sql.schema import GALLERY
from app.gallery.sql.transactions import Transactions
from app.master_key import MasterKeys, MasterKeyUnusable
from app.matching.maps import VeinMaps
from app.wiring import GALLERIES
from tests.app.conftest import MASTER_KEYS, execute
from tests.app.gallery.conftest import (
    ALEXNET,
    BOTH_STORES,
    VGG16,
    Open,
    ToyNet,
    enroll,
    make_plain,
    opened,
    vein_maps,
)

NETS = [ToyNet(VGG16), ToyNet(ALEXNET)]


def test_a_ciphertext_is_bound_to_its_key_and_place() -> None:
    cipher = Cipher(bytes(32))
    encrypted = cipher.encrypt(b"palm", "map", "vgg16", 1)
    assert cipher.decrypt(encrypted, "map", "vgg16", 1) == b"palm"
    assert encrypted != cipher.encrypt(b"palm", "map", "vgg16", 1)
    for place in (("map", "vgg16", 2), ("map", "vgg1", 61), ("map", "vgg16")):
        with pytest.raises(NotAuthentic):
            cipher.decrypt(encrypted, *place)
    for altered in (b"", encrypted[:-1], encrypted[:-1] + bytes([encrypted[-1] ^ 1])):
        with pytest.raises(NotAuthentic):
            cipher.decrypt(altered, "map", "vgg16", 1)
    with pytest.raises(NotAuthentic):
        Cipher(derive_key(bytes(32), "another purpose")).decrypt(encrypted, "map", "vgg16", 1)


def fill(gallery: Gallery) -> None:
    """Enrolls enough subjects for a mean map."""
    for i in range(24):
        templates = {VGG16: vein_maps(2, i), ALEXNET: vein_maps(2, i, ALEXNET)}
        gallery.enroll(f"s{i:02}", f"Name {i}", None, templates, add=False)


def scores(gallery: Gallery) -> list[list[float]]:
    """Returns the scores of a probe of s05 with all subjects, by net."""
    index = GalleryIndex(gallery, NETS)
    probes: list[VeinMaps] = [vein_maps(1, 5), vein_maps(1, 5, ALEXNET)]
    found = index.search(probes)
    assert len(found.subjects) == 24
    assert found.impostors[0] is not None  # a mean map is subtracted
    return [one.tolist() for one in found.by_net]


@BOTH_STORES
def test_scores_are_those_before_the_encryption_and_after_a_rotation(open_gallery: Open) -> None:
    gallery = open_gallery()
    fill(gallery)
    stored = gallery.changes(START, [VGG16], 99).maps[0].maps
    assert stored[:2] == tuple(vein_maps(2, 0).to_bytes())
    expected = scores(gallery)
    make_plain(gallery)
    upgraded = open_gallery()
    assert scores(upgraded) == expected
    assert upgraded.subject("s05").name == "Name 5"
    upgraded.rotate_master_key(b"\x22" * 32)
    assert scores(upgraded) == expected


MOVES = {
    "maps of two subjects": "UPDATE maps SET map = (SELECT map FROM maps AS other WHERE "
    "subject_id = 'eve' AND net = maps.net ORDER BY number LIMIT 1) WHERE subject_id = 'ada'",
    "two images of a subject": "UPDATE maps SET map = (SELECT map FROM maps AS other WHERE "
    "subject_id = 'ada' AND net = 'vgg16' ORDER BY number LIMIT 1) "
    "WHERE subject_id = 'ada' AND net = 'vgg16'",
    "an image's number": "UPDATE maps SET number = number + 100 WHERE subject_id = 'ada'",
    "a template id": "UPDATE maps SET net = 'vgg16', template_id = '0123456789abcdef' "
    "WHERE subject_id = 'ada' AND net = 'alexnet'",
    "a template key's id": "UPDATE maps SET transform = NULL WHERE subject_id = 'ada'",
    "a subject's number": "UPDATE subjects SET number = (SELECT number + 1000 FROM subjects "
    "AS other WHERE subject_id = 'eve') WHERE subject_id = 'ada'",
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_a_moved_template_is_noticed_as_damage(open_gallery: Open, move: str) -> None:
    gallery = open_gallery()
    for i, subject_id in enumerate(("ada", "eve")):
        templates = {VGG16: vein_maps(2, i), ALEXNET: vein_maps(2, i, ALEXNET)}
        gallery.enroll(subject_id, None, None, templates, add=False)
    engine, _ = opened(gallery)
    with engine.begin() as connection:
        assert connection.execute(text(move)).rowcount > 0
    index = GalleryIndex(gallery, NETS)
    if "subjects SET number" in move:  # a number without a key: as if it were erased
        assert [one.subject_id for one in gallery.changes(START, [VGG16], 9).subjects] == ["eve"]
        return
    with pytest.raises(GalleryUnusable, match="'ada'"):
        index.refresh()
    gallery.delete("ada")
    index.refresh()


def test_subjects_who_exchange_ids_are_noticed(gallery: Gallery) -> None:
    enroll(gallery, "ada", seed=1)
    enroll(gallery, "eve", seed=2)
    engine, _ = opened(gallery)
    with engine.begin() as connection:
        connection.execute(text("PRAGMA defer_foreign_keys = ON"))
        for old, new in (("ada", "x"), ("eve", "ada"), ("x", "eve")):
            for table in ("subjects", "maps"):
                change = f"UPDATE {table} SET subject_id = :new WHERE subject_id = :old"
                connection.execute(text(change), {"old": old, "new": new})
    with pytest.raises(GalleryUnusable, match=r"'ada', 'eve' \(2 in all\)"):
        GalleryIndex(gallery, NETS).refresh()


@BOTH_STORES
def test_a_damaged_name_is_reported_until_its_subject_is_deleted(gallery: Gallery) -> None:
    for subject_id in ("ada", "eve"):
        gallery.enroll(subject_id, subject_id.upper(), None, {VGG16: vein_maps(1)}, add=False)
    engine, _ = opened(gallery)
    swap = "UPDATE subjects SET name = (SELECT name FROM subjects WHERE subject_id = 'eve')"
    with engine.begin() as connection:
        connection.execute(text(f"{swap} WHERE subject_id = 'ada'"))
    reads: list[Callable[[], Any]] = [
        lambda: gallery.subject("ada"),
        lambda: gallery.subjects(after=None, limit=9),
        lambda: gallery.changes(START, [], 9),
    ]
    for read in reads:
        with pytest.raises(GalleryUnusable, match="the name of subject 'ada'"):
            read()
    gallery.delete("ada")
    assert [one.name for one in gallery.subjects(after=None, limit=9)] == ["EVE"]


def dump(path: Path) -> list[str]:
    """Returns all that a gallery's files hold, as SQL."""
    found: list[str] = []
    for file in sorted(path.parent.iterdir()):
        with closing(sqlite3.connect(file)) as connection:
            found += [str(file), *connection.iterdump()]
    return found


@BOTH_STORES
def test_another_master_key_opens_nothing_and_changes_nothing(
    open_gallery: Open, url: str, store: str, path: Path, tmp_path: Path
) -> None:
    gallery = open_gallery()
    enroll(gallery, "ada")
    gallery.close()
    before = dump(path) if store == "sqlite" else []
    with pytest.raises(MasterKeyUnusable, match=r"another master key.*PALM_MASTER_KEY_FILE"):
        GALLERIES[store](url, MasterKeys("33" * 32, Path()))
    missing = tmp_path / "missing.key"
    with pytest.raises(MasterKeyUnusable, match=r"missing\.key is missing.*PALM_MASTER_KEY_FILE"):
        GALLERIES[store](url, MasterKeys(None, missing))
    assert not missing.exists()
    if store == "sqlite":
        assert dump(path) == before
    assert open_gallery().subject("ada").template_counts[str(VGG16)] == 2


@BOTH_STORES
def test_a_rotation_needs_no_restart_and_the_old_key_opens_nothing(
    url: str, store: str, tmp_path: Path
) -> None:
    old, new = b"\x01" * 32, b"\x02" * 32
    file = tmp_path / "master.key"
    file.write_text(old.hex())
    masters = MasterKeys(None, file)
    here, there = (GALLERIES[store](url, masters) for _ in range(2))
    enroll(here, "ada", seed=1)
    secret = here.secrets.api_keys
    masters.replace([new, old])
    assert here.rotate_master_key(new)
    masters.replace([new])
    assert len(there.changes(START, [VGG16], 9).maps[0].maps) == 2  # another process goes on
    enroll(there, "eve", seed=2)
    there.delete("ada")
    later = GALLERIES[store](url, masters)
    assert (here.secrets.api_keys, later.secrets.api_keys) == (secret, secret)
    for gallery in (here, there, later):
        assert gallery.subject("eve").template_counts[str(VGG16)] == 2
        gallery.close()
    with pytest.raises(MasterKeyUnusable):
        GALLERIES[store](url, MasterKeys(old.hex(), file))


def test_a_reader_of_the_state_before_a_rotation_changes_no_writers_key(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PURGE_TIMEOUT_S", 0)
    old, new = b"\x01" * 32, b"\x02" * 32
    file = tmp_path / "master.key"
    file.write_text(old.hex())
    masters = MasterKeys(None, file)
    gallery = GALLERIES["sqlite"](url, masters)
    enroll(gallery, "ada")
    insert_subjects = enrolling.insert_subjects
    engine, vault = opened(gallery)
    with engine.connect() as former, former.begin():
        former.execute(select(GALLERY)).one()  # from now on it sees this state
        masters.replace([new, old])
        gallery.rotate_master_key(new)

        def read_before(*arguments: Any, **options: Any) -> None:
            with monkeypatch.context() as patch:
                snapshots: Any = SimpleNamespace(begin=lambda: nullcontext(former))
                patch.setattr(gallery, "_transactions", Transactions(engine, snapshots, vault))
                assert gallery.subject("ada").template_counts
            insert_subjects(*arguments, **options)

        monkeypatch.setattr(enrolling, "insert_subjects", read_before)
        enroll(gallery, "eve")
    gallery.close()
    masters.replace([new])
    later = GALLERIES["sqlite"](url, masters)
    GalleryIndex(later, NETS).refresh()  # decrypts all templates
    later.close()


@BOTH_STORES
def test_a_process_that_cannot_read_the_new_key_reports_no_damage(url: str, store: str) -> None:
    with_file, without = (GALLERIES[store](url, MASTER_KEYS) for _ in range(2))
    with_file.enroll("ada", "Ada", None, {VGG16: vein_maps(2)}, add=False)
    with_file.rotate_master_key(b"\x02" * 32)
    reads: list[Callable[[], Any]] = [
        lambda: without.subject("ada"),
        lambda: GalleryIndex(without, NETS).refresh(),
        lambda: without.delete("ada"),
    ]
    for read in reads:
        with pytest.raises(GalleryUnusable, match="another master key"):
            read()
    assert with_file.subject("ada").name == "Ada"
    for gallery in (with_file, without):
        gallery.close()


@pytest.mark.parametrize("at", ["update", "leave"])
def test_a_rotation_that_is_interrupted_loses_nothing_and_goes_on(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    old, new = b"\x01" * 32, b"\x02" * 32
    file = tmp_path / "master.key"
    file.write_text(old.hex())
    masters = MasterKeys(None, file)
    gallery = GALLERIES["sqlite"](url, masters)
    gallery.enroll("ada", "Ada", None, {VGG16: vein_maps(2)}, add=False)
    masters.replace([new, old])

    def fail(*_: object) -> None:
        raise RuntimeError("interrupted")

    with monkeypatch.context() as patch:
        patch.setattr(encryption, at, fail)
        with pytest.raises(RuntimeError):
            gallery.rotate_master_key(new)
    gallery.close()
    without = GALLERIES["sqlite"](url, MasterKeys(old.hex(), file))
    before = without.sums_by_camera([VGG16])[""][0].to_bytes()
    uses: list[Callable[[], object]] = [
        lambda: without.subject("ada"),
        GalleryIndex(without, NETS[:1]).refresh,
        lambda: enroll(without, "eve"),
        lambda: enroll(without, "ada", add=True),
        lambda: without.delete("ada"),  # which would compute the sum anew
    ]
    for use in uses:
        with pytest.raises(GalleryUnusable, match=r"rotation was interrupted; finish it"):
            use()
    assert without.sums_by_camera([VGG16])[""][0].to_bytes() == before
    without.close()
    for _ in range(2):
        gallery = GALLERIES["sqlite"](url, masters)
        assert gallery.subject("ada").name == "Ada"
        enroll(gallery, "eve", add=True)
        gallery.rotate_master_key(new)
        masters.replace([new])
        assert len(gallery.changes(START, [VGG16], 9).maps[0].maps) > 2
        gallery.close()


def test_without_the_file_of_keys_nothing_is_changed(open_gallery: Open, path: Path) -> None:
    gallery = open_gallery()
    enroll(gallery, "ada")
    gallery.close()
    keys = path.with_name("gallery.db.keys")
    kept = keys.rename(path.with_name("kept"))
    before = execute(path, "SELECT * FROM maps")
    with pytest.raises(GalleryUnusable, match=r"gallery\.db\.keys is missing.*one backup"):
        open_gallery()
    assert not keys.exists()
    GALLERIES["sqlite"](f"sqlite:///{path.with_name('other.db')}", MASTER_KEYS).close()
    path.with_name("other.db.keys").rename(keys)
    with pytest.raises(GalleryUnusable, match="has no key of any subject"):
        open_gallery()
    assert execute(path, "SELECT * FROM maps") == before
    kept.rename(keys)
    assert open_gallery().subject("ada").template_counts[str(VGG16)] == 2
