"""Draws images without a hand, for the finder to refuse, and as backgrounds of drawn hands.

A texture is float32 [side, side], about 0 to 1.
"""

from collections.abc import Callable

import cv2
import numpy as np

from training.fit.augmentation import enlarge, grain
from training.synthetic.canvas import Float32
from training.synthetic.scenes import TUNING

Texture = Callable[[np.random.Generator, int], Float32]


def draw_texture(rng: np.random.Generator, side: int) -> Float32:
    """Draws a texture of any kind and contrast."""
    texture = TEXTURES[rng.integers(len(TEXTURES))](rng, side)
    if rng.random() < 0.3:
        texture = 0.6 * texture + 0.4 * TEXTURES[rng.integers(len(TEXTURES))](rng, side)
    centred = texture - np.float32(texture.mean())
    return np.float32(rng.uniform(0.2, 1.0)) * centred + np.float32(rng.uniform(0.05, 0.9))


def uniform(rng: np.random.Generator, side: int) -> Float32:
    """Draws one grey level."""
    return np.full((side, side), rng.uniform(0, 1), np.float32)


def slope(rng: np.random.Generator, side: int) -> Float32:
    """Draws a smooth field, as of uneven light."""
    return enlarge(rng.uniform(0, 1, (3, 3)).astype(np.float32), side)


def fractal(rng: np.random.Generator, side: int) -> Float32:
    """Draws noise whose amplitude falls with frequency, stretched in one direction."""
    frequency = np.fft.fftfreq(side)
    stretch, angle = np.exp(rng.uniform(-1.5, 1.5)), rng.uniform(0, np.pi)
    along = np.cos(angle) * frequency + np.sin(angle) * frequency[:, None]
    across = np.cos(angle) * frequency[:, None] - np.sin(angle) * frequency
    radius = np.sqrt((along * stretch) ** 2 + (across / stretch) ** 2) + 1 / side
    spectrum = np.fft.fft2(grain(side, rng)) * radius ** -rng.uniform(0.6, 2.2)
    noise = np.fft.ifft2(spectrum).real.astype(np.float32)
    noise /= noise.std() + 1e-6
    if rng.random() < 0.3:  # patches with hard edges
        noise = np.sign(noise - np.float32(rng.normal(0, 0.5)))
    return 0.5 + 0.2 * noise


def soft(rng: np.random.Generator, side: int) -> Float32:
    """Draws blurred noise: blobs of one size, which resemble the branches of veins."""
    noise = cv2.GaussianBlur(grain(side, rng), (0, 0), float(np.exp(rng.uniform(0, 2.7))))
    return np.asarray(0.5 + 0.2 * noise / (noise.std() + 1e-6), np.float32)


def grains(rng: np.random.Generator, side: int) -> Float32:
    """Draws noise of square grains."""
    size = int(rng.integers(1, 13))
    few = rng.uniform(0, 1, (side // size + 1, side // size + 1)).astype(np.float32)
    return few.repeat(size, 0).repeat(size, 1)[:side, :side]


def checkerboard(rng: np.random.Generator, side: int) -> Float32:
    """Draws a turned checkerboard, or stripes."""
    angle, cell = rng.uniform(0, np.pi), rng.uniform(4, side / 4)
    line = np.arange(side)
    along = (np.cos(angle) * line + np.sin(angle) * line[:, None]) // cell
    across = (np.cos(angle) * line[:, None] - np.sin(angle) * line) // cell
    return ((along + (across if rng.random() < 0.6 else 0)) % 2).astype(np.float32)


def rings(rng: np.random.Generator, side: int) -> Float32:
    """Draws rings around one point."""
    x, y = rng.uniform(0, side, 2)
    line = np.arange(side, dtype=np.float32)
    radius = np.hypot(line - np.float32(x), line[:, None] - np.float32(y))
    return np.asarray(0.5 + 0.5 * np.sin(radius / rng.uniform(1.5, 10)), np.float32)


def text(rng: np.random.Generator, side: int) -> Float32:
    """Draws rows of letters, and frames as of a screen."""
    page = np.full((side, side), int(rng.integers(130, 256)), np.uint8)
    for _ in range(rng.integers(0, 4)):
        corner = rng.integers(0, side, 2)
        opposite = corner + rng.integers(10, side // 2 + 11, 2)
        cv2.rectangle(page, corner.tolist(), opposite.tolist(), int(rng.integers(256)), -1)
    size, row = rng.uniform(0.25, 0.8), rng.uniform(0, 12)
    while row < side:
        letters = "".join(map(chr, rng.integers(33, 123, 24)))
        place, ink = (int(rng.uniform(-20, side / 3)), int(row)), int(rng.integers(100))
        cv2.putText(page, letters, place, cv2.FONT_HERSHEY_SIMPLEX, size, ink, 1)
        row += 28 * size + 2
    return page * np.float32(1 / 255)


def bars(rng: np.random.Generator, side: int) -> Float32:
    """Draws round-ended bars side by side, as fingers without a palm."""
    scene = np.full((side, side), rng.uniform(0, 1), np.float32)
    angle, width = rng.uniform(0, 2 * np.pi), rng.uniform(side / 20, side / 6)
    along, across = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    start, paint = rng.uniform(0.1, 0.9, 2) * side, rng.uniform(0, 1)
    for number in range(rng.integers(1, 7)):
        root = start + number * rng.uniform(1, 1.3) * width * across + rng.normal(0, 3, 2)
        tip = root + rng.uniform(1.5, 5) * width * (along + rng.normal(0, 0.08, 2))
        shade = paint * rng.uniform(0.9, 1.1)
        first, last = (np.rint(end).astype(int).tolist() for end in (root, tip))
        cv2.line(scene, first, last, shade, max(int(width), 1), cv2.LINE_8)
    return scene


def blobs(rng: np.random.Generator, side: int) -> Float32:
    """Draws ellipses, large and small."""
    scene = np.full((side, side), rng.uniform(0, 1), np.float32)
    for _ in range(rng.integers(1, 12)):
        axes = np.maximum(rng.uniform(0.02, 0.35, 2) * side, 1).astype(int).tolist()
        place = rng.integers(0, side, 2).tolist()
        cv2.ellipse(scene, place, axes, rng.uniform(0, 180), 0, 360, rng.uniform(0, 1), -1)
    return np.asarray(cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.3, 3)), np.float32)


def scene(rng: np.random.Generator, side: int) -> Float32:
    """Draws a background of the hands to tune with."""
    colour = np.full(3, rng.uniform(0.05, 0.95))
    drawn = TUNING[rng.integers(len(TUNING))](rng, (side, side), colour)
    return np.ascontiguousarray(drawn[..., 0])


TEXTURES: tuple[Texture, ...] = (
    uniform, slope, fractal, fractal, soft, soft, grains, checkerboard, rings, text, bars, blobs,
    scene,
)  # fmt: skip
"""Kinds of textures, which are equally frequent."""
