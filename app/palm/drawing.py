"""Draws where a palm was found in an image."""

import cv2
import numpy as np
from numpy.typing import NDArray

from app.palm.hand import Region

LONGER_PX = 800
"""Longer side of the drawing, at most."""

_SQUARE, _UP, _GAP = (0, 200, 83), (255, 214, 0), (255, 64, 129)  # RGB


def draw_region(image: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
    """Draws the palm's square, its upper side in yellow, and the finger gaps into the image.

    Args:
        image: uint8 [H, W] or RGB [H, W, 3].
        region: where the palm lies in it.

    Returns:
        RGB uint8 [h, w, 3], at most `LONGER_PX` on its longer side.
    """
    height, width = image.shape[:2]
    scale = min(LONGER_PX / max(height, width), 1)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    canvas = cv2.cvtColor(small, cv2.COLOR_GRAY2RGB) if small.ndim == 2 else small.copy()
    thick = max(round(max(size) / 200), 1)
    corners = _pixels(region.square.corners, scale)
    cv2.polylines(canvas, [corners], True, _SQUARE, thick, cv2.LINE_AA)
    cv2.line(canvas, corners[0].tolist(), corners[1].tolist(), _UP, thick, cv2.LINE_AA)
    if region.hand is not None:
        for x, y in _pixels(region.hand.gaps, scale):
            cv2.circle(canvas, (int(x), int(y)), 2 * thick, _GAP, -1, cv2.LINE_AA)
    return np.asarray(canvas, np.uint8)


def as_png(image: NDArray[np.uint8]) -> bytes:
    """Encodes an image, uint8 [H, W] or RGB [H, W, 3]."""
    colour = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", colour)[1].tobytes()


def _pixels(points: NDArray[np.float64], scale: float) -> NDArray[np.int32]:
    return np.rint((points + 0.5) * scale - 0.5).astype(np.int32)
