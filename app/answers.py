"""The service's answers: frozen models that the identifier fills and HTTP returns as JSON.

The objects hold full precision; their JSON holds the significant digits.
"""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from app.gallery.gallery import Subject
from app.matching.decision import Decision
from app.matching.mean_map import MIN_SUBJECTS
from app.palm.quality import Quality

MAX_SHOWN_CONFIDENCE = 0.9999
"""Largest confidence in an answer: no calibration has enough comparisons to prove more."""


def show_similarity(value: float) -> float:
    """Rounds a similarity to 4 decimals."""
    return round(value, 4)


def show_confidence(value: float) -> float:
    """Rounds a confidence to 4 decimals, at most `MAX_SHOWN_CONFIDENCE`."""
    return min(round(value, 4), MAX_SHOWN_CONFIDENCE)


def _shown(show: Callable[[float], float]) -> PlainSerializer:
    return PlainSerializer(show, return_type=float, when_used="json")


def _range(**ends: float) -> Any:
    return Field(json_schema_extra={**ends})


Similarity = Annotated[float, _shown(show_similarity), _range(minimum=-1, maximum=1)]
Deviation = Annotated[float, _shown(show_similarity), _range(minimum=0, maximum=1)]
Score = Annotated[float, _shown(show_similarity)]
Confidence = Annotated[
    float, _shown(show_confidence), _range(minimum=0, maximum=MAX_SHOWN_CONFIDENCE)
]
Fmr = Annotated[float, _shown(lambda value: float(f"{value:.3g}")), _range(minimum=0, maximum=1)]
Milliseconds = Annotated[float, _shown(lambda value: round(value, 1)), _range(minimum=0)]

_SHOWN_CONFIDENCE = f"0 to {MAX_SHOWN_CONFIDENCE}, to 4 decimals."
_SHOWN_SIMILARITY = "-1 to 1, to 4 decimals; higher is more alike."


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Threshold(_Answer):
    """The similarity that a match must reach, and how often impostors reach it."""

    similarity: Similarity = Field(description=_SHOWN_SIMILARITY, examples=[0.3579])
    fmr: Fmr = Field(
        description="False match rate: share of impostor comparisons that reach the similarity. "
        "0 to 1, to 3 significant digits.",
        examples=[6.25e-05],
    )


class Impostors(_Answer):
    """How alike the enrolled subjects are to each other, by the nets' fused similarity."""

    mean: Similarity = Field(
        description="Mean of the similarities, -1 to 1, to 4 decimals.", examples=[0.0612]
    )
    deviation: Deviation = Field(
        description="Their standard deviation, 0 to 1, to 4 decimals. Thresholds count deviations "
        "above the mean.",
        examples=[0.0208],
    )


class MeanMap(_Answer):
    """The mean of the enrolled subjects' maps, which is subtracted from every map."""

    subjects: int = Field(
        description="Number of subjects that it is the mean of; 0 if none is subtracted: "
        f"below {MIN_SUBJECTS} enrolled subjects, or after a refusal that the log explains.",
        examples=[240],
    )
    revision: int = Field(
        description="Number of changes of the mean map in use since the service started, 0 or "
        "more.",
        examples=[3],
    )
    impostors: Impostors | None = Field(
        description="How alike its subjects are to each other; null if no mean map is subtracted."
    )


class GalleryState(_Answer):
    """The gallery as it is searched now."""

    subjects: int = Field(description="Number of subjects that can be identified.", examples=[400])
    without_templates: int = Field(
        description="Number of enrolled subjects that cannot be identified, because they have no "
        "templates of the nets in service: enroll them again with add=true.",
        examples=[0],
    )
    mean_map: MeanMap = Field(description="The mean map in use, never shown itself.")
    fpir: Fmr = Field(
        description="False positive identification rate that can be held among these subjects: "
        "PALM_FPIR_TARGET, or more if the nets are not calibrated for so many. 0 to 1.",
        examples=[0.01],
    )


class Candidate(_Answer):
    """A subject that the palm may belong to, by the nets' fused similarity."""

    subject_id: str = Field(description="The subject.", examples=["p003"])
    confidence: Confidence = Field(
        description=f"Probability that the palm is this subject's, {_SHOWN_CONFIDENCE}",
        examples=[0.9999],
    )
    similarity: Similarity = Field(
        description=f"Similarity of the palm to the subject's templates, {_SHOWN_SIMILARITY}",
        examples=[0.7773],
    )


class Vote(_Answer):
    """The answer that one net alone would give."""

    net: str = Field(description="The net's name.", examples=["vgg16"])
    version: int = Field(description="The net's version, 1 or higher.", examples=[9])
    subject_id: str | None = Field(
        description="The net's most similar subject, even below the threshold; for verify the "
        "claimed subject; null in an empty gallery.",
        examples=["p003"],
    )
    decision: Decision = Field(description="The net's decision.", examples=["match"])
    confidence: Confidence = Field(
        description="Probability of nobody if the decision is no_match, else of subject_id. "
        f"{_SHOWN_CONFIDENCE}",
        examples=[0.9999],
    )
    similarity: Similarity | None = Field(
        description=f"Similarity to subject_id, {_SHOWN_SIMILARITY} Null in an empty gallery.",
        examples=[0.6447],
    )
    threshold: Threshold = Field(description="The net's own threshold.")


Votes = Annotated[
    list[Vote],
    Field(description="Each net's own answer; the decision uses their fused similarity."),
]
Qualities = Annotated[
    list[Quality], Field(description="The quality of each image, in the order sent.")
]
Timings = Annotated[
    dict[str, Milliseconds],
    Field(
        description="Duration of each stage and in total, in ms, to 0.1 ms.",
        examples=[{"decode": 2.9, "nets": 29.5, "search": 3.5, "total": 35.9}],
    ),
]


class Identification(_Answer):
    """Whose palm it is, or that nobody in the gallery matches."""

    decision: Decision = Field(
        description="match: the palm belongs to `identity`. no_match: nobody in the gallery "
        "reaches the threshold. inconclusive: the threshold is reached, but no subject has a "
        "probability of 0.5 or more.",
        examples=["match"],
    )
    identity: Subject | None = Field(
        description="Whose palm it is; null unless the decision is match."
    )
    confidence: Confidence = Field(
        description="Probability of nobody if the decision is no_match, else of the best "
        f"candidate. {_SHOWN_CONFIDENCE}",
        examples=[0.9999],
    )
    candidates: list[Candidate] = Field(
        description="Up to 5 subjects by falling confidence, whatever the decision."
    )
    nets: Votes
    threshold: Threshold = Field(
        description="The threshold of the nets' fused similarity; it rises with the number of "
        "subjects."
    )
    quality: Qualities
    explanation: str | None = Field(
        default=None,
        description="With explain=true and a match: a PNG, base64, of the first image's vein map, "
        "green where it agrees with the match and red where it does not.",
    )
    timings_ms: Timings

    @property
    def similarity(self) -> float | None:
        """The best candidate's similarity; None in an empty gallery."""
        return self.candidates[0].similarity if self.candidates else None


class Verification(_Answer):
    """Whether the palm belongs to the claimed subject."""

    decision: Decision = Field(
        description="match or no_match: whether the similarity reaches the threshold.",
        examples=["match"],
    )
    identity: Subject = Field(description="The claimed subject.")
    confidence: Confidence = Field(
        description=f"Probability that the decision is right, {_SHOWN_CONFIDENCE}",
        examples=[0.9999],
    )
    similarity: Similarity = Field(
        description=f"Similarity of the palm to the subject's templates, {_SHOWN_SIMILARITY}",
        examples=[0.7773],
    )
    nets: Votes
    threshold: Threshold = Field(description="The threshold of the nets' fused similarity.")
    quality: Qualities
    timings_ms: Timings


class Enrollment(_Answer):
    """The subject as it is now stored."""

    subject: Subject = Field(description="The subject, with the templates added now.")
    quality: Qualities
    timings_ms: Timings
