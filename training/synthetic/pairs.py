"""Takes pairs of images of one palm, in two sessions, for the batches of a stream.

This module imports no Keras, so processes that only take images start faster and need less memory.
"""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from training.database.image_files import ImageFile
from training.fit.augmentation import degrade
from training.synthetic.anatomy import LAYERS
from training.synthetic.cameras import draw_camera
from training.synthetic.canvas import CANVAS_PX, IMAGE_PX
from training.synthetic.capture import shoot
from training.synthetic.sessions import draw_session
from training.synthetic.styles import TRAINING

Pixels = NDArray[np.uint8]

SERVED_PX = 224
"""Side in px of an exported net's input images; the net shrinks them by a whole number."""

MISPLACED = replace(
    TRAINING, displace=lambda rng: np.clip(rng.normal(0, 0.055 * IMAGE_PX, 2), -11, 11)
)
"""The training style with regions of interest displaced by 5.5 % instead of 2.5 %."""


def photograph_pairs(
    palms: ImageFile,
    identities: NDArray[np.int64],
    rng_key: tuple[int, int, int],
    camera: int,
    side_px: int,
    degraded: bool,
    zoomed: bool = True,
) -> Pixels:
    """Takes two images of each palm with one camera, in two sessions.

    Args:
        palms: layers of all palms, from `training.synthetic.palms.draw_palms`.
        identities: int64 [P], numbers of the palms to photograph.
        rng_key: seed, epoch and batch. Together with an identity they determine its images.
        camera: number of the camera in that batch.
        side_px: side of the images.
        degraded: degrade the images (`training.fit.augmentation.degrade`) and displace them more.
        zoomed: cameras differ in scale, as the training style's do.

    Returns:
        uint8 [2 P, side_px, side_px], grey; the two images of a palm are next to each other.
    """
    style = MISPLACED if degraded else TRAINING
    if not zoomed:
        style = replace(style, zoom=(1.0, 1.0))
    # As many numbers as for the shots below, whose last number is 0 or 1: no key occurs twice.
    shared = draw_camera(np.random.default_rng([*rng_key, camera, 2]), style)
    images = np.empty((2 * len(identities), side_px, side_px), np.uint8)
    for slot, identity in enumerate(identities):
        palm = palms[np.array([identity])].reshape(len(LAYERS), CANVAS_PX, CANVAS_PX)
        for shot in (0, 1):
            rng = np.random.default_rng([*rng_key, int(identity), shot])
            session = draw_session(rng, style, shared)
            image = shoot(palm, session, rng, style)
            if degraded:
                image = degrade(image, rng)
            images[2 * slot + shot] = resize(image, side_px)
    return images


def resize(image: Pixels, side_px: int) -> Pixels:
    """Resizes a square image as the service and a net's local contrast do together.

    The service enlarges an image to `SERVED_PX`; the net then averages it down to `side_px`.
    """
    if image.shape[0] == side_px:
        return image
    between = round(SERVED_PX / side_px) * side_px
    enlarged = cv2.resize(image, (between, between), interpolation=cv2.INTER_LINEAR)
    resized = cv2.resize(enlarged, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.uint8)
