"""The relief of the palm, and its shadow: what all palms share, with personal variation."""

import cv2
import numpy as np

from training.fit.augmentation import enlarge
from training.synthetic.canvas import CANVAS_PX, Float32, Layers

# Centre x and y, radii along x and y (shares of the canvas), and height of each part of a right
# hand: an assumption from anatomical drawings; `draw_relief` varies it for each person.
_PARTS = np.array(
    [
        (0.23, 0.75, 0.20, 0.28, 1.0),  # thenar, the thumb's ball
        (0.79, 0.75, 0.15, 0.28, 0.8),  # hypothenar, the little finger's ball
        (0.52, 0.52, 0.27, 0.27, -0.35),  # hollow of the hand
        (0.18, 0.14, 0.11, 0.11, 0.35),  # mounds below the fingers
        (0.41, 0.10, 0.11, 0.11, 0.35),
        (0.63, 0.11, 0.11, 0.11, 0.35),
        (0.84, 0.17, 0.11, 0.11, 0.35),
    ]
)
_CELLS = 22  # the relief is smooth: one value for each 4 mm is enough


def draw_relief(rng: np.random.Generator) -> Layers:
    """Draws the height of the skin: thenar, hypothenar, hollow and the mounds below the fingers.

    Args:
        rng: a generator used for this identity only.

    Returns:
        uint8 [CANVAS_PX, CANVAS_PX]; 90 is level, higher values are higher.
    """
    rows, columns = (np.mgrid[:_CELLS, :_CELLS] + 0.5) / _CELLS
    height = enlarge(rng.normal(0, 0.08, (5, 5)).astype(np.float32), _CELLS)
    for x, y, width, length, top in _PARTS:
        across, along = rng.normal((x, y), 0.03)
        wide, long, high = np.exp(rng.normal(0, (0.15, 0.15, 0.25))) * (width, length, top)
        squares = ((columns - across) / wide) ** 2 + ((rows - along) / long) ** 2
        height = height + high * np.exp(-squares)
    return np.clip(enlarge(90 + 110 * height, CANVAS_PX), 0, 255).astype(np.uint8)


def shadow(relief: Layers, depth: float, light_from: Float32) -> Float32:
    """Returns how much darker than level skin the relief is.

    Args:
        relief: uint8 [CANVAS_PX, CANVAS_PX], from `draw_relief`.
        depth: darkness of the lowest skin relative to the highest, about -1 to 1; skin that is
            farther from the light gets less of it.
        light_from: float32 [2], x and y of the light's tilt; skin that faces it is brighter.

    Returns:
        float32 [CANVAS_PX, CANVAS_PX].
    """
    small = cv2.resize(relief, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    height = small.astype(np.float32) / 255
    slope_y, slope_x = np.gradient(height)
    dark = depth * (0.35 - height + light_from[0] * slope_x + light_from[1] * slope_y)
    # Not `enlarge`: at this size its matrix products would start threads.
    size = (CANVAS_PX, CANVAS_PX)
    enlarged = cv2.resize(dark.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    return np.asarray(enlarged, np.float32)


def rim(x: Float32, y: Float32) -> Float32:
    """Returns how much darker the palm is towards its rim, where it curves away from the light.

    Args:
        x: float32 [H, W], x of each pixel on the canvas, in px.
        y: float32 [H, W], its y.

    Returns:
        float32 [H, W], 0 in the middle, 0.5 at the middle of the canvas's sides, 1 far outside.
    """
    half = np.float32((CANVAS_PX - 1) / 2)
    across, along = x / half - 1, y / half - 1
    across *= across
    along *= along
    distance = across * across + along * along
    return np.asarray(distance / (1 + distance), np.float32)
