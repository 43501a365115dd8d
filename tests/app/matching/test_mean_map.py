"""The mean map of a site's subjects."""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.matching.maps import MapShape, Signs, VeinMaps
from app.matching.mean_map import MIN_SUBJECTS, MapSum
from app.matching.similarity import probe_codes, similarities, template_codes

SHAPE = MapShape(14, 4)
ONES = np.ones((1, 14, 14), np.float32)


def draw(rng: np.random.Generator, shared: NDArray[np.floating], images: int = 1) -> VeinMaps:
    """Draws maps of one palm: what it shares with others, its own veins, and noise."""
    own = rng.normal(size=(14, 14, 4))
    maps = shared + own + rng.normal(0, 0.5, (images, 14, 14, 4))
    maps = (maps - maps.mean(axis=(1, 2), keepdims=True)) / maps.std(axis=(1, 2), keepdims=True)
    return VeinMaps.of(maps.astype(np.float32), np.repeat(ONES, images, 0))


def total(palms: list[VeinMaps]) -> MapSum:
    found = MapSum.empty(SHAPE)
    for maps in palms:
        found = found + MapSum.of(maps)
    return found


def impostor_similarity(palms: list[VeinMaps], mean: NDArray[np.float32] | None) -> float:
    codes = [template_codes(Signs.of(maps, mean)) for maps in palms]
    found = [
        similarities(probe_codes(Signs.of(probe[:1], mean)), code, SHAPE).max()
        for i, probe in enumerate(palms)
        for j, code in enumerate(codes)
        if i != j
    ]
    return float(np.mean(found))


def test_every_subject_counts_once_however_many_images_it_has() -> None:
    rng = np.random.default_rng(0)
    palms = [draw(rng, np.zeros((14, 14, 4)), images) for images in (1, 5)]
    expected = sum(maps.deviations.mean(axis=0, dtype=np.float64) for maps in palms)
    assert np.allclose(total(palms).total, expected)
    assert total(palms).subjects == 2


def test_a_subject_is_taken_out_again() -> None:
    rng = np.random.default_rng(1)
    palms = [draw(rng, np.zeros((14, 14, 4)), 2) for _ in range(4)]
    without = total(palms) - MapSum.of(palms[2])
    expected = total([*palms[:2], palms[3]])
    assert np.allclose(without.total, expected.total)
    assert np.allclose(without.squares, expected.squares)
    assert without.subjects == 3


def test_below_the_least_number_of_subjects_there_is_no_mean() -> None:
    rng = np.random.default_rng(2)
    palms = [draw(rng, np.ones((14, 14, 4))) for _ in range(MIN_SUBJECTS)]
    assert total(palms[1:]).mean() is None
    assert total(palms).mean() is not None


def test_without_what_they_share_strangers_are_no_longer_alike() -> None:
    rng = np.random.default_rng(3)
    shared = rng.normal(size=(14, 14, 4))
    enrolled = [draw(rng, shared) for _ in range(60)]
    strangers = [draw(rng, shared) for _ in range(15)]
    nothing_shared = [draw(rng, np.zeros((14, 14, 4))) for _ in range(15)]
    before = impostor_similarity(strangers, None)
    after = impostor_similarity(strangers, total(enrolled).mean())
    chance = impostor_similarity(nothing_shared, None)
    assert before > chance + 0.15
    assert after < chance + 0.04


def test_palms_that_share_nothing_are_left_alone() -> None:
    rng = np.random.default_rng(4)
    enrolled = [draw(rng, np.zeros((14, 14, 4))) for _ in range(25)]
    plain = total(enrolled).total / 25
    mean = total(enrolled).mean()
    assert mean is not None
    assert np.square(mean).mean() < 0.05 * np.square(plain).mean()


def test_sums_are_stored_and_read_back() -> None:
    found = total([draw(np.random.default_rng(5), np.zeros((14, 14, 4)))])
    read = MapSum.from_bytes(found.to_bytes(), 1, SHAPE)
    assert np.array_equal(read.total, found.total)
    assert np.array_equal(read.squares, found.squares)


def test_damaged_sums_are_refused() -> None:
    stored = MapSum.empty(SHAPE).to_bytes()
    with pytest.raises(ValueError, match=f"has {len(stored)} bytes, not {len(stored) - 8}"):
        MapSum.from_bytes(stored[8:], 0, SHAPE)
    with pytest.raises(ValueError, match="not finite"):
        MapSum.from_bytes(np.full(len(stored) // 8, np.nan).tobytes(), 1, SHAPE)
