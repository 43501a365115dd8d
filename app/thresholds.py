"""The thresholds in use, and the false match rates at thresholds above and below them."""

from typing import Self

from pydantic import BaseModel, Field

from app.matching.calibration import Calibration
from app.matching.impostors import Impostors
from app.numbers import Fmr, Score

STEPS = tuple(half / 2 for half in range(-6, 7))
"""Changes of a threshold that are described, in units of the score: -3 to 3."""


class Step(BaseModel):
    """A threshold that is higher or lower than the one in use."""

    by: float = Field(description="What is added to the score, -3 to 3.", examples=[0.5])
    fmr: Fmr | None = Field(
        description="False match rate there by the calibration, 0 to 1; null outside the rates "
        "that were measured.",
        examples=[1e-05],
    )
    target: Fmr | None = Field(
        description="The setting that would bring it about, 0 to 1; null if none would.",
        examples=[0.001],
    )


class ThresholdInUse(BaseModel):
    """The threshold for one probe image and a subject of one enrolled image."""

    setting: str = Field(description="What it follows from.", examples=["PALM_FPIR_TARGET"])
    target: Fmr = Field(description="The setting's value, 0 to 1.", examples=[0.01])
    score: Score = Field(description="The score that must be reached, a number without a bound.")
    fmr: Fmr = Field(description="The false match rate at it, 0 to 1.", examples=[1e-05])
    steps: list[Step] = Field(description="Other thresholds, from the lowest.")

    @classmethod
    def of(
        cls,
        setting: str,
        target: float,
        searched: int,
        calibration: Calibration,
        impostors: Impostors | None,
    ) -> Self:
        """Describes a threshold that holds a target among subjects.

        Args:
            setting: the target's name.
            target: a false match rate or, among several subjects, their number times that rate.
            searched: number of subjects, at least 1.
            calibration: of the fused score.
            impostors: the site's; None if no mean map is subtracted.
        """
        score, fmr = calibration.for_one_image(target / searched, impostors)
        steps: list[Step] = []
        for by in STEPS:
            there = calibration.fmr_at(score + by, impostors)
            wanted = None if there is None else there * searched
            steps.append(Step(by=by, fmr=there, target=wanted if wanted and wanted < 1 else None))
        return cls(setting=setting, target=target, score=score, fmr=fmr, steps=steps)
