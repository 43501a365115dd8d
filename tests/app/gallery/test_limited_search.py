"""Searches among the subjects of some collections, compared with app.matching row by row."""

from collections.abc import Collection, Mapping

import numpy as np
import pytest

from app.gallery.gallery import Gallery
from app.gallery.index import comparison
from app.gallery.index.memory import GalleryIndex
from tests.app.gallery.conftest import Open
from tests.app.gallery.test_index import NETS, check, nearly, palm, probe, shipped

COLLECTIONS = ("a", "b", "c")


def enroll(gallery: Gallery, subject_id: str, seed: int, collection: str, images: int = 1) -> None:
    maps = palm(seed, images)
    gallery.enroll(subject_id, None, None, maps, add=False, collection=collection)


@pytest.fixture
def index(gallery: Gallery) -> GalleryIndex:
    return GalleryIndex(gallery, NETS)


def check_each(index: GalleryIndex, expected: Mapping[str, Collection[int]], seed: int) -> None:
    """Compares a search in each collection, and in two of them, with the subjects' own maps."""
    probes = probe(seed, images=2)
    for wanted in (*((name,) for name in expected), tuple(expected)[:2]):
        found = index.search(probes, frozenset(wanted))
        own = {f"s{i}": palm(i, 1 + i % 3) for name in wanted for i in expected[name]}
        check(found, own, probes)
        assert found.gallery_size == len(own)


def test_a_limited_search_equals_comparing_every_map_of_its_subjects(
    gallery: Gallery, index: GalleryIndex
) -> None:
    for i in range(12):
        enroll(gallery, f"s{i}", i, COLLECTIONS[i % 3], 1 + i % 3)
    expected = {name: range(k, 12, 3) for k, name in enumerate(COLLECTIONS)}
    check_each(index, expected, seed=50)
    whole = index.search(probe(50))
    assert (whole.gallery_size, len(whole.subjects)) == (12, 12)
    nobody = index.search(probe(50), frozenset({"nowhere"}))
    assert (nobody.gallery_size, nobody.subjects) == (0, ())
    assert [one.shape for one in nobody.by_net] == [(0,), (0,)]


def test_changes_by_another_process_are_followed(open_gallery: Open) -> None:
    here, there = open_gallery(), open_gallery()
    index = GalleryIndex(here, NETS)
    for i in range(6):
        enroll(there, f"s{i}", i, "a", 1 + i % 3)
    before = index.search(probe(50), frozenset({"a"}))
    assert before.gallery_size == 6
    there.update("s1", {"collection": "b"})
    there.update("s2", {"collection": "c"})
    there.delete("s3")
    check_each(index, {"a": [0, 4, 5], "b": [1], "c": [2]}, seed=51)
    there.remove_template("s5", there.templates("s5")[0].number)
    assert "s5" in {one.subject_id for one in index.search(probe(9), frozenset("a")).subjects}
    restarted = GalleryIndex(here, NETS)
    assert restarted.search(probe(9), frozenset("a")).gallery_size == 3


def test_trained_identities_are_in_the_default_collection(
    gallery: Gallery, index: GalleryIndex
) -> None:
    gallery.seed_trained(["p001", "p002"])
    enroll(gallery, "s1", 1, "a")
    found = index.search(probe(9), frozenset({"default"}))
    check(found, {"p001": shipped(0), "p002": shipped(1)}, probe(9))


def test_a_subject_is_verified_only_within_the_collections(
    gallery: Gallery, index: GalleryIndex
) -> None:
    enroll(gallery, "s1", 1, "a")
    for within, is_found in ((None, True), ({"a", "b"}, True), ({"b"}, False), ((), False)):
        found = index.verify("s1", probe(1), within if within is None else frozenset(within))
        assert (found is not None) == is_found


def test_candidates_are_proposed_among_the_searched_subjects_only(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "MAX_FULL_BYTES", 0)
    monkeypatch.setattr(comparison, "CANDIDATES", 4)
    # Each palm has a twin elsewhere, which would take a place among the candidates.
    for i in range(15):
        enroll(gallery, f"s{i}", i, "b", 2)
        enroll(gallery, f"twin{i}", i, "a", 2)
    index = GalleryIndex(gallery, NETS)
    means = [one.mean() for one in gallery.sums_by_camera([net.format for net in NETS])[""]]
    for i in (0, 7, 14):
        probes = [nearly(palm(i, 2)[net.format][1:], i) for net in NETS]
        found = index.search(probes, frozenset("b"))
        assert (len(found.subjects), found.gallery_size) == (4, 15)
        assert found.subjects[int(np.argmax(found.by_net[0]))].subject_id == f"s{i}"
        own = {one.subject_id: palm(int(one.subject_id[1:]), 2) for one in found.subjects}
        check(found, own, probes, means)


def test_a_small_collection_of_a_large_gallery_is_compared_fully(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(20):
        enroll(gallery, f"s{i}", i, "a" if i < 6 else "b")
    index = GalleryIndex(gallery, NETS)
    monkeypatch.setattr(comparison, "CANDIDATES", 3)
    size = sum(rows.codes.bits.size for rows in index._current().rows) * 49
    monkeypatch.setattr(comparison, "MAX_FULL_BYTES", size // 2)
    found = [index.search(probe(50), within) for within in (frozenset("a"), frozenset("b"), None)]
    assert [len(one.subjects) for one in found] == [6, 3, 3]
    assert [one.gallery_size for one in found] == [6, 14, 20]
