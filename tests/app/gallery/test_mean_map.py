"""The sums of maps in the store, and the mean maps that the index takes into use."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.gallery.gallery import Gallery
from app.gallery.index import means
from app.gallery.index.comparison import Found
from app.gallery.index.memory import GalleryIndex
from app.matching.cohort import compare_cohort
from app.matching.impostors import Impostors
from app.matching.maps import VeinMaps, join_maps
from app.matching.mean_map import MIN_SUBJECTS, MapSum
from app.matching.templates import MapFormat
from tests.app.conftest import execute
from tests.app.gallery.conftest import ALEXNET, BOTH_STORES, VGG16, Open, ToyNet, enroll, vein_maps
from tests.app.gallery.test_index import check

FORMATS = [VGG16, ALEXNET]


def sum_over(shape: MapFormat, subjects: Mapping[str, VeinMaps]) -> MapSum:
    """Computes the sum anew, as an independent reference."""
    total = MapSum.empty(shape.shape)
    for maps in subjects.values():
        total += MapSum.of(maps)
    return total


def assert_equal(found: MapSum, expected: MapSum) -> None:
    assert found.subjects == expected.subjects
    np.testing.assert_allclose(found.total, expected.total, atol=1e-9)
    np.testing.assert_allclose(found.squares, expected.squares, atol=1e-9)


@BOTH_STORES
def test_the_sums_follow_random_changes(gallery: Gallery) -> None:
    draw, expected = np.random.default_rng(1), dict[str, VeinMaps]()
    gallery.seed_trained(["p001"])
    for step in range(80):
        subject_id = f"s{draw.integers(6)}"
        if subject_id in expected and draw.random() < 0.4:
            gallery.delete(subject_id)
            del expected[subject_id]
        else:
            added = vein_maps(1 + step % 3, step, masked=0.1)
            gallery.enroll(subject_id, None, None, {VGG16: added}, add=True)
            before = [expected[subject_id]] if subject_id in expected else []
            expected[subject_id] = join_maps([*before, added])
        gallery.enroll("p001", None, None, {VGG16: vein_maps(1, 500 + step)}, add=True)
        (found,) = gallery.sums_by_camera([VGG16])[""]
        assert_equal(found, sum_over(VGG16, expected))


@BOTH_STORES
def test_each_format_has_its_own_sum(gallery: Gallery) -> None:
    gallery.enroll("ada", None, None, {VGG16: vein_maps(2, 1)}, add=False)
    gallery.enroll("eve", None, None, {ALEXNET: vein_maps(1, 2, ALEXNET)}, add=False)
    vgg16, alexnet = gallery.sums_by_camera(FORMATS)[""]
    assert_equal(vgg16, MapSum.of(vein_maps(2, 1)))
    assert_equal(alexnet, MapSum.of(vein_maps(1, 2, ALEXNET)))


@BOTH_STORES
def test_nothing_is_left_of_the_last_subject(gallery: Gallery) -> None:
    for i in range(7):
        enroll(gallery, f"s{i}", seed=i)
    for i in range(7):
        gallery.delete(f"s{i}")
    for found in gallery.sums_by_camera(FORMATS)[""]:
        assert (found.subjects, found.total.any(), found.squares.any()) == (0, False, False)


@BOTH_STORES
def test_trained_subjects_never_count(gallery: Gallery) -> None:
    gallery.seed_trained(["p001"])
    enroll(gallery, "p001", add=True)
    assert [one.subjects for one in gallery.sums_by_camera(FORMATS)[""]] == [0, 0]
    enroll(gallery, "ada", seed=3)
    gallery.delete("p001")
    assert_equal(gallery.sums_by_camera(FORMATS)[""][0], MapSum.of(vein_maps(2, 3)))


@pytest.mark.parametrize("change", ["delete", "add"])
def test_a_sum_is_computed_anew_without_a_subject_whose_maps_are_damaged(
    gallery: Gallery, path: Path, change: str
) -> None:
    for i in range(3):
        enroll(gallery, f"s{i}", seed=i)
    execute(path, "UPDATE maps SET map = x'00' WHERE map_id = 2")  # of s0
    if change == "delete":
        gallery.delete("s0")
    else:
        enroll(gallery, "s0", seed=9, add=True)
    expected = sum_over(VGG16, {f"s{i}": vein_maps(2, i) for i in (1, 2)})
    assert_equal(gallery.sums_by_camera(FORMATS)[""][0], expected)
    if change == "add":
        gallery.delete("s0")
        assert_equal(gallery.sums_by_camera(FORMATS)[""][0], expected)


NET = ToyNet(VGG16)
OTHER = ToyNet(ALEXNET, trained_seed=2000)


@pytest.fixture
def galleries(open_gallery: Open) -> Iterator[tuple[Gallery, GalleryIndex]]:
    """A gallery, and the index of another process."""
    here, there = open_gallery(), open_gallery()
    index = GalleryIndex(there, (NET, OTHER))
    yield here, index
    index.close()


def add_subjects(gallery: Gallery, first: int, end: int) -> None:
    for i in range(first, end):
        enroll(gallery, f"s{i}", seed=i)


def settled(index: GalleryIndex) -> tuple[int, int]:
    """Lets the index follow; returns the subjects in its mean map and the revision of that."""
    index.refresh()
    index.settle()
    return index.mean_map.subjects, index.mean_map.revision


def assert_compared_with(
    index: GalleryIndex, count: int, at: list[MapSum], cohort: int | None = None
) -> None:
    """Compares with the reference under the mean maps of some sums.

    Args:
        index: the index.
        count: number of subjects.
        at: the sums, by format.
        cohort: number of subjects that set the scale; by default those of the sums.
    """
    probes = [vein_maps(1, 99), vein_maps(1, 99, ALEXNET)]
    expected = {
        f"s{i}": {VGG16: vein_maps(2, i), ALEXNET: vein_maps(1, i, ALEXNET)} for i in range(count)
    }
    found = index.search(probes)
    check(found, expected, probes, [one.mean() for one in at])
    if at[0].subjects < MIN_SUBJECTS:
        assert (found.impostors, found.fused_impostors) == ((None, None), None)
    else:
        assert_impostors(found, [f"s{i}" for i in range(cohort or at[0].subjects)], expected, at)


def assert_impostors(
    found: Found,
    subject_ids: list[str],
    maps: Mapping[str, Mapping[MapFormat, VeinMaps]],
    at: list[MapSum],
) -> None:
    """Compares with the similarities of the subjects' first images to each other."""
    by_net: list[NDArray[np.float64]] = []
    for of, sums in zip(FORMATS, at, strict=True):
        # AlexNet has one map of each: VGG16's last one is of the same image.
        last = [maps[one][of][-1:] for one in subject_ids]
        by_net.append(compare_cohort(last, sums).astype(np.float64))
    pairs = zip((*found.impostors, found.fused_impostors), (*by_net, sum(by_net) / 2), strict=True)
    for used, cohort in pairs:
        assert used is not None
        expected = Impostors.of(np.asarray(cohort))
        assert used.mean == pytest.approx(expected.mean, abs=1e-6)
        assert used.deviation == pytest.approx(expected.deviation, abs=1e-6)


def test_mean_maps_are_used_from_the_least_number_of_subjects_and_renewed_at_a_quarter(
    galleries: tuple[Gallery, GalleryIndex],
) -> None:
    gallery, index = galleries
    add_subjects(gallery, 0, MIN_SUBJECTS - 1)
    assert settled(index) == (0, 0)
    assert_compared_with(index, 19, gallery.sums_by_camera(FORMATS)[""])

    add_subjects(gallery, 19, 20)
    assert settled(index) == (20, 1)
    at_20 = gallery.sums_by_camera(FORMATS)[""]
    assert_compared_with(index, 20, at_20)

    add_subjects(gallery, 20, 24)
    assert settled(index) == (20, 1)
    assert_compared_with(index, 24, at_20)

    add_subjects(gallery, 24, 25)
    assert settled(index) == (25, 2)
    assert_compared_with(index, 25, gallery.sums_by_camera(FORMATS)[""])

    for i in range(24, 18, -1):
        gallery.delete(f"s{i}")
    assert settled(index) == (0, 3)
    assert_compared_with(index, 19, gallery.sums_by_camera(FORMATS)[""])


def test_a_new_index_uses_the_mean_map_at_once(gallery: Gallery) -> None:
    add_subjects(gallery, 0, 21)
    index = GalleryIndex(gallery, (NET, OTHER))
    assert_compared_with(index, 21, gallery.sums_by_camera(FORMATS)[""])
    assert (index.mean_map.subjects, index.mean_map.revision) == (21, 1)


def test_trained_subjects_do_not_bring_a_mean_map(gallery: Gallery) -> None:
    identities = [f"p{i:03}" for i in range(30)]
    nets = ToyNet(VGG16, identities), ToyNet(ALEXNET, identities)
    gallery.seed_trained(identities)
    for i, identity in enumerate(identities):
        enroll(gallery, identity, seed=i, add=True)
    index = GalleryIndex(gallery, nets)
    assert settled(index) == (0, 0)
    assert index.describe().searchable == 30


def test_what_changes_while_mean_maps_are_renewed_is_in_the_renewed_index(
    galleries: tuple[Gallery, GalleryIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery, index = galleries
    add_subjects(gallery, 0, 19)
    index.refresh()
    following = means.Means.following

    def interfere(*given: object) -> means.Means:
        monkeypatch.undo()
        chosen = following(*given)  # type: ignore[arg-type]
        add_subjects(gallery, 20, 22)
        return chosen

    monkeypatch.setattr(means.Means, "following", interfere)
    add_subjects(gallery, 19, 20)
    assert settled(index) == (20, 1)
    at_20 = [sum_over(VGG16, {str(i): vein_maps(2, i) for i in range(20)})]
    at_20 += [sum_over(ALEXNET, {str(i): vein_maps(1, i, ALEXNET) for i in range(20)})]
    assert_compared_with(index, 22, at_20, cohort=22)  # read after the sums


@pytest.mark.parametrize("loaded", [False, True], ids=["at the start", "while serving"])
def test_mean_maps_that_change_the_test_pairs_are_refused(
    open_gallery: Open, caplog: pytest.LogCaptureFixture, loaded: bool
) -> None:
    gallery = open_gallery()
    shared = vein_maps(1, 7)
    pairs = join_maps([shared_with(shared, 500 + i) for i in range(6)])
    index = GalleryIndex(open_gallery(), (ToyNet(VGG16, test_pairs=pairs), OTHER))
    if loaded:
        index.refresh()
    for i in range(20):
        templates = {VGG16: shared_with(shared, i), ALEXNET: vein_maps(1, i, ALEXNET)}
        gallery.enroll(f"s{i}", None, None, templates, add=False)
    with caplog.at_level(logging.ERROR):
        assert settled(index) == (0, 0)
    (line,) = caplog.messages
    assert "mean map of 20 subjects is not used" in line
    assert "vgg16/1" in line
    probes = [vein_maps(1, 99), vein_maps(1, 99, ALEXNET)]
    assert index.search(probes).fused_impostors is None

    enroll(gallery, "s20", seed=20)
    assert settled(index) == (0, 0)
    assert len(caplog.messages) == 1  # tried again only after another quarter


def shared_with(shared: VeinMaps, seed: int) -> VeinMaps:
    """A map of its own on top of what all share."""
    maps: NDArray[np.float32] = shared.deviations + 0.7 * vein_maps(1, seed).deviations
    return VeinMaps.of(maps, shared.usable.astype(np.float32))


def test_a_gallery_that_fails_meanwhile_is_tried_again_at_the_next_change(
    galleries: tuple[Gallery, GalleryIndex], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gallery, index = galleries
    add_subjects(gallery, 0, 19)
    index.refresh()
    intact = execute(path, "SELECT subjects, sums, net FROM map_sums")
    execute(path, "UPDATE map_sums SET subjects = 20, sums = zeroblob(3)")
    gallery.update("s0", {"name": "Ada"})
    assert settled(index) == (0, 0)
    assert "the mean map was not changed" in caplog.text
    for row in intact:
        execute(path, "UPDATE map_sums SET subjects = ?, sums = ? WHERE net = ?", *row)
    add_subjects(gallery, 19, 20)
    assert settled(index) == (20, 1)
