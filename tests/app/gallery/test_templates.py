"""Single templates, repeated requests, and which trained subjects there are."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from app.gallery.errors import (
    LastTemplate,
    RequestDiffers,
    SubjectExists,
    SubjectUnknown,
    TemplateUnknown,
)
from app.gallery.following import START
from app.gallery.gallery import Gallery
from app.gallery.once import Once
from app.palm.capture import Capture
from tests.app.gallery.conftest import ALEXNET, BOTH_STORES, VGG16, Open, enroll, vein_maps

pytestmark = BOTH_STORES

FIRST = Once(b"caller and key", b"what was sent")


def add(gallery: Gallery, subject_id: str, seed: int, captures: Sequence[Capture] = ()) -> None:
    count = len(captures) or 1
    templates = {VGG16: vein_maps(count, seed), ALEXNET: vein_maps(count, seed, ALEXNET)}
    gallery.enroll(subject_id, None, None, templates, add=True, captures=captures or None)


def stored(gallery: Gallery) -> dict[str, list[bytes]]:
    """Returns the maps of vgg16 of each subject, as the index reads them."""
    changes = gallery.changes(START, [VGG16], 99)
    maps = changes.maps[0]
    return {
        subject.subject_id: [maps.maps[k] for k in range(len(maps.owners)) if maps.owners[k] == i]
        for i, subject in enumerate(changes.subjects)
    }


def sums(gallery: Gallery) -> list[Any]:
    """Returns the numbers of the sums of maps, to compare by `numpy.testing`."""
    totals = gallery.sums_by_camera([VGG16, ALEXNET])[""]
    return [np.concatenate([one.total.ravel(), one.squares, [one.subjects]]) for one in totals]


def test_an_image_s_maps_share_a_number_that_is_never_used_again(gallery: Gallery) -> None:
    before = datetime.now(UTC)
    add(gallery, "ada", 1, ["hand", "roi"])
    add(gallery, "eve", 2)
    add(gallery, "ada", 3, ["roi"])
    ada, eve = gallery.templates("ada"), gallery.templates("eve")
    assert [one.capture for one in ada] == ["hand", "roi", "roi"]
    assert eve[0].capture is None
    numbers = [one.number for one in [*ada, *eve]]
    assert len(set(numbers)) == 4
    for one in ada:
        assert one.nets == [str(ALEXNET), str(VGG16)]
        assert one.added_at is not None
        assert before <= one.added_at <= datetime.now(UTC)
    gallery.delete("ada")
    add(gallery, "ada", 4)
    assert gallery.templates("ada")[0].number > max(numbers)


def test_a_removed_template_leaves_a_gallery_that_never_had_it(
    open_gallery: Open, gallery: Gallery
) -> None:
    for seed in (1, 2, 3):
        add(gallery, "ada", seed)
    add(gallery, "eve", 4)
    kept = [stored(gallery)["ada"][i] for i in (0, 2)]
    first, second, third = gallery.templates("ada")
    reader = open_gallery()
    before = reader.changes(START, [VGG16], 99)

    assert gallery.remove_template("ada", second.number).erased == "template"

    assert gallery.subject("ada").template_counts == {str(ALEXNET): 2, str(VGG16): 2}
    assert gallery.templates("ada") == [first, third]
    assert stored(gallery)["ada"] == kept
    news = reader.changes(before.position, [VGG16], 99)
    place = [one.subject_id for one in before.subjects].index("ada")
    assert news.removed == (before.numbers[place],)
    assert [one.subject_id for one in news.subjects] == ["ada"]
    assert list(news.maps[0].maps) == kept
    found = sums(gallery)
    gallery.delete("ada")
    for seed in (1, 3):
        add(gallery, "ada", seed)
    for one, expected in zip(found, sums(gallery), strict=True):
        np.testing.assert_allclose(one, expected, atol=1e-12)


def test_a_template_that_cannot_be_removed_stays(gallery: Gallery) -> None:
    add(gallery, "ada", 1)
    add(gallery, "eve", 2)
    (only,) = gallery.templates("ada")
    revision = gallery.revision()
    with pytest.raises(LastTemplate, match="'ada'"):
        gallery.remove_template("ada", only.number)
    with pytest.raises(TemplateUnknown, match="'eve'"):
        gallery.remove_template("eve", only.number)
    for call in (gallery.templates, lambda name: gallery.remove_template(name, 1)):
        with pytest.raises(SubjectUnknown, match="'bob'"):
            call("bob")
    assert gallery.revision() == revision
    assert gallery.templates("ada") == [only]


def test_what_was_added_to_a_trained_subject_can_be_removed_to_the_last(gallery: Gallery) -> None:
    gallery.seed_trained(["p001"])
    assert gallery.templates("p001") == []
    add(gallery, "p001", 1)
    (only,) = gallery.templates("p001")
    gallery.remove_template("p001", only.number)
    assert gallery.subject("p001").template_counts == {}


def test_a_repeated_request_is_done_once(open_gallery: Open) -> None:
    galleries = [open_gallery() for _ in range(4)]
    templates = {VGG16: vein_maps(2)}

    def send(gallery: Gallery) -> Any:
        return gallery.enroll("ada", "Ada", None, templates, add=False, once=FIRST)

    assert not galleries[0].was_enrolled(FIRST)
    with ThreadPoolExecutor(4) as pool:
        subjects = list(pool.map(send, galleries))
    assert len({str(subject) for subject in subjects}) == 1
    assert subjects[0].template_counts == {str(VGG16): 2}
    assert galleries[1].was_enrolled(FIRST)


def test_another_request_under_the_same_key_is_refused(gallery: Gallery) -> None:
    templates = {VGG16: vein_maps(1)}
    gallery.enroll("ada", None, None, templates, add=False, once=FIRST)
    other = Once(FIRST.digest, b"something else")
    with pytest.raises(RequestDiffers):
        gallery.was_enrolled(other)
    with pytest.raises(RequestDiffers):
        gallery.enroll("eve", None, None, templates, add=False, once=other)
    assert [one.subject_id for one in gallery.subjects(after=None, limit=9)] == ["ada"]


def test_a_refused_request_may_be_repeated(gallery: Gallery) -> None:
    enroll(gallery, "ada")
    templates = {VGG16: vein_maps(1)}
    with pytest.raises(SubjectExists):
        gallery.enroll("ada", None, None, templates, add=False, once=FIRST)
    assert not gallery.was_enrolled(FIRST)


def test_a_repeated_request_does_not_bring_back_an_erased_subject(gallery: Gallery) -> None:
    templates = {VGG16: vein_maps(1)}
    gallery.enroll("ada", None, None, templates, add=False, once=FIRST)
    gallery.delete("ada")
    with pytest.raises(SubjectUnknown):
        gallery.enroll("ada", None, None, templates, add=False, once=FIRST)
    assert gallery.subjects(after=None, limit=9) == []


def test_only_identities_that_the_nets_know_are_trained_subjects(gallery: Gallery) -> None:
    gallery.seed_trained(["p001", "p002", "p003", "p004", "p005"])
    gallery.delete("p001")
    gallery.update("p002", {"name": "Ada"})
    add(gallery, "p003", 1)
    gallery.seed_trained(["p005", "p006"])
    known = [one.subject_id for one in gallery.subjects(after=None, limit=9)]
    assert known == ["p002", "p003", "p005", "p006"]
    gallery.seed_trained(["p001", "p004", "p005"])
    known = [one.subject_id for one in gallery.subjects(after=None, limit=9)]
    assert known == ["p002", "p003", "p004", "p005"]  # p001 was erased for good
    revision = gallery.revision()
    gallery.seed_trained(["p001", "p004", "p005"])
    assert gallery.revision() == revision
