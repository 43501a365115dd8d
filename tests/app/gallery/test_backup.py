"""Backups: whole, of one revision, for every store; and nothing erased comes back."""

import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from sqlalchemy import select

from app.access.key_ring import KeyRing
from app.gallery.backup import rows as backup
from app.gallery.backup import sealing
from app.gallery.backup.rows import read_contents
from app.gallery.backup.sealing import BackupUnusable, SealedReader, SealedWriter, new_header
from app.gallery.following import START
from app.gallery.gallery import Gallery
from app.gallery.index.memory import GalleryIndex
from app.gallery.sql.schema import MAPS, SUBJECTS
from app.matching.maps import VeinMaps
from tests.app.gallery.backups import KEY, back_up, restore
from tests.app.gallery.conftest import (
    ALEXNET,
    BOTH_STORES,
    VGG16,
    Open,
    ToyNet,
    enroll,
    open_by_scheme,
    opened,
    vein_maps,
)

NETS = [ToyNet(VGG16), ToyNet(ALEXNET)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gallery.palm"


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Gallery]:
    """Another gallery, in a SQLite file."""
    with closing(open_by_scheme(f"sqlite:///{tmp_path}/other.db")) as gallery:
        yield gallery


def ids(gallery: Gallery) -> list[str]:
    return [one.subject_id for one in gallery.subjects(after=None, limit=99)]


def scores(gallery: Gallery) -> list[list[float]]:
    """Returns the scores of a probe of s05 with all subjects, by net."""
    probes: list[VeinMaps] = [vein_maps(1, 5), vein_maps(1, 5, ALEXNET)]
    found = GalleryIndex(gallery, NETS).search(probes)
    assert found.impostors[0] is not None  # a mean map is subtracted
    return [one.tolist() for one in found.by_net]


def fill(gallery: Gallery) -> None:
    """Enrolls enough subjects for a mean map."""
    for i in range(24):
        templates = {VGG16: vein_maps(2, i), ALEXNET: vein_maps(2, i, ALEXNET)}
        gallery.enroll(f"s{i:02}", f"Name {i}", "left", templates, add=False)


def tables(gallery: Gallery) -> dict[str, list[Any]]:
    """Returns what a gallery holds of its subjects, as it is stored."""
    engine, _ = opened(gallery)
    with engine.connect() as connection:
        return {
            "subjects": sorted(map(tuple, connection.execute(select(SUBJECTS)))),
            "maps": [
                tuple(row)[1:] for row in connection.execute(select(MAPS).order_by(MAPS.c.map_id))
            ],
        }


@BOTH_STORES
def test_a_gallery_moves_to_another_store_and_back_with_the_same_scores(
    open_gallery: Open, gallery: Gallery, empty: Gallery, file: Path, tmp_path: Path
) -> None:
    fill(gallery)
    gallery.write_site_report("{}")
    ring = KeyRing(gallery.keys, gallery.secrets.api_keys)
    key, _ = ring.create("door", ["identify"])
    expected, secrets = scores(gallery), gallery.secrets
    assert back_up(gallery, file) == 24
    assert restore(empty, file).subjects == 24
    with closing(open_by_scheme(f"sqlite:///{tmp_path}/other.db")) as moved:
        assert scores(moved) == expected
        assert moved.secrets == secrets
        assert moved.subject("s07").name == "Name 7"
        assert moved.site_reports() == {"": "{}"}
        assert [one.key for one in moved.keys.read()] == [key]
        assert [one[:5] for one in tables(moved)["maps"]] == [
            one[:5] for one in tables(gallery)["maps"]
        ]
        moved.delete("s00")
        back_up(moved, file)
    restored = restore(gallery, file, replace=True)
    again = open_gallery()
    assert (restored.subjects, restored.erased) == (23, 0)
    assert ids(again) == [f"s{i:02}" for i in range(1, 24)]
    enroll(again, "new", seed=99)
    assert len(again.changes(START, [VGG16], 99).maps[0].maps) == 48


def test_nothing_is_stored_in_plain_bytes_and_only_its_key_opens_a_backup(
    gallery: Gallery, file: Path
) -> None:
    gallery.enroll("ada-lovelace", "Ada", None, {VGG16: vein_maps(2)}, add=False)
    back_up(gallery, file)
    content = file.read_bytes()
    assert b"ada-lovelace" not in content
    assert gallery.secrets.audit not in content
    header = sealing.read_header(io.BytesIO(content))
    assert sealing.choose_key(header, [b"\x45" * 32, KEY]) == KEY
    with pytest.raises(BackupUnusable, match=r"another key.*--key-file"):
        sealing.choose_key(header, [b"\x45" * 32])


CHUNK = 64
PLAIN = bytes(range(256)) * 2


def sealed() -> bytes:
    """Returns a backup with chunks of 64 bytes, without rows."""
    out = io.BytesIO()
    writer = SealedWriter(out, KEY, new_header(KEY, "0"))
    for i in range(0, len(PLAIN), 100):
        writer.write(PLAIN[i : i + 100])
    writer.finish()
    return out.getvalue()


def read(content: bytes) -> bytes:
    return SealedReader(io.BytesIO(content), KEY).readall()


def test_every_altered_byte_and_every_cut_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "CHUNK", CHUNK)
    content = sealed()
    assert read(content) == PLAIN
    for place in range(len(content)):
        altered = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        with pytest.raises(BackupUnusable):
            read(altered)
        with pytest.raises(BackupUnusable):
            read(content[:place])
    with pytest.raises(BackupUnusable):
        read(content + b"\0")


def test_chunks_that_are_moved_repeated_or_of_another_backup_are_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sealing, "CHUNK", CHUNK)
    content, other = sealed(), sealed()
    size = CHUNK + 16
    first = len(content) - len(PLAIN) // CHUNK * size
    starts = range(first, len(content), size)
    chunks = [content[start : start + size] for start in starts]
    for i in range(len(chunks) - 1):
        swapped = [*chunks[:i], chunks[i + 1], chunks[i], *chunks[i + 2 :]]
        shorter, longer = [*chunks[:i], *chunks[i + 1 :]], [*chunks[: i + 1], *chunks[i:]]
        strange = [*chunks[:i], other[starts[i] : starts[i] + size], *chunks[i + 1 :]]
        for wrong in (swapped, shorter, longer, chunks[: i + 1], strange):
            with pytest.raises(BackupUnusable):
                read(content[:first] + b"".join(wrong))


@BOTH_STORES
def test_a_backup_amid_changes_is_of_one_revision(gallery: Gallery, open_gallery: Open) -> None:
    for i in range(30):
        enroll(gallery, f"a{i:02}", seed=i)
    other = open_gallery()
    written: list[int] = []

    class Busy(io.BytesIO):
        """Changes the gallery while it is written."""

        def write(self, data: Any, /) -> int:
            if len(written) in (0, 40):
                other.delete(f"a{len(written) // 2:02}")
                enroll(other, f"b{len(written)}", seed=77)
            written.append(len(data))
            return super().write(data)

    sink = Busy()
    subjects, left_out = gallery.backups.write(cast(BinaryIO, sink))
    sink.seek(0)
    found = read_contents(cast(BinaryIO, sink))
    assert not {"b0", "b40"} & set(found.subjects.values())
    assert len(found.keys) == len(found.subjects) == subjects == 30
    assert found.left_out == left_out == 0
    assert found.images.keys() == set(found.subjects.values())
    assert {"b0", "b40"} < set(ids(gallery))


def test_who_is_renamed_or_loses_a_template_amid_a_backup_is_in_it(
    gallery: Gallery, open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "_AT_ONCE", 1)
    for i in range(4):
        enroll(gallery, f"a{i}", seed=i)
    enroll(gallery, "a3", seed=9, add=True)
    other = open_gallery()

    class Busy(io.BytesIO):
        """Changes the gallery before anything is written."""

        def write(self, data: Any, /) -> int:
            if not self.tell():
                other.records.rename("a2", "b2")
                other.remove_template("a3", other.templates("a3")[0].number)
            return super().write(data)

    sink = Busy()
    assert gallery.backups.write(cast(BinaryIO, sink)) == (4, 0)
    sink.seek(0)
    assert set(read_contents(cast(BinaryIO, sink)).subjects.values()) == {"a0", "a1", "a2", "a3"}


def test_a_backup_counts_who_lost_its_key_while_it_began(gallery: Gallery) -> None:
    for i in range(3):
        enroll(gallery, f"a{i}", seed=i)
    engine, vault = opened(gallery)
    with engine.connect() as connection:
        vault.wrapped.remove(connection, [min(vault.wrapped.numbers(connection))])
    assert gallery.backups.write(cast(BinaryIO, io.BytesIO())) == (2, 1)
