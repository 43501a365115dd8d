"""Calibration at the site: stated against observed false match rates."""

from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np
import pytest
from numpy.typing import NDArray

from app.matching import cohort
from app.matching.calibration import Calibration, Case, Threshold
from app.matching.impostors import Impostors
from app.matching.maps import MapShape, Signs, VeinMaps
from app.matching.mean_map import MapSum
from app.matching.scores import compare_each
from app.matching.similarity import probe_codes, similarities, template_codes
from app.site import Enrolled, measure_site

SHAPE = MapShape(10, 4)


def draw(
    subjects: int, *, images: int = 2, shared: float = 0.0, seed: int = 0
) -> tuple[VeinMaps, NDArray[np.int64]]:
    """Draws maps of subjects who share a part of their veins."""
    rng = np.random.default_rng(seed)
    common = shared * rng.normal(size=(10, 10, 4))
    own = rng.normal(size=(subjects, 1, 10, 10, 4))
    maps = common + own + rng.normal(0, 0.3, (subjects, images, 10, 10, 4))
    flat = maps.reshape(-1, 10, 10, 4).astype(np.float32)
    owners = np.repeat(np.arange(subjects), images)
    return VeinMaps.of(flat, np.ones(flat.shape[:3], np.float32)), owners


def enrolled(maps: VeinMaps, owners: NDArray[np.int64], total: MapSum | None = None) -> Enrolled:
    return Enrolled([maps[owners == subject] for subject in range(owners[-1] + 1)], total)


def shipped(*similarities_at: float) -> Calibration:
    """Returns thresholds at 1e-1, 1e-2 and 1e-3."""
    fmrs = (1e-1, 1e-2, 1e-3)
    thresholds = [Threshold(s, f, 10**6) for s, f in zip(similarities_at, fmrs, strict=True)]
    cases = [Case(False, count, 1, 0.05, tuple(thresholds)) for count in (1, 3)]
    return Calibration(tuple(cases))


def impostors(maps: VeinMaps, owners: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compares every subject's first image with the templates of all others, in plain steps."""
    found: list[float] = []
    for probe in range(owners[-1] + 1):
        first = np.flatnonzero(owners == probe)[:1]
        for subject in range(owners[-1] + 1):
            if subject != probe:
                codes = template_codes(Signs.of(maps[owners == subject]))
                windows = probe_codes(Signs.of(maps[first]))
                found.append(float(similarities(windows, codes, SHAPE).max()))
    return np.array(found)


def test_observed_rates_are_counted_and_raised_to_the_stated_ones() -> None:
    maps, owners = draw(24)
    found = impostors(maps, owners)
    limits = np.quantile(found, (0.8, 0.95, 1.0))  # too low: 20 and 5 % reach them
    calibration = shipped(*(float(limit) for limit in limits))
    ids = [f"s{i}" for i in range(24)]
    report, _ = measure_site(ids, [enrolled(maps, owners)], ["net:0"], [1.0], calibration)

    assert report.comparisons == 24 * 23
    assert [rate.fmr for rate in report.rates] == [1e-1, 1e-2]  # 1e-3 needs 3,000 comparisons
    for rate, limit in zip(report.rates, limits, strict=False):
        assert rate.false_matches == (found >= limit).sum()
        assert rate.observed == pytest.approx(rate.false_matches / len(found))
        assert rate.interval[0] < rate.observed < rate.interval[1]
        assert rate.raised_by > 0
    raised = report.apply(calibration)
    for case in raised.cases:
        for rate, threshold in zip(report.rates, case.thresholds, strict=False):
            assert (found >= threshold.score).mean() <= rate.fmr
        rises = [threshold.score for threshold in case.thresholds]
        assert rises == sorted(rises)


@pytest.mark.parametrize("many", [13, 12], ids=["in parts", "all at once"])
def test_nobody_s_own_share_is_in_the_mean_map(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cohort, "MANY", many)
    maps, owners = draw(12, shared=1.0)
    further, of = draw(20, shared=1.0, seed=5)
    own = enrolled(maps, owners).maps
    total = reduce(add, map(MapSum.of, [*own, *enrolled(further, of).maps]))
    found: list[float] = []
    for i in range(12):
        for j in range(12):
            rest = total
            if many > 12:  # the parts are subjects 0 and 1, 2 and 3, then one each
                for one in {p for k in (i, j) for p in ({k, k ^ 1} if k < 4 else {k})}:
                    rest = rest - MapSum.of(own[one])
            if i != j:
                found.append(float(compare_each(own[i][:1], own[j], rest.mean(least=2)).max()))
    impostors = Impostors(0.1, 0.05)
    scores = (np.array(found) - 0.1) / 0.05
    limits = np.quantile(scores, (0.8, 0.95, 1.0)).tolist()
    cases = tuple(replace(case, mean_map=True) for case in shipped(*limits).cases)
    report, _ = measure_site(
        [f"s{i}" for i in range(12)],
        [enrolled(maps, owners, total)],
        ["net:0"],
        [1.0],
        Calibration(cases),
        impostors=impostors,
    )
    (rate,) = report.rates
    assert rate.false_matches == (scores >= limits[0] - 1e-5).sum()


def test_a_threshold_is_lowered_only_if_that_is_asked_for() -> None:
    maps, owners = draw(12)
    calibration = shipped(0.9, 0.95, 0.99)
    arguments = ([f"s{i}" for i in range(12)], [enrolled(maps, owners)], ["net:0"], [1.0])
    kept, _ = measure_site(*arguments, calibration)
    lowered, _ = measure_site(*arguments, calibration, may_lower=True)
    assert kept.apply(calibration) == calibration
    assert lowered.rates[0].raised_by < 0
    assert lowered.apply(calibration).cases[0].thresholds[0].score < 0.9


def test_a_threshold_is_lowered_only_where_that_was_measured() -> None:
    maps, owners = draw(12)  # they measure 1e-1, not 1e-2
    cases = shipped(0.9, 0.95, 0.99).cases
    with_mean = replace(cases[0], mean_map=True)
    two_probes = replace(cases[0], probes=2)
    calibration = Calibration((*cases, with_mean, two_probes))
    report, _ = measure_site(
        [f"s{i}" for i in range(12)],
        [enrolled(maps, owners)],
        ["net:0"],
        [1.0],
        calibration,
        may_lower=True,
    )
    lowered = report.apply(calibration)
    assert [t.score for t in lowered.cases[0].thresholds[1:]] == [0.95, 0.99]
    assert lowered.cases[2:] == calibration.cases[2:]


def test_a_former_raise_is_kept_by_a_later_report_of_fewer_subjects() -> None:
    calibration = shipped(0.1, 0.15, 0.2)
    reports = []
    for subjects, shared in ((24, 2.0), (12, 0.0)):
        maps, owners = draw(subjects, shared=shared)
        ids = [f"s{i}" for i in range(subjects)]
        report, _ = measure_site(ids, [enrolled(maps, owners)], ["net:0"], [1.0], calibration)
        reports.append(report)
    former, later = reports
    assert later.rates[0].raised_by < former.rates[0].raised_by
    kept = later.keep_raised(former)
    assert [rate.fmr for rate in kept.rates] == [1e-1, 1e-2]
    assert [r.raised_by for r in kept.rates] == [r.raised_by for r in former.rates]
    others = former.model_copy(update={"calibration": "of other thresholds"})
    assert later.keep_raised(others) == later


def test_suspects_that_leave_too_few_comparisons_are_named() -> None:
    maps, owners = draw(6)
    values = maps.values.copy()
    values[owners == 5] = values[owners == 1]
    with pytest.raises(ValueError, match=r"28 comparisons are left, 30 are needed.*s1 or s5"):
        measure_site(
            [f"s{i}" for i in range(6)],
            [enrolled(VeinMaps(values, maps.usable), owners)],
            ["net:0"],
            [1.0],
            shipped(0.5, 0.6, 0.7),
        )


def test_one_palm_under_two_ids_is_a_suspect_and_no_false_match() -> None:
    maps, owners = draw(12)
    values = maps.values.copy()
    values[owners == 7] = values[owners == 2]
    twice = VeinMaps(values, maps.usable)
    ids = [f"s{i}" for i in range(12)]
    report, (suspect,) = measure_site(
        ids, [enrolled(twice, owners)], ["net:0"], [1.0], shipped(0.6, 0.7, 0.8)
    )
    assert suspect == ("s2", "s7", 1)
    assert report.suspect_pairs == 1
    assert report.comparisons == 12 * 11 - 2
    assert report.rates[0].false_matches == 0


def test_many_pairs_as_alike_as_one_palm_are_false_matches() -> None:
    maps, owners = draw(12, shared=5.0)
    rng = np.random.default_rng(0)
    blurred = VeinMaps.of(
        (maps.deviations + rng.normal(0, 5, maps.values.shape)).astype(np.float32),
        np.ones(maps.usable.shape, np.float32),
    )
    report, suspects = measure_site(
        [f"s{i}" for i in range(12)],
        [enrolled(blurred, owners)],
        ["net:0"],
        [1.0],
        shipped(0.1, 0.9, 0.95),
    )
    assert suspects == []
    assert report.comparisons == 12 * 11
    assert report.rates[0].false_matches > 30


def test_the_nets_are_fused_with_their_weights() -> None:
    first, owners = draw(10, seed=1)
    second, _ = draw(10, seed=2)
    nets = [enrolled(first, owners), enrolled(second, owners)]
    fused = 0.25 * impostors(first, owners) + 0.75 * impostors(second, owners)
    limit = float(np.quantile(fused, 0.7)) + 1e-4  # between two of the values
    report, _ = measure_site(
        [f"s{i}" for i in range(10)], nets, ["a:0", "b:0"], [0.25, 0.75], shipped(limit, 0.9, 0.99)
    )
    assert report.rates[0].false_matches == (fused >= limit).sum()


def test_too_few_subjects_are_refused_with_what_is_needed() -> None:
    maps, owners = draw(5)
    with pytest.raises(ValueError, match=r"5 enrolled subjects .* 30 are needed"):
        measure_site(
            ["a", "b", "c", "d", "e"],
            [enrolled(maps, owners)],
            ["net:0"],
            [1.0],
            shipped(0.5, 0.6, 0.7),
        )
