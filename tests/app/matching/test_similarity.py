"""The agreement of vein maps' signs, compared with a loop over shifts and places."""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.matching.hamming import hamming, hamming_to_nearest
from app.matching.maps import MapShape, Signs, VeinMaps
from app.matching.similarity import (
    COARSE_SHIFT,
    MIN_OVERLAP,
    NO_SIMILARITY,
    SHIFT,
    agreement,
    probe_codes,
    similarities,
    template_codes,
)

SHAPE = MapShape(9, 4)


def random_maps(count: int, seed: int = 0, masked: float = 0.0) -> VeinMaps:
    rng = np.random.default_rng(seed)
    side, channels = SHAPE
    maps = rng.normal(size=(count, side, side, channels)).astype(np.float32)
    return VeinMaps.of(maps, (rng.random((count, side, side)) >= masked).astype(np.float32))


def compare(probe: Signs, templates: Signs, shift: int = SHIFT) -> NDArray[np.float32]:
    codes = probe_codes(probe, shift), template_codes(templates)
    return similarities(*codes, probe.shape, shift)


def reference(probe: Signs, templates: Signs, shift: int = SHIFT) -> list[float]:
    """Counts agreeing signs place by place; unusable ones agree in half of the channels."""
    side, channels = probe.shape
    of_probe = [1, -1, 1, -1][:channels]
    of_template = [1, 1, -1, -1][:channels]
    best: list[float] = []
    for template in range(len(templates.usable)):
        found = [NO_SIMILARITY]
        for down in range(-shift, shift + 1):
            for right in range(-shift, shift + 1):
                agreements, common = 0, 0
                for row in range(side):
                    for column in range(side):
                        here, there = (template, row, column), (0, row + down, column + right)
                        inside = 0 <= row + down < side and 0 <= column + right < side
                        seen = inside and bool(probe.usable[there])
                        one = np.where(probe.positive[there], 1, -1) if seen else of_probe
                        other = np.where(templates.positive[here], 1, -1)
                        other = other if templates.usable[here] else of_template
                        agreements += int(np.dot(one, other))
                        common += int(seen and templates.usable[here])
                if common >= MIN_OVERLAP * (side - shift) ** 2:
                    found.append(agreements / (side * channels * common**0.5))
        best.append(max(found))
    return best


@pytest.mark.parametrize(
    ("probe_masked", "templates_masked"), [(0, 0), (0.15, 0), (0, 0.15), (0.15, 0.15), (0.35, 0.1)]
)
def test_similarities_equal_a_loop_over_shifts_and_usable_places(
    probe_masked: float, templates_masked: float
) -> None:
    probe = Signs.of(random_maps(1, 1, probe_masked))
    templates = Signs.of(random_maps(5, 2, templates_masked))
    assert compare(probe, templates) == pytest.approx(reference(probe, templates))


def test_only_some_templates_with_masks_are_compared_over_usable_places() -> None:
    whole, partial = random_maps(3, 3), random_maps(3, 4, masked=0.2)
    mixed = VeinMaps(
        np.concatenate([whole.values, partial.values]),
        np.concatenate([whole.usable, partial.usable]),
    )
    probe, templates = Signs.of(random_maps(1, 5)), Signs.of(mixed)
    assert compare(probe, templates) == pytest.approx(reference(probe, templates))


def test_coarse_maps_are_compared_in_the_same_way() -> None:
    probe = Signs.coarse(random_maps(1, 6, masked=0.1))
    templates = Signs.coarse(random_maps(4, 7, masked=0.1))
    found = compare(probe, templates, COARSE_SHIFT)
    assert found == pytest.approx(reference(probe, templates, COARSE_SHIFT))


def test_a_map_equals_itself_and_itself_moved_but_not_another() -> None:
    maps = random_maps(2, 8)
    moved = VeinMaps(np.roll(maps.values, (SHIFT, -SHIFT), (1, 2)), maps.usable)
    same = compare(Signs.of(maps[:1]), Signs.of(maps))
    shifted = compare(Signs.of(moved[:1]), Signs.of(maps))
    assert same[0] == 1
    overlap = (1 - SHIFT / SHAPE.side) ** 2
    assert shifted[0] == pytest.approx(overlap**0.5, abs=0.25)  # the rest agrees by chance
    assert max(same[1], shifted[1]) < 0.4


def test_maps_with_too_few_usable_places_have_no_similarity() -> None:
    maps = random_maps(2, 9)
    usable = maps.usable.copy()
    usable[0, :, 2:] = False  # 18 of 81 places are left
    found = compare(Signs.of(VeinMaps(maps.values, usable)[:1]), Signs.of(maps))
    assert found[1] == NO_SIMILARITY


def test_no_templates_give_no_similarities() -> None:
    probe, nobody = Signs.of(random_maps(1)), Signs.of(VeinMaps.empty(SHAPE))
    assert compare(probe, nobody).shape == (0,)


def test_hamming_counts_differing_bits_on_any_number_of_threads() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 256, (5000, 1152), dtype=np.uint8)
    others = rng.integers(0, 256, (25, 1152), dtype=np.uint8)
    found = hamming(rows, others)
    chosen = rng.integers(0, 5000, 40)
    expected = np.bitwise_count(rows[chosen, None] ^ others[None]).sum(axis=-1)
    assert np.array_equal(found[chosen], expected)


@pytest.mark.parametrize("rows", [0, 1, 70_001])  # the last are divided among all cores
def test_the_nearest_of_each_group_is_that_of_every_row_compared_with_all(rows: int) -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**64, (rows, 1), dtype=np.uint64)
    groups = rng.integers(0, 2**64, (3, 5, 1), dtype=np.uint64)
    found = hamming_to_nearest(words.view(np.uint8), groups.view(np.uint8))
    differing = np.bitwise_count(groups[:, :, None] ^ words).sum(axis=-1)
    assert np.array_equal(found, differing.min(axis=1))


def test_an_error_on_one_of_several_threads_is_raised() -> None:
    with pytest.raises(ValueError, match="4 bytes"):
        hamming_to_nearest(np.zeros((70_001, 3), np.uint8), np.zeros((1, 2, 4), np.uint8))


@pytest.mark.parametrize("side", [7, 8, 12, 14, 28])  # rows that start a byte, or do not
def test_a_probe_is_packed_at_every_shift(side: int) -> None:
    rng = np.random.default_rng(side)
    usable = rng.random((1, side, side)) < 0.9
    positive = (rng.random((1, side, side, 3)) < 0.5) & usable[..., None]
    found = probe_codes(Signs(positive, usable), 2)
    filled = np.where(usable[0, ..., None], positive[0], [True, False, True])
    for shift, (down, right) in enumerate(np.ndindex(5, 5)):
        signs = np.tile(np.array([True, False, True]), (side + 4, side + 4, 1))
        signs[2:-2, 2:-2] = filled
        seen = np.zeros((side + 4, side + 4), bool)
        seen[2:-2, 2:-2] = usable[0]
        cut = np.s_[down : down + side, right : right + side]
        planes = [np.packbits(signs[cut][..., channel]) for channel in range(3)]
        assert np.array_equal(found.bits[shift], np.concatenate(planes))
        assert np.array_equal(found.places[shift], np.packbits(seen[cut]))
        assert found.whole[shift] == seen[cut].all()


def test_hamming_refuses_rows_of_different_length() -> None:
    with pytest.raises(ValueError, match="3 and 4 bytes"):
        hamming(np.zeros((1, 3), np.uint8), np.zeros((1, 4), np.uint8))


def test_agreement_shows_where_a_probe_is_like_its_best_template() -> None:
    maps = random_maps(3, 10)
    values = maps.values.copy()
    values[0] = values[2]  # like the third map, but for one place
    values[0, 4, 4] = np.where(values[2, 4, 4] > 0, -64, 64)
    usable = maps.usable.copy()
    usable[0, 2, 2] = False
    probe = Signs.of(VeinMaps(values, usable)[:1])
    templates = template_codes(Signs.of(maps[1:]))
    found = agreement(probe, templates)
    assert found.shape == (9, 9)
    assert found[4, 4] == 0
    assert (found[3, 3:6] > 0.6).all()  # the levels of the two differ a little
    assert np.isnan(found[2, 2])
    assert not np.isnan(found[0]).any()


def test_agreement_is_shown_at_the_places_of_the_probe_when_it_is_moved() -> None:
    maps = random_maps(2, 11)
    moved = VeinMaps(np.roll(maps.values[:1], (2, -1), (1, 2)), maps.usable[:1])
    found = agreement(Signs.of(moved), template_codes(Signs.of(maps)))
    assert np.isnan(found[:2]).all()  # they came in from outside
    assert np.isnan(found[:, -1]).all()
    assert (found[2:, :-1] == 1).all()
