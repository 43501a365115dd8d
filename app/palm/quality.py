"""The quality of an image for recognition, in the manner of ISO/IEC 29794-1.

Each component has a scale with three points: at 0 the image is useless, at 100 more does not help.
At `ENOUGH`, errors are about twice those of good images for sharpness, saturated, blocks and skin;
`benchmarks/quality.py` measures these, veins and brightness, docs/capture.md says how the others
were chosen. The worst component decides.
"""

from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from app.palm.errors import PoorQuality
from app.palm.hand import Region

ENOUGH = 50
"""Score of the middle point of every scale."""

BLOCK_PX = 8
"""Side of the blocks that JPEG compresses one by one."""

_ALMOST_WHITE = 250  # of 255: from here on a sensor is taken for saturated
_BASE_PX = 224  # side of the square for which the widths of the blurs below are given


def _measure(decimals: int) -> PlainSerializer:
    return PlainSerializer(
        lambda value: None if value is None else round(value, decimals), when_used="json"
    )


Share = Annotated[float, _measure(4), Field(json_schema_extra={"minimum": 0, "maximum": 1})]
Amount = Annotated[float, _measure(2), Field(json_schema_extra={"minimum": 0})]
Points = Annotated[int, Field(json_schema_extra={"minimum": 0, "maximum": 100})]


class Quality(BaseModel):
    """How well an image shows a palm.

    sharpness, veins, brightness, saturated and skin are measured on the palm's square.
    """

    model_config = ConfigDict(frozen=True)

    score: Points = Field(
        description="0 to 100, that of the worst component. PALM_QUALITY_ENROLL and "
        "PALM_QUALITY_PROBE are the lowest that are accepted.",
        examples=[100],
    )
    palm: Share = Field(
        description="0 to 1: certainty that the image shows a palm and where it lies; to 4 "
        "decimals.",
        examples=[0.9731],
    )
    palm_px: Amount = Field(
        description="Shorter side of the palm's square in pixels of the image, to 2 decimals. A "
        "JPEG above 8 megapixels counts at the size at which it is decoded.",
        examples=[213.4],
    )
    sharpness: Share = Field(
        description="1 - the ratio of the mean gradients after a wide and a narrow blur: 0 is "
        "blurred, from 0.25 on sharp; to 4 decimals.",
        examples=[0.5207],
    )
    veins: Amount = Field(
        description="Contrast of the veins: standard deviation of the details as wide as veins, in "
        "grey levels of 255; to 2 decimals.",
        examples=[4.31],
    )
    brightness: Share = Field(
        description="Mean brightness: 0 is black, 1 white; to 4 decimals.", examples=[0.4317]
    )
    saturated: Share = Field(
        description="Share of the square that is almost white, 0 to 1; to 4 decimals.",
        examples=[0.0],
    )
    blocks: Amount = Field(
        description="How much larger steps between JPEG's blocks are than within them, 1 or more: "
        "about 1 without compression, 4 at JPEG quality 30; less for a palm of more than 224 "
        "pixels, whose veins a block hides less. To 2 decimals.",
        examples=[1.13],
    )
    skin: Share = Field(
        description="Share of the square that lies on the hand, 0 to 1; 1 for an image that is a "
        "region of interest already. To 4 decimals.",
        examples=[0.9843],
    )
    pose: Share | None = Field(
        description="About the cosine of the angle by which the palm is turned away from the "
        "camera, 0 to 1. Null without a hand; to 4 decimals.",
        examples=[0.8812],
    )

    def refuse_below(self, least: int) -> None:
        """Refuses an image of too low a score.

        Args:
            least: least score, 0 to 100.

        Raises:
            PoorQuality: with each component below it, its value, its limit and what to do.
        """
        scales = HAND_SCALES if self.pose is not None else CROP_SCALES  # only a hand has a pose
        reasons = {
            name: scale.advise(value, least)
            for name, scale in scales.items()
            if (value := getattr(self, name)) is not None and scale.score(value) < least
        }
        if reasons:
            raise PoorQuality(
                f"the quality is {self.score} of 100, at least {least} is needed: "
                + "; ".join(reasons.values()),
                reasons,
            )


@dataclass(frozen=True, slots=True)
class Scale:
    """Turns a component's value into a score.

    Attributes:
        values: the values with the scores 0, `ENOUGH` and 100, rising or falling.
        advice: what to do if it is too low, with {value} and {limit}.
        decimals: number of decimals of the value that the advice shows.
    """

    values: tuple[float, float, float]
    advice: str
    decimals: int = 2

    def score(self, value: float) -> float:
        """Returns the score of a value, 0 to 100."""
        worst, enough, best = self.values
        sign = 1 if best > worst else -1
        points = [sign * one for one in (worst, enough, best)]
        return float(np.interp(sign * value, points, (0, ENOUGH, 100)))

    def advise(self, value: float, least: float) -> str:
        """Returns what to do about a value whose score is below `least`."""
        limit = self.value_at(least)
        # Rounded away from the limit, so that "64 px, 64 are needed" cannot be said.
        step = 10.0**-self.decimals
        away = np.floor if self.values[2] > self.values[0] else np.ceil
        shown = float(away(round(value / step, 6))) * step
        return self.advice.format(value=shown, limit=limit)

    def value_at(self, score: float) -> float:
        """Returns the value with a score."""
        return float(np.interp(score, (0, ENOUGH, 100), self.values))


HAND_SCALES: dict[str, Scale] = {
    "palm": Scale(
        (0.3, 0.7, 0.9),
        "it is not certain where the palm is ({value:.2f}, at least {limit:.2f}): show one open "
        "hand, palm towards the camera, before a plain background",
    ),
    "palm_px": Scale(
        (16, 64, 128),
        "move closer: the palm is {value:.0f} px wide, {limit:.0f} are needed",
        decimals=0,
    ),
    "sharpness": Scale(
        (0.03, 0.14, 0.25),
        "the image is blurred (sharpness {value:.2f}, at least {limit:.2f}): hold still, focus the "
        "camera, clean its window, and do not enlarge small images",
    ),
    "veins": Scale(
        (0.5, 2.0, 4.0),
        "the veins hardly show (contrast {value:.2f} of 255 grey levels, at least {limit:.2f}): "
        "use near-infrared light of 850 to 940 nm and a longer exposure",
    ),
    "brightness": Scale(
        (0.02, 0.06, 0.15),
        "the palm is too dark (brightness {value:.2f}, at least {limit:.2f}): more near-infrared "
        "light, or a longer exposure",
    ),
    "saturated": Scale(
        (0.6, 0.25, 0.05),
        "the palm is overexposed ({value:.0%} is white, at most {limit:.0%}): less light, or a "
        "shorter exposure",
    ),
    "blocks": Scale(
        (30, 8, 4),
        "the image is compressed too much (blocks {value:.1f}, at most {limit:.1f}): save JPEG "
        "with quality 60 or more, or PNG",
        decimals=1,
    ),
    "skin": Scale(
        (0.5, 0.85, 0.95),
        "only {value:.0%} of the palm is in view, at least {limit:.0%} are needed: keep the whole "
        "palm in the image",
    ),
    "pose": Scale(
        (0.5, 0.72, 0.9),
        "the hand is turned away (pose {value:.2f}, at least {limit:.2f}): hold the palm parallel "
        "to the camera",
    ),
}
"""The scales of a photograph of a hand."""

CROP_SCALES: dict[str, Scale] = HAND_SCALES | {
    "palm": Scale(
        (0.0, 0.75, 0.95),
        "it is not certain that this is a palm ({value:.2f}, at least {limit:.2f}): send the "
        "middle of a palm, cut to a square with the fingers up, or a photograph of the hand",
    )
}
"""The scales of a region of interest."""


def assess(
    image: NDArray[np.uint8], region: Region, square: NDArray[np.uint8], skin: float
) -> Quality:
    """Measures the quality of a palm's square.

    Args:
        image: uint8 [H, W], from which the square was cut: one channel.
        region: where the palm lies in it.
        square: uint8 [S, S], the palm's square.
        skin: share of the square that lies on the hand.
    """
    grey = square.astype(np.float32)
    unit = len(square) / _BASE_PX
    fine, wide = _blur(grey, unit), _blur(grey, 4 * unit)
    enlarged = max(region.square.side_px / _BASE_PX, 1.0)
    components = {
        "palm": region.certainty,
        "palm_px": min(region.square.sides_px),
        "sharpness": max(1 - _gradient(wide) / max(_gradient(fine), 1e-6), 0.0),
        "veins": float((_blur(grey, 2 * unit) - _smooth(grey, 12 * unit)).std()),
        "brightness": float(grey.mean()) / 255,
        "saturated": np.count_nonzero(square >= _ALMOST_WHITE) / square.size,
        "blocks": 1 + (_blocks(_around(image, region)) - 1) / enlarged,
        "skin": skin,
        "pose": region.hand.pose if region.hand else None,
    }
    scales = HAND_SCALES if region.hand else CROP_SCALES
    scores = [
        scale.score(value)
        for name, scale in scales.items()
        if (value := components[name]) is not None
    ]
    return Quality.model_validate({"score": int(min(scores)), **components})


def _blur(grey: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), sigma), np.float32)


def _smooth(grey: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Blurs widely, in a quarter of the pixels on each side, which takes a tenth of the time."""
    height, width = grey.shape
    size = max(width // 4, 1), max(height // 4, 1)
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), sigma / 4)
    return np.asarray(cv2.resize(blurred, (width, height)), np.float32)


def _gradient(grey: NDArray[np.float32]) -> float:
    """Returns the mean length of the gradient, by central differences, in grey levels per 2 px."""
    across, down = (cv2.Sobel(grey, cv2.CV_32F, *axis, ksize=1) for axis in ((1, 0), (0, 1)))
    return float(np.asarray(cv2.magnitude(across, down)).mean())


def _around(image: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
    """Returns the part of the image around the square, in its own pixels, uint8 [h, w]."""
    ends = np.ceil([region.square.corners.min(axis=0), region.square.corners.max(axis=0)])
    (left, top), (right, bottom) = np.clip(ends, 0, image.shape[1::-1]).astype(int)
    return image[top:bottom, left:right]


def _blocks(grey: NDArray[np.uint8]) -> float:
    """Returns how much larger the steps between blocks are than those within, at least 1."""
    found = [1.0]
    if min(grey.shape) < 2:
        return 1.0
    across, down = cv2.absdiff(grey[:, 1:], grey[:, :-1]), cv2.absdiff(grey[1:], grey[:-1])
    for beside, axis in ((across, 0), (down, 1)):
        steps = np.asarray(cv2.reduce(beside, axis, cv2.REDUCE_AVG, dtype=cv2.CV_32F)).ravel()
        whole = len(steps) // BLOCK_PX * BLOCK_PX
        if not whole:
            continue
        by_place = np.sort(steps[:whole].reshape(-1, BLOCK_PX).mean(axis=0))
        found.append(float(by_place[-1] / max(by_place[:-1].mean(), 1e-2)))
    return max(found)
