"""Sessions: state of sensor and skin, shared by all shots of one session."""

from dataclasses import dataclass

import numpy as np

from training.fit.augmentation import enlarge
from training.synthetic.anatomy import FROZEN_LAYERS
from training.synthetic.cameras import Camera, draw_light
from training.synthetic.canvas import IMAGE_PX, Float32
from training.synthetic.styles import Style

_FAINT = 0.06  # probability that a session shows a layer faintly: cold hand, dry skin
_COLUMNS, _ROWS = np.meshgrid(*[np.arange(IMAGE_PX, dtype=np.float32) - (IMAGE_PX - 1) / 2] * 2)


@dataclass(frozen=True, slots=True)
class Session:
    """State of sensor and skin in one session.

    Attributes:
        camera: the camera of the session.
        shades: float32 [8], shading of each layer of `LAYERS`; positive is darker.
        prominence: float32 [2, IMAGE_PX, IMAGE_PX], factors for the shading of veins and of skin
            at every pixel: pressure empties veins, and skin dries in patches.
        dilation_px: px added to the veins' width, -1 (cold hand) to 1 (warm hand).
        stretch: float32 [2, 5, 5], displacements in px by which the hand is spread.
        light: float32 [IMAGE_PX, IMAGE_PX], illumination, mean about 1.
        exposure: brightness of plain skin, 0 to 1.
        gamma: exponent of the sensor's response.
        blur_px: width of the blur in px.
        noise: standard deviation of the read noise, for pixels from 0 to 1.
        inverted: float32 [IMAGE_PX, IMAGE_PX], 1 where the contrast is normal and -1 where it is
            inverted; None if it is inverted nowhere.
        pattern: float32 [IMAGE_PX, IMAGE_PX] that the sensor adds to every shot; None if none.
        pressure: float32 [2, 5, 5], displacements in px of the veins against the creases.
    """

    camera: Camera
    shades: Float32
    prominence: Float32
    dilation_px: float
    stretch: Float32
    light: Float32
    exposure: float
    gamma: float
    blur_px: float
    noise: float
    inverted: Float32 | None
    pattern: Float32 | None
    pressure: Float32


def draw_session(rng: np.random.Generator, style: Style, camera: Camera) -> Session:
    """Draws the state of one session.

    Args:
        rng: source of the state.
        style: family of the camera.
        camera: the camera, from `draw_camera` with the same style.
    """
    changes = np.exp(rng.normal(0, style.session_spread, len(FROZEN_LAYERS)))
    changes[rng.random(len(FROZEN_LAYERS)) < _FAINT] *= 0.5
    kept, drawn = style.steadiness, 1 - style.steadiness
    patches = style.patches
    return Session(
        camera=camera,
        # The added layers change as the shallow veins, the texture and the principal lines do.
        shades=camera.shades * changes[[*range(len(FROZEN_LAYERS)), 1, 4, 2]].astype(np.float32),
        prominence=np.exp(np.stack([coarse(rng, patches, 4), coarse(rng, patches, 5)])),
        dilation_px=style.dilation_px * int(rng.integers(-1, 2)),
        stretch=rng.normal(0, 0.6, (2, 5, 5)).astype(np.float32),
        light=np.asarray(kept * camera.light + drawn * draw_light(rng, style.uneven), np.float32),
        exposure=kept * camera.exposure + drawn * rng.uniform(*style.exposure),
        gamma=kept * camera.gamma + drawn * rng.uniform(*style.gamma),
        blur_px=kept * camera.blur_px + drawn * rng.uniform(*style.blur_px),
        noise=kept * camera.noise + drawn * rng.uniform(*style.noise),
        inverted=_draw_inversion(rng) if rng.random() < style.inverts else None,
        pattern=style.pattern(rng) if rng.random() < style.patterned else None,
        pressure=rng.normal(0, style.pressure_px, (2, 5, 5)).astype(np.float32),
    )


def coarse(rng: np.random.Generator, deviation: float, cells: int) -> Float32:
    """Draws a smooth random field [IMAGE_PX, IMAGE_PX] of mean 0."""
    return enlarge(deviation * rng.standard_normal((cells, cells), np.float32), IMAGE_PX)


def _draw_inversion(rng: np.random.Generator) -> Float32:
    """Draws a round patch of inverted contrast, up to an eighth of the image, soft at its edge."""
    centre = rng.uniform(-0.4, 0.4, 2) * IMAGE_PX
    radius = rng.uniform(0.1, 0.2) * IMAGE_PX
    distance = np.hypot(_COLUMNS - centre[0], _ROWS - centre[1])
    return np.tanh((distance - radius) / 2).astype(np.float32)
