"""Takes images of a palm: cameras, sessions and shots.

The ranges are wide on purpose. They cover what near-infrared palm databases show: low contrast,
uneven light, speckles, line noise, and regions of interest whose pose differs by a few degrees,
percent and pixels. There are two styles of cameras: nets train on `TRAINING`; `HELD_OUT` has
defects that training never draws, and is used for evaluation only.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.fit.augmentation import enlarge, grain
from training.synthetic.anatomy import LAYERS
from training.synthetic.canvas import CANVAS_PX, Float32, Layers

IMAGE_PX = 128
"""Side of an image in px."""

# How much darker than plain skin each of `LAYERS` is in a typical camera, from 0 to 1.
_TYPICAL_SHADES = np.array([0.16, 0.13, 0.14, 0.13, 0.07])
_LEAST_CONTRAST = 0.75  # least mean shading of veins and creases, relative to the typical shading
_FAINT = 0.12  # probability that a camera shows a layer faintly
_FAINT_SESSION = 0.06  # probability that a session shows a layer faintly: cold hand, dry skin
_BRIGHT_CREASES = 0.1  # probability that a camera shows creases bright instead of dark
_COLUMNS, _ROWS = np.meshgrid(*[np.arange(IMAGE_PX, dtype=np.float32) - (IMAGE_PX - 1) / 2] * 2)
_REST = np.array([0, 0, 0, 0, 128], np.float32)  # value of each layer on plain skin


@dataclass(frozen=True, slots=True)
class Session:
    """State of sensor and skin in one session, shared by all its shots.

    Attributes:
        shades: float32 [5], shading of each layer of `LAYERS`; positive is darker.
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
    """

    shades: Float32
    prominence: Float32
    dilation_px: int
    stretch: Float32
    light: Float32
    exposure: float
    gamma: float
    blur_px: float
    noise: float
    inverted: Float32 | None
    pattern: Float32 | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """A family of cameras.

    Attributes:
        blur: function that blurs an image float32 [IMAGE_PX, IMAGE_PX] by a width in px.
        displace: function that draws the displacement of the region of interest, [2] in px.
        quality: lowest and highest JPEG quality, 0 to 100.
        no_creases: probability that a camera shows neither lines nor wrinkles.
        inverts: probability that a session inverts the contrast in a part of the image.
        patterned: probability that a session's sensor adds a pattern.
    """

    blur: Callable[[Float32, float, np.random.Generator], Float32]
    displace: Callable[[np.random.Generator], NDArray[np.floating]]
    quality: tuple[int, int]
    no_creases: float = 0.0
    inverts: float = 0.0
    patterned: float = 0.0


def draw_camera(rng: np.random.Generator, style: Style) -> Float32:
    """Draws how dark a camera shows each layer of the palm.

    This depends on wavelength, polarisation and distance, which differ between databases and hardly
    between sessions.

    Returns:
        float32 [5], typical shading of each layer of `LAYERS`; positive is darker.
    """
    factors = np.exp(rng.normal(0, 0.35, len(LAYERS)))
    factors[rng.random(len(LAYERS)) < _FAINT] *= 0.2
    if rng.random() < _BRIGHT_CREASES:
        factors[2:4] *= -0.6
    if rng.random() < style.no_creases:
        factors[2:4] = 0
    # Every camera shows some veins or creases: an image without any has no identity.
    factors[:4] *= max(1, _LEAST_CONTRAST / np.abs(factors[:4]).mean())
    return (_TYPICAL_SHADES * factors).astype(np.float32)


def draw_session(rng: np.random.Generator, style: Style, camera: Float32) -> Session:
    """Draws the state of one session.

    Args:
        rng: source of the state.
        style: family of the camera.
        camera: float32 [5], from `draw_camera`.
    """
    changes = np.exp(rng.normal(0, 0.2, len(LAYERS)))
    changes[rng.random(len(LAYERS)) < _FAINT_SESSION] *= 0.5
    shades = camera * changes.astype(np.float32)
    return Session(
        shades=shades,
        prominence=np.exp(np.stack([_coarse(rng, 0.2, 4), _coarse(rng, 0.2, 5)])),
        dilation_px=int(rng.integers(-1, 2)),
        stretch=rng.normal(0, 0.6, (2, 5, 5)).astype(np.float32),
        light=_draw_light(rng),
        exposure=rng.uniform(0.3, 0.6),
        gamma=rng.uniform(0.65, 1.5),
        blur_px=rng.uniform(0.3, 1.3),
        noise=rng.uniform(0.003, 0.02),
        inverted=_draw_inversion(rng) if rng.random() < style.inverts else None,
        pattern=_draw_pattern(rng) if rng.random() < style.patterned else None,
    )


def shoot(
    palm: Layers, session: Session, rng: np.random.Generator, style: Style
) -> NDArray[np.uint8]:
    """Takes one image.

    Args:
        palm: uint8 [5, CANVAS_PX, CANVAS_PX], from `training.synthetic.anatomy.draw_palm`.
        session: the session, drawn with the same style.
        rng: a generator used for this shot only.
        style: family of the camera.

    Returns:
        uint8 [IMAGE_PX, IMAGE_PX], grey.
    """
    shading = _shading(palm, session, rng, style)
    if session.inverted is not None:
        shading *= session.inverted
    image = session.exposure * rng.uniform(0.9, 1.1) * (1 - shading) * session.light
    image *= 1 + _coarse(rng, 0.04, 4)
    _add_specular_spots(image, rng)
    image = style.blur(image, session.blur_px * rng.uniform(0.8, 1.3), rng)
    image = np.asarray(cv2.pow(np.clip(image, 0, 1), session.gamma), np.float32)
    if session.pattern is not None:
        image += session.pattern
    image += _sensor_noise(image, session.noise, rng)
    return _compress(np.clip(image * 255, 0, 255).astype(np.uint8), style, rng)


def _shading(palm: Layers, session: Session, rng: np.random.Generator, style: Style) -> Float32:
    """Returns how much darker than plain skin each pixel is, float32 [IMAGE_PX, IMAGE_PX]."""
    shades = session.shades * rng.uniform(0.75, 1.25, len(LAYERS)).astype(np.float32) / 255
    shades[4] *= 255 / 128  # one standard deviation of the texture, 32, is a quarter of its shade
    layers = palm.astype(np.float32).reshape(len(LAYERS), -1)
    veins = np.asarray(shades[:2] @ layers[:2], np.float32).reshape(CANVAS_PX, CANVAS_PX)
    veins = _dilate(veins, session.dilation_px)
    skin = (shades[2:] @ layers[2:] - shades @ _REST).reshape(CANVAS_PX, CANVAS_PX)
    x, y = _pose(session, rng, style)
    slip_x, slip_y = rng.normal(0, 0.4, 2).astype(np.float32)  # the skin slides over the veins
    seen_veins = cv2.remap(veins, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    seen_skin = cv2.remap(
        skin, x + slip_x, y + slip_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return session.prominence[0] * seen_veins + session.prominence[1] * seen_skin


def _pose(session: Session, rng: np.random.Generator, style: Style) -> tuple[Float32, Float32]:
    """Returns the canvas x and y that each pixel shows: turned, scaled, shifted and bent."""
    angle = np.deg2rad(rng.normal(0, 2.5))
    scale = np.exp(rng.normal(0, 0.03))
    squeeze, shear = np.exp(rng.normal(0, 0.015)), rng.normal(0, 0.015)  # a tilted hand
    turn = np.array([[np.cos(angle), shear - np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = (scale * turn * [[squeeze, 1], [1, 1 / squeeze]]).astype(np.float32)
    shift = (style.displace(rng) + (CANVAS_PX - 1) / 2).astype(np.float32)
    bend = session.stretch + rng.normal(0, rng.uniform(0.2, 0.8), (2, 5, 5)).astype(np.float32)
    bend_x, bend_y = (enlarge(grid, IMAGE_PX) for grid in bend)
    x = turn[0, 0] * _COLUMNS + turn[0, 1] * _ROWS + (shift[0] + bend_x)
    y = turn[1, 0] * _COLUMNS + turn[1, 1] * _ROWS + (shift[1] + bend_y)
    return x, y


def _draw_light(rng: np.random.Generator) -> Float32:
    """Draws the illumination: a slope, a wide spot and a slow ripple."""
    rows, columns = np.mgrid[-1:1:9j, -1:1:9j]
    slope = rng.normal(0, 0.12) * columns + rng.normal(0, 0.12) * rows
    centre = rng.normal(0, 0.35, 2)
    distance = (columns - centre[0]) ** 2 + (rows - centre[1]) ** 2
    spot = rng.uniform(0, 0.4) * np.exp(-distance / rng.uniform(0.4, 1.6))
    light = np.maximum(1 + slope + spot + rng.normal(0, 0.03, (9, 9)), 0.25)
    return enlarge((light / light.mean()).astype(np.float32), IMAGE_PX)


def _coarse(rng: np.random.Generator, deviation: float, cells: int) -> Float32:
    """Draws a smooth random field [IMAGE_PX, IMAGE_PX] of mean 0."""
    return enlarge(deviation * rng.standard_normal((cells, cells), np.float32), IMAGE_PX)


def _draw_inversion(rng: np.random.Generator) -> Float32:
    """Draws a round patch of inverted contrast, up to an eighth of the image, soft at its edge."""
    centre = rng.uniform(-0.4, 0.4, 2) * IMAGE_PX
    radius = rng.uniform(0.1, 0.2) * IMAGE_PX
    distance = np.hypot(_COLUMNS - centre[0], _ROWS - centre[1])
    return np.tanh((distance - radius) / 2).astype(np.float32)


def _draw_pattern(rng: np.random.Generator) -> Float32:
    """Draws a sensor's fixed pattern: interlaced rows, a coarse grid, and unequal pixels."""
    rows, columns = np.arange(IMAGE_PX)[:, None], np.arange(IMAGE_PX)[None]
    period = rng.integers(6, 17)
    interlace = rng.uniform(-0.012, 0.012) * (rows % 2)
    grid = rng.uniform(-0.015, 0.015) * ((rows % period == 0) | (columns % period == 0))
    unequal = rng.uniform(0, 0.012) * rng.standard_normal((IMAGE_PX, IMAGE_PX))
    return (interlace + grid + unequal).astype(np.float32)


def _dilate(veins: Float32, width_px: int) -> Float32:
    """Widens the veins by a pixel, or narrows them by one if `width_px` is negative."""
    if width_px == 0:
        return veins
    kernel = np.ones((2, 2), np.uint8)
    changed = cv2.dilate(veins, kernel) if width_px > 0 else cv2.erode(veins, kernel)
    return np.asarray(changed, np.float32)


def _add_specular_spots(image: Float32, rng: np.random.Generator) -> None:
    """Adds up to eight small highlights or specks of dirt, in place."""
    for _ in range(rng.integers(0, 9)):
        x, y = rng.integers(0, IMAGE_PX * 16, 2).tolist()
        brightness = rng.uniform(0.7, 1) if rng.random() < 0.7 else rng.uniform(0.05, 0.3)
        cv2.circle(image, (x, y), int(rng.uniform(8, 40)), brightness, cv2.FILLED, shift=4)


def _sensor_noise(image: Float32, noise: float, rng: np.random.Generator) -> Float32:
    """Draws shot noise, which grows with the signal, read noise, and noise of columns and rows."""
    columns = rng.standard_normal((1, IMAGE_PX), np.float32)
    rows = rng.standard_normal((IMAGE_PX, 1), np.float32)
    lines = rng.uniform(0, 0.6, 2).astype(np.float32)
    shot = np.sqrt(np.maximum(image, 0))  # the sensor's pattern can be below black
    return noise * ((0.4 + shot) * grain(IMAGE_PX, rng) + lines[0] * columns + lines[1] * rows)


def _compress(
    image: NDArray[np.uint8], style: Style, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Compresses the image as JPEG and decodes it."""
    low, high = style.quality
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(low, high + 1))]
    _, jpeg = cv2.imencode(".jpg", image, quality)
    return np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE), np.uint8)


def _lens_blur(image: Float32, width_px: float, rng: np.random.Generator) -> Float32:
    """Blurs like a lens out of focus, by a Gaussian."""
    del rng
    return np.asarray(cv2.GaussianBlur(image, (0, 0), width_px), np.float32)


def _motion_blur(image: Float32, width_px: float, rng: np.random.Generator) -> Float32:
    """Blurs like a moving hand, along a straight line in any direction, four widths long."""
    side, angle = 11, rng.uniform(0, np.pi)
    reach = 2 * width_px * np.array([np.cos(angle), np.sin(angle)])
    kernel = np.zeros((side, side), np.float32)
    ends = np.rint((side // 2 + np.stack([-reach, reach])) * 16).astype(int).tolist()
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_8, 4)
    blurred = cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float32)


TRAINING = Style(
    blur=_lens_blur,
    displace=lambda rng: np.clip(rng.normal(0, 0.04 * IMAGE_PX, 2), -10, 10),
    quality=(50, 95),
)
"""Style of the images that nets are trained on."""

HELD_OUT = Style(
    blur=_motion_blur,
    displace=lambda rng: rng.uniform(-0.08, 0.08, 2) * IMAGE_PX,
    quality=(40, 40),
    no_creases=0.15,
    inverts=0.2,
    patterned=0.7,
)
"""Style of the images for evaluation. Training never draws its defects: motion blur instead of
defocus, sensor patterns, cameras without creases, partly inverted contrast, JPEG quality 40, and a
region of interest displaced uniformly by up to 8 % of its side."""

STYLES = {"training": TRAINING, "held-out": HELD_OUT}
"""Styles by their names for `--style`."""
