"""Restoring: all or nothing, and what was erased after the backup stays erased."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text, update

from app.access.key_ring import KeyRing
from app.audit.pseudonyms import Pseudonyms
from app.gallery.backup.contents import Later
from app.gallery.backup.sealing import BackupUnusable
from app.gallery.errors import GalleryUnusable
from app.gallery.following import START
from app.gallery.gallery import Gallery
from app.gallery.sql.schema import GALLERY
from app.matching.mean_map import MapSum
from tests.app.conftest import largest_file
from tests.app.gallery.backups import back_up, contents, restore, rows
from tests.app.gallery.conftest import (
    BOTH_STORES,
    VGG16,
    Open,
    enroll,
    open_by_scheme,
    opened,
    vein_maps,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gallery.palm"


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Gallery]:
    """Another gallery, in a SQLite file, as the first start leaves it."""
    with closing(open_by_scheme(f"sqlite:///{tmp_path}/other.db")) as gallery:
        gallery.seed_trained(["p001", "p002"])
        yield gallery


def ids(gallery: Gallery) -> list[str]:
    return [one.subject_id for one in gallery.subjects(after=None, limit=99)]


def stored(gallery: Gallery) -> list[bytes]:
    return list(gallery.changes(START, [VGG16], 99).maps[0].maps)


def maps_of(*seeds: int) -> list[bytes]:
    return [one for seed in seeds for one in vein_maps(2, seed).to_bytes()]


def assert_sums_fit(gallery: Gallery, *seeds: int) -> None:
    """Checks the sum of maps against one that is computed from the subjects' maps."""
    expected = MapSum.empty(VGG16.shape)
    for seed in seeds:
        expected += MapSum.of(vein_maps(2, seed))
    (found,) = gallery.sums_by_camera([VGG16])[""]
    assert found.subjects == expected.subjects
    assert abs(found.total - expected.total).max() < 1e-6


@BOTH_STORES
def test_what_was_erased_after_the_backup_stays_erased(open_gallery: Open, file: Path) -> None:
    gallery = open_gallery()
    for seed, subject_id in enumerate(("ada", "bob", "eve")):
        enroll(gallery, subject_id, seed)
    gallery.seed_trained(["p001", "p002"])
    back_up(gallery, file)
    receipt = gallery.delete("bob")
    gallery.delete("p001")
    enroll(gallery, "bob", seed=50)  # somebody else
    enroll(gallery, "new", seed=60)
    gallery.update("ada", {"name": "changed after the backup"})
    restored = restore(gallery, file, replace=True)
    again = open_gallery()
    again.seed_trained(["p001", "p002"])
    assert ids(again) == ["ada", "eve", "p002"]
    assert (restored.subjects, restored.erased, restored.dropped) == (3, 2, 2)
    assert again.subject("ada").name is None
    assert stored(again) == maps_of(0, 2)
    assert again.erasure(receipt.erasure_id).pseudonym == receipt.pseudonym
    assert {one.database for one in again.verify_erasures()} == {"done"}
    assert_sums_fit(again, 0, 2)
    assert restore(again, file, replace=True).erased == 2  # and also the next time
    assert ids(open_gallery()) == ["ada", "eve", "p002"]


@BOTH_STORES
def test_a_template_that_was_erased_after_the_backup_stays_erased(
    open_gallery: Open, file: Path
) -> None:
    gallery = open_gallery()
    for seed, subject_id in enumerate(("ada", "eve")):
        enroll(gallery, subject_id, seed)
    enroll(gallery, "ada", seed=7, add=True)
    back_up(gallery, file)
    number = gallery.templates("ada")[0].number
    gallery.remove_template("ada", number)
    expected = stored(gallery)
    restored = restore(gallery, file, replace=True)
    again = open_gallery()
    assert (restored.subjects, restored.kept, restored.erased) == (1, 1, 0)
    assert sorted(stored(again)) == sorted(expected)
    assert number not in [one.number for one in again.templates("ada")]
    again.delete("ada")
    assert restore(again, file, replace=True).erased == 1
    assert ids(open_gallery()) == ["eve"]


@BOTH_STORES
@pytest.mark.parametrize("further", [False, True], ids=["no templates", "others than before"])
def test_a_renamed_subject_stays_also_without_a_template_of_the_backup(
    open_gallery: Open, file: Path, *, further: bool
) -> None:
    gallery = open_gallery()
    gallery.enroll("ada", "Ada", None, {VGG16: vein_maps(1, 1)} if further else {}, add=False)
    gallery.enroll("bob", None, None, {}, add=False)
    enroll(gallery, "eve", seed=2)
    back_up(gallery, file)
    if further:
        enroll(gallery, "ada", seed=3, add=True)
        gallery.remove_template("ada", gallery.templates("ada")[0].number)
    expected = stored(gallery)
    gallery.records.rename("ada", "ida")
    gallery.delete("bob")
    restored = restore(gallery, file, replace=True)
    again = open_gallery()
    assert ids(again) == ["eve", "ida"]
    assert again.subject("ida").name == "Ada"
    assert sorted(stored(again)) == sorted(expected)
    assert (restored.erased, restored.kept, restored.dropped) == (1, 1, 0)


@BOTH_STORES
def test_a_kept_subject_s_images_of_a_new_camera_have_a_sum(open_gallery: Open, file: Path) -> None:
    gallery = open_gallery()
    enroll(gallery, "ada")
    back_up(gallery, file)
    gallery.enroll("ada", None, None, {VGG16: vein_maps(2, 7)}, add=True, camera="door")
    gallery.records.rename("ada", "ida")
    assert restore(gallery, file, replace=True).kept == 1
    again = open_gallery()
    expected = MapSum.of(vein_maps(2, 7))
    found = again.sums_by_camera([VGG16])["door"][0]
    assert found.subjects == 1
    assert abs(found.total - expected.total).max() < 1e-6


@BOTH_STORES
def test_retention_dates_stay_as_they_are_now(open_gallery: Open, file: Path) -> None:
    gallery = open_gallery()
    early = datetime.now(UTC) + timedelta(days=1)
    late = early + timedelta(days=1)
    of_backup = {"ada": None, "bob": late, "eve": early, "joe": early}
    since = {"ada": early, "bob": early, "eve": late, "joe": None}
    for subject_id, date in of_backup.items():
        enroll(gallery, subject_id)
        gallery.update(subject_id, {"retain_until": date})
    back_up(gallery, file)
    for subject_id, date in since.items():
        gallery.update(subject_id, {"retain_until": date})
    restore(gallery, file, replace=True)
    again = open_gallery()
    assert {one: again.subject(one).retain_until for one in since} == since


def test_an_audit_log_replaces_the_receipts_of_a_lost_gallery(
    gallery: Gallery, empty: Gallery, file: Path, tmp_path: Path
) -> None:
    for seed, subject_id in enumerate(("ada", "bob", "eve")):
        enroll(gallery, subject_id, seed)
    ring = KeyRing(gallery.keys, gallery.secrets.api_keys)
    revoked, kept = (ring.create(name, ["identify"])[0].key_id for name in "ab")
    back_up(gallery, file)
    name = Pseudonyms(gallery.secrets.pseudonyms).of
    later = Later(
        frozenset({name("ada"), "0" * 16}), frozenset({name("bob")}), frozenset({revoked})
    )
    restored = restore(empty, file, later=later)
    assert (restored.subjects, restored.erased, restored.thinned) == (1, 1, 1)
    assert (restored.keys_left_out, restored.dropped) == (1, 0)
    with closing(open_by_scheme(f"sqlite:///{tmp_path}/other.db")) as again:
        assert ids(again) == ["eve"]
        assert [one.key.key_id for one in again.keys.read()] == [kept]
        assert_sums_fit(again, 2)
        enroll(again, "new", seed=4)
        # The lost gallery may have given the next numbers to others.
        assert again.templates("new")[0].number > 1_000_000


def test_an_erased_trained_identity_of_a_lost_gallery_is_not_added_again(
    gallery: Gallery, empty: Gallery, file: Path, tmp_path: Path
) -> None:
    gallery.seed_trained(["p001", "p002"])
    enroll(gallery, "ada")
    back_up(gallery, file)
    erased = frozenset({Pseudonyms(gallery.secrets.pseudonyms).of("p001")})
    restore(empty, file, later=Later(erased))
    with closing(open_by_scheme(f"sqlite:///{tmp_path}/other.db")) as again:
        again.seed_trained(["p001", "p002"])
        assert ids(again) == ["ada", "p002"]


def test_a_gallery_that_had_the_backup_s_numbers_is_no_reason_to_leave_anybody_out(
    gallery: Gallery, empty: Gallery, file: Path, tmp_path: Path
) -> None:
    enroll(gallery, "ada")  # the first number, which the other gallery gave to p001
    back_up(gallery, file)
    restored = restore(empty, file)
    assert (restored.subjects, restored.erased) == (1, 0)
    with closing(open_by_scheme(f"sqlite:///{tmp_path}/other.db")) as again:
        assert ids(again) == ["ada"]


def test_api_keys_of_the_gallery_itself_win(open_gallery: Open, file: Path) -> None:
    gallery = open_gallery()
    ring = KeyRing(gallery.keys, gallery.secrets.api_keys)
    former, _ = ring.create("former", ["identify"])
    back_up(gallery, file)
    ring.revoke(former.key_id)
    newer, _ = ring.create("newer", ["identify"])
    restore(gallery, file)
    keys = {one.key.key_id: one.key for one in open_gallery().keys.read()}
    assert keys.keys() == {former.key_id, newer.key_id}
    assert not keys[former.key_id].is_valid()


@BOTH_STORES
def test_a_gallery_with_subjects_is_replaced_only_if_asked(
    open_gallery: Open, empty: Gallery, file: Path
) -> None:
    gallery = open_gallery()
    enroll(gallery, "ada")
    back_up(gallery, file)
    with pytest.raises(GalleryUnusable, match=r"has 1 subjects.*--replace"):
        restore(gallery, file)
    enroll(empty, "eve")
    with pytest.raises(GalleryUnusable, match=r"another gallery.*1 subjects.*PALM_GALLERY_URL"):
        restore(empty, file, replace=True)
    empty.delete("eve")  # whoever holds its receipt can still ask for it
    with pytest.raises(GalleryUnusable, match="another gallery"):
        restore(empty, file, replace=True)
    assert ids(gallery) == ["ada"]


@BOTH_STORES
def test_an_altered_backup_changes_nothing(open_gallery: Open, file: Path) -> None:
    gallery = open_gallery()
    enroll(gallery, "ada")
    back_up(gallery, file)
    before = gallery.secrets
    gallery.delete("ada")
    enroll(gallery, "eve")
    content = file.read_bytes()
    whole = contents(file)
    file.write_bytes(content[:-1])
    with pytest.raises(BackupUnusable):
        gallery.backups.restore(whole, lambda: rows(file), Later(), replace=True)
    assert ids(gallery) == ["eve"]
    assert open_gallery().secrets == before
    assert len(stored(open_gallery())) == 2


KILLED = """
import os, sys
from pathlib import Path
from sqlalchemy import event
from tests.app.gallery.backups import restore
from tests.app.gallery.conftest import open_by_scheme, opened

gallery = open_by_scheme(sys.argv[1])
engine, _ = opened(gallery)
seen = []
event.listen(engine, "before_cursor_execute", lambda *call: seen.append(call[2]))

@event.listens_for(engine, "commit")
def die(_):
    if any(statement.startswith("INSERT INTO maps") for statement in seen):
        os._exit(9)

restore(gallery, Path(sys.argv[2]), replace=True)
"""


@BOTH_STORES
def test_a_restore_that_is_killed_before_its_end_changes_nothing(
    open_gallery: Open, url: str, file: Path
) -> None:
    gallery = open_gallery()
    for seed, subject_id in enumerate(("ada", "bob", "eve")):
        enroll(gallery, subject_id, seed)
    back_up(gallery, file)
    gallery.delete("bob")
    enroll(gallery, "new", seed=9)
    expected = stored(gallery)
    killed = subprocess.run([sys.executable, "-c", KILLED, url, str(file)], check=False)
    assert killed.returncode == 9
    again = open_gallery()
    assert ids(again) == ["ada", "eve", "new"]
    assert stored(again) == expected
    assert restore(again, file, replace=True).subjects == 2


def test_a_full_disk_changes_nothing(open_gallery: Open, file: Path) -> None:
    gallery = open_gallery()
    for i in range(4):
        gallery.enroll(f"s{i}", None, None, {VGG16: vein_maps(100, i)}, add=False)
    back_up(gallery, file)
    gallery.update("s1", {"name": "Ada"})
    again = open_gallery()
    with largest_file(60_000), pytest.raises(GalleryUnusable, match="room"):
        restore(again, file, replace=True)
    assert open_gallery().subject("s1").name == "Ada"
    assert len(stored(open_gallery())) == 400


@BOTH_STORES
def test_a_process_that_has_the_gallery_open_refuses_it_after_a_restore(
    open_gallery: Open, file: Path
) -> None:
    gallery, other = open_gallery(), open_gallery()
    enroll(gallery, "ada")
    assert other.subject("ada")
    back_up(gallery, file)
    restore(gallery, file, replace=True)
    uses: list[Callable[[], object]] = [
        other.revision,
        lambda: other.subject("ada"),
        lambda: enroll(other, "eve"),
        lambda: other.delete("ada"),
    ]
    for use in uses:
        with pytest.raises(GalleryUnusable, match="was restored from a backup while it was open"):
            use()
    assert ids(open_gallery()) == ["ada"]


@BOTH_STORES
def test_an_earlier_state_that_is_put_back_is_refused(open_gallery: Open) -> None:
    gallery = open_gallery()
    enroll(gallery, "ada")
    assert gallery.subject("ada")
    engine, _ = opened(gallery)
    with engine.begin() as connection:
        connection.execute(update(GALLERY).values(revision=0))
    with pytest.raises(GalleryUnusable, match=r"put back to revision 0 while it was open"):
        gallery.subject("ada")
    assert open_gallery().subject("ada")


@BOTH_STORES
def test_galleries_that_went_two_ways_are_not_mixed(
    open_gallery: Open, empty: Gallery, file: Path, tmp_path: Path
) -> None:
    gallery = open_gallery()
    enroll(gallery, "ada")
    back_up(gallery, file)
    restore(empty, file)
    with closing(open_by_scheme(f"sqlite:///{tmp_path}/other.db")) as other:
        engine, _ = opened(other)
        with engine.begin() as connection:  # as if both went on from the same number
            connection.execute(text("UPDATE gallery SET next_number = next_number - 1000000"))
        enroll(other, "eve")
        back_up(other, file)
    enroll(gallery, "bob")
    with pytest.raises(GalleryUnusable, match=r"both have changed since.*--audit"):
        restore(gallery, file, replace=True)
    assert ids(gallery) == ["ada", "bob"]


@BOTH_STORES
def test_galleries_whose_templates_were_renewed_in_two_ways_are_not_mixed(
    open_gallery: Open, empty: Gallery, file: Path, tmp_path: Path
) -> None:
    gallery = open_gallery()
    enroll(gallery, "ada")
    back_up(gallery, file)
    restore(empty, file)
    with closing(open_by_scheme(f"sqlite:///{tmp_path}/other.db")) as other:
        other.rotate_templates()
        back_up(other, file)
    gallery.rotate_templates()  # both keys have the same number
    with pytest.raises(GalleryUnusable, match="both have changed since"):
        restore(gallery, file, replace=True)
    assert stored(gallery) == maps_of(0)


@BOTH_STORES
def test_a_gallery_goes_back_to_before_its_templates_were_renewed(
    open_gallery: Open, file: Path
) -> None:
    gallery = open_gallery()
    for seed, subject_id in enumerate(("ada", "bob")):
        enroll(gallery, subject_id, seed)
    back_up(gallery, file)
    gallery.rotate_templates()
    gallery.delete("bob")
    gallery.records.rename("ada", "ida")  # stays as it is now, under the newer key
    enroll(gallery, "eve", seed=7)
    assert restore(gallery, file, replace=True).kept == 1
    again = open_gallery()
    assert (ids(again), stored(again)) == (["ida"], maps_of(0))
    assert_sums_fit(again, 0)
    again.rotate_templates()
    assert stored(again) == maps_of(0)
