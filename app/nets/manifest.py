"""What training says of a net (manifest.json) and of nets together (fusion.json)."""

from collections import Counter
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.matching.calibration import Calibration, Threshold


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class InputSpec(_Part):
    """What the net takes: square colour images of 8 bits."""

    height: int = Field(gt=0)
    width: int = Field(gt=0)
    channels: Literal[3]
    dtype: Literal["uint8"]


class MeasuredThreshold(_Part):
    """A similarity and the share of impostor comparisons that reached it."""

    fmr: float = Field(gt=0, le=1)
    similarity: float
    comparisons: int = Field(gt=0)


class Calibrated(_Part):
    """What similarities mean: a temperature, and at least one measured threshold."""

    temperature: float = Field(gt=0)
    thresholds: tuple[MeasuredThreshold, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _thresholds_rise(self) -> Self:
        ordered = sorted(self.thresholds, key=lambda t: -t.fmr)
        for looser, stricter in pairwise(ordered):
            if looser.fmr == stricter.fmr or looser.similarity > stricter.similarity:
                raise ValueError(f"a lower FMR needs a higher similarity: {looser}, {stricter}")
        return self

    def calibration(self) -> Calibration:
        """The thresholds in the order of falling FMR."""
        ordered = sorted(self.thresholds, key=lambda t: -t.fmr)
        return Calibration(
            self.temperature, tuple(Threshold(t.similarity, t.fmr, t.comparisons) for t in ordered)
        )


class Manifest(Calibrated):
    """The contract between training and service: manifest.json of one version."""

    schema_version: Literal[3]
    net: str
    version: int = Field(gt=0)
    created_at: datetime
    input: InputSpec
    embedding_size: int = Field(gt=0)
    identities: tuple[str, ...] = Field(min_length=1)
    prototypes_file: str
    dataset: dict[str, Any]
    metrics: dict[str, Any]
    code_revision: str
    files: dict[str, str]
    sha256: str = Field(description="Of all else.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.input.height != self.input.width:
            raise ValueError(f"the image is not square: {self.input.height}x{self.input.width}")
        if repeated := [i for i, n in Counter(self.identities).items() if n > 1]:
            raise ValueError(f"identities occur twice: {', '.join(repeated[:5])}")
        return self


class FusionEntry(Calibrated):
    """One set of nets that vote together."""

    nets: tuple[str, ...] = Field(min_length=2, description="Each as vgg16/1.")
    weights: tuple[float, ...]

    @model_validator(mode="after")
    def _one_weight_each(self) -> Self:
        if len(self.weights) != len(self.nets) or abs(sum(self.weights) - 1) > 1e-6:
            raise ValueError(f"{self.nets} need one weight each, and 1 as their sum")
        return self


class FusionManifest(_Part):
    """fusion.json of a models store."""

    schema_version: Literal[1]
    sha256: str = Field(description="Of the fusions.")
    fusions: tuple[FusionEntry, ...]
