"""Collections in the gallery: what a limited view of it finds, changes and refuses."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from app.gallery.errors import (
    CollectionDiffers,
    SubjectAlike,
    SubjectExists,
    SubjectTaken,
    SubjectUnknown,
)
from app.gallery.gallery import Gallery
from app.gallery.once import Once
from tests.app.gallery.conftest import ALEXNET, BOTH_STORES, VGG16, vein_maps

pytestmark = BOTH_STORES

STAFF, GUESTS = frozenset({"staff"}), frozenset({"guests"})
TEMPLATES = {VGG16: vein_maps(1)}


def enroll(gallery: Gallery, subject_id: str, collection: str | None = None, **options: Any) -> Any:
    chosen = {"add": False, "collection": collection, **options}
    return gallery.enroll(subject_id, None, None, TEMPLATES, **chosen)


def ids(gallery: Gallery) -> list[str]:
    return [one.subject_id for one in gallery.subjects(after=None, limit=9)]


def sizes(gallery: Gallery) -> dict[str, int]:
    return {one.collection: one.subjects for one in gallery.collections()}


def test_a_subject_is_in_the_named_collection_or_in_the_default_one(gallery: Gallery) -> None:
    gallery.seed_trained(["p001"])
    assert enroll(gallery, "ada", "staff").collection == "staff"
    assert enroll(gallery, "bob").collection == "default"
    assert gallery.subject("p001").collection == "default"
    assert sizes(gallery) == {"default": 2, "staff": 1}


def test_a_limited_gallery_has_only_its_own_subjects(gallery: Gallery) -> None:
    for subject_id, collection in (("ada", "staff"), ("bob", "guests"), ("cy", None)):
        enroll(gallery, subject_id, collection)
    assert ids(gallery.within(STAFF)) == ["ada"]
    assert ids(gallery.within(STAFF | GUESTS)) == ["ada", "bob"]
    assert ids(gallery.within(frozenset())) == []
    assert ids(gallery.within(None)) == ["ada", "bob", "cy"]
    assert sizes(gallery.within(STAFF | {"empty"})) == {"empty": 0, "staff": 1}
    assert gallery.within(STAFF | GUESTS).count_incomparable([ALEXNET]) == 2
    outdated = gallery.within(STAFF).incomparable([ALEXNET], after=None, limit=9)
    assert [one.subject_id for one in outdated] == ["ada"]


@pytest.mark.parametrize("further", [None, STAFF | GUESTS, STAFF])
def test_a_limited_gallery_is_never_widened(
    gallery: Gallery, further: frozenset[str] | None
) -> None:
    enroll(gallery, "ada", "staff")
    enroll(gallery, "bob", "guests")
    assert ids(gallery.within(STAFF).within(further)) == ["ada"]
    assert ids(gallery.within(GUESTS).within(STAFF).within(further)) == []


ASK: Sequence[Callable[[Gallery, str], object]] = (
    lambda gallery, subject_id: gallery.subject(subject_id),
    lambda gallery, subject_id: gallery.update(subject_id, {"name": "Eve"}, check=fail),
    lambda gallery, subject_id: gallery.delete(subject_id, check=fail),
    lambda gallery, subject_id: gallery.templates(subject_id),
    lambda gallery, subject_id: gallery.remove_template(subject_id, 1),
    lambda gallery, subject_id: gallery.records.read(subject_id),
    lambda gallery, subject_id: gallery.records.rename(subject_id, "eva"),
    lambda gallery, subject_id: gallery.records.merge(subject_id, "gus"),
    lambda gallery, subject_id: gallery.records.merge("gus", subject_id),
)


def fail(_: object) -> None:
    pytest.fail("a subject is shown")


@pytest.mark.parametrize("ask", ASK)
def test_another_collection_s_subject_is_an_unknown_one(
    gallery: Gallery, ask: Callable[[Gallery, str], object]
) -> None:
    enroll(gallery, "ada", "staff")
    enroll(gallery, "gus", "guests")
    before = gallery.subject("ada"), gallery.revision()
    with pytest.raises(SubjectUnknown) as hidden:
        ask(gallery.within(GUESTS), "ada")
    with pytest.raises(SubjectUnknown) as unknown:
        ask(gallery, "eve")
    assert str(hidden.value) == str(unknown.value).replace("eve", "ada")
    assert (gallery.subject("ada"), gallery.revision()) == before


@pytest.mark.parametrize("add", [False, True])
def test_an_id_is_taken_in_every_collection(gallery: Gallery, add: bool) -> None:
    enroll(gallery, "Ada", "staff")
    for taken in ("Ada", "ADA"):
        with pytest.raises(SubjectTaken, match=f"'{taken}' exists already") as error:
            enroll(gallery.within(GUESTS), taken, "guests", add=add)
        assert "staff" not in str(error.value)
    with pytest.raises(SubjectAlike, match="'Ada' exists"):
        enroll(gallery.within(STAFF), "ADA", "staff", add=add)
    enroll(gallery, "gus", "guests")
    for taken in ("Ada", "ADA"):
        with pytest.raises(SubjectTaken, match=f"'{taken}' exists already"):
            gallery.within(GUESTS).records.rename("gus", taken)
    assert gallery.subject("Ada").template_counts == {str(VGG16): 1}


def test_templates_are_added_in_the_subject_s_own_collection(gallery: Gallery) -> None:
    enroll(gallery, "ada", "staff")
    assert enroll(gallery, "ada", add=True).collection == "staff"
    assert enroll(gallery, "ada", "staff", add=True).template_counts == {str(VGG16): 3}
    with pytest.raises(CollectionDiffers, match="'ada' is in the collection 'staff'"):
        enroll(gallery, "ada", "guests", add=True)
    with pytest.raises(SubjectExists, match="add=true"):
        enroll(gallery, "ada", "guests")
    assert gallery.subject("ada").template_counts == {str(VGG16): 3}


def test_a_moved_subject_is_found_where_it_is_now(gallery: Gallery) -> None:
    enroll(gallery, "ada", "staff")
    assert gallery.update("ada", {"collection": "guests"}).collection == "guests"
    assert (ids(gallery.within(STAFF)), ids(gallery.within(GUESTS))) == ([], ["ada"])


def test_a_repeated_request_shows_no_subject_that_was_moved_away(gallery: Gallery) -> None:
    once = Once(b"caller and key", b"content")
    limited = gallery.within(STAFF)
    first = enroll(limited, "ada", "staff", once=once)
    assert enroll(limited, "ada", "staff", once=once) == first
    gallery.update("ada", {"collection": "guests"})
    with pytest.raises(SubjectUnknown):
        enroll(limited, "ada", "staff", once=once)


def test_a_trained_subject_that_was_moved_stays_there(gallery: Gallery) -> None:
    gallery.seed_trained(["p001", "p002"])
    gallery.update("p001", {"collection": "staff"})
    for known in ((), ("p001", "p002")):
        gallery.seed_trained(known)
        assert gallery.subject("p001").collection == "staff"
    assert gallery.subject("p002").collection == "default"
