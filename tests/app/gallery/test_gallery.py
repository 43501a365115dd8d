"""What a gallery keeps, counts and tells apart, whatever the database."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from app.gallery.errors import SubjectExists, SubjectUnknown
from app.gallery.following import START
from app.gallery.gallery import Gallery
from app.matching.maps import VeinMaps
from tests.app.gallery.conftest import ALEXNET, BOTH_STORES, VGG16, Open, enroll, vein_maps

pytestmark = BOTH_STORES

COUNTS = {str(VGG16): 2, str(ALEXNET): 1}


def stored(gallery: Gallery, subject_id: str) -> VeinMaps:
    """Reads a subject's maps of VGG16."""
    changes = gallery.changes(START, [VGG16], 100)
    assert changes.complete
    owner = [subject.subject_id for subject in changes.subjects].index(subject_id)
    (found,) = changes.maps
    own = [one for i, one in zip(found.owners, found.maps, strict=True) if i == owner]
    return VeinMaps.from_bytes(own, VGG16.shape)


def test_an_enrolled_subject_is_found_with_its_maps(gallery: Gallery) -> None:
    templates = {VGG16: vein_maps(3, masked=0.1), ALEXNET: vein_maps(1, of=ALEXNET)}
    enrolled = gallery.enroll("ada", "Ada Lovelace", "left", templates, add=False)
    assert enrolled == gallery.subject("ada")
    assert (enrolled.name, enrolled.hand, enrolled.origin) == ("Ada Lovelace", "left", "enrolled")
    assert enrolled.created_at.utcoffset() is not None
    assert enrolled.template_counts == {"vgg16:0123456789abcdef": 3, str(ALEXNET): 1}
    found = stored(gallery, "ada")
    np.testing.assert_array_equal(found.values, templates[VGG16].values)
    np.testing.assert_array_equal(found.usable, templates[VGG16].usable)


def test_a_subject_tells_how_its_templates_were_captured(gallery: Gallery) -> None:
    of = {VGG16: vein_maps(2), ALEXNET: vein_maps(2, of=ALEXNET)}
    assert gallery.enroll("ada", None, None, of, add=False).captures == []
    added = gallery.enroll("ada", None, None, of, add=True, captures=["roi", "hand"])
    assert added.captures == ["hand", "roi"]
    gallery.enroll("eve", None, None, of, add=False, captures=["hand", "hand"])
    assert [one.captures for one in gallery.subjects(after=None, limit=9)] == [
        ["hand", "roi"],
        ["hand"],
    ]


def test_maps_of_another_template_id_are_not_read(gallery: Gallery) -> None:
    enroll(gallery, "ada")
    changes = gallery.changes(START, [VGG16._replace(template_id="f" * 16)], 9)
    assert changes.maps[0].maps == ()


def test_enrolling_twice_without_add_changes_nothing(gallery: Gallery) -> None:
    enroll(gallery, "ada")
    revision = gallery.revision()
    with pytest.raises(SubjectExists, match=r"'ada'.*add=true"):
        enroll(gallery, "ada", seed=7)
    assert gallery.revision() == revision
    assert gallery.subject("ada").template_counts == COUNTS


def test_ids_that_differ_only_in_capital_letters_are_refused(gallery: Gallery) -> None:
    enroll(gallery, "Ada")
    with pytest.raises(SubjectExists, match="'Ada' exists, and 'aDA' differs"):
        enroll(gallery, "aDA")
    assert [one.subject_id for one in gallery.subjects(after=None, limit=9)] == ["Ada"]
    gallery.delete("Ada")
    enroll(gallery, "aDA")


def test_add_appends_templates_and_keeps_what_is_not_given(gallery: Gallery) -> None:
    gallery.enroll("ada", "Ada", "left", {VGG16: vein_maps(1)}, add=True)
    added = gallery.enroll("ada", None, None, {VGG16: vein_maps(2, seed=1)}, add=True)
    assert (added.name, added.hand) == ("Ada", "left")
    assert added.template_counts == {str(VGG16): 3}


def test_everything_survives_reopening(open_gallery: Open) -> None:
    first = open_gallery()
    first.seed_trained(["p001", "p002"])
    first.delete("p002")
    enroll(first, "ada")
    before = (first.subjects(after=None, limit=9), first.revision())
    first.close()
    second = open_gallery()
    assert (second.subjects(after=None, limit=9), second.revision()) == before
    np.testing.assert_array_equal(stored(second, "ada").values, vein_maps(2).values)


def test_subjects_are_paged_in_order(gallery: Gallery) -> None:
    for subject_id in ("c", "a", "d", "b"):
        enroll(gallery, subject_id)
    first = gallery.subjects(after=None, limit=3)
    assert [subject.subject_id for subject in first] == ["a", "b", "c"]
    assert all(subject.template_counts[str(VGG16)] == 2 for subject in first)
    assert [s.subject_id for s in gallery.subjects(after="c", limit=3)] == ["d"]
    assert gallery.subjects(after="d", limit=3) == []


def test_subjects_are_paged_in_the_order_of_their_bytes(gallery: Gallery) -> None:
    ids = ["a", "B", "a.b", "A-b", "Z", "a_b", "ab", "0"]
    for subject_id in ids:
        enroll(gallery, subject_id)
    found: list[str] = []
    while page := gallery.subjects(after=found[-1] if found else None, limit=3):
        found += [subject.subject_id for subject in page]
    assert found == sorted(ids)


def test_update_sets_and_clears(gallery: Gallery) -> None:
    gallery.enroll("ada", "Ada", "left", {VGG16: vein_maps(1)}, add=False)
    changed = gallery.update("ada", {"name": None, "hand": "right"})
    assert (changed.name, changed.hand) == (None, "right")
    assert gallery.update("ada", {}) == changed
    with pytest.raises(ValueError, match="origin"):
        gallery.update("ada", {"origin": "trained"})


@pytest.mark.parametrize("nobody", ["nobody", "ad\0a"])
def test_an_unknown_subject_is_named(gallery: Gallery, nobody: str) -> None:
    for ask in (gallery.subject, gallery.delete, lambda i: gallery.update(i, {"name": "x"})):
        with pytest.raises(SubjectUnknown, match=re.escape(repr(nobody))):
            ask(nobody)


def test_a_page_may_begin_after_what_no_id_can_be(gallery: Gallery) -> None:
    for subject_id in ("a", "ab", "b"):
        enroll(gallery, subject_id)
    assert [s.subject_id for s in gallery.subjects(after="a\0", limit=9)] == ["ab", "b"]


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


def test_what_changes_nothing_leaves_the_revision(gallery: Gallery) -> None:
    enroll(gallery, "ada")
    gallery.seed_trained(["ada", "p001"])
    before = gallery.revision()
    gallery.subjects(after=None, limit=9)
    gallery.changes(START, [VGG16], 9)
    gallery.sums_by_camera([VGG16])[""]
    gallery.seed_trained(["ada", "p001"])
    assert gallery.revision() == before


@pytest.mark.parametrize("shared", [True, False], ids=["one gallery", "a gallery each"])
def test_of_many_enrolling_one_id_exactly_one_wins(open_gallery: Open, shared: bool) -> None:
    galleries = [open_gallery()] * 8 if shared else [open_gallery() for _ in range(8)]
    start = threading.Barrier(len(galleries))

    def race(gallery: Gallery, seed: int) -> str:
        start.wait()
        try:
            enroll(gallery, "ada", seed)
        except SubjectExists:
            return "exists"
        return "won"

    with ThreadPoolExecutor(8) as pool:
        outcomes = pool.map(race, galleries, range(8))
    assert sorted(outcomes) == ["exists"] * 7 + ["won"]
    assert galleries[0].subject("ada").template_counts == COUNTS


def test_concurrent_additions_are_all_kept(gallery: Gallery) -> None:
    def add_ten(seed: int) -> None:
        for i in range(10):
            enroll(gallery, "ada", seed * 100 + i, add=True)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(add_ten, range(6)))
    assert gallery.subject("ada").template_counts == {str(VGG16): 120, str(ALEXNET): 60}


def trained(gallery: Gallery) -> set[str]:
    found = gallery.subjects(after=None, limit=99)
    return {subject.subject_id for subject in found if subject.origin == "trained"}


def test_seeding_adds_trained_identities_and_keeps_known_ones(gallery: Gallery) -> None:
    gallery.seed_trained(["p001"])
    named = gallery.update("p001", {"name": "Ada"})
    assert (named.origin, named.template_counts) == ("trained", {})
    gallery.seed_trained(["p002", "p001"])
    assert gallery.subject("p001") == named
    assert trained(gallery) == {"p001", "p002"}


def test_an_erased_trained_identity_stays_erased(open_gallery: Open) -> None:
    first = open_gallery()
    first.seed_trained(["p001", "p002"])
    first.delete("p001")
    first.close()
    gallery = open_gallery()
    gallery.seed_trained(["p001", "p002"])
    assert trained(gallery) == {"p002"}
    with pytest.raises(SubjectUnknown):
        gallery.subject("p001")


def test_an_erased_trained_id_can_be_enrolled_and_is_no_trained_one(gallery: Gallery) -> None:
    gallery.seed_trained(["p001"])
    gallery.delete("p001")
    enroll(gallery, "p001")
    assert gallery.subject("p001").origin == "enrolled"
    assert trained(gallery) == set()
    gallery.delete("p001")
    gallery.seed_trained(["p001"])
    assert trained(gallery) == set()


def test_an_enrolled_id_is_not_taken_over_by_a_net_trained_later(gallery: Gallery) -> None:
    enroll(gallery, "p200")
    gallery.seed_trained(["p200"])
    assert gallery.subject("p200").origin == "enrolled"
    gallery.delete("p200")
    gallery.seed_trained(["p200"])
    assert trained(gallery) == set()


def test_changes_are_read_in_pages_and_then_only_what_is_new(gallery: Gallery) -> None:
    for subject_id in ("a", "b", "c"):
        enroll(gallery, subject_id)
    gallery.update("a", {"name": "Ada"})
    first = gallery.changes(START, [VGG16], 2)
    second = gallery.changes(first.position, [VGG16], 2)
    assert [s.subject_id for s in first.subjects] == ["b", "c"]
    assert [s.name for s in second.subjects] == ["Ada"]
    assert (first.complete, second.complete) == (False, True)
    assert second.position.revision == gallery.revision()

    enroll(gallery, "b", seed=5, add=True)
    third = gallery.changes(second.position, [VGG16], 2)
    assert [s.subject_id for s in third.subjects] == ["b"]
    assert len(third.maps[0].maps) == 4
    assert gallery.changes(third.position, [VGG16], 2).subjects == ()


def test_subjects_of_one_change_are_split_between_pages(gallery: Gallery) -> None:
    gallery.seed_trained([f"p{i}" for i in range(5)])
    position, found = START, []
    for _ in range(3):
        changes = gallery.changes(position, [], 2)
        found += [subject.subject_id for subject in changes.subjects]
        position = changes.position
    assert found == [f"p{i}" for i in range(5)]
    assert changes.complete


def test_an_erased_subject_is_told_by_a_number_that_is_not_used_again(gallery: Gallery) -> None:
    enroll(gallery, "ada")
    before = gallery.changes(START, [VGG16], 9)
    gallery.delete("ada")
    enroll(gallery, "ada")
    after = gallery.changes(before.position, [VGG16], 9)
    assert after.removed == before.numbers
    assert not set(after.numbers) & set(before.numbers)


def test_only_enrolled_subjects_that_lack_a_format_are_incomparable(gallery: Gallery) -> None:
    other = ALEXNET._replace(template_id="f" * 16)
    gallery.seed_trained(["p001"])
    enroll(gallery, "both")
    gallery.enroll("one", None, None, {VGG16: vein_maps(1)}, add=False)
    gallery.enroll("old", None, None, {VGG16: vein_maps(1), other: vein_maps(1)}, add=False)

    def ids(after: str | None, limit: int) -> list[str]:
        found = gallery.incomparable([VGG16, ALEXNET], after=after, limit=limit)
        return [subject.subject_id for subject in found]

    assert gallery.count_incomparable([VGG16, ALEXNET]) == 2
    assert gallery.count_incomparable([VGG16]) == 0
    assert (ids(None, 1), ids("old", 9)) == (["old"], ["one"])
