"""What a gallery keeps, counts and tells apart, whatever the database."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from app.gallery.gallery import Gallery, SubjectExists, SubjectUnknown
from app.matching.templates import NetKey
from tests.app.gallery.conftest import ALEXNET, VGG16, Open, enroll, vectors


def test_an_enrolled_subject_is_found_with_its_templates(gallery: Gallery) -> None:
    templates = {VGG16: vectors(3), ALEXNET: vectors(1)}
    stored = gallery.enroll("ada", "Ada Lovelace", "left", templates, add=False)
    assert stored == gallery.subject("ada")
    assert (stored.name, stored.hand, stored.origin) == ("Ada Lovelace", "left", "enrolled")
    assert stored.created_at.utcoffset() is not None
    assert stored.template_counts == {"vgg16/1": 3, "alexnet/2": 1}
    found = gallery.templates(VGG16)
    assert found.subject_ids == ("ada", "ada", "ada")
    assert {vector.dtype for vector in found.vectors} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(found.vectors, vectors(3))


def test_a_net_without_templates_has_none(gallery: Gallery) -> None:
    enroll(gallery, "ada")
    found = gallery.templates(NetKey("vgg16", 2))
    assert found.subject_ids == ()
    assert found.vectors == ()


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


def test_what_changes_nothing_leaves_the_revision(gallery: Gallery) -> None:
    enroll(gallery, "ada")
    gallery.seed_trained(["ada", "p001"])
    before = gallery.revision()
    gallery.subjects(after=None, limit=9)
    gallery.templates(VGG16)
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
    assert galleries[0].subject("ada").template_counts == {"vgg16/1": 2, "alexnet/2": 1}


def test_concurrent_additions_are_all_kept(gallery: Gallery) -> None:
    def add_ten(seed: int) -> None:
        for i in range(10):
            enroll(gallery, "ada", seed * 100 + i, add=True)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(add_ten, range(6)))
    assert gallery.subject("ada").template_counts == {"vgg16/1": 120, "alexnet/2": 60}


def test_seeding_adds_trained_identities_and_keeps_known_ones(gallery: Gallery) -> None:
    gallery.seed_trained(["p001"])
    named = gallery.update("p001", {"name": "Ada"})
    assert (named.origin, named.template_counts) == ("trained", {})
    gallery.seed_trained(["p002", "p001"])
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


def test_an_erased_trained_id_can_be_enrolled_without_its_prototype(gallery: Gallery) -> None:
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
