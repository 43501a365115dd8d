"""manifest.json: what training says of a net, as far as the service needs it."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.decision import Calibration, Threshold


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


class Manifest(_Part):
    """See DESIGN: the contract between training and service."""

    schema_version: Literal[1]
    net: str
    version: int = Field(gt=0)
    created_at: datetime
    input: InputSpec
    embedding_size: int = Field(gt=0)
    identities: tuple[str, ...] = Field(min_length=1)
    prototypes_file: str
    temperature: float = Field(gt=0)
    thresholds: tuple[MeasuredThreshold, ...] = Field(min_length=1)
    dataset: dict[str, Any]
    metrics: dict[str, Any]
    code_revision: str
    files: dict[str, str]

    def calibration(self) -> Calibration:
        """The thresholds in the order of falling FMR."""
        ordered = sorted(self.thresholds, key=lambda t: -t.fmr)
        return Calibration(self.temperature, tuple(Threshold(t.similarity, t.fmr) for t in ordered))
