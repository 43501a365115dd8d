"""The index in memory: what it holds, and when it reads the gallery again."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.gallery.gallery import Gallery, GalleryUnusable, Subject, Templates
from app.gallery.index import GalleryIndex
from app.gallery.sqlite import open_sqlite
from app.matching.templates import NetKey, mean_template
from tests.app.conftest import unit_rows
from tests.app.gallery.conftest import ALEXNET, VGG16

VIEWS = (2, 3)
SIZE = 4
IDENTITIES = ("p001", "p002")


@dataclass(frozen=True)
class ToyNet:
    """What the index reads of a net."""

    key: NetKey
    prototypes: NDArray[np.float32]
    identities: Sequence[str] = IDENTITIES


def templates(count: int, seed: int) -> NDArray[np.float32]:
    return unit_rows(count, *VIEWS, SIZE, seed=seed)


NETS = (ToyNet(VGG16, templates(2, seed=1)), ToyNet(ALEXNET, templates(2, seed=2)))


class MeteredGallery:
    """A SQLite gallery that counts loads and lets callers meet at the check of the revision."""

    def __init__(self, path: Path) -> None:
        self.store = open_sqlite(f"sqlite:///{path}")
        self.loads = 0
        self.meeting: threading.Barrier | None = None
        self._caller = threading.local()

    def revision(self) -> int:
        revision = self.store.revision()
        if self.meeting and not hasattr(self._caller, "met"):
            self._caller.met = True
            self.meeting.wait()  # until every caller knows that it has to load
        return revision

    def trained(self) -> frozenset[str]:
        return self.store.trained()

    def subjects(self, *, after: str | None, limit: int) -> list[Subject]:
        return self.store.subjects(after=after, limit=limit)

    def templates(self, key: NetKey) -> Templates:
        self.loads += key == VGG16
        return self.store.templates(key)


@pytest.fixture
def metered(tmp_path: Path) -> Iterator[MeteredGallery]:
    gallery = MeteredGallery(tmp_path / "gallery.db")
    gallery.store.seed_trained(IDENTITIES)
    yield gallery
    gallery.store.close()


def enroll(gallery: Gallery, subject_id: str, *keys: NetKey, count: int = 1) -> None:
    given = {key: templates(count, seed=7) for key in keys}
    gallery.enroll(subject_id, None, None, given, add=True)


def test_the_gallery_is_read_again_only_after_a_change(metered: MeteredGallery) -> None:
    index = GalleryIndex(metered, NETS)
    first = index.current()
    assert index.current() is first
    assert metered.loads == 1

    enroll(metered.store, "eve", VGG16, ALEXNET)

    assert index.current().subject_ids == ("eve", *IDENTITIES)
    assert metered.loads == 2


@pytest.mark.parametrize("loaded", [False, True], ids=["at the start", "after a change"])
def test_of_many_callers_one_reads_the_gallery(metered: MeteredGallery, loaded: bool) -> None:
    index = GalleryIndex(metered, NETS)
    if loaded:
        index.current()
        enroll(metered.store, "eve", VGG16, ALEXNET)
    before = metered.loads
    metered.meeting = threading.Barrier(8, timeout=60)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: index.current().revision, range(8)))

    assert found == [metered.store.revision()] * 8
    assert metered.loads == before + 1


def test_a_template_is_the_mean_of_prototype_and_enrolled_ones(metered: MeteredGallery) -> None:
    enroll(metered.store, "p002", VGG16, count=2)

    snapshot = GalleryIndex(metered, NETS).current()

    assert snapshot.subject_ids == IDENTITIES
    rows = np.concatenate([NETS[0].prototypes[1:], templates(2, seed=7)])
    np.testing.assert_allclose(snapshot.matrices[0][1], mean_template(rows), rtol=1e-6)
    np.testing.assert_allclose(snapshot.matrices[1], NETS[1].prototypes, rtol=1e-6)


def test_an_erased_identity_s_prototype_is_not_used(metered: MeteredGallery) -> None:
    metered.store.delete("p001")
    enroll(metered.store, "p001", VGG16, ALEXNET)

    snapshot = GalleryIndex(metered, NETS).current()

    assert snapshot.subject_ids == IDENTITIES
    np.testing.assert_allclose(snapshot.matrices[0][0], templates(1, seed=7)[0], rtol=1e-6)


@pytest.mark.parametrize(
    "damaged",
    [templates(1, seed=7)[..., :2], 2 * templates(1, seed=7), np.nan * templates(1, seed=7)],
    ids=["another size", "another length", "not a number"],
)
def test_a_damaged_template_is_refused_until_its_subject_is_deleted(
    metered: MeteredGallery, damaged: NDArray[np.float32]
) -> None:
    metered.store.enroll("eve", None, None, {ALEXNET: damaged}, add=False)
    index = GalleryIndex(metered, NETS)
    with pytest.raises(GalleryUnusable, match=r"alexnet/2.*subject 'eve' \(1 in all\)"):
        index.current()

    metered.store.delete("eve")

    assert index.current().subject_ids == IDENTITIES
