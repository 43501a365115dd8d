"""Cameras: what all images of one camera share."""

from dataclasses import dataclass

import numpy as np

from training.fit.augmentation import enlarge
from training.synthetic.anatomy import FROZEN_LAYERS, LAYERS
from training.synthetic.canvas import IMAGE_PX, Float32
from training.synthetic.styles import Style

_LEAST_CONTRAST = 0.75  # least mean shading of veins and creases, relative to the typical shading
_FAINT = 0.12  # probability that a camera shows a layer faintly
_BRIGHT_CREASES = 0.1  # probability that a camera shows creases bright instead of dark


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera: wavelength, polarisation, light, lens, and the rule that places the ROI.

    Attributes:
        shades: float32 [8], typical shading of each layer of `LAYERS`; positive is darker.
        zoom: px of an image per px of the canvas.
        turn_deg: turn of all images.
        offset: float [2], displacement of all regions of interest, in px.
        rim: darkness of the palm's rim, 0 to 1.
        light_from: float32 [2], x and y of the light's tilt.
        light: float32 [IMAGE_PX, IMAGE_PX], illumination, mean about 1.
        exposure: brightness of plain skin, 0 to 1.
        gamma: exponent of the sensor's response.
        blur_px: width of the blur in px.
        noise: standard deviation of the read noise, for pixels from 0 to 1.
    """

    shades: Float32
    zoom: float
    turn_deg: float
    offset: Float32
    rim: float
    light_from: Float32
    light: Float32
    exposure: float
    gamma: float
    blur_px: float
    noise: float


def draw_camera(rng: np.random.Generator, style: Style) -> Camera:
    """Draws a camera of a style."""
    factors = np.exp(rng.normal(0, style.camera_spread, len(FROZEN_LAYERS)))
    factors[rng.random(len(FROZEN_LAYERS)) < _FAINT] *= 0.2
    if rng.random() < _BRIGHT_CREASES:
        factors[2:4] *= -0.6
    if rng.random() < style.no_creases:
        factors[2:4] = 0
    # Every camera shows some veins or creases: an image without any has no identity.
    factors[:4] *= max(1, _LEAST_CONTRAST / np.abs(factors[:4]).mean())
    added = np.exp(rng.normal(0, style.camera_spread, len(LAYERS) - len(FROZEN_LAYERS)))
    return Camera(
        shades=(np.array(style.shades) * [*factors, *added]).astype(np.float32),
        zoom=float(np.exp(rng.uniform(*np.log(style.zoom)))),
        turn_deg=rng.normal(0, style.turn_deg),
        offset=(IMAGE_PX * np.clip(rng.normal(0, style.offset, 2), -0.08, 0.08)).astype(np.float32),
        rim=rng.uniform(*style.rim),
        light_from=rng.normal(0, 1.2, 2).astype(np.float32),
        light=draw_light(rng, style.uneven),
        exposure=rng.uniform(*style.exposure),
        gamma=rng.uniform(*style.gamma),
        blur_px=rng.uniform(*style.blur_px),
        noise=rng.uniform(*style.noise),
    )


def draw_light(rng: np.random.Generator, uneven: float) -> Float32:
    """Draws an illumination: a slope, a wide spot and a slow ripple.

    Args:
        rng: source of the illumination.
        uneven: factor of all three.

    Returns:
        float32 [IMAGE_PX, IMAGE_PX], mean about 1.
    """
    rows, columns = np.mgrid[-1:1:9j, -1:1:9j]
    slope = rng.normal(0, 0.12 * uneven) * columns + rng.normal(0, 0.12 * uneven) * rows
    centre = rng.normal(0, 0.35, 2)
    distance = (columns - centre[0]) ** 2 + (rows - centre[1]) ** 2
    spot = rng.uniform(0, 0.4 * uneven) * np.exp(-distance / rng.uniform(0.4, 1.6))
    light = np.maximum(1 + slope + spot + rng.normal(0, 0.03 * uneven, (9, 9)), 0.25)
    return enlarge((light / light.mean()).astype(np.float32), IMAGE_PX)
