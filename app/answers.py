"""The service's answers: frozen models that the identifier fills and HTTP returns as JSON.

The objects hold full precision; their JSON holds the significant digits.
"""

from datetime import datetime
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from app.gallery.subject import Hand, Subject
from app.matching.decision import Decision
from app.numbers import (
    CONFIDENCE_SHOWN,
    SCORE_SHOWN,
    Confidence,
    Corner,
    Degrees,
    Fmr,
    Milliseconds,
    Score,
)
from app.palm.capture import Capture
from app.palm.quality import Quality
from app.palm.reader import Palm


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


GalleryAsOf = Annotated[
    datetime | None,
    Field(
        description="If the gallery's database cannot be reached: when this was last known to be "
        "the gallery, UTC. Null if it is now. See PALM_OUTAGE_S.",
        examples=[None],
    ),
]


class Threshold(_Answer):
    """The score that a match must reach, and how often impostors reach it."""

    score: Score = Field(
        description="Score, in standard deviations, to 4 significant digits.", examples=[5.31]
    )
    fmr: Fmr = Field(
        description="False match rate: share of impostor comparisons that reach the score. "
        "0 to 1, to 3 significant digits.",
        examples=[6.25e-05],
    )


class Candidate(_Answer):
    """A subject that the palm may belong to, by the nets' fused score."""

    subject_id: str = Field(description="The subject.", examples=["p003"])
    confidence: Confidence = Field(
        description=f"Probability that the palm is this subject's, {CONFIDENCE_SHOWN}",
        examples=[0.9999],
    )
    score: Score = Field(
        description=f"Score of the palm with the subject's templates, {SCORE_SHOWN}",
        examples=[17.42],
    )


class Vote(_Answer):
    """The answer that one net alone would give."""

    net: str = Field(description="The net's name.", examples=["vgg16"])
    version: int = Field(description="The net's version, 1 or higher.", examples=[9])
    subject_id: str | None = Field(
        description="The net's best subject, even below the threshold; for verify the "
        "claimed subject; null in an empty gallery.",
        examples=["p003"],
    )
    decision: Decision = Field(description="The net's decision.", examples=["match"])
    confidence: Confidence = Field(
        description="Probability of nobody if the decision is no_match, else of subject_id. "
        f"{CONFIDENCE_SHOWN}",
        examples=[0.9999],
    )
    score: Score | None = Field(
        description=f"Score with subject_id, {SCORE_SHOWN} Null in an empty gallery.",
        examples=[15.03],
    )
    threshold: Threshold = Field(description="The net's own threshold.")


Votes = Annotated[
    list[Vote],
    Field(description="Each net's own answer; the decision uses their fused score."),
]
Qualities = Annotated[
    list[Quality], Field(description="The quality of each image, in the order sent.")
]
Timings = Annotated[
    dict[str, Milliseconds],
    Field(
        description="Duration of each stage and in total, in ms, to 0.1 ms.",
        examples=[{"decode": 2.9, "find": 6.1, "nets": 29.5, "search": 3.5, "total": 42.0}],
    ),
]


class Region(_Answer):
    """Where the palm lies in an image."""

    capture: Capture = Field(
        description="hand: a hand was found in the image; roi: it was taken for a square crop of a "
        "palm.",
        examples=["hand"],
    )
    corners: list[tuple[Corner, Corner]] = Field(
        description="The palm's square: upper left, upper right, lower right and lower left when "
        "the fingers point up; x and y as shares of the upright image's width and height, to 4 "
        "decimals. 0 to 1, or beyond if the square reaches over the image's edge. Of a tilted palm "
        "it is as narrow, short or slanting as the palm looks.",
        examples=[[[0.25, 0.31], [0.61, 0.29], [0.64, 0.79], [0.27, 0.81]]],
    )
    gaps: list[tuple[Corner, Corner]] = Field(
        description="The three finger gaps, from left to right when the fingers point up, in the "
        "same unit; empty for roi.",
        examples=[[[0.3, 0.22], [0.42, 0.19], [0.55, 0.21]]],
    )
    rotation_deg: Degrees = Field(
        description="Turn of the hand, -180 to 180 degrees, to 0.1: 0 if the fingers point up, 90 "
        "if they point right. For roi 0, or the quarter turn after which it matches.",
        examples=[-3.2],
    )
    hand: Hand | None = Field(
        description="Which hand it is if its palm faces the camera; null if it cannot be told. "
        "Never compared with the subject's.",
        examples=["left"],
    )

    @classmethod
    def of(cls, palm: Palm) -> Self:
        """Describes where a palm lies in its image."""
        region, (height, width) = palm.region, palm.size

        def shares(points: NDArray[np.float64]) -> list[tuple[float, float]]:
            return [(x, y) for x, y in ((points + 0.5) / (width, height)).tolist()]

        return cls(
            capture=region.capture,
            corners=shares(region.square.corners),
            gaps=shares(region.hand.gaps) if region.hand else [],
            rotation_deg=region.square.rotation_deg,
            hand=region.hand.hand if region.hand else None,
        )


Regions = Annotated[
    list[Region], Field(description="Where the palm lies in each image, in the order sent.")
]
Warnings = Annotated[
    list[str],
    Field(
        description="What may make this answer less reliable, in words; empty if nothing is known.",
        examples=[[]],
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
        f"candidate. {CONFIDENCE_SHOWN}",
        examples=[0.9999],
    )
    candidates: list[Candidate] = Field(
        description="Up to 5 subjects by falling confidence, whatever the decision."
    )
    nets: Votes
    threshold: Threshold = Field(
        description="The threshold of the nets' fused score; it rises with the number of subjects."
    )
    searched: int = Field(
        description="Number of subjects among whom the palm was searched, 0 or more.",
        examples=[400],
    )
    regions: Regions
    quality: Qualities
    warnings: Warnings
    explanation: str | None = Field(
        default=None,
        description="With explain=true and a match: a PNG, base64, of the first image's vein map, "
        "green where it agrees with the match and red where it does not.",
    )
    gallery_as_of: GalleryAsOf = None
    timings_ms: Timings

    @property
    def score(self) -> float | None:
        """The best candidate's score; None in an empty gallery."""
        return self.candidates[0].score if self.candidates else None


class Verification(_Answer):
    """Whether the palm belongs to the claimed subject."""

    decision: Decision = Field(
        description="match or no_match: whether the score reaches the threshold.",
        examples=["match"],
    )
    identity: Subject = Field(description="The claimed subject.")
    confidence: Confidence = Field(
        description=f"Probability that the decision is right, {CONFIDENCE_SHOWN}",
        examples=[0.9999],
    )
    score: Score = Field(
        description=f"Score of the palm with the subject's templates, {SCORE_SHOWN}",
        examples=[17.42],
    )
    nets: Votes
    threshold: Threshold = Field(description="The threshold of the nets' fused score.")
    regions: Regions
    quality: Qualities
    warnings: Warnings
    gallery_as_of: GalleryAsOf = None
    timings_ms: Timings


class Enrollment(_Answer):
    """The subject as it is now stored."""

    subject: Subject = Field(description="The subject, with the templates added now.")
    regions: Regions
    quality: Qualities
    warnings: Warnings
    timings_ms: Timings
