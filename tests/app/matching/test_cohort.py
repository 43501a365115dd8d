"""A site's subjects are compared as strangers to the mean map."""

import numpy as np
import pytest

from app.matching.cohort import PARTS, compare_cohort
from app.matching.impostors import Impostors
from app.matching.maps import Floats, MapShape, VeinMaps, join_maps
from app.matching.mean_map import MapSum
from app.matching.scores import compare_each

SHAPE = MapShape(12, 4)


def draw(subjects: int, images: int = 2, shared: float = 1.0, seed: int = 0) -> list[VeinMaps]:
    """Draws subjects who share a part of their veins, as palms before one camera do."""
    rng = np.random.default_rng(seed)
    side, channels = SHAPE
    common = shared * rng.normal(size=(side, side, channels))
    own = rng.normal(size=(subjects, 1, side, side, channels))
    noise = rng.normal(0, 0.5, (subjects, images, side, side, channels))
    maps = (common + own + noise).astype(np.float32)
    return [VeinMaps.of(one, np.ones(one.shape[:3], np.float32)) for one in maps]


def sum_of(subjects: list[VeinMaps]) -> MapSum:
    total = MapSum.empty(SHAPE)
    for maps in subjects:
        total += MapSum.of(maps)
    return total


def others(cohort: Floats) -> Floats:
    return cohort[~np.eye(len(cohort), dtype=bool)]


@pytest.mark.parametrize("subjects", [2, 3, 2 * PARTS, 2 * PARTS + 5])
def test_two_subjects_are_compared_under_the_mean_of_the_other_parts(subjects: int) -> None:
    palms, further = draw(subjects), draw(4, seed=9)
    found = compare_cohort(palms, sum_of(palms + further))
    parts = np.array_split(np.arange(subjects), min(PARTS, subjects))
    part_of = {int(i): set(part.tolist()) for part in parts for i in part}
    for i in range(subjects):
        for j in range(subjects):
            left_out = part_of[i] | part_of[j]
            rest = [maps for k, maps in enumerate(palms) if k not in left_out] + further
            pair = (i, j) if i <= j else (j, i)
            expected = {
                compare_each(palms[a][:1], palms[b][:1], sum_of(rest).mean(least=2)).item()
                for a, b in (pair, pair[::-1])
            }
            assert any(found[i, j] == pytest.approx(one, abs=1e-6) for one in expected)


def test_a_cohort_of_twenty_is_as_alike_as_strangers_are() -> None:
    strangers = draw(60, images=1)
    palms, probes = strangers[:20], strangers[20:]
    total = sum_of(palms)
    cohort = others(compare_cohort(palms, total, shift=0))
    rest = join_maps(probes)
    truth = others(compare_each(rest, rest, total.mean(), shift=0))
    inside = join_maps([maps[:1] for maps in palms])
    naive = others(compare_each(inside, inside, total.mean(), shift=0))
    # As members of the mean map they seem less alike than they are.
    assert truth.mean() - naive.mean() > 0.6 * truth.std()
    assert abs(truth.mean() - cohort.mean()) < 0.2 * truth.std()


def test_a_subject_that_overlaps_with_nobody_does_not_widen_the_scale() -> None:
    palms = draw(30)
    hidden = np.zeros((2, 12, 12), np.float32)
    hidden[:, :3] = 1.0  # a quarter of its places is usable
    blind = VeinMaps.of(palms[0].deviations, hidden)
    cohort = compare_cohort([*palms[1:], blind], sum_of([*palms[1:], blind]))
    assert np.isnan(cohort[-1, :-1]).all()
    assert np.isnan(cohort[:-1, -1]).all()
    assert not np.isnan(others(cohort[:-1, :-1])).any()
    seen = Impostors.of(compare_cohort(palms[1:], sum_of(palms[1:])))
    assert Impostors.of(cohort).deviation == pytest.approx(seen.deviation, rel=0.1)
