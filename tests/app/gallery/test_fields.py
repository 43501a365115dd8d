"""Metadata, consent and retention date of subjects, on every store."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from app.gallery.errors import (
    GalleryUnusable,
    SubjectExists,
    SubjectExpired,
    SubjectUnknown,
    TrainedFixed,
)
from app.gallery.following import START
from app.gallery.gallery import Gallery
from app.gallery.index.memory import GalleryIndex
from app.gallery.once import Once
from app.gallery.sql.schema import SUBJECTS
from app.matching.maps import VeinMaps
from app.wiring import GALLERIES
from tests.app.conftest import MASTER_KEYS
from tests.app.gallery.conftest import (
    ALEXNET,
    BOTH_STORES,
    VGG16,
    Open,
    ToyNet,
    enroll,
    opened,
    vein_maps,
)

pytestmark = BOTH_STORES

METADATA = {"department": "Archive of maps", "badge.no": "17"}
START_TIME = datetime(2030, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Now:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = START_TIME

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def timed(url: str, now: Now) -> Iterator[Callable[[], Gallery]]:
    """Opens galleries that follow the test's clock."""
    open_with_clock: Callable[..., Gallery] = GALLERIES[url.partition(":")[0]]
    galleries: list[Gallery] = []

    def open_one() -> Gallery:
        galleries.append(open_with_clock(url, MASTER_KEYS, now=now))
        return galleries[-1]

    yield open_one
    for gallery in galleries:
        gallery.close()


def keep(gallery: Gallery, subject_id: str, until: datetime, seed: int = 0) -> None:
    templates = {VGG16: vein_maps(2, seed), ALEXNET: vein_maps(2, seed, ALEXNET)}
    details = {"retain_until": until}
    gallery.enroll(subject_id, "Ada", None, templates, add=False, details=details)


def ids(gallery: Gallery) -> list[str]:
    return [one.subject_id for one in gallery.subjects(after=None, limit=9)]


def test_details_are_set_changed_and_cleared_one_by_one(open_gallery: Open) -> None:
    gallery = open_gallery()
    until = datetime.now(UTC) + HOUR
    details = {"metadata": METADATA, "consent": "form 1187", "retain_until": until}
    subject = gallery.enroll("ada", None, None, {VGG16: vein_maps(2)}, add=False, details=details)
    assert (subject.metadata, subject.consent, subject.retain_until) == (*details.values(),)
    reader = open_gallery()
    assert reader.subject("ada") == subject
    assert reader.changes(START, [VGG16], 9).subjects == (subject,)
    assert reader.subjects(after=None, limit=9) == [subject]
    changed = gallery.update("ada", {"consent": "form 1188"})
    assert changed == subject.model_copy(update={"consent": "form 1188"})
    added = gallery.enroll("ada", None, None, {VGG16: vein_maps(1)}, add=True)
    assert (added.metadata, added.consent) == (METADATA, "form 1188")
    gallery.remove_template("ada", gallery.templates("ada")[0].number)
    gallery.rotate_master_key(b"\x11" * 32)
    assert reader.subject("ada").metadata == METADATA
    assert gallery.update("ada", {"metadata": None, "retain_until": None}).metadata == {}
    left = gallery.update("ada", {"consent": None})
    assert (left.consent, left.retain_until) == (None, None)


def test_details_that_are_damaged_or_moved_are_noticed(gallery: Gallery) -> None:
    details = {"metadata": METADATA}
    for one in ("ada", "eve"):
        gallery.enroll(one, None, None, {VGG16: vein_maps(1)}, add=False, details=details)
    engine, _ = opened(gallery)
    with engine.begin() as connection:
        moved = connection.scalars(select(SUBJECTS.c.details)).all()[1]
        own = SUBJECTS.c.subject_id == "ada"
        connection.execute(update(SUBJECTS).where(own).values(details=moved))
    with pytest.raises(GalleryUnusable, match="the details of subject 'ada'"):
        gallery.subject("ada")
    assert gallery.subject("eve").metadata == METADATA
    assert gallery.delete("ada").erased == "subject"


def test_fields_that_do_not_exist_and_times_without_a_zone_are_refused(gallery: Gallery) -> None:
    enroll(gallery, "ada")
    before = gallery.subject("ada")
    with pytest.raises(ValueError, match=r"\['origin'\]"):
        gallery.update("ada", {"origin": "trained"})
    with pytest.raises(ValueError, match="no time zone"):
        gallery.update("ada", {"retain_until": START_TIME.replace(tzinfo=None)})
    assert gallery.subject("ada") == before


def test_a_trained_identity_keeps_its_details_without_nets_but_gets_no_date(
    gallery: Gallery,
) -> None:
    gallery.seed_trained(["p001", "p002"])
    gallery.update("p001", {"consent": "form 1"})
    with pytest.raises(TrainedFixed, match="retention date"):
        gallery.update("p001", {"retain_until": START_TIME})
    gallery.seed_trained([])
    assert ids(gallery) == ["p001"]


def test_a_subject_whose_date_has_passed_is_in_no_answer(
    timed: Callable[[], Gallery], now: Now
) -> None:
    gallery = timed()
    keep(gallery, "ada", now() + HOUR)
    keep(gallery, "eve", now() + 2 * HOUR, seed=1)
    assert ids(gallery) == ["ada", "eve"]
    now.time += HOUR
    assert ids(gallery) == ["eve"]
    assert gallery.records.expired(9) == ["ada"]
    assert [one.subject_id for one in gallery.changes(START, [VGG16], 9).subjects] == ["eve"]
    assert gallery.count_incomparable([VGG16, ALEXNET]) == 0
    attempts: list[Callable[[], object]] = [
        lambda: gallery.subject("ada"),
        lambda: gallery.templates("ada"),
        lambda: gallery.update("ada", {"retain_until": now() + HOUR}),
        lambda: gallery.remove_template("ada", 1),
        lambda: gallery.records.rename("ada", "eva"),
        lambda: gallery.records.merge("eve", "ada"),
        lambda: gallery.records.merge("ada", "eve"),
        lambda: gallery.records.read("ada"),
    ]
    for attempt in attempts:
        with pytest.raises(SubjectUnknown, match="'ada'"):
            attempt()
    for add in (False, True):
        for taken in ("ada", "ADA"):
            with pytest.raises(SubjectExpired, match=f"'{taken}'.*in a minute"):
                gallery.enroll(taken, None, None, {VGG16: vein_maps(1)}, add=add)
    assert [one.subjects for one in gallery.collections()] == [1]
    with pytest.raises(SubjectExists, match="'eve' exists"):
        gallery.records.rename("eve", "eve")
    assert gallery.delete("ada").erased == "subject"
    assert gallery.records.expired(9) == []
    keep(gallery, "ada", now() + HOUR)
    assert ids(gallery) == ["ada", "eve"]


def test_the_index_drops_whoever_s_date_has_passed(timed: Callable[[], Gallery], now: Now) -> None:
    gallery, other = timed(), timed()
    index = GalleryIndex(gallery, [ToyNet(VGG16), ToyNet(ALEXNET)])
    probes: list[VeinMaps] = [vein_maps(1), vein_maps(1, 0, ALEXNET)]
    keep(gallery, "ada", now() + HOUR)
    keep(gallery, "eve", now() + 3 * HOUR, seed=1)
    assert [one.subject_id for one in index.search(probes).subjects] == ["ada", "eve"]
    gallery.update("ada", {"retain_until": now() + 2 * HOUR})
    now.time += HOUR
    assert index.verify("ada", probes)
    now.time += HOUR
    assert [one.subject_id for one in index.search(probes).subjects] == ["eve"]
    assert index.verify("ada", probes) is None
    assert index.describe().searchable == index.search(probes).gallery_size == 1
    other.delete("ada")  # as the other process's task does
    keep(other, "ada", now() + HOUR)
    assert [one.subject_id for one in index.search(probes).subjects] == ["eve", "ada"]
    index.close()


def test_a_date_that_another_process_moves_at_the_last_moment_holds(
    timed: Callable[[], Gallery], now: Now
) -> None:
    gallery, slow = timed(), timed()
    index = GalleryIndex(gallery, [ToyNet(VGG16), ToyNet(ALEXNET)])
    probes = [vein_maps(1), vein_maps(1, 0, ALEXNET)]
    keep(gallery, "ada", now() + HOUR)
    now.time += HOUR
    assert index.verify("ada", probes) is None
    now.time -= timedelta(seconds=1)  # the other machine's clock
    slow.update("ada", {"retain_until": now() + 2 * HOUR})
    now.time += timedelta(seconds=1)
    assert index.verify("ada", probes)
    index.close()


def test_a_request_that_is_repeated_does_not_bring_back_who_expired(
    timed: Callable[[], Gallery], now: Now
) -> None:
    gallery = timed()
    once = Once(b"key", b"content")
    until = {"retain_until": now() + HOUR}
    gallery.enroll("ada", None, None, {VGG16: vein_maps(1)}, add=False, once=once, details=until)
    now.time += HOUR
    with pytest.raises(SubjectUnknown):
        gallery.enroll(
            "ada", None, None, {VGG16: vein_maps(1)}, add=False, once=once, details=until
        )
