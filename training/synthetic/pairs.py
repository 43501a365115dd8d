"""Images of palms by twos, each palm at two visits: what the batches of a stream are made of.

Without Keras: processes that only take images start faster and smaller.
"""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from training.database.image_files import ImageFile
from training.fit.augmentation import degrade
from training.synthetic.anatomy import LAYERS
from training.synthetic.canvas import CANVAS_PX
from training.synthetic.capture import PICTURE_PX, TRAINING, draw_camera, draw_session, shoot

Pixels = NDArray[np.uint8]

SERVED_PX = 224
"""Side of the images that the exported net takes; it shrinks them by a whole number."""

MISPLACED = replace(
    TRAINING, displace=lambda rng: np.clip(rng.normal(0, 0.055 * PICTURE_PX, 2), -11, 11)
)
"""The training style, with the region of interest a little further away than its own 4 %."""


def photograph_pairs(
    palms: ImageFile,
    identities: NDArray[np.int64],
    rng_key: tuple[int, int, int],
    camera: int,
    side_px: int,
    degraded: bool,
) -> Pixels:
    """Takes two images of each palm, at two visits to one camera.

    Args:
        palms: identity layers of all palms, as `draw_palms` keeps them.
        identities: int64 [P], whose images to take.
        rng_key: what says, with an identity, how its images are: seed, epoch and batch.
        camera: number of the camera in that batch.
        side_px: side of the images.
        degraded: spoil the images (`degrade`), and misplace them more.

    Returns:
        uint8 [2 P, side_px, side_px], grey; the two of one palm one after the other.
    """
    style = MISPLACED if degraded else TRAINING
    # Five numbers, as below, of which the last is no shot's.
    shades = draw_camera(np.random.default_rng([*rng_key, camera, 2]), style)
    images = np.empty((2 * len(identities), side_px, side_px), np.uint8)
    for slot, identity in enumerate(identities):
        palm = palms[np.array([identity])].reshape(len(LAYERS), CANVAS_PX, CANVAS_PX)
        for shot in (0, 1):
            # Named by identity, not by slot: several machines share a batch.
            rng = np.random.default_rng([*rng_key, int(identity), shot])
            session = draw_session(rng, style, shades)
            image = shoot(palm, session, rng, style)
            if degraded:
                image = degrade(image, rng)
            images[2 * slot + shot] = resize(image, side_px)
    return images


def resize(image: Pixels, side_px: int) -> Pixels:
    """A square image as a served net sees it, that takes `SERVED_PX` and averages them."""
    if image.shape[0] == side_px:
        return image
    between = round(SERVED_PX / side_px) * side_px
    enlarged = cv2.resize(image, (between, between), interpolation=cv2.INTER_LINEAR)
    resized = cv2.resize(enlarged, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.uint8)
