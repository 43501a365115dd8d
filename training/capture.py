"""How a palm is photographed: what changes from session to session and from shot to shot.

Ranges are wide on purpose and follow what near-infrared palm databases show: low contrast, uneven
light, speckles, line noise, and pose differing by a few degrees, percent and pixels even after the
region of interest was cut out.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.anatomy import CANVAS_PX, LAYERS, Float32

PICTURE_PX = 224
"""Side of the picture."""

# Depth of each layer's shading in a typical session, as a share of the skin's brightness.
_TYPICAL_SHADE = {
    "deep_veins": 0.16,
    "branch_veins": 0.10,
    "principal_lines": 0.12,
    "wrinkles": 0.07,
    "texture": 0.025,
}
_VANISHING = 0.04  # chance that a session shows next to nothing of a layer
_BRIGHT_CREASES = 0.15  # chance that creases reflect light instead of shadowing it


@dataclass(frozen=True, slots=True)
class Session:
    """One visit: the sensor's and the skin's state, shared by all shots of the visit.

    Attributes:
        shades: float32 [5], shading of each layer of `LAYERS`; positive is darker.
        dilation_px: width added to the veins (warm hand) or taken away (cold hand).
        light: float32 [CANVAS_PX, CANVAS_PX], illumination, mean 1.
        exposure: brightness of plain skin, 0 to 1.
        gamma: exponent of the sensor's response.
        blur_px: standard deviation of the lens's blur.
        noise: standard deviation of the read noise, of a range of 1.
    """

    shades: Float32
    dilation_px: int
    light: Float32
    exposure: float
    gamma: float
    blur_px: float
    noise: float


def draw_session(rng: np.random.Generator) -> Session:
    """Draws the state of one visit."""
    shades = np.array([_TYPICAL_SHADE[layer] for layer in LAYERS], np.float32)
    shades *= rng.uniform(0.55, 1.45, len(LAYERS)).astype(np.float32)
    shades[rng.random(len(LAYERS)) < _VANISHING] *= 0.1
    if rng.random() < _BRIGHT_CREASES:
        shades[2:4] *= -0.6
    return Session(
        shades=shades,
        dilation_px=int(rng.integers(-1, 2)),
        light=_draw_light(rng),
        exposure=rng.uniform(0.42, 0.72),
        gamma=rng.uniform(0.7, 1.45),
        blur_px=rng.uniform(0.4, 1.8),
        noise=rng.uniform(0.006, 0.025),
    )


def shoot(palm: Float32, session: Session, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Takes one picture.

    Args:
        palm: float32 [5, CANVAS_PX, CANVAS_PX] of `training.anatomy.draw_palm`.
        session: the visit.
        rng: the shot's own generator.

    Returns:
        uint8 [PICTURE_PX, PICTURE_PX], grey.
    """
    shades = session.shades * rng.uniform(0.75, 1.25, len(LAYERS)).astype(np.float32)
    veins = _dilate(shades[0] * palm[0] + shades[1] * palm[1], session.dilation_px)
    shading = veins + np.tensordot(shades[2:], palm[2:], axes=1)
    skin = session.exposure * rng.uniform(0.9, 1.1) * (1 - shading)
    picture = cv2.remap(skin, *_pose(rng), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    picture *= _middle(session.light)  # the lamp stays where it is when the hand moves
    _add_specular_spots(picture, rng)
    picture = cv2.GaussianBlur(picture, (0, 0), session.blur_px * rng.uniform(0.8, 1.3))
    picture = np.clip(picture, 0, 1) ** session.gamma
    picture = _add_sensor_noise(picture, session.noise, rng)
    return _compress(np.clip(picture * 255, 0, 255).astype(np.uint8), rng)


def _pose(rng: np.random.Generator) -> tuple[Float32, Float32]:
    """Maps of canvas x and y, float32 [PICTURE_PX, PICTURE_PX] each: turn, scale, shift, bend."""
    angle = np.deg2rad(rng.normal(0, 3.5))
    scale = np.exp(rng.normal(0, 0.045))
    squeeze = np.exp(rng.normal(0, 0.02))  # a hand that leans shortens one way
    half = PICTURE_PX / 2
    rows, columns = np.mgrid[-half:half, -half:half].astype(np.float32)
    x = scale * squeeze * (np.cos(angle) * columns - np.sin(angle) * rows)
    y = scale / squeeze * (np.sin(angle) * columns + np.cos(angle) * rows)
    shift = np.clip(rng.normal(0, 7, 2), -16, 16) + CANVAS_PX / 2
    bend = rng.normal(0, rng.uniform(0.5, 2.5), (2, 5, 5)).astype(np.float32)
    x += shift[0] + cv2.resize(bend[0], (PICTURE_PX, PICTURE_PX), interpolation=cv2.INTER_CUBIC)
    y += shift[1] + cv2.resize(bend[1], (PICTURE_PX, PICTURE_PX), interpolation=cv2.INTER_CUBIC)
    return x.astype(np.float32), y.astype(np.float32)


def _draw_light(rng: np.random.Generator) -> Float32:
    """A lamp's fall-off: a slope, a wide spot and a slow ripple, mean 1."""
    rows, columns = np.mgrid[-1 : 1 : CANVAS_PX * 1j, -1 : 1 : CANVAS_PX * 1j].astype(np.float32)
    slope = rng.normal(0, 0.14) * columns + rng.normal(0, 0.14) * rows
    centre = rng.normal(0, 0.35, 2)
    distance = (columns - centre[0]) ** 2 + (rows - centre[1]) ** 2
    spot = rng.uniform(0, 0.5) * np.exp(-distance / rng.uniform(0.4, 1.6))
    ripple = cv2.resize(
        rng.normal(0, 0.06, (4, 4)).astype(np.float32),
        (CANVAS_PX, CANVAS_PX),
        interpolation=cv2.INTER_CUBIC,
    )
    light = np.maximum(1 + slope + spot + ripple, 0.25)
    return (light / light.mean()).astype(np.float32)


def _dilate(veins: Float32, width_px: int) -> Float32:
    """Widens the veins by about `width_px`, or narrows them where it is negative."""
    if width_px == 0:
        return veins
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(width_px) + 1,) * 2)
    return cv2.dilate(veins, kernel) if width_px > 0 else cv2.erode(veins, kernel)


def _add_specular_spots(picture: Float32, rng: np.random.Generator) -> None:
    """Adds up to eight small highlights, in place."""
    for _ in range(rng.integers(0, 9)):
        x, y = rng.integers(0, PICTURE_PX, 2).tolist()
        cv2.circle(picture, (x, y), int(rng.integers(1, 4)), rng.uniform(0.7, 1), cv2.FILLED)


def _add_sensor_noise(picture: Float32, noise: float, rng: np.random.Generator) -> Float32:
    """Adds shot noise (grows with the signal), read noise and column noise."""
    grain = rng.standard_normal(picture.shape, np.float32)
    columns = rng.standard_normal((1, PICTURE_PX), np.float32)
    return picture + noise * (0.4 + np.sqrt(picture)) * grain + 0.35 * noise * columns


def _compress(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Passes the picture through the sensor's JPEG of quality 50 to 95."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(50, 96))]
    _, jpeg = cv2.imencode(".jpg", picture, quality)
    return np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE), np.uint8)


def _middle(canvas: Float32) -> Float32:
    """The picture's part of a canvas."""
    margin = (CANVAS_PX - PICTURE_PX) // 2
    return canvas[margin : margin + PICTURE_PX, margin : margin + PICTURE_PX]
