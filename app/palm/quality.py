"""The quality of an image for recognition."""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from app.palm.decode import UnsuitableImage

MIN_CONTRAST = 0.004
"""Standard deviation of grey, 0 to 1: one grey level of 255, the rounding of a uniform image."""


Measure = Annotated[
    float,
    PlainSerializer(lambda value: round(value, 4), return_type=float, when_used="json"),
    Field(json_schema_extra={"minimum": 0, "maximum": 1}),
]


class Quality(BaseModel):
    """How well an image shows a palm, measured on the nets' input; x is grey, 0 to 1."""

    model_config = ConfigDict(frozen=True)

    sharpness: Measure = Field(
        description="min(1, 10 mean |gradient of x|) by central differences: 0 is blurred, 1 "
        "sharp; to 4 decimals.",
        examples=[0.1107],
    )
    contrast: Measure = Field(
        description="min(1, 4 std(x)): 0 is uniform, 1 high in contrast; to 4 decimals.",
        examples=[0.2033],
    )
    brightness: Measure = Field(
        description="mean(x): 0 is black, 1 white; to 4 decimals.", examples=[0.6317]
    )


def assess(image: NDArray[np.uint8]) -> Quality:
    """Measures the quality of a prepared image, uint8 [H, W, 3].

    Raises:
        UnsuitableImage: if the image is featureless, as of a covered or blinded camera.
    """
    grey = image.mean(axis=2) / 255
    rows, columns = np.gradient(grey)
    quality = Quality(
        sharpness=min(1.0, 10 * float(np.hypot(rows, columns).mean())),
        contrast=min(1.0, 4 * float(grey.std())),
        brightness=float(grey.mean()),
    )
    if quality.contrast < 4 * MIN_CONTRAST:
        raise UnsuitableImage(
            f"the image shows nothing: contrast {quality.contrast:.4f}, brightness "
            f"{quality.brightness:.2f}; photograph the palm with the near-infrared light on"
        )
    return quality
