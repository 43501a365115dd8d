"""The figures of one matcher, on similarities drawn at random."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.matching.calibration import Calibration
from app.matching.impostors import Impostors
from tests.training.toy_palms import make_palms
from tests.training.toy_trials import make_calibration, make_case, make_trials
from training.benchmark.comparisons import Comparisons, Trials
from training.benchmark.figures import describe_database, find_warnings, measure_matcher
from training.benchmark.matchers import Matcher, Outside
from training.benchmark.resampling import draw_subjects
from training.database.palms import ReadingOptions

THRESHOLDS = ((0.1, 0.1), (0.4, 1e-3))
CALIBRATION = make_calibration(*THRESHOLDS)
IDENTITIES, PROBES = 40, 20
IMPOSTORS = Impostors(0.2, 0.05)


def compare(identities: int = IDENTITIES, own: float = 0.55, seed: int = 1) -> Comparisons:
    labels = np.repeat(np.arange(identities), PROBES)
    similarities = np.random.default_rng(seed).normal(0, 0.15, (len(labels), identities))
    similarities[np.arange(len(labels)), labels] += own
    trials = make_trials(labels, np.arange(identities))
    return Comparisons(similarities.astype(np.float32), trials)


def matcher(calibration: Calibration | None = CALIBRATION, **fields: Any) -> Matcher:
    return Matcher("toy map", "toy/1", compare(), calibration, **fields)


def measure(
    calibration: Calibration | None = CALIBRATION, seed: int = 1, **fields: Any
) -> dict[str, Any]:
    weights = draw_subjects(IDENTITIES, seed, 50)
    return measure_matcher(matcher(calibration, **fields), weights, seed)


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return measure()


def test_counts_are_those_of_the_comparisons(figures: dict[str, Any]) -> None:
    count = IDENTITIES * PROBES
    assert figures["genuine_comparisons"] == count
    assert figures["impostor_comparisons"] == count * (IDENTITIES - 1)
    assert (figures["rank_1"]["count"], figures["rank_1"]["subjects"]) == (count, IDENTITIES)
    assert [one["size"] for one in figures["open_set"]] == [10, 25, 32]


def test_figures_agree_with_one_another(figures: dict[str, Any]) -> None:
    assert figures["cmc"][0] == pytest.approx(figures["rank_1"]["value"])
    assert sorted(figures["cmc"]) == figures["cmc"]
    shares = figures["distributions"]
    assert sum(shares["genuine"]) == pytest.approx(1) == sum(shares["impostors"])
    similarities = matcher().comparisons.similarities
    assert shares["edges"][0] == pytest.approx(similarities.min())
    assert shares["edges"][-1] == pytest.approx(similarities.max())
    assert figures["fnmr"]["1e-2"]["value"] <= figures["fnmr"]["1e-3"]["value"]
    assert 0 < figures["eer"]["low"] <= figures["eer"]["value"] <= figures["eer"]["high"] < 0.5


def test_equal_seeds_give_equal_figures_and_others_do_not(figures: dict[str, Any]) -> None:
    assert measure() == figures
    other = measure(seed=2)
    assert other["eer"]["value"] == figures["eer"]["value"]
    assert other["open_set"] != figures["open_set"]


def test_confidences_need_a_calibration(figures: dict[str, Any]) -> None:
    assert measure(calibration=None)["reliability"] is None
    # 1 % of strangers in a gallery of 20 is an FMR of 5e-4.
    assert figures["reliability"]["lowest_fmr"] == pytest.approx(1e-3)
    low = make_calibration(*THRESHOLDS, (0.5, 1e-4))
    assert measure(low)["reliability"]["lowest_fmr"] is None


def test_only_maps_have_tables_on_thresholds_and_on_the_mean_map(figures: dict[str, Any]) -> None:
    assert (figures["stated"], figures["mean_map"]) == (None, None)
    found = measure(compares_maps=True)
    # 0.4 is 2.7 deviations of the impostors: FMR 3.8e-3, where 1e-3 is stated.
    assert found["stated"]["1e-3"]["fmr"]["value"] == pytest.approx(3.8e-3, rel=0.2)
    assert found["stated"]["1e-3"]["exceeded"]
    # 0.25, halfway between the logarithms, is 1.67 deviations: 4.8e-2.
    assert found["stated"]["1e-2"]["fmr"]["value"] == pytest.approx(4.8e-2, rel=0.1)
    assert (found["stated"]["1e-4"], found["stated"]["1e-5"]) == (None, None)
    assert found["mean_map"] == {"subtracted": False, "without": None, "outside": []}


def test_the_mean_map_s_table_compares_with_and_without_it() -> None:
    plain = compare(own=0.4)
    found = measure(compares_maps=True, impostors=IMPOSTORS, without_mean=plain)
    alone = measure_matcher(Matcher("", "", plain), draw_subjects(IDENTITIES, 1, 50), 1)
    assert found["mean_map"]["subtracted"]
    assert found["mean_map"]["without"] == {name: alone[name] for name in ("eer", "fnmr")}
    assert alone["eer"]["value"] > found["eer"]["value"]


def test_strangers_outside_the_mean_map_have_the_threshold_of_their_case() -> None:
    cases = (make_case((0.3, 1e-3)), make_case((5, 1e-3), mean_map=True))
    outside = tuple(
        Outside(count, compare(30, seed=2), impostors)
        for count, impostors in ((0, None), (20, IMPOSTORS))
    )
    found = measure(Calibration(cases), compares_maps=True, impostors=IMPOSTORS, outside=outside)
    without, mean = found["mean_map"]["outside"]
    assert [(one["enrolled"], one["strangers"]) for one in (without, mean)] == [(0, 30), (20, 30)]
    similarities = outside[0].comparisons.similarities
    others = similarities[outside[0].comparisons.trials.own[:, None] != np.arange(30)]
    assert without["stated"]["1e-3"]["matches"] == (others >= 0.3).sum()
    assert mean["stated"]["1e-3"]["matches"] == (others >= 0.2 + 5 * 0.05).sum()
    assert mean["stated"]["1e-4"] is None


def test_searches_weigh_similarities_by_their_thresholds_as_the_service() -> None:
    # Of two identities the one with ten templates needs a similarity that is higher by 0.2.
    cases = make_case((0.3, 1e-3)), make_case((0.5, 1e-3), templates=10)
    trials = make_trials([0, 1], [0, 1], templates=[10, 1])
    found = Comparisons(np.array([[0.9, 0.5], [0.6, 0.5]], np.float32), trials)
    one = Matcher("toy map", "", found, Calibration(cases), compares_maps=True)
    weights = draw_subjects(2, 1, 5)
    assert measure_matcher(one, weights, 1)["rank_1"]["value"] == 1
    assert measure_matcher(Matcher("toy", "", found), weights, 1)["rank_1"]["value"] == 0.5


def test_thresholds_that_do_not_hold_are_a_warning() -> None:
    palms = make_palms(3, sessions=2, shots=1)
    good = make_calibration((0.3, 0.1), (0.6, 1e-3), (0.9, 1e-5))
    found = [measure(one, compares_maps=True) for one in (CALIBRATION, good)]
    first, second = find_warnings([], palms, found)
    assert first.startswith("toy map has no threshold for an FPIR of 1% in this gallery")
    assert "more than 3 times as many at FMR 1e-2, 1e-3: its thresholds do not hold" in second


@pytest.mark.parametrize(
    ("sessions", "templates_are"),
    [(2, "each identity's first session"), (1, "the first half of each identity's shots")],
)
def test_a_database_is_described_by_its_counts(sessions: int, templates_are: str) -> None:
    palms = make_palms(3, sessions=sessions, shots=4)
    trials = Trials.of(palms, (palms.sessions == 0) & (palms.shots < 2 * sessions))
    options = ReadingOptions(data=Path("/secret/VERA"), size_px=32)
    found = describe_database(options, palms, trials)
    assert found == {
        "name": "VERA",
        "sha256": palms.sha256,
        "classes": "palms",
        "size_px": 32,
        "identities": 3,
        "persons": 3,
        "persons_with_probes": 3,
        "sessions": sessions,
        "images": 12 * sessions,
        "templates": 6 * sessions,
        "templates_of_an_identity": [2 * sessions, 2 * sessions],
        "probes": 6 * sessions,
        "templates_are": templates_are,
    }
