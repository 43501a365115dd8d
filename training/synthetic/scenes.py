"""Backgrounds of drawn hands: two families, one to tune a detector with, one to judge it.

A background is float32 [H, W, 3], RGB from 0 to 1. Each function draws one kind of it around a
mean colour. The two families share no kind.
"""

from collections.abc import Callable

import cv2
import numpy as np

from training.synthetic.canvas import Float32

Colour = np.ndarray
Scene = Callable[[np.random.Generator, tuple[int, int], Colour], Float32]

_LEAST_CONTRAST = 0.04
"""Least difference of brightness between skin and the background's mean colour, 0 to 1. Below it
shadows, shading and texture alone show where the hand is."""


def draw_colours(rng: np.random.Generator, coloured: bool) -> tuple[float, Colour]:
    """Draws the brightness of skin and the mean colour of the background, 0 to 1."""
    skin = rng.uniform(0.35, 0.8)
    while True:
        level = 0.04 if rng.random() < 0.35 else rng.uniform(0.02, 0.95)
        if abs(level - skin) >= _LEAST_CONTRAST:
            break
    tint = rng.uniform(0.6, 1.0, 3) if coloured else np.ones(3)
    return skin, level * tint / tint.mean()


def draw_skin_tint(rng: np.random.Generator) -> Float32:
    """Draws the colour of skin, RGB with mean 1."""
    tint = np.array([1.0, rng.uniform(0.68, 0.82), rng.uniform(0.5, 0.72)], np.float32)
    return tint / tint.mean()


def plain(rng: np.random.Generator, shape: tuple[int, int], colour: Colour) -> Float32:
    """Draws one colour."""
    return np.broadcast_to(colour.astype(np.float32), (*shape, 3)).copy()


def gradient(rng: np.random.Generator, shape: tuple[int, int], colour: Colour) -> Float32:
    """Draws a linear gradient of up to half the brightness."""
    angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.5)
    rows = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None] * np.float32(np.sin(angle))
    columns = np.linspace(-1, 1, shape[1], dtype=np.float32)[None] * np.float32(np.cos(angle))
    return np.asarray(
        plain(rng, shape, colour) * (1 + np.float32(depth) * (rows + columns) / 1.4)[..., None],
        np.float32,
    )


def clouds(rng: np.random.Generator, shape: tuple[int, int], colour: Colour) -> Float32:
    """Draws soft noise of two widths."""
    amount = rng.uniform(0.1, 0.35)
    field = _noise(rng, shape, int(rng.integers(4, 10))) + _noise(rng, shape, 40) / 2
    return np.asarray(
        plain(rng, shape, colour) * (1 + np.float32(amount) * field)[..., None], np.float32
    )


def stripes(rng: np.random.Generator, shape: tuple[int, int], colour: Colour) -> Float32:
    """Draws parallel stripes of two colours."""
    y, x = _grid(rng, shape)
    wave = np.sin(2 * np.pi * (x + 0.02 * y) * rng.uniform(5, 25))
    mix = np.clip(0.5 + rng.uniform(1, 5) * wave, 0, 1)[..., None].astype(np.float32)
    return np.asarray(
        plain(rng, shape, colour) * (1 - mix * np.float32(rng.uniform(0.2, 0.6))), np.float32
    )


def rectangles(rng: np.random.Generator, shape: tuple[int, int], colour: Colour) -> Float32:
    """Draws clutter: 5 to 30 rectangles and ellipses of any brightness, and lines."""
    scene = plain(rng, shape, colour)
    side = max(shape)
    for _ in range(rng.integers(5, 30)):
        centre = rng.uniform(0, side, 2).tolist()
        size = rng.uniform(0.02, 0.3, 2) * side
        paint = _paint(rng, colour)
        box = (centre, size.tolist(), rng.uniform(0, 180))
        if rng.random() < 0.6:
            cv2.fillConvexPoly(scene, cv2.boxPoints(box).astype(np.int32), paint)
        else:
            cv2.ellipse(scene, box, paint, cv2.FILLED)
    for _ in range(rng.integers(0, 8)):
        ends = rng.integers(0, side, (2, 2)).tolist()
        cv2.line(scene, ends[0], ends[1], _paint(rng, colour), int(rng.integers(1, 5)))
    return scene


def wood(rng: np.random.Generator, shape: tuple[int, int], colour: Colour) -> Float32:
    """Draws boards with grain."""
    _, x = _grid(rng, shape)
    rings = x * rng.uniform(4, 14) + 0.4 * _noise(rng, shape, 3) + 0.05 * _noise(rng, shape, 30)
    grain = np.abs(np.sin(np.pi * rings)).astype(np.float32)
    boards = (np.floor(x * rng.uniform(2, 5)) % 2).astype(np.float32)
    dark = np.float32(rng.uniform(0.1, 0.35)) * grain + np.float32(rng.uniform(0, 0.2)) * boards
    return np.asarray(plain(rng, shape, colour) * (1 - dark)[..., None], np.float32)


def cloth(rng: np.random.Generator, shape: tuple[int, int], colour: Colour) -> Float32:
    """Draws woven cloth with folds."""
    y, x = _grid(rng, shape)
    threads = rng.uniform(40, 130)
    weave = np.sin(2 * np.pi * threads * x) * np.sin(2 * np.pi * threads * y)
    folds = _noise(rng, shape, int(rng.integers(3, 8)))
    light = 1 + rng.uniform(0.05, 0.25) * weave + rng.uniform(0.1, 0.25) * folds
    return np.asarray(plain(rng, shape, colour) * light.astype(np.float32)[..., None], np.float32)


def tiles(rng: np.random.Generator, shape: tuple[int, int], colour: Colour) -> Float32:
    """Draws tiles with joints, a tone for each tile."""
    y, x = _grid(rng, shape)
    count = rng.uniform(4, 12)
    tone = rng.uniform(-0.25, 0.25, (64, 64)).astype(np.float32)
    tone = tone[np.floor(y * count).astype(int) % 64, np.floor(x * count).astype(int) % 64]
    joint = ((x * count) % 1 < 0.06) | ((y * count) % 1 < 0.06)
    return np.asarray(
        plain(rng, shape, colour) * np.where(joint, 0.5, 1 + tone).astype(np.float32)[..., None],
        np.float32,
    )


def bokeh(rng: np.random.Generator, shape: tuple[int, int], colour: Colour) -> Float32:
    """Draws blurred lights, and an object at the frame's edge as bright as skin may be."""
    scene = plain(rng, shape, colour)
    side = max(shape)
    for _ in range(rng.integers(6, 25)):
        centre = rng.integers(0, side, 2).tolist()
        cv2.circle(scene, centre, int(rng.uniform(0.01, 0.08) * side), _paint(rng, colour), -1)
    edge = [(0, rng.uniform(0, shape[0])), (shape[1], rng.uniform(0, shape[0]))]
    centre = edge[rng.integers(2)]
    size = (rng.uniform(0.1, 0.4) * side, rng.uniform(0.1, 0.4) * side)
    cv2.ellipse(scene, (centre, size, rng.uniform(0, 180)), _paint(rng, colour), -1)
    return np.asarray(cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.5, 6)), np.float32)


def polygons(rng: np.random.Generator, shape: tuple[int, int], colour: Colour) -> Float32:
    """Draws clutter: triangles, arcs and rows of strokes, as of things and text on a table."""
    scene = plain(rng, shape, colour)
    side = max(shape)
    for _ in range(rng.integers(4, 20)):
        corners = rng.uniform(0, side, 2) + rng.normal(0, 0.12 * side, (3, 2))
        cv2.fillConvexPoly(scene, corners.astype(np.int32), _paint(rng, colour))
    for _ in range(rng.integers(0, 8)):
        centre, radius = rng.integers(0, side, 2).tolist(), int(rng.uniform(0.03, 0.3) * side)
        cv2.circle(scene, centre, radius, _paint(rng, colour), int(rng.integers(1, 6)))
    for row in range(rng.integers(0, 12)):
        y = int((0.05 + 0.03 * row) * side)
        for x in rng.integers(0, shape[1], 20):
            cv2.line(scene, (int(x), y), (int(x) + 6, y + 6), (0.1, 0.1, 0.1), 2)
    return scene


def spotlight(rng: np.random.Generator, shape: tuple[int, int], colour: Colour) -> Float32:
    """Draws a cone of light that fades to the frame's edge, as of lamps around a lens."""
    y, x = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    centre = rng.uniform(-0.3, 0.3, 2)
    fade = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) * rng.uniform(0.4, 1.5))
    return np.asarray(plain(rng, shape, colour) * fade.astype(np.float32)[..., None], np.float32)


TUNING: tuple[Scene, ...] = (plain, plain, gradient, clouds, stripes, rectangles)
"""Backgrounds to tune a detector with."""

JUDGE: tuple[Scene, ...] = (spotlight, spotlight, wood, cloth, tiles, bokeh, polygons)
"""Backgrounds to judge it with."""


def _grid(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Float32, Float32]:
    """Returns y and x of each pixel, [H, W], in sides of the image, turned at random."""
    angle, side = rng.uniform(0, np.pi), max(shape)
    rows = np.arange(shape[0], dtype=np.float32)[:, None] / side
    columns = np.arange(shape[1], dtype=np.float32)[None] / side
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    turned = rows * cos - columns * sin + 2, rows * sin + columns * cos + 2
    return np.asarray(turned[0], np.float32), np.asarray(turned[1], np.float32)


def _noise(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> Float32:
    """Draws smooth noise [H, W] with a deviation of about 0.7."""
    coarse = rng.standard_normal((cells, cells), np.float32)
    enlarged = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(enlarged, np.float32)


def _paint(rng: np.random.Generator, colour: Colour) -> tuple[float, float, float]:
    """Draws a colour of any brightness, and of any hue if the scene has one."""
    coloured = float(np.ptp(colour)) > 0
    paint = rng.uniform(0.03, 0.95) * (rng.uniform(0.4, 1, 3) if coloured else np.ones(3))
    return float(paint[0]), float(paint[1]), float(paint[2])
