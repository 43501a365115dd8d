"""Takes images of a palm in a session."""

import cv2
import numpy as np
from numpy.typing import NDArray

from training.fit.augmentation import enlarge, grain
from training.synthetic.anatomy import FROZEN_LAYERS
from training.synthetic.canvas import CANVAS_PX, IMAGE_PX, Float32, Layers
from training.synthetic.relief import rim, shadow
from training.synthetic.sessions import Session, coarse
from training.synthetic.styles import Style

_COLUMNS, _ROWS = np.meshgrid(*[np.arange(IMAGE_PX, dtype=np.float32) - (IMAGE_PX - 1) / 2] * 2)
_REST = np.array([0, 0, 0, 0, 128], np.float32)  # value of each frozen layer on plain skin


def shoot(
    palm: Layers, session: Session, rng: np.random.Generator, style: Style
) -> NDArray[np.uint8]:
    """Takes one image.

    Args:
        palm: uint8 [8, CANVAS_PX, CANVAS_PX], from `training.synthetic.anatomy.draw_palm`.
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
    image *= 1 + coarse(rng, 0.04, 4)
    _add_specular_spots(image, rng, style.spots)
    image = style.blur(image, session.blur_px * rng.uniform(0.8, 1.3), rng)
    image = np.asarray(cv2.pow(np.clip(image, 0, 1), session.gamma), np.float32)
    if session.pattern is not None:
        image += session.pattern
    image += _sensor_noise(image, session.noise, rng)
    return _compress(np.clip(image * 255, 0, 255).astype(np.uint8), style, rng)


def _shading(palm: Layers, session: Session, rng: np.random.Generator, style: Style) -> Float32:
    """Returns how much darker than plain skin each pixel is, float32 [IMAGE_PX, IMAGE_PX]."""
    veins, skin = lit_layers(palm, session, rng, style)
    x, y = _pose(session, rng, style)
    slip_x, slip_y = rng.normal(0, 0.4, 2).astype(np.float32)  # the skin slides over the veins
    push_x, push_y = (enlarge(grid, IMAGE_PX) for grid in session.pressure)
    seen_veins = cv2.remap(
        veins, x + push_x, y + push_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    seen_skin = cv2.remap(
        skin, x + slip_x, y + slip_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    shading = session.prominence[0] * seen_veins + session.prominence[1] * seen_skin
    return shading + np.float32(session.camera.rim) * rim(x, y)


def lit_layers(
    palm: Layers, session: Session, rng: np.random.Generator, style: Style
) -> tuple[Float32, Float32]:
    """Returns how dark veins and skin are on the canvas, float32 [CANVAS_PX, CANVAS_PX] each."""
    frozen, spread = len(FROZEN_LAYERS), style.shot_spread
    factors = rng.uniform(1 - spread, 1 + spread, frozen).astype(np.float32)
    shades = session.shades[:frozen] * factors / 255
    shades[4] *= 255 / 128  # one standard deviation of the texture, 32, is a quarter of its shade
    layers = palm[:frozen].astype(np.float32).reshape(frozen, -1)
    veins = np.asarray(shades[:2] @ layers[:2], np.float32).reshape(CANVAS_PX, CANVAS_PX)
    skin = (shades[2:] @ layers[2:] - shades @ _REST).reshape(CANVAS_PX, CANVAS_PX)
    mesh, mottle, relief = session.shades[frozen:].tolist()
    veins += np.float32(mesh * factors[1] / 255) * palm[frozen]
    blotch = np.float32(mottle * factors[4] / 128)
    skin += blotch * palm[frozen + 1] - 128 * blotch  # plain skin is 128
    skin += shadow(palm[frozen + 2], relief, session.camera.light_from)
    return _dilate(veins, session.dilation_px), skin


def _pose(session: Session, rng: np.random.Generator, style: Style) -> tuple[Float32, Float32]:
    """Returns the canvas x and y that each pixel shows: turned, scaled, shifted and bent."""
    camera = session.camera
    angle = np.deg2rad(rng.normal(0, 2.5 * style.pose) + camera.turn_deg)
    scale = np.exp(rng.normal(0, 0.03 * style.pose)) / camera.zoom
    tilt = 0.015 * style.pose
    squeeze, shear = np.exp(rng.normal(0, tilt)), rng.normal(0, tilt)
    turn = np.array([[np.cos(angle), shear - np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = (scale * turn * [[squeeze, 1], [1, 1 / squeeze]]).astype(np.float32)
    moved = (style.displace(rng) + camera.offset) / camera.zoom
    shift = (moved + (CANVAS_PX - 1) / 2).astype(np.float32)
    shape = style.pose * rng.uniform(0.2, 0.8)
    bend = session.stretch + rng.normal(0, shape, (2, 5, 5)).astype(np.float32)
    bend_x, bend_y = (enlarge(grid, IMAGE_PX) for grid in bend)
    x = turn[0, 0] * _COLUMNS + turn[0, 1] * _ROWS + (shift[0] + bend_x)
    y = turn[1, 0] * _COLUMNS + turn[1, 1] * _ROWS + (shift[1] + bend_y)
    if style.wobble_px:
        x += _draw_wobble(style.wobble_px, rng)
    return x, y


def _draw_wobble(most_px: float, rng: np.random.Generator) -> Float32:
    """Draws the displacement of each row by a rolling shutter, float32 [IMAGE_PX, 1], in px."""
    rows = np.arange(IMAGE_PX, dtype=np.float32)[:, None] / IMAGE_PX
    wave = np.sin(2 * np.pi * (rng.uniform(1, 4) * rows + rng.random()))
    return (rng.uniform(0.3, 1) * most_px * wave).astype(np.float32)


def _dilate(veins: Float32, width_px: float) -> Float32:
    """Widens the veins by up to a pixel, or narrows them if `width_px` is negative."""
    if width_px == 0:
        return veins
    kernel = np.ones((2, 2), np.uint8)
    changed = cv2.dilate(veins, kernel) if width_px > 0 else cv2.erode(veins, kernel)
    share = abs(width_px)
    return np.asarray(cv2.addWeighted(changed, share, veins, 1 - share, 0), np.float32)


def _add_specular_spots(image: Float32, rng: np.random.Generator, most: int) -> None:
    """Adds up to `most` small highlights or specks of dirt, in place."""
    for _ in range(rng.integers(0, most + 1)):
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
