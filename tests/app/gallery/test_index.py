"""The index in memory: what it finds, compared with app.matching row by row, and when it reads."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.gallery.errors import GalleryUnusable
from app.gallery.following import Changes, Position
from app.gallery.gallery import Gallery
from app.gallery.index import comparison, rows, table
from app.gallery.index.comparison import Found
from app.gallery.index.memory import GalleryIndex
from app.matching.calibration import Calibration, Case, Threshold
from app.matching.maps import Signs, VeinMaps, join_maps
from app.matching.similarity import (
    COARSE_SHIFT,
    MIN_OVERLAP,
    probe_codes,
    similarities,
    template_codes,
)
from app.matching.templates import MapFormat
from tests.app.conftest import execute
from tests.app.gallery.conftest import (
    ALEXNET,
    BOTH_STORES,
    VGG16,
    Open,
    ToyNet,
    change_maps,
    vein_maps,
)

NETS = (ToyNet(VGG16), ToyNet(ALEXNET, trained_seed=2000))
Palm = Mapping[MapFormat, VeinMaps]


def palm(seed: int, images: int = 1, masked: float = 0.0) -> Palm:
    """Random maps of one palm by both nets."""
    return {net.format: vein_maps(images, seed, net.format, masked) for net in NETS}


def probe(seed: int, images: int = 1, masked: float = 0.0) -> list[VeinMaps]:
    return list(palm(seed, images, masked).values())


def joined(*palms: Palm) -> Palm:
    return {net.format: join_maps([one[net.format] for one in palms]) for net in NETS}


def enroll(gallery: Gallery, subject_id: str, seed: int, images: int = 1) -> None:
    gallery.enroll(subject_id, None, None, palm(seed, images), add=True)


def shipped(identity: int) -> Palm:
    """The templates that the nets have of a trained identity."""
    return {net.format: net.trained.maps[net.trained.owners == identity] for net in NETS}


def reference(
    templates: VeinMaps, probes: VeinMaps, mean: NDArray[np.float32] | None = None
) -> float:
    """Compares every image with every template, one by one."""
    of_images = [
        max(
            float(
                similarities(
                    probe_codes(Signs.of(probes[i : i + 1], mean)),
                    template_codes(Signs.of(templates[j : j + 1], mean)),
                    templates.shape,
                )[0]
            )
            for j in range(len(templates))
        )
        for i in range(len(probes))
    ]
    return float(np.mean(of_images))


def check(
    found: Found,
    expected: Mapping[str, Palm],
    probes: Sequence[VeinMaps],
    means: Sequence[NDArray[np.float32] | None] = (None, None),
) -> None:
    """Compares what was found with the reference over all subjects."""
    by_id = dict(
        zip([s.subject_id for s in found.subjects], np.stack(found.by_net, 1), strict=True)
    )
    assert set(by_id) == set(expected)
    for subject_id, own in expected.items():
        scores = [
            reference(own[net.format], of_net, mean)
            for net, of_net, mean in zip(NETS, probes, means, strict=True)
        ]
        assert by_id[subject_id] == pytest.approx(scores, abs=1e-6)
    counts = {s.subject_id: n for s, n in zip(found.subjects, found.template_counts, strict=True)}
    assert counts == {i: max(len(maps) for maps in own.values()) for i, own in expected.items()}


@pytest.fixture
def index(gallery: Gallery) -> GalleryIndex:
    return GalleryIndex(gallery, NETS)


def ids(index: GalleryIndex) -> set[str]:
    return {subject.subject_id for subject in index.search(probe(1)).subjects}


@pytest.mark.parametrize("masked", [0.0, 0.15])
def test_a_search_equals_comparing_every_map(
    gallery: Gallery, index: GalleryIndex, masked: float
) -> None:
    enrolled = {f"s{i}": palm(i, images=1 + i % 3, masked=masked * (i % 2)) for i in range(9)}
    for subject_id, maps in enrolled.items():
        gallery.enroll(subject_id, None, None, maps, add=False)
    probes = probe(50, images=2, masked=masked)
    found = index.search(probes)
    check(found, enrolled, probes)
    assert (found.gallery_size, index.describe().searchable) == (9, 9)
    assert (found.impostors, found.fused_impostors) == ((None, None), None)
    assert found.by_net[0].dtype == np.float32
    assert found.template_counts.dtype == np.int64

    one = index.verify("s4", probes)
    assert one is not None
    check(one, {"s4": enrolled["s4"]}, probes)
    assert one.gallery_size == 9


def test_an_empty_gallery_has_nobody(index: GalleryIndex) -> None:
    found = index.search(probe(1))
    assert (found.subjects, found.gallery_size) == ((), 0)
    assert [one.shape for one in found.by_net] == [(0,), (0,)]
    assert index.verify("ada", probe(1)) is None


def test_a_subject_needs_comparable_templates_of_every_net(
    gallery: Gallery, index: GalleryIndex
) -> None:
    other = VGG16._replace(template_id="f" * 16)
    half = {ALEXNET: palm(1)[ALEXNET], other: vein_maps(1)}
    gallery.enroll("ada", None, None, half, add=False)
    assert ids(index) == set()
    assert index.verify("ada", probe(1)) is None
    gallery.enroll("ada", None, None, palm(2), add=True)
    assert ids(index) == {"ada"}
    both = {ALEXNET: join_maps([half[ALEXNET], palm(2)[ALEXNET]]), VGG16: palm(2)[VGG16]}
    check(index.search(probe(3)), {"ada": both}, probe(3))


def test_trained_identities_are_compared_with_shipped_and_added_templates(
    gallery: Gallery, index: GalleryIndex
) -> None:
    gallery.seed_trained(["p001", "p002"])
    check(index.search(probe(3)), {"p001": shipped(0), "p002": shipped(1)}, probe(3))
    enroll(gallery, "p001", seed=4)
    expected = {"p001": joined(shipped(0), palm(4)), "p002": shipped(1)}
    check(index.search(probe(3)), expected, probe(3))
    check(GalleryIndex(gallery, NETS).search(probe(3)), expected, probe(3))
    assert [len(one) for one in index._current().rows] == [4, 4]


@pytest.mark.parametrize("loaded", [False, True], ids=["at the start", "after a change"])
def test_an_erased_identity_s_shipped_templates_are_not_used(
    gallery: Gallery, index: GalleryIndex, loaded: bool
) -> None:
    gallery.seed_trained(["p001", "p002"])
    if loaded:
        index.refresh()
    gallery.delete("p001")
    enroll(gallery, "p001", seed=4)
    check(index.search(probe(3)), {"p001": palm(4), "p002": shipped(1)}, probe(3))


@BOTH_STORES
def test_every_change_by_another_process_is_seen_by_the_next_call(open_gallery: Open) -> None:
    here, there = open_gallery(), open_gallery()
    index = GalleryIndex(there, NETS)
    assert ids(index) == set()
    enroll(here, "ada", seed=1)
    enroll(here, "eve", seed=2)
    assert ids(index) == {"ada", "eve"}
    here.update("ada", {"name": "Ada"})
    assert {s.name for s in index.search(probe(1)).subjects} == {"Ada", None}
    enroll(here, "ada", seed=3, images=2)
    expected = {"ada": joined(palm(1), palm(3, images=2)), "eve": palm(2)}
    check(index.search(probe(9)), expected, probe(9))
    here.delete("ada")
    check(index.search(probe(9)), {"eve": palm(2)}, probe(9))
    assert index.verify("ada", probe(1)) is None
    assert index.describe().searchable == 1
    enroll(here, "ada", seed=5)
    check(index.search(probe(9)), {"ada": palm(5), "eve": palm(2)}, probe(9))


@BOTH_STORES
def test_random_changes_leave_what_a_new_index_reads(open_gallery: Open) -> None:
    here, there = open_gallery(), open_gallery()
    index, draw = GalleryIndex(there, NETS), np.random.default_rng(0)
    expected: dict[str, Palm] = {}
    for step in range(60):
        subject_id = f"s{draw.integers(8)}"
        if subject_id in expected and draw.random() < 0.4:
            here.delete(subject_id)
            del expected[subject_id]
        else:
            added = palm(step, images=1 + step % 2)
            here.enroll(subject_id, None, None, added, add=True)
            before = [expected[subject_id]] if subject_id in expected else []
            expected[subject_id] = joined(*before, added)
        if step % 3 == 0:
            check(index.search(probe(99)), expected, probe(99))
    check(GalleryIndex(here, NETS).search(probe(99)), expected, probe(99))
    images = sum(len(own[VGG16]) for own in expected.values())
    assert [int((one.owners != rows.FREE).sum()) for one in index._current().rows] == [images] * 2


class MeteredGallery:
    """Counts the subjects that are read, and calls back after each page."""

    def __init__(self, gallery: Gallery) -> None:
        self.store = gallery
        self.read = self.pages = 0
        self.after_page: Callable[[], object] = lambda: None

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)

    def changes(self, after: Position, formats: Sequence[MapFormat], limit: int) -> Changes:
        changes = self.store.changes(after, formats, limit)
        self.read += len(changes.subjects)
        self.pages += 1
        self.after_page()
        return changes


def test_only_what_has_changed_is_read(gallery: Gallery) -> None:
    metered = MeteredGallery(gallery)
    for i in range(12):
        enroll(gallery, f"s{i}", seed=i)
    index = GalleryIndex(metered, NETS)
    index.refresh()
    index.search(probe(1))
    assert metered.read == 12
    enroll(gallery, "ada", seed=50)
    gallery.update("s3", {"name": "Ada"})
    gallery.delete("s4")
    index.refresh()
    index.search(probe(1))
    assert metered.read == 14


@pytest.mark.parametrize("change", ["add", "rename", "delete"])
def test_a_change_between_two_pages_is_not_missed(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(table, "_SUBJECTS_PER_PAGE", 2)
    for i in range(5):
        enroll(gallery, f"s{i}", seed=i)
    expected = {f"s{i}": palm(i) for i in range(5)}
    metered = MeteredGallery(gallery)

    def interfere() -> None:
        metered.after_page = lambda: None
        if change == "add":
            enroll(gallery, "s0", seed=70)
            expected["s0"] = joined(palm(0), palm(70))
        elif change == "delete":
            gallery.delete("s0")
            enroll(gallery, "s0", seed=71)
            expected["s0"] = palm(71)
        else:
            gallery.update("s0", {"name": "Ada"})

    metered.after_page = interfere
    found = GalleryIndex(metered, NETS).search(probe(9))
    check(found, expected, probe(9))
    assert any(subject.name for subject in found.subjects) == (change == "rename")


def test_of_many_callers_one_reads_the_gallery(gallery: Gallery) -> None:
    for i in range(5):
        enroll(gallery, f"s{i}", seed=i)
    metered = MeteredGallery(gallery)
    index, start = GalleryIndex(metered, NETS), threading.Barrier(8, timeout=60)

    def count() -> int:
        start.wait()
        return index.describe().searchable

    with ThreadPoolExecutor(8) as pool:
        assert [f.result() for f in [pool.submit(count) for _ in range(8)]] == [5] * 8
    assert (metered.read, metered.pages) == (5, 1)


def nearly(maps: VeinMaps, seed: int, noise: float = 0.5) -> VeinMaps:
    """Another image of the same palm."""
    rng = np.random.default_rng(seed)
    moved = maps.deviations + noise * rng.normal(size=maps.values.shape)
    return VeinMaps.of(moved.astype(np.float32), maps.usable.astype(np.float32))


def test_more_candidates_are_proposed_in_a_larger_gallery_up_to_a_limit(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "MAX_FULL_BYTES", 0)
    for i in range(12):
        enroll(gallery, f"s{i}", seed=i)
    index = GalleryIndex(gallery, NETS)
    probe = [vein_maps(1, 0, net.format) for net in NETS]
    found: list[int] = []
    for least, subjects_per_candidate, most in ((2, 4, 9), (5, 4, 9), (2, 2, 4)):
        monkeypatch.setattr(comparison, "CANDIDATES", least)
        monkeypatch.setattr(comparison, "SUBJECTS_PER_CANDIDATE", subjects_per_candidate)
        monkeypatch.setattr(comparison, "MOST_CANDIDATES", most)
        found.append(len(index.search(probe).subjects))
    assert found == [3, 5, 4]


@pytest.mark.parametrize("weights", [(), (0.2, 0.8)], ids=["first net", "heaviest net"])
@pytest.mark.parametrize("masked", [0.0, 0.1])
def test_coarse_maps_propose_the_right_subject_of_a_large_gallery(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch, weights: Sequence[float], masked: float
) -> None:
    monkeypatch.setattr(comparison, "MAX_FULL_BYTES", 0)
    monkeypatch.setattr(comparison, "CANDIDATES", 6)
    for i in range(40):
        enroll(gallery, f"s{i}", seed=i, images=2)
    index = GalleryIndex(gallery, NETS, weights)
    means = [one.mean() for one in gallery.sums_by_camera([net.format for net in NETS])[""]]
    for i in (0, 17, 39):
        own = palm(i, images=2)
        probes = [
            VeinMaps(maps.values * usable[..., None], usable)
            for maps in (nearly(own[net.format][1:], i) for net in NETS)
            for usable in [vein_maps(1, i, MapFormat("", "", maps.shape), masked).usable]
        ]
        found = index.search(probes)
        assert len(found.subjects) == 6
        assert found.gallery_size == 40
        best = found.subjects[int(np.argmax(found.by_net[0]))]
        assert best.subject_id == f"s{i}"
        proposed = {s.subject_id: palm(int(s.subject_id[1:]), images=2) for s in found.subjects}
        check(found, proposed, probes, means)


def test_the_coarse_similarity_allows_for_usable_places_at_the_best_shift(
    gallery: Gallery, index: GalleryIndex
) -> None:
    for i in range(8):
        gallery.enroll(f"s{i}", None, None, palm(i, masked=0.4), add=False)
    view, probes = index._current(), probe(50)
    found = comparison.coarse_similarity(view.rows[0], len(view.subjects), probes[0], None)
    windows = probe_codes(Signs.coarse(probes[0]), COARSE_SHIFT).bits
    for i in range(8):
        signs = Signs.coarse(palm(i, masked=0.4)[VGG16])
        own, usable = template_codes(signs).bits, signs.usable.mean()
        differing = np.bitwise_count(own ^ windows).sum(axis=1).min()
        bits = signs.shape.side**2 * signs.shape.channels
        expected = (1 - 2 * differing / bits) / max(usable, MIN_OVERLAP) ** 0.5
        assert found[view.slots[f"s{i}"]] == pytest.approx(expected)
    assert found.dtype == np.float32


def memory(index: GalleryIndex) -> bytes:
    """The bytes of all rows in memory."""
    held: list[bytes] = []
    for of_net in index._current().rows:
        held += [
            of_net.codes.bits.tobytes(),
            of_net.codes.places.tobytes(),
            of_net.coarse.tobytes(),
        ]
    return b"".join(held)


def test_nothing_of_an_erased_subject_remains_in_memory(
    gallery: Gallery, index: GalleryIndex
) -> None:
    for i in range(5):
        enroll(gallery, f"s{i}", seed=i)
    traces = [template_codes(Signs.of(maps)).bits.tobytes() for maps in probe(3)]
    traces.append(template_codes(Signs.coarse(probe(3)[0])).bits.tobytes())
    assert all(trace in memory(index) for trace in traces)
    gallery.delete("s3")
    assert not any(trace in memory(index) for trace in traces)
    assert "s3" not in repr(index._current().subjects)


def test_many_erased_subjects_are_dropped_from_memory(
    gallery: Gallery, index: GalleryIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "MIN_ERASED", 2)
    for i in range(8):
        enroll(gallery, f"s{i}", seed=i)
    index.refresh()
    for i in range(3):
        gallery.delete(f"s{i}")
    index.refresh()
    index.settle()
    assert [len(one) for one in index._current().rows] == [5, 5]
    check(index.search(probe(9)), {f"s{i}": palm(i) for i in range(3, 8)}, probe(9))
    assert index.mean_map.revision == 0


def test_rows_that_are_erased_during_a_search_are_left_out(
    gallery: Gallery, index: GalleryIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(4):
        enroll(gallery, f"s{i}", seed=i)
    index.refresh()
    compare = comparison.compare_one

    def erase_first(*given: object) -> NDArray[np.float32]:
        monkeypatch.undo()
        gallery.delete("s2")
        index.refresh()
        return compare(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(comparison, "compare_one", erase_first)
    found = index.search(probe(9))
    check(found, {f"s{i}": palm(i) for i in (0, 1, 3)}, probe(9))
    assert found.gallery_size == 3


def test_maps_that_an_earlier_release_stored_are_scaled_when_they_are_read(
    gallery: Gallery,
) -> None:
    nets = [ToyNet(VGG16, [f"p{i:03d}" for i in range(60)])]
    cohort = nets[0].cohort
    for i in range(24):  # enough for a mean map and the site's impostors
        scaled = cohort.scaled(vein_maps(1, seed=i))
        gallery.enroll(f"s{i:02d}", None, None, {VGG16: scaled}, add=False)
    probes = [cohort.scaled(vein_maps(1, seed=1))]
    before, after = GalleryIndex(gallery, nets), GalleryIndex(gallery, nets)
    expected = before.search(probes)
    change_maps(gallery, lambda stored: stored[: VGG16.shape.unscaled_bytes])
    found = after.search(probes)
    assert found.by_net[0] == pytest.approx(expected.by_net[0], abs=1e-4)
    assert found.by_net[0].argmax() == 1
    assert found.by_net[0].max() > 5  # deviations, no similarity
    assert after.mean_map == before.mean_map
    assert after.mean_map.impostors is not None


def test_searches_during_changes_give_only_complete_answers(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "MIN_ERASED", 4)  # rebuilds meanwhile, too
    here, there = open_gallery(), open_gallery()
    index, probes, done = GalleryIndex(there, NETS), probe(99), threading.Event()
    for i in range(6):
        enroll(here, f"fixed{i}", seed=i, images=2)
    rounds = range(12)
    allowed = {f"fixed{i}": [palm(i, images=2)] for i in range(6)}
    allowed |= {f"s{i}": [palm(100 + i), joined(palm(100 + i), palm(200 + i))] for i in rounds}
    scores = {
        subject_id: {
            min(len(maps) for maps in own.values()): [
                reference(own[net.format], of_net) for net, of_net in zip(NETS, probes, strict=True)
            ]
            for own in states
        }
        for subject_id, states in allowed.items()
    }

    def change() -> None:
        try:
            for i in rounds:
                enroll(here, f"s{i}", seed=100 + i)
                enroll(here, f"s{i}", seed=200 + i)
                if i % 2:
                    here.delete(f"s{i - 1}")
        finally:
            done.set()

    def look() -> int:
        searches = 0
        while not done.is_set() or not searches:
            found, searches = index.search(probes), searches + 1
            known = {subject.subject_id for subject in found.subjects}
            assert known >= {f"fixed{i}" for i in range(6)}
            for i, subject in enumerate(found.subjects):
                expected = scores[subject.subject_id][int(found.template_counts[i])]
                assert [one[i] for one in found.by_net] == pytest.approx(expected, abs=1e-6)
        return searches

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(look), pool.submit(look), pool.submit(change)]
        for future in running:
            future.result()
    index.settle()
    assert ids(index) == {f"fixed{i}" for i in range(6)} | {f"s{i}" for i in rounds if i % 2}


@pytest.mark.parametrize("of", [VGG16, ALEXNET], ids=str)
def test_a_damaged_template_is_reported_until_its_subject_is_deleted(
    gallery: Gallery, index: GalleryIndex, path: Path, of: MapFormat
) -> None:
    enroll(gallery, "ada", seed=1)
    index.refresh()
    for i in range(4):
        enroll(gallery, f"eve{i}", seed=2, images=2)
    damage = "UPDATE maps SET map = substr(map, 2) WHERE subject_id LIKE 'eve%' AND net = ?"
    execute(path, damage, of.net)
    named = r"'eve0', 'eve1', 'eve2', \.\.\. \(4 in all\)"
    for call in (index.refresh, index.describe, lambda: index.verify("ada", probe(1))):
        with pytest.raises(GalleryUnusable, match=f"templates of {of} of subject {named}.*read"):
            call()
    for i in range(4):
        gallery.delete(f"eve{i}")
    check(index.search(probe(9)), {"ada": palm(1)}, probe(9))


def test_rows_keep_earlier_views_while_they_grow() -> None:
    kept = rows.Rows(VGG16.shape, coarse=True)
    kept.append(vein_maps(3, 1), None, np.array([0, 1, 2], np.int32))
    view = kept.view()
    before = view.codes.bits.copy()
    kept.append(vein_maps(200, 2), None, np.arange(3, 203, dtype=np.int32))
    np.testing.assert_array_equal(view.codes.bits, before)
    assert len(view) == 3
    expected = template_codes(Signs.of(join_maps([vein_maps(3, 1), vein_maps(200, 2)])))
    np.testing.assert_array_equal(kept.view().codes.bits, expected.bits)
    np.testing.assert_array_equal(kept.view().owners, np.arange(203))


def test_the_net_with_the_clearest_scores_of_the_heaviest_proposes() -> None:
    def calibrated(temperature: float) -> Calibration:
        cases = [
            Case(False, 1, 1, 0.9, (Threshold(0.3, 1e-2),)),
            Case(True, 3, 1, 9.0, (Threshold(4.0, 1e-2),)),
            Case(True, 1, 1, temperature, (Threshold(3.0, 1e-2),)),
        ]
        return Calibration(tuple(cases))

    nets = [calibrated(temperature) for temperature in (0.3, 0.2, 0.4)]
    assert comparison.choose_proposer((1 / 3,) * 3, nets) == 1
    assert comparison.choose_proposer((0.4, 0.2, 0.4), nets) == 0
    assert comparison.choose_proposer((0.2, 0.2, 0.6), nets) == 2
