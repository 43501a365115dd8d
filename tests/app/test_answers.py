"""Answers: full precision inside, the digits worth reading in JSON."""

import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from app.answers import Candidate, Enrollment, Threshold
from app.gallery.subject import Subject
from app.palm.quality import Quality

SUBJECT = Subject(
    subject_id="ada",
    name=None,
    hand=None,
    origin="enrolled",
    collection="default",
    created_at=datetime(2026, 11, 28, tzinfo=UTC),
    template_counts={},
    captures=[],
)


def test_scores_have_4_significant_digits_and_match_rates_3_significant_digits() -> None:
    shown = Threshold(score=5.35786543, fmr=6.2468e-05).model_dump_json()
    assert json.loads(shown) == {"score": 5.358, "fmr": 6.25e-05}


@pytest.mark.parametrize(
    ("confidence", "shown"),
    [(0.0, 0.0), (0.12345, 0.1235), (0.99985, 0.9999), (0.99999, 0.9999), (1.0, 0.9999)],
)
def test_a_confidence_has_4_decimals_and_is_at_most_0_9999(confidence: float, shown: float) -> None:
    candidate = Candidate(subject_id="ada", confidence=confidence, score=0.5)
    assert json.loads(candidate.model_dump_json())["confidence"] == shown
    assert candidate.confidence == confidence


QUALITY = Quality(
    score=73,
    palm=0.912345,
    palm_px=213.456,
    sharpness=0.123456,
    veins=3.14159,
    brightness=0.98765,
    saturated=0,
    blocks=1.23456,
    skin=1,
    pose=None,
)


def test_quality_has_4_decimals_or_2_and_timings_have_one() -> None:
    enrollment = Enrollment(
        subject=SUBJECT, regions=[], quality=[QUALITY], warnings=[], timings_ms={"decode": 2.9236}
    )
    shown = json.loads(enrollment.model_dump_json())
    assert shown["quality"] == [
        {
            "score": 73,
            "palm": 0.9123,
            "palm_px": 213.46,
            "sharpness": 0.1235,
            "veins": 3.14,
            "brightness": 0.9877,
            "saturated": 0,
            "blocks": 1.23,
            "skin": 1,
            "pose": None,
        }
    ]
    assert shown["timings_ms"] == {"decode": 2.9}
    assert enrollment.timings_ms == {"decode": 2.9236}


def test_answers_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Threshold(score=0.5, fmr=0.1).fmr = 0.2  # pyright: ignore[reportAttributeAccessIssue]
