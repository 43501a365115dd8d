"""Cases: which are calibrated, from which images, and with which mean map."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from app.matching.cohort import compare_cohort
from app.matching.maps import VeinMaps
from app.matching.mean_map import MapSum
from tests.training.toy_palms import make_palms, palms_of
from training.database.palms import Palms
from training.versions import calibrate as module
from training.versions.calibrate import (
    CaseKind,
    StrangerMaps,
    calibrate_net,
    choose_cases,
    describe_cases,
    fuse_trials,
    trials_by_case,
)
from training.versions.case import Trials
from training.versions.compare import compare_maps
from training.versions.strangers import Strangers

SIDE, CHANNELS = 12, 4


def strangers(identities: int, shots: int = 6) -> Strangers:
    return Strangers.choose(make_palms(identities, sessions=2, shots=shots), Path("some"))


def maps_of(palms: Palms, seed: int = 0) -> VeinMaps:
    """Maps with a pattern of their identity, and noise of their image."""
    patterns = np.random.default_rng(seed).normal(size=(1000, SIDE, SIDE, CHANNELS))
    shape = patterns.shape[1:]
    noise = [np.random.default_rng((seed, row)).normal(size=shape) for row in palms.rows]
    values = patterns[palms.labels] + np.stack(noise)
    return VeinMaps.of(values.astype(np.float32), np.ones((len(palms), SIDE, SIDE), np.float32))


def toy(identities: int, shots: int = 6, seed: int = 0) -> StrangerMaps:
    cameras = [strangers(identities, shots)]
    return StrangerMaps.of_cameras(cameras, lambda palms: maps_of(palms, seed), "toy")[0]


def test_all_cases_are_calibrated_if_there_are_enough_images_and_strangers() -> None:
    kinds = choose_cases([strangers(40), strangers(45)], 1e-1)
    assert kinds[0] == CaseKind(mean_map=True, templates=3, probes=1)  # which chooses weights
    assert set(kinds) == {
        CaseKind(mean, templates, probes)
        for mean in (False, True)
        for templates in (1, 3, 6)
        for probes in (1, 2)
    }
    assert describe_cases(kinds) == "calibrated for 1, 3 or 6 templates and 1 or 2 probe images"


def test_fewer_images_leave_fewer_cases() -> None:
    kinds = choose_cases([strangers(25), strangers(25, shots=3)], 1e-1)
    assert {(kind.templates, kind.probes) for kind in kinds} == {(1, 1), (1, 2), (3, 1), (3, 2)}
    (single,) = {kind[1:] for kind in choose_cases([strangers(25, shots=1)], 1e-1)}
    assert single == (1, 1)


@pytest.mark.parametrize("counts", [(19,), (45, 39)])
def test_with_too_few_strangers_there_is_no_mean_map(counts: tuple[int, ...]) -> None:
    kinds = choose_cases([strangers(count) for count in counts], 1e-1)
    assert not any(kind.mean_map for kind in kinds)
    assert describe_cases(kinds).endswith(
        "without a mean map, which takes 40 strangers in each folder, 20 in the largest"
    )


def test_a_case_whose_strangers_cannot_measure_the_fmr_is_left_out() -> None:
    kinds = choose_cases([mixed(few=50, many=10)], 1e-3)  # 60 in all: 3,540 comparisons
    assert {(kind.templates, kind.probes) for kind in kinds} == {(1, 1)}
    assert len(choose_cases([mixed(few=50, many=10)], 1e-1)) == 12  # ten suffice for that


def mixed(few: int, many: int) -> Strangers:
    """Strangers with one image in both sessions, and others with six."""
    counts = [1] * few + [6] * many
    labels = np.concatenate([np.repeat(i, 2 * count) for i, count in enumerate(counts)])
    sessions = np.concatenate([np.repeat([0, 1], count) for count in counts]).astype(np.int32)
    return Strangers.choose(
        palms_of(np.zeros((len(labels), 1, 1)), labels, sessions=sessions), Path("some")
    )


def reference(maps: StrangerMaps, kind: CaseKind, mean: np.ndarray | None) -> np.ndarray:
    """Compares every stranger's probes with every stranger's templates, one by one."""
    count = len(maps.strangers)
    found = np.empty((count, count))
    all_of = compare_maps(maps.probes, maps.templates, mean, "reference")
    for probe in range(count):
        rows = np.flatnonzero(maps.strangers.probes.labels == probe)[: kind.probes]
        for subject in range(count):
            columns = np.flatnonzero(maps.strangers.templates.labels == subject)
            found[probe, subject] = all_of[np.ix_(rows, columns[: kind.templates])].max(1).mean()
    return found


def test_a_case_s_trials_are_of_its_images_and_mean_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEAN_SUBJECTS", 21)
    maps = toy(24)
    kinds = choose_cases([maps.strangers], 1e-1)
    total = MapSum.empty(maps.templates.shape)
    for subject in range(21):
        total += MapSum.of(maps.templates[6 * subject : 6 * subject + 6])
    mean = total.mean()
    assert mean is not None
    found = dict(trials_by_case([[maps]], kinds))
    assert next(iter(found)) == kinds[0]
    assert set(found) == set(kinds)
    for kind, ((one,),) in found.items():
        expected = reference(maps, kind, mean if kind.mean_map else None)
        np.testing.assert_allclose(one.scores, expected, atol=1e-6)
        assert one.own.tolist() == [*range(24)]
        if kind.mean_map:
            subjects = [maps.templates[6 * i : 6 * i + 6] for i in range(21)]
            np.testing.assert_array_equal(one.cohort, compare_cohort(subjects, total))
        else:
            assert one.cohort is None


def test_only_strangers_outside_the_mean_map_of_a_smaller_group_are_compared() -> None:
    many, few = StrangerMaps.of_cameras([strangers(45), strangers(42)], maps_of, "toy")
    kind = CaseKind(mean_map=True, templates=3, probes=1)
    found = dict(trials_by_case([[many, few]], [kind]))[kind][0]
    total = MapSum.empty(few.templates.shape)
    for subject in range(21):
        total += MapSum.of(few.templates[6 * subject : 6 * subject + 6])
    assert len(found[0].own) == 45
    expected = reference(few, kind, total.mean())[21:, 21:]
    np.testing.assert_allclose(found[1].scores, expected, atol=1e-6)
    subjects = [few.templates[6 * i : 6 * i + 6] for i in range(21)]
    np.testing.assert_array_equal(found[1].cohort, compare_cohort(subjects, total))


def test_trials_leave_out_strangers_with_too_few_images() -> None:
    (maps,) = StrangerMaps.of_cameras([mixed(few=3, many=20)], maps_of, "toy")
    kinds = [CaseKind(False, 1, 1), CaseKind(False, 3, 2)]
    sizes = {kind: len(one.own) for kind, ((one,),) in trials_by_case([[maps]], kinds)}
    assert list(sizes.values()) == [23, 20]


def test_thresholds_rise_with_the_templates_and_fall_with_the_probes() -> None:
    maps = toy(40)
    found = {
        (case.templates, case.probes): case.thresholds[0].score
        for case in calibrate_net([maps], choose_cases([maps.strangers], 1e-1))
        if not case.mean_map
    }
    assert found[1, 1] < found[3, 1] < found[6, 1]
    assert found[3, 2] < found[3, 1]


def sums(nets: Sequence[Sequence[Trials]], weights: Sequence[float]) -> np.ndarray:
    return sum(w * net[0].scores for w, net in zip(weights, nets, strict=True))  # type: ignore[return-value]


@pytest.mark.parametrize("mean_map", [False, True])
def test_fused_trials_are_weighted_sums(mean_map: bool) -> None:
    nets = [[toy(20, seed=seed)] for seed in (0, 1)]
    ((_, trials),) = trials_by_case(nets, [CaseKind(mean_map, 1, 1)])
    (fused,) = fuse_trials(trials, (0.25, 0.75))
    if mean_map:
        cohorts = [net[0].cohort for net in trials]
        assert cohorts[0] is not None
        assert cohorts[1] is not None
        expected = 0.25 * cohorts[0] + 0.75 * cohorts[1]
        np.testing.assert_allclose(fused.cohort, expected, atol=1e-6)  # type: ignore[arg-type]
    np.testing.assert_allclose(fused.scores, sums(trials, (0.25, 0.75)), atol=1e-6)
    assert fused.own.tolist() == [*range(20)]
