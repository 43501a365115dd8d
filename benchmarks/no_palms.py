"""Images that show no palm: to be refused.

The finder's training draws noise, boards, slopes, rings and text too, by other code. It draws no
screenshots, photographs and feet. The photographs come with matplotlib (a portrait) and
scikit-learn (a building, a flower).
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from io import BytesIO
from pathlib import Path

import cv2
import matplotlib.font_manager
import numpy as np
from matplotlib import cbook
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_sample_image

Pixels = NDArray[np.uint8]
Generator = np.random.Generator

PHOTOGRAPHS = (".jpg", ".jpeg", ".png")

SIDES_PX = (96, 640)
"""Least and greatest side of the images that are drawn."""

WORDS = (
    "the of and invoice total date received please find attached report palm vein account",
    "number street signature page chapter figure table name address telephone order thank you",
)
"""Rows of a document."""


def _size(rng: Generator) -> tuple[int, int]:
    """Returns a height and a width; half of the images are square."""
    height, width = rng.integers(*SIDES_PX, 2).tolist()
    return (height, height) if rng.random() < 0.5 else (height, width)


def white_noise(rng: Generator) -> Pixels:
    """Draws grains of any size."""
    height, width = _size(rng)
    grain = int(rng.integers(1, 17))
    small = rng.integers(0, 256, (height // grain + 1, width // grain + 1), dtype=np.uint8)
    return small.repeat(grain, 0).repeat(grain, 1)[:height, :width]


def soft_noise(rng: Generator) -> Pixels:
    """Draws blurred noise, as a defocused camera sees a wall."""
    height, width = _size(rng)
    noise = rng.normal(size=(height, width)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), float(rng.uniform(2, 30)))
    level, spread = rng.uniform(60, 190), rng.uniform(2, 40)
    return np.clip(level + spread * soft / soft.std(), 0, 255).astype(np.uint8)


def checkerboard(rng: Generator) -> Pixels:
    """Draws a board with level rows."""
    height, width = _size(rng)
    cell = int(rng.integers(4, 60))
    rows, columns = np.indices((height, width)) // cell
    dark, bright = np.sort(rng.integers(0, 256, 2))
    return np.where((rows + columns) % 2 == 0, dark, bright).astype(np.uint8)


def gradient(rng: Generator) -> Pixels:
    """Draws a slope, straight or round."""
    height, width = _size(rng)
    rows, columns = np.indices((height, width))
    y, x = rng.uniform(0, height), rng.uniform(0, width)
    slope = np.hypot(rows - y, columns - x) if rng.random() < 0.5 else rows * y + columns * x
    low, high = rng.uniform(0, 255, 2)
    return (low + (high - low) * slope / slope.max()).astype(np.uint8)


def rings(rng: Generator) -> Pixels:
    """Draws rings of equal width with hard or soft edges."""
    height, width = _size(rng)
    rows, columns = np.indices((height, width))
    radius = np.hypot(rows - height / 2, columns - width / 2)
    wave = np.cos(2 * np.pi * radius / rng.uniform(6, 60))
    sharp = np.sign(wave) if rng.random() < 0.5 else wave
    return (127 + rng.uniform(20, 120) * sharp).astype(np.uint8)


def document(rng: Generator) -> Pixels:
    """Prints a page of words, dark on white or white on dark."""
    height, width = _size(rng)
    page = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(page)
    size = int(rng.integers(10, 40))
    font = ImageFont.truetype(_fonts()[rng.integers(len(_fonts()))], size)
    for row in range(size // 2, height, int(1.5 * size)):
        draw.text((size // 2, row), WORDS[rng.integers(len(WORDS))], 20, font)
    pixels = np.asarray(page)
    return pixels if rng.random() < 0.8 else 255 - pixels


def screenshot(rng: Generator) -> Pixels:
    """Renders a plot with its axes, as a window on a screen."""
    figure = Figure(figsize=(4, 4 * rng.uniform(0.6, 1)), dpi=int(rng.integers(50, 150)))
    axes = figure.add_subplot(title="palm veins", xlabel="mm", facecolor=str(rng.uniform(0, 1)))
    for _ in range(rng.integers(1, 8)):
        axes.plot(np.cumsum(rng.normal(size=200)), linewidth=rng.uniform(0.5, 4))
    file = BytesIO()
    figure.savefig(file, format="png")
    return np.asarray(Image.open(file).convert("RGB"))


def face(rng: Generator) -> Pixels:
    """Cuts the face out of a portrait, turned, mirrored and toned."""
    return _cut(rng, _photograph("portrait")[20:340, 100:400], least=0.75)


def portrait(rng: Generator) -> Pixels:
    """Cuts a part out of a portrait."""
    return _cut(rng, _photograph("portrait"), least=0.2)


def building(rng: Generator) -> Pixels:
    """Cuts a part out of a photograph of a building."""
    return _cut(rng, _photograph("china.jpg"), least=0.2)


def flower(rng: Generator) -> Pixels:
    """Cuts a part out of a photograph of a flower before leaves."""
    return _cut(rng, _photograph("flower.jpg"), least=0.2)


def foot(rng: Generator) -> Pixels:
    """Draws the sole of a foot with five toes side by side, turned."""
    side = int(rng.integers(200, SIDES_PX[1]))
    scene = np.full((side, side), int(rng.integers(0, 90)), np.uint8)
    skin, unit = int(rng.integers(120, 230)), side / 10
    parts = [((5, 6.5), (1.3, 2.6)), ((5, 4.2), (1.7, 1.5))]
    parts += [
        ((3.6 + 0.72 * i, 2.4 - 0.25 * i + 0.22 * i * i), (0.5 - 0.05 * i, 0.55)) for i in range(5)
    ]
    for middle, radii in parts:
        place, axes = ([round(unit * one) for one in pair] for pair in (middle, radii))
        cv2.ellipse(scene, place, axes, 0, 0, 360, skin, -1, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(0, 360), rng.uniform(0.7, 1.1))
    turned = cv2.warpAffine(scene, turn, (side, side), borderMode=cv2.BORDER_REPLICATE)
    soft = cv2.GaussianBlur(turned, (0, 0), rng.uniform(0.5, 4)).astype(float)
    return np.clip(soft + rng.normal(0, 4, soft.shape), 0, 255).astype(np.uint8)


NO_PALMS: Mapping[str, Callable[[Generator], Pixels]] = {
    "white noise": white_noise,
    "soft noise": soft_noise,
    "checkerboard": checkerboard,
    "gradient": gradient,
    "rings": rings,
    "document": document,
    "screenshot": screenshot,
    "face": face,
    "portrait": portrait,
    "building": building,
    "flower": flower,
    "foot": foot,
}
"""What draws one image of each kind, uint8 [H, W] or RGB [H, W, 3]."""


def kinds_in(folder: Path) -> dict[str, Callable[[Generator], Pixels]]:
    """Returns what cuts a part out of each photograph of a folder, by the names of the files.

    Raises:
        ValueError: if the folder holds none.
    """
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in PHOTOGRAPHS)
    if not files:
        raise ValueError(
            f"--photos {folder} holds no {', '.join(PHOTOGRAPHS)}: name another folder"
        )
    return {path.name: partial(_part_of, path) for path in files}


def _part_of(path: Path, rng: Generator) -> Pixels:
    photo = np.asarray(Image.open(path).convert("RGB"), np.uint8)
    return _cut(rng, photo, least=0.2)


@cache
def _photograph(name: str) -> Pixels:
    if name != "portrait":
        return np.asarray(load_sample_image(name), np.uint8)
    path = str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    return np.asarray(Image.open(path).convert("RGB"))


@cache
def _fonts() -> tuple[str, ...]:
    folder = matplotlib.font_manager.findfont("DejaVu Sans").rpartition("/")[0]
    return tuple(f"{folder}/{name}.ttf" for name in ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono"))


def _cut(rng: Generator, photo: Pixels, least: float) -> Pixels:
    """Cuts out a part, turns it by right angles, mirrors, tones and resizes it; half are grey."""
    extent = np.array(photo.shape[:2])
    share = rng.uniform(least, 1)
    height, width = (extent * share).astype(int)
    top, left = (rng.uniform(0, 1, 2) * (extent - (height, width))).astype(int)
    part = np.rot90(photo[top : top + height, left : left + width], int(rng.integers(4)))
    part = part[:, ::-1] if rng.random() < 0.5 else part
    part = part[..., 0] if rng.random() < 0.5 else part
    toned = 255 * (part / 255) ** rng.uniform(0.6, 1.6)
    scale = rng.uniform(150, 500) / min(part.shape[:2])
    size = [round(side * scale) for side in part.shape[1::-1]]
    small = cv2.resize(toned.astype(np.uint8), size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)
