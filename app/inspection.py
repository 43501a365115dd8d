"""Tells what the service sees in an image, without comparing or storing anything."""

from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from app.answers import Region, Timings, Warnings
from app.clock import Clock
from app.palm.capture import CaptureMode
from app.palm.drawing import as_png, draw_region
from app.palm.errors import PalmNotFound, PoorQuality
from app.palm.quality import Quality
from app.palm.reader import Palm, PalmReader, warn_of_turns

SQUARE_PX = 224
"""Side of the palm's square that is shown."""


class Inspection(BaseModel):
    """What the service sees in an image."""

    model_config = ConfigDict(frozen=True)

    usable: bool = Field(
        description="Whether the image could be enrolled: a palm is found, and its quality is at "
        "least PALM_QUALITY_ENROLL.",
        examples=[True],
    )
    advice: list[str] = Field(
        description="What is wrong with the image and what to do; empty if it is usable.",
        examples=[[]],
    )
    warnings: Warnings
    region: Region | None = Field(description="Where the palm lies; null if none is found.")
    quality: Quality | None = Field(description="How well it shows; null if no palm is found.")
    drawing: str | None = Field(
        default=None,
        description="With draw=true and a palm: a PNG, base64, of the image with the palm's square "
        "(its upper side yellow) and the finger gaps.",
    )
    palm: str | None = Field(
        default=None,
        description="With draw=true and a palm: a PNG, base64, of the square as the nets see it.",
    )
    timings_ms: Timings

    @classmethod
    def refused(cls, reason: str, timings_ms: dict[str, float] | None = None) -> Self:
        """Returns the answer about an image in which no palm can be found."""
        return cls(
            usable=False,
            advice=[reason],
            warnings=[],
            region=None,
            quality=None,
            timings_ms=timings_ms or {},
        )


@dataclass(frozen=True, slots=True)
class Inspector:
    """Inspects images.

    Attributes:
        reader: reads palms from images.
        quality_enroll: quality below which an image is not enrolled, 0 to 100.
    """

    reader: PalmReader
    quality_enroll: int

    def inspect(
        self, image: bytes, *, mode: CaptureMode | None = None, draw: bool = False
    ) -> Inspection:
        """Finds the palm in an image and measures its quality.

        Args:
            image: a whole image file.
            mode: what the image is taken for; None leaves it to the reader.
            draw: whether to draw what was found.

        Raises:
            PalmImageError: if the image cannot be decoded. That no palm is found is an answer.
        """
        clock = Clock()
        decoded = self.reader.decode(image)
        clock.lap("decode")
        try:
            palm = self.reader.find(decoded, SQUARE_PX, mode)
        except PalmNotFound as error:
            clock.lap("find")
            return Inspection.refused(str(error), clock.timings_ms())
        clock.lap("find")
        advice = self._advise(palm)
        drawing = _encode(as_png(draw_region(decoded, palm.region))) if draw else None
        square = _encode(as_png(palm.pixels[..., 0])) if draw else None
        if draw:
            clock.lap("draw")
        return Inspection(
            usable=not advice,
            advice=advice,
            warnings=warn_of_turns([palm]),
            region=Region.of(palm),
            quality=palm.quality,
            drawing=drawing,
            palm=square,
            timings_ms=clock.timings_ms(),
        )

    def _advise(self, palm: Palm) -> list[str]:
        try:
            palm.quality.refuse_below(self.quality_enroll)
        except PoorQuality as error:
            return list(error.reasons.values())
        return []


def write_drawings(stem: Path, found: Inspection) -> None:
    """Writes what was drawn to <stem>.found.png and <stem>.palm.png, if a palm was found."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    for name, drawn in {"found": found.drawing, "palm": found.palm}.items():
        if drawn is not None:
            stem.with_name(f"{stem.name}.{name}.png").write_bytes(b64decode(drawn))


def _encode(file: bytes) -> str:
    return b64encode(file).decode()
