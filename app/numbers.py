"""Numbers of answers: full precision inside, the digits worth reading in JSON."""

from collections.abc import Callable
from math import floor
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, PlainSerializer

MAX_SHOWN_CONFIDENCE = 0.9999
"""Largest confidence in an answer: no calibration has enough comparisons to prove more."""

Answer = TypeVar("Answer", bound=BaseModel)


def show_score(value: float) -> float:
    """Rounds a score to 4 significant digits."""
    return float(f"{value:.4g}")


def show_confidence(value: float) -> float:
    """Rounds a confidence to 4 decimals, at most `MAX_SHOWN_CONFIDENCE`."""
    return min(round(value, 4), MAX_SHOWN_CONFIDENCE)


def show_coarsely(score: float) -> float:
    """Rounds a score down to a half, for callers who could try one image after another."""
    return floor(2 * score) / 2


def coarsen(answer: Answer) -> Answer:
    """Returns an answer whose scores and confidences, at any depth, are rounded down.

    Scores to a half, confidences to a hundredth; thresholds keep their digits. With all digits,
    whoever changes an image little by little could see which changes make it more like somebody's
    palm (hill climbing).
    """
    changes: dict[str, Any] = {}
    for name, value in answer:
        if value is None:
            continue
        if name == "score":
            changes[name] = show_coarsely(value)
        elif name == "confidence":
            changes[name] = floor(100 * show_confidence(value) + 1e-9) / 100
        elif name in ("candidates", "nets"):
            changes[name] = [coarsen(one) for one in value]
    return answer.model_copy(update=changes)


def _shown(show: Callable[[float], float]) -> PlainSerializer:
    return PlainSerializer(show, return_type=float, when_used="json")


def _range(**ends: float) -> Any:
    return Field(json_schema_extra={**ends})


Score = Annotated[float, _shown(show_score)]
Deviation = Annotated[float, _shown(show_score), _range(minimum=0)]
Confidence = Annotated[
    float, _shown(show_confidence), _range(minimum=0, maximum=MAX_SHOWN_CONFIDENCE)
]
Fmr = Annotated[float, _shown(lambda value: float(f"{value:.3g}")), _range(minimum=0, maximum=1)]
Corner = Annotated[float, _shown(lambda value: round(value, 4))]
Degrees = Annotated[float, _shown(lambda value: round(value, 1)), _range(minimum=-180, maximum=180)]
Milliseconds = Annotated[float, _shown(lambda value: round(value, 1)), _range(minimum=0)]

CONFIDENCE_SHOWN = f"0 to {MAX_SHOWN_CONFIDENCE}, to 4 decimals."
SCORE_SHOWN = (
    "in standard deviations, to 4 significant digits: another person's palm scores about 0, the "
    "same palm 5 to 30. -10 if too little of the palm is seen. Nets that were trained on fewer "
    "than 50 identities give a similarity instead, -1 to 1."
)
