"""The index in the database answers as the one in memory, whatever has changed in the gallery."""
# ruff: noqa: F811  (fixtures of other modules)

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from app.gallery.errors import GalleryUnreachable, GalleryUnusable, SubjectUnknown
from app.gallery.gallery import Gallery
from app.gallery.index import comparison
from app.gallery.index.cameras import Cameras
from app.gallery.index.memory import GalleryIndex
from app.gallery.outage import Outage
from app.gallery.pgvector.index import DatabaseIndex
from app.gallery.pgvector.means import pack_means, unpack_means
from app.matching.maps import VeinMaps
from tests.app.gallery.backups import back_up, contents, restore
from tests.app.gallery.conftest import Open, open_by_scheme
from tests.app.gallery.test_cameras import best, enroll_seen, seen_by
from tests.app.gallery.test_database_index import (  # noqa: F401
    Execute,
    execute,
    index,
    index_of,
    is_same,
    store,
    stored_bits,
    tables,
)
from tests.app.gallery.test_fields import HOUR, Now, keep, now, timed  # noqa: F401
from tests.app.gallery.test_index import NETS, check, joined, nearly, palm, probe
from tests.app.gallery.test_limited_search import (  # noqa: F401
    enroll,
    test_a_limited_search_equals_comparing_every_map_of_its_subjects,
    test_a_subject_is_verified_only_within_the_collections,
    test_trained_identities_are_in_the_default_collection,
)

WITHIN = (None, frozenset("a"), frozenset("bc"), frozenset({"nowhere"}), frozenset[str]())


def check_alike(ours: DatabaseIndex, theirs: GalleryIndex, probes: Sequence[VeinMaps]) -> None:
    """Compares all that two indexes tell of one gallery."""
    assert ours.describe() == theirs.describe()
    for within in WITHIN:
        found = theirs.search(probes, within)
        assert is_same(ours.search(probes, within), found)
        for subject_id in ("s0", "s1", "s2", "renamed", "nobody", "\0"):
            one, other = (index.verify(subject_id, probes, within) for index in (ours, theirs))
            assert (one is None) == (other is None)
            assert one is None or other is None or is_same(one, other)
        for subject in found.subjects:
            assert ours.subject(subject.subject_id, within) == subject
        for unknown in ("nobody", "\0", *(() if within is None else ("elsewhere",))):
            with pytest.raises(SubjectUnknown):
                ours.subject(unknown, within)


def test_every_kind_of_change_is_followed_as_in_memory(open_gallery: Open) -> None:
    here, there = open_gallery(), open_gallery()
    ours, theirs, probes = index_of(here), GalleryIndex(here, NETS), probe(50, images=2)
    there.seed_trained(["p001", "p002"])
    for i in range(12):
        enroll(there, f"s{i}", i, "abc"[i % 3], images=1 + i % 3)
    enroll(there, "elsewhere", 90, "d")
    there.enroll("other net", None, None, {NETS[0].format: palm(91)[NETS[0].format]}, add=False)

    def act_each() -> list[Callable[[], object]]:
        return [
            lambda: None,
            lambda: there.update("s0", {"collection": "b", "name": "Ada"}),
            lambda: there.records.rename("s1", "renamed"),
            lambda: there.records.merge("renamed", "s4"),
            lambda: there.records.merge("s2", "s0"),
            lambda: there.records.merge("p001", "s9"),
            lambda: there.remove_template("s2", there.templates("s2")[1].number),
            lambda: there.delete("s6"),
            there.rotate_templates,
            lambda: there.seed_trained([]),
        ]

    for act in act_each():
        act()
        check_alike(ours, theirs, probes)
    check_alike(index_of(open_gallery()), theirs, probes)


def test_merged_subjects_are_proposed_by_the_templates_of_both(
    gallery: Gallery,
    index: DatabaseIndex,
    monkeypatch: pytest.MonkeyPatch,
    execute: Execute,
) -> None:
    for i in range(4):
        enroll(gallery, f"s{i}", i, "a", images=2)
    index.refresh()
    before = len(stored_bits(execute))
    gallery.records.merge("s1", "s2")
    gallery.records.rename("s1", "both")
    assert index.describe().searchable == 3
    assert len(stored_bits(execute)) == before
    monkeypatch.setattr(comparison, "CANDIDATES", 1)
    for i in (1, 2):
        own = [nearly(palm(i, 2)[net.format][1:], i) for net in NETS]
        check(index.search(own), {"both": joined(palm(1, 2), palm(2, 2))}, own)


def test_candidates_are_proposed_within_the_collections_only(
    gallery: Gallery,
    index: DatabaseIndex,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(comparison, "CANDIDATES", 1)
    for i in range(10):
        enroll(gallery, f"s{i}", i, "b")
        enroll(gallery, f"twin{i}", i, "a")
    for i in (0, 9):
        probes = [nearly(palm(i)[net.format], i) for net in NETS]
        for within, subject_id in ((frozenset("a"), f"twin{i}"), (frozenset("b"), f"s{i}")):
            found = index.search(probes, within)
            assert [one.subject_id for one in found.subjects] == [subject_id]
            assert found.gallery_size == 10


def test_whose_retention_date_has_passed_is_not_found_and_not_counted(
    timed: Callable[[], Gallery],
    now: Now,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gallery, other = timed(), timed()
    index = index_of(gallery)
    keep(gallery, "ada", now() + HOUR)
    keep(gallery, "eve", now() + 3 * HOUR, seed=1)
    probes = [nearly(palm(0, 2)[net.format][:1], 3) for net in NETS]
    assert {one.subject_id for one in index.search(probes).subjects} == {"ada", "eve"}
    gallery.update("ada", {"retain_until": now() + 2 * HOUR})
    now.time += HOUR
    assert index.verify("ada", probes)
    now.time += HOUR
    monkeypatch.setattr(comparison, "CANDIDATES", 1)  # ada, if she were proposed
    for within in (None, frozenset({"default"})):
        found = index.search(probes, within)
        assert [one.subject_id for one in found.subjects] == ["eve"]
        assert found.gallery_size == index.describe().searchable == 1
        assert index.verify("ada", probes, within) is None
        with pytest.raises(SubjectUnknown):
            index.subject("ada", within)
    assert index.describe() == (1, 0, None)
    assert index.agreement("ada", probes) == []
    assert index_of(timed()).describe().searchable == 1
    other.delete("ada")  # as the other process's task does
    keep(other, "ada", now() + HOUR)
    assert [one.subject_id for one in index.search(probes).subjects] == ["ada"]
    assert index.describe().searchable == 2


def test_maps_are_compared_minus_the_mean_map_of_their_own_camera(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = open_gallery()
    enroll_seen(gallery, "door", range(20))
    enroll_seen(gallery, "gate", range(20, 40))
    enroll_seen(gallery, "roof", range(40, 45))  # too few for a mean map
    ours, theirs = index_of(gallery), GalleryIndex(gallery, NETS)
    assert ours.describe().searchable == theirs.describe().searchable == 45
    assert list(ours.mean_map.cameras) == list(theirs.mean_map.cameras) == ["door", "gate"]
    for seed, camera in ((3, "door"), (3, "gate"), (25, "door"), (42, "roof"), (7, "")):
        probes = seen_by(camera, seed, noise=1)
        assert is_same(ours.search(probes, camera=camera), theirs.search(probes, camera=camera))
        one, other = (index.verify(f"s{seed}", probes, camera=camera) for index in (ours, theirs))
        assert one is not None
        assert other is not None
        assert is_same(one, other)
        places = (index.agreement(f"s{seed}", probes, camera=camera) for index in (ours, theirs))
        for own, wanted in zip(*places, strict=True):
            np.testing.assert_array_equal(own, wanted)
        pairs = (index.compare_each_other(probes, camera=camera) for index in (ours, theirs))
        (scores, alike), (wanted, expected) = pairs
        np.testing.assert_allclose(scores, wanted)
        assert alike == expected
    monkeypatch.setattr(comparison, "CANDIDATES", 1)
    for seed, camera in ((3, "door"), (3, "gate"), (25, "door"), (25, "gate")):
        found = ours.search(seen_by(camera, seed, noise=1), camera=camera)
        assert best(found) == f"s{seed}"
    enroll_seen(gallery, "roof", range(45, 60))  # the twentieth, and another process sees it first
    later = index_of(open_gallery())
    later.refresh()
    later.settle()
    ours.refresh()
    assert list(ours.mean_map.cameras) == ["door", "gate", "roof"]
    assert best(ours.search(seen_by("roof", 42, noise=1), camera="roof")) == "s42"


def test_mean_maps_are_stored_and_read_as_they_are(gallery: Gallery) -> None:
    nothing = unpack_means(pack_means(Cameras.without(NETS)), NETS)
    assert nothing == Cameras.without(NETS)
    enroll_seen(gallery, "door", range(20))
    enroll_seen(gallery, "gate", range(20, 40))
    enroll_seen(gallery, "", [40])
    memory = GalleryIndex(gallery, NETS)
    memory.refresh()
    used = memory._current().means
    read = unpack_means(pack_means(used), NETS)
    assert (read.revision, read.across) == (used.revision, used.across)
    assert list(read.own) == list(used.own)
    for own, wanted in zip(read.own.values(), used.own.values(), strict=True):
        assert own.subjects == wanted.subjects
        assert own.considered == wanted.considered
        assert own.impostors == wanted.impostors
        assert own.fused_impostors == wanted.fused_impostors
        for one, other in zip(own.maps, wanted.maps, strict=True):
            assert (one is None) == (other is None)
            assert one is None or other is None or np.array_equal(one, other)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gallery.palm"


def test_a_restore_removes_the_coarse_maps_and_the_next_search_builds_them(
    open_gallery: Open,
    file: Path,
    execute: Execute,
) -> None:
    gallery = open_gallery()
    for i in range(21):
        enroll(gallery, f"s{i}", i, "a")
    former = index_of(gallery)
    former.refresh()
    back_up(gallery, file)
    gallery.delete("s0")
    enroll(gallery, "s0", 70, "a")  # somebody else
    enroll(gallery, "new", 71, "a")
    former.refresh()
    gone = stored_bits(execute)
    restore(gallery, file, replace=True)
    assert tables(execute) == []
    assert execute("SELECT count(*) FROM secrets WHERE name LIKE 'coarse %'") == [(0,)]
    with pytest.raises(GalleryUnusable, match=r"was restored.*start it again"):
        former.search(probe(1))
    again = open_gallery()
    restored = index_of(again)
    assert is_same(restored.search(probe(1)), GalleryIndex(again, NETS).search(probe(1)))
    assert restored.describe().searchable == 20
    assert not set(stored_bits(execute)) & set(gone)  # under another key
    assert {one.database for one in again.verify_erasures()} == {"done"}


def test_a_backup_holds_no_coarse_map_and_restores_into_another_gallery(
    open_gallery: Open,
    file: Path,
    tmp_path: Path,
    execute: Execute,
) -> None:
    with closing(open_by_scheme(f"sqlite:///{tmp_path}/other.db")) as other:
        enroll(other, "ada", 1, "a")
        back_up(other, file)
    gallery = open_gallery()
    gallery.seed_trained(["p001"])
    former = index_of(gallery)
    assert former.describe().searchable == 1
    restore(gallery, file)
    again = open_gallery()
    check(index_of(again).search(probe(9)), {"ada": palm(1)}, probe(9))
    back_up(again, file)
    assert not any(name.startswith("coarse") for name in contents(file).secrets)
    assert len(tables(execute)) == 1


def test_a_rotation_of_templates_renews_the_coarse_maps(
    gallery: Gallery, index: DatabaseIndex, execute: Execute
) -> None:
    for i in range(3):
        enroll(gallery, f"s{i}", i, "a")
    before = index.search(probe(50))
    former, key = stored_bits(execute), index._follower.current()[0].key
    assert gallery.rotate_templates()
    assert tables(execute) == []
    assert is_same(index.search(probe(50)), before)
    assert not set(stored_bits(execute)) & set(former)
    assert index._follower.current()[0].key != key
    assert execute("SELECT count(*) FROM secrets WHERE name LIKE 'coarse %'") == [(1,)]


def test_an_outage_is_noted_and_nobody_is_found(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outage = Outage()
    index = DatabaseIndex(gallery, index_of(gallery)._store, NETS, outage=outage)
    enroll(gallery, "ada", 1, "a")
    index.refresh()

    def fail() -> int:
        raise GalleryUnreachable("the database is away")

    with monkeypatch.context() as away:
        away.setattr(gallery, "revision", fail)
        for _ in range(2):
            with pytest.raises(GalleryUnreachable, match="away"):
                index.search(probe(1))
    check(index.search(probe(1)), {"ada": palm(1)}, probe(1))
    told = [one.getMessage() for one in caplog.records]
    assert told == ["the database is away; requests get 503", "the gallery can be reached again"]
