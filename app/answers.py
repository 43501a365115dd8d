"""What the service answers: plain data, no behaviour."""

from dataclasses import dataclass

from app.gallery.gallery import Subject
from app.matching.calibration import Threshold
from app.matching.decision import Decision
from app.matching.templates import NetKey
from app.palm.quality import Quality


@dataclass(frozen=True, slots=True)
class Candidate:
    """One subject the probe may be, by all nets together."""

    subject: Subject
    confidence: float
    similarity: float


@dataclass(frozen=True, slots=True)
class Vote:
    """One net's own opinion; `subject_id` is its best candidate, None in an empty gallery."""

    key: NetKey
    subject_id: str | None
    decision: Decision
    confidence: float
    similarity: float | None
    threshold: Threshold


@dataclass(frozen=True, slots=True)
class Identification:
    """Whose palm it is. `confidence` is the probability of the answer, be it nobody."""

    decision: Decision
    subject: Subject | None
    confidence: float
    similarity: float | None
    candidates: list[Candidate]
    votes: list[Vote]
    threshold: Threshold
    qualities: list[Quality]
    timings_ms: dict[str, float]


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether it is the claimed subject's palm; `confidence` is the answer's probability."""

    subject: Subject
    decision: Decision
    confidence: float
    similarity: float
    votes: list[Vote]
    threshold: Threshold
    qualities: list[Quality]
    timings_ms: dict[str, float]


@dataclass(frozen=True, slots=True)
class Enrollment:
    """What was stored."""

    subject: Subject
    qualities: list[Quality]
    timings_ms: dict[str, float]
