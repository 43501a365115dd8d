"""The figures of one matcher, on similarities drawn at random."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.matching.calibration import Calibration, Threshold
from tests.training.toy_palms import make_palms
from training.benchmark.comparisons import Comparisons, Trials
from training.benchmark.figures import describe_database, measure_matcher
from training.benchmark.matchers import Matcher
from training.benchmark.resampling import draw_subjects
from training.database.palms import ReadingOptions

CALIBRATION = Calibration(0.05, (Threshold(0.1, 0.1, 10**6), Threshold(0.4, 1e-3, 10**6)))
IDENTITIES, PROBES = 40, 20


def matcher(calibration: Calibration | None = CALIBRATION) -> Matcher:
    own = np.repeat(np.arange(IDENTITIES), PROBES).astype(np.int32)
    similarities = np.random.default_rng(1).normal(0, 0.15, (len(own), IDENTITIES))
    similarities[np.arange(len(own)), own] += 0.55
    trials = Trials(np.zeros(0, bool), own, own, np.arange(IDENTITIES, dtype=np.int32))
    comparisons = Comparisons(similarities.astype(np.float32), trials)
    return Matcher("toy", "toy/1", comparisons, calibration)


def measure(calibration: Calibration | None = CALIBRATION, seed: int = 1) -> dict[str, Any]:
    return measure_matcher(matcher(calibration), draw_subjects(IDENTITIES, seed, 50), seed)


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
    assert figures["reliability"]["lowest_fmr"] == 1e-3
    low = replace(CALIBRATION, thresholds=(*CALIBRATION.thresholds, Threshold(0.5, 1e-4, 10**6)))
    assert measure(low)["reliability"]["lowest_fmr"] is None


@pytest.mark.parametrize(
    ("sessions", "templates_are"),
    [(2, "each identity's first session"), (1, "the first half of each identity's shots")],
)
def test_a_database_is_described_by_its_counts(sessions: int, templates_are: str) -> None:
    palms = make_palms(3, sessions=sessions, shots=4)
    trials = Trials.of(palms, (palms.sessions == 0) & (palms.shots < 2 * sessions))
    options = ReadingOptions(data=Path("/secret/VERA"), size_px=32)
    found = describe_database(options, palms, trials, views=False)
    assert found == {
        "name": "VERA",
        "sha256": palms.sha256,
        "classes": "palms",
        "size_px": 32,
        "views": False,
        "identities": 3,
        "persons": 3,
        "persons_with_probes": 3,
        "sessions": sessions,
        "images": 12 * sessions,
        "templates": 6 * sessions,
        "probes": 6 * sessions,
        "templates_are": templates_are,
    }
