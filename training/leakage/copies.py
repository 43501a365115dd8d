"""Compares two images to find out whether they are copies of one photograph.

Veins do not show this: two shots of one palm have the same veins. The finest details do: in copies
they are at the same places once the images are aligned. docs/leakage.md has the measurements.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

SIDE_PX = 112
FINEST_PX, COARSEST_PX = 0.7, 4.0
"""Images are compared at 112 px, band-passed between Gaussians of these standard deviations in px:
details that JPEG and resizing keep, without the light."""

ANGLES_DEG = (0, -10, 10, -20, 20, -30, 30, -40, 40)
"""Angles to try; the alignment then corrects up to 6 degrees and 10 % of scale. Published palm-vein
code turns images by at most 36 degrees (Keras's RandomRotation(0.1))."""

CENTRE = 0.5
"""Side of the centre that is searched for in the other image, as a share of the image's side. It
stays inside if the other image is turned by 45 degrees, or turned less and shifted by 10 %."""

STEPS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-4)

COPY_LIKENESS = 0.985
"""Least likeness of copies; shots of one palm in one session reach 0.982 (docs/leakage.md)."""


class Details(NamedTuple):
    """The details of an image, without light and noise.

    Attributes:
        fine: float32 [112, 112], the details.
        coarse: float32 [56, 56], the details at half the size.
    """

    fine: NDArray[np.float32]
    coarse: NDArray[np.float32]


def details(image: Pixels) -> Details:
    """Returns the details of an image uint8 [H, W], for `likeness`."""
    small = cv2.resize(image, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    flat = small.astype(np.float32)
    flat -= cv2.GaussianBlur(flat, (0, 0), COARSEST_PX)
    fine = cv2.GaussianBlur(flat, (0, 0), FINEST_PX)
    coarse = cv2.resize(fine, (SIDE_PX // 2, SIDE_PX // 2), interpolation=cv2.INTER_AREA)
    return Details(_float32(fine), _float32(coarse))


def likeness(probe: Details, template: Details) -> float:
    """Returns the correlation of the probe's centre with the template at the best alignment.

    The centre is turned by each of `ANGLES_DEG` and searched for in the whole template, then
    aligned by an affine map (Evangelidis and Psarakis, IEEE TPAMI 30 (2008)). To find a mirrored
    copy, mirror the probe first. One call takes 1.2 ms.

    Returns:
        The correlation, in [-1, 1]; -1 if the images cannot be aligned or are uniform. Copies
        reach `COPY_LIKENESS`.
    """
    if min(probe.fine.std(), template.fine.std()) < 1e-3:
        return -1.0
    angle, (x, y) = _place(probe, template)
    centre = _centre(probe.fine, angle)
    everywhere = np.full(template.fine.shape, 255, np.uint8)
    start = np.array([[1, 0, 2 * x], [0, 1, 2 * y]], np.float32)
    try:
        value, found = cv2.findTransformECC(
            centre, template.fine, start, cv2.MOTION_AFFINE, STEPS, everywhere, 1
        )
    except cv2.error:  # no overlap, or the iteration does not converge
        return -1.0
    return float(value) if _is_plausible(found) else -1.0


def _place(probe: Details, template: Details) -> tuple[float, tuple[int, int]]:
    """Returns the angle in degrees and the position in `template.coarse` of the best fit."""
    best, turn, place = -2.0, 0.0, (0, 0)
    for angle in ANGLES_DEG:
        centre = _centre(probe.coarse, angle)
        fit = cv2.matchTemplate(template.coarse, centre, cv2.TM_CCOEFF_NORMED)
        _, value, _, position = cv2.minMaxLoc(fit)
        if value > best:
            best, turn, place = value, float(angle), (int(position[0]), int(position[1]))
    return turn, place


def _centre(image: NDArray[np.float32], angle_deg: float) -> NDArray[np.float32]:
    """Returns the centre of a turned square image [S, S], [CENTRE S, CENTRE S]."""
    side = image.shape[0]
    turn = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), angle_deg, 1.0)
    kept = round(side * CENTRE)
    first = (side - kept) // 2
    turned = cv2.warpAffine(image, turn, (side, side))
    return _float32(turned[first : first + kept, first : first + kept])


def _is_plausible(found: NDArray[np.number]) -> bool:
    """Returns whether an affine map [2, 3] changes the size by at most a quarter.

    It must also keep the centre inside the template. An alignment that diverges shrinks the centre
    to a few pixels, which correlate perfectly.
    """
    side = SIDE_PX * CENTRE
    corners = np.array([[0, 0, 1], [side, 0, 1], [0, side, 1], [side, side, 1]]) @ found.T
    inside = corners.min() > -0.1 * SIDE_PX and corners.max() < 1.1 * SIDE_PX
    return bool(inside and 0.6 < np.linalg.det(found[:, :2]) < 1.6)


def _float32(image: NDArray[np.generic]) -> NDArray[np.float32]:
    return np.ascontiguousarray(image, np.float32)
