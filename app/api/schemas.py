"""What the service answers, as JSON."""

import re
from datetime import datetime
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app import answers
from app.ensemble import Ensemble, Net
from app.gallery.gallery import Hand, Origin
from app.matching.decision import Decision

MAX_SUBJECT_ID_LENGTH = 255
"""Of a subject to look up: an identity from training is the name of a folder."""

# Control characters (not every database can keep NUL), what ends a line, and Unicode's
# Bidi_Control (UAX #9): these turn round what stands beside the name.
_UNFIT_FOR_A_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def _check_name(name: str) -> str:
    if _UNFIT_FOR_A_NAME.search(name):
        raise ValueError("must be one line without control characters")
    return name


Name = Annotated[str, Field(max_length=200), AfterValidator(_check_name)]


class Answer(BaseModel):
    """A schema that is read from the domain's object of the same fields."""

    model_config = ConfigDict(from_attributes=True)


class Subject(Answer):
    """One palm that the service knows."""

    subject_id: str = Field(examples=["p017"])
    name: str | None = Field(examples=["Ada Lovelace"])
    hand: Hand | None = Field(examples=["left"])
    origin: Origin = Field(
        description='"trained": the nets know it from training; "enrolled": it was added here.'
    )
    created_at: datetime
    template_counts: dict[str, int] = Field(
        description="Enrolled templates for each net and version.", examples=[{"vgg16/1": 3}]
    )


class Subjects(BaseModel):
    """One page of subjects, by subject_id."""

    subjects: list[Subject]
    next: str | None = Field(
        description="Send it as `after` for the next page; null on the last one.",
        examples=["p100"],
    )


class SubjectChanges(BaseModel):
    """What to change; a field that is left out stays, null clears."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "Ada"}})

    name: Name | None = None
    hand: Hand | None = None


class Quality(Answer):
    """How well an image shows a palm, each from 0 to 1."""

    sharpness: float = Field(examples=[0.71])
    contrast: float = Field(examples=[0.24])
    brightness: float = Field(examples=[0.45])


class Threshold(Answer):
    """The least similarity that counts, and the false match rate it stands for."""

    similarity: float = Field(examples=[0.42])
    fmr: float = Field(examples=[0.0001])


class Candidate(BaseModel):
    """A subject that the palm may belong to, by all nets together."""

    subject_id: str = Field(examples=["p017"])
    confidence: float = Field(examples=[0.993])
    similarity: float = Field(examples=[0.81])

    @classmethod
    def of(cls, candidate: answers.Candidate) -> Self:
        """The candidate by its id alone."""
        return cls(
            subject_id=candidate.subject.subject_id,
            confidence=candidate.confidence,
            similarity=candidate.similarity,
        )


class Vote(BaseModel):
    """What one net alone would have answered."""

    net: str = Field(examples=["vgg16"])
    version: int = Field(examples=[1])
    subject_id: str | None = Field(
        description="The net's best candidate, even below the threshold.", examples=["p017"]
    )
    decision: Decision
    confidence: float = Field(examples=[0.99])
    similarity: float | None = Field(examples=[0.83])
    threshold: Threshold

    @classmethod
    def of(cls, vote: answers.Vote) -> Self:
        """The vote with its net's key as two fields."""
        return cls(
            net=vote.key.net,
            version=vote.key.version,
            subject_id=vote.subject_id,
            decision=vote.decision,
            confidence=vote.confidence,
            similarity=vote.similarity,
            threshold=Threshold.model_validate(vote.threshold),
        )


Qualities = Annotated[list[Quality], Field(description="Of each image, in the order sent.")]
RequestId = Annotated[
    str, Field(description="The X-Request-ID, for finding this request in the log.")
]
Timings = Annotated[
    dict[str, float], Field(examples=[{"decode": 1.1, "nets": 6.2, "search": 0.1, "total": 8.0}])
]


class Enrollment(BaseModel):
    """The subject as it is now stored."""

    subject: Subject
    quality: Qualities
    request_id: RequestId
    timings_ms: Timings


class Identification(BaseModel):
    """Whose palm it is, or that it is nobody's the service knows."""

    decision: Decision = Field(
        description="match: it is `identity`. no_match: it is nobody known. inconclusive: "
        "somebody known, but more than one of them fits."
    )
    identity: Subject | None = Field(description="Who it is; null unless the decision is match.")
    confidence: float = Field(
        description="Probability of the best candidate; of nobody if the decision is no_match.",
        examples=[0.993],
    )
    candidates: list[Candidate] = Field(description="The best, ranked, whatever the decision.")
    nets: list[Vote] = Field(description="Each net's own vote; the answer fuses them.")
    threshold: Threshold
    quality: Qualities
    request_id: RequestId
    timings_ms: Timings


class Verification(BaseModel):
    """Whether it is the claimed subject's palm."""

    decision: Decision = Field(description="match or no_match.")
    identity: Subject = Field(description="The claimed subject.")
    confidence: float = Field(description="Probability of the decision.", examples=[0.998])
    similarity: float = Field(examples=[0.81])
    nets: list[Vote] = Field(description="Each net's own vote; the answer fuses them.")
    threshold: Threshold
    quality: Qualities
    request_id: RequestId
    timings_ms: Timings


class Model(BaseModel):
    """One net in service."""

    net: str = Field(examples=["vgg16"])
    version: int = Field(examples=[1])
    input_px: int = Field(description="Side of the square it looks at.", examples=[224])
    embedding_size: int = Field(examples=[512])
    trained_identities: int = Field(examples=[160])
    thresholds: list[Threshold] = Field(description="As measured on strangers' palms.")

    @classmethod
    def of(cls, net: Net) -> Self:
        """The net without its weights."""
        return cls(
            net=net.key.net,
            version=net.key.version,
            input_px=net.input_px,
            embedding_size=net.prototypes.shape[-1],
            trained_identities=len(net.identities),
            thresholds=[Threshold.model_validate(t) for t in net.calibration.thresholds],
        )


class Models(BaseModel):
    """The nets that vote, and what their votes mean together."""

    nets: list[Model]
    weights: list[float] = Field(
        description="Of the nets' similarities in their sum, in the same order.",
        examples=[[0.3, 0.3, 0.4]],
    )
    thresholds: list[Threshold] = Field(description="Of that sum, as measured on strangers' palms.")

    @classmethod
    def of(cls, ensemble: Ensemble) -> Self:
        """The ensemble as an operator sees it."""
        fusion = ensemble.fusion
        return cls(
            nets=[Model.of(net) for net in ensemble.nets],
            weights=list(fusion.weights),
            thresholds=[Threshold.model_validate(t) for t in fusion.calibration.thresholds],
        )


class Health(BaseModel):
    """That the service is well; anything else is a problem."""

    status: str = Field(examples=["ready"])
