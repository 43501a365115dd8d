"""Draws photographs of whole hands with a drawn palm inside and known geometry.

Equal seeds and numbers give equal hands. Two families, `TUNING_HANDS` and `JUDGE_HANDS`, share
neither backgrounds nor defects of the sensor: a detector is tuned with the first and judged with
the second.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from app.palm.square import BELOW, SIDE, square_below
from training.synthetic.anatomy import draw_palm
from training.synthetic.cameras import draw_camera
from training.synthetic.canvas import CANVAS_PX, PX_PER_MM, Float32, Layers
from training.synthetic.capture import lit_layers
from training.synthetic.hand_pose import draw_pose, project, scale_at
from training.synthetic.hand_sensors import Sensor, expose_judge, expose_tuning
from training.synthetic.scenes import JUDGE, TUNING, Scene, draw_colours, draw_skin_tint
from training.synthetic.sessions import draw_session
from training.synthetic.silhouette import GAP_DISTANCE_MM, Silhouette, draw_silhouette
from training.synthetic.styles import POLARIZED, TRAINING, Style

CANVAS_TOP_MM = 2.2
"""Distance of the canvas's upper edge from the line of the outer gaps; see `mesh.py`."""

SIZES = ((768, 576), (768, 576), (640, 480), (320, 240), (576, 768), (1024, 768), (400, 400))
"""Widths and heights of the images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandStyle:
    """A family of backgrounds and sensors.

    Attributes:
        scenes: functions that draw backgrounds.
        expose: function that adds a sensor's defects to an image.
        palm: style of the palm's camera: how dark veins, creases and skin are.
        tilt_deg: least and greatest angle by which the palm is turned away from the camera; small
            angles are more frequent.
        sizes: widths and heights of the images in px, which are equally frequent.
    """

    scenes: tuple[Scene, ...]
    expose: Sensor
    palm: Style
    tilt_deg: tuple[float, float]
    sizes: tuple[tuple[int, int], ...] = SIZES


TUNING_HANDS = HandStyle(scenes=TUNING, expose=expose_tuning, palm=TRAINING, tilt_deg=(0.0, 50.0))
"""Hands to tune a detector with."""

JUDGE_HANDS = HandStyle(scenes=JUDGE, expose=expose_judge, palm=POLARIZED, tilt_deg=(0.0, 35.0))
"""Hands to judge a detector with."""


@dataclass(frozen=True, slots=True)
class HandGeometry:
    """Where a drawn hand lies. Points are x and y in px.

    Attributes:
        gaps: float64 [3, 2], finger gaps from left to right when the fingers point up.
        middle: float64 [2], middle of the region of interest on the palm.
        corners: float64 [4, 2] of the region of interest, as in `app.palm.square.Square`.
        rotation_deg: turn of the hand; see `app.palm.square.Square`.
        hand: which hand it is; its palm faces the camera.
        palm_width_px: width of the palm, 84 mm.
        tilt_deg: angle by which the palm is turned away from the camera.
        contrast: difference of brightness between skin and background, 0 to 1.
        spread: 0 (neighbouring fingers touch) to 1.
        scene: name of the background.
        coloured: whether the image is RGB.
    """

    gaps: NDArray[np.float64]
    middle: NDArray[np.float64]
    corners: NDArray[np.float64]
    rotation_deg: float
    hand: Literal["left", "right"]
    palm_width_px: float
    tilt_deg: float
    contrast: float
    spread: float
    scene: str
    coloured: bool


PALM_WIDTH_MM = 84.0
"""Mean width of the drawn palms. Hand breadth in adults is about 80 to 90 mm."""

PALM_MIDDLE_MM = np.array([0.0, (BELOW + SIDE / 2) * GAP_DISTANCE_MM])
"""Middle of the region of interest on the palm."""


def draw_hand(
    seed: int, number: int, style: HandStyle, palm: Layers | None = None
) -> tuple[NDArray[np.uint8], HandGeometry]:
    """Draws one hand.

    Args:
        seed: seed of all hands, at least 0.
        number: number of the hand, at least 0.
        style: family of backgrounds and sensors.
        palm: layers from `training.synthetic.anatomy.draw_palm`; None draws a new palm, which
            takes longer than the rest.

    Returns:
        The image, uint8 [H, W] or RGB [H, W, 3], and its geometry.
    """
    return draw_masked_hand(seed, number, style, palm)[:2]


def draw_masked_hand(
    seed: int, number: int, style: HandStyle, palm: Layers | None = None
) -> tuple[NDArray[np.uint8], HandGeometry, NDArray[np.uint8]]:
    """Draws one hand as `draw_hand` does, and returns also where it covers the background.

    The mask is uint8 [H, W], 0 to 255. A sleeve is not part of the hand.
    """
    rng = np.random.default_rng([seed, number, 7])
    palm = draw_palm(rng) if palm is None else palm
    spread = 0.0 if rng.random() < 0.15 else rng.uniform(0, 1)
    silhouette = draw_silhouette(rng, spread, sleeve=rng.random() < 0.5)
    size = style.sizes[rng.integers(len(style.sizes))]
    left = _thumb_on_the_left(palm)
    least, greatest = style.tilt_deg
    tilt_deg = least + (greatest - least) * rng.random() ** 2
    pose = draw_pose(rng, size, tilt_deg, mirrored=not left)
    coloured = rng.random() < 0.4
    skin_level, colour = draw_colours(rng, coloured)
    contrast = abs(skin_level - float(colour.mean()))
    scene = style.scenes[rng.integers(len(style.scenes))]
    shape = (size[1], size[0])
    background = scene(rng, shape, colour)
    solid, alpha, ink = _rasterise(silhouette, pose, shape)
    dark = palm_darkness(palm if left else palm[:, :, ::-1], rng, style.palm)
    skin = _light_skin(rng, dark, pose, solid, ink)
    tint = draw_skin_tint(rng) if coloured else np.ones(3, np.float32)
    image = _compose(rng, background, skin * skin_level, alpha, tint)
    _add_sleeve(rng, image, alpha, silhouette, pose, coloured)
    image = image if coloured else image[..., 0]
    exposed = style.expose(rng, np.ascontiguousarray(image))
    gaps = project(silhouette.gaps, pose)
    gaps = gaps if left else gaps[::-1]
    middle = project(PALM_MIDDLE_MM[None], pose)[0]
    square = square_below(gaps, middle)
    geometry = HandGeometry(
        gaps=gaps,
        middle=middle,
        corners=square.corners,
        rotation_deg=square.rotation_deg,
        # With the palm towards the camera and the fingers up, a left hand's thumb is on the left.
        hand="left" if left else "right",
        palm_width_px=PALM_WIDTH_MM * scale_at(np.zeros(2), pose),
        tilt_deg=tilt_deg,
        contrast=contrast,
        spread=spread,
        scene=scene.__name__,
        coloured=coloured,
    )
    return exposed, geometry, alpha


def palm_darkness(palm: Layers, rng: np.random.Generator, style: Style) -> Float32:
    """Returns how much darker than plain skin a palm's canvas is, float32 [CANVAS_PX, CANVAS_PX].

    Args:
        palm: uint8 [8, CANVAS_PX, CANVAS_PX], from `training.synthetic.anatomy.draw_palm`.
        rng: source of the camera and the session.
        style: family of the camera.
    """
    session = draw_session(rng, style, draw_camera(rng, style))
    veins, skin = lit_layers(palm, session, rng, style)
    return veins + skin


def _thumb_on_the_left(palm: Layers) -> bool:
    """Tells on which side of a palm its thumb's ball is: the largest part of its relief."""
    relief = palm[7, CANVAS_PX // 2 :].astype(np.float32)
    half = CANVAS_PX // 2
    return float(relief[:, :half].mean()) >= float(relief[:, half:].mean())


def _rasterise(
    silhouette: Silhouette, pose: Float32, shape: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Draws the hand, cut along its seams; the hand, antialiased; and seams and creases."""
    alpha, ink = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    for polygon in silhouette.skin:
        cv2.fillPoly(alpha, [_fixed(polygon, pose)], 255, cv2.LINE_AA, 4)
    solid = (alpha > 127).astype(np.uint8)
    scale = scale_at(silhouette.gaps[1], pose)
    for seam in silhouette.seams:
        line = [_fixed(seam, pose)]
        cv2.polylines(solid, line, False, 0, 1, cv2.LINE_8, 4)
        cv2.polylines(ink, line, False, 255, max(round(0.9 * scale), 1), cv2.LINE_AA, 4)
    for crease in silhouette.creases:
        width = max(round(0.6 * scale), 1)
        cv2.polylines(ink, [_fixed(crease, pose)], False, 90, width, cv2.LINE_AA, 4)
    return solid, alpha, ink


def _fixed(points: NDArray[np.floating], pose: Float32) -> NDArray[np.int32]:
    """Projects points and returns them in sixteenths of a px, as OpenCV draws them."""
    return np.rint(np.clip(project(points, pose), -8000, 8000) * 16).astype(np.int32)


def _light_skin(
    rng: np.random.Generator,
    dark: Float32,
    pose: Float32,
    solid: NDArray[np.uint8],
    ink: NDArray[np.uint8],
) -> Float32:
    """Returns the brightness of skin, float32 [H, W], about 1."""
    height, width = solid.shape
    wide = np.pad(dark, CANVAS_PX // 2, mode="symmetric")
    mm = np.array(
        [
            [1 / PX_PER_MM, 0, -CANVAS_PX / PX_PER_MM],
            [0, 1 / PX_PER_MM, CANVAS_TOP_MM - CANVAS_PX / 2 / PX_PER_MM],
            [0, 0, 1],
        ]
    )
    mm[:2, 2] += 0.5 / PX_PER_MM
    warped = cv2.warpPerspective(wide, pose @ mm, (width, height), flags=cv2.INTER_LINEAR)
    scale = scale_at(np.zeros(2), pose)
    inner = cv2.distanceTransform(solid, cv2.DIST_L2, 3)
    curved = np.minimum(inner / np.float32(rng.uniform(4, 9) * scale), 1) - 1
    curved *= curved
    light = 1 - warped - np.float32(rng.uniform(0.1, 0.55)) * curved
    lines = cv2.GaussianBlur(ink, (0, 0), max(0.3 * scale, 0.5))
    light *= 1 - np.float32(rng.uniform(0.4, 0.8) / 255) * lines
    slope = rng.normal(0, 0.12, 2)
    light *= np.linspace(1 - slope[0], 1 + slope[0], height, dtype=np.float32)[:, None]
    light *= np.linspace(1 - slope[1], 1 + slope[1], width, dtype=np.float32)[None]
    return light


def _compose(
    rng: np.random.Generator,
    background: Float32,
    skin: Float32,
    alpha: NDArray[np.uint8],
    tint: Float32,
) -> Float32:
    """Puts the hand, and sometimes its shadow, on the background, in place."""
    if rng.random() < 0.5:
        offset = rng.uniform(-0.03, 0.03, 2) * max(alpha.shape)
        move = np.array([[0.25, 0, offset[0] / 4], [0, 0.25, offset[1] / 4]], np.float32)
        small = cv2.warpAffine(alpha, move, (alpha.shape[1] // 4, alpha.shape[0] // 4))
        shadow = cv2.resize(cv2.GaussianBlur(small, (0, 0), 3), alpha.shape[::-1])
        background *= (1 - np.float32(rng.uniform(0.05, 0.5) / 255) * shadow)[..., None]
    cover = (alpha * np.float32(1 / 255))[..., None]
    background += cover * (skin[..., None] * tint - background)
    return background


def _add_sleeve(
    rng: np.random.Generator,
    image: Float32,
    alpha: NDArray[np.uint8],
    silhouette: Silhouette,
    pose: Float32,
    coloured: bool,
) -> None:
    """Draws the sleeve, of any brightness, and takes it from the hand's mask, in place."""
    if silhouette.sleeve is None:
        return
    cv2.fillPoly(alpha, [_fixed(silhouette.sleeve, pose)], 0, cv2.LINE_8, 4)
    paint = rng.uniform(0.03, 0.9) * (rng.uniform(0.4, 1, 3) if coloured else np.ones(3))
    cv2.fillPoly(image, [_fixed(silhouette.sleeve, pose)], paint.tolist(), cv2.LINE_8, 4)
