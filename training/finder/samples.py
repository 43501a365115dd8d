"""Draws the samples that the finder learns from: views of drawn hands, crops, and neither.

A sheet of samples depends only on its seed and number. This module imports no Keras, so processes
that only draw start faster and need less memory.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from app.palm.finder import to_grey
from app.palm.square import SIDE, Square
from app.palm.views import close_view, look, look_at_all, square_around, to_view, whole_view
from training.database.image_files import ImageFile
from training.finder.light import change_background, relight
from training.finder.targets import CROP, HAND, NOTHING, Sample
from training.finder.textures import draw_texture
from training.fit.augmentation import degrade
from training.synthetic.anatomy import LAYERS
from training.synthetic.cameras import draw_camera
from training.synthetic.canvas import CANVAS_PX, Layers
from training.synthetic.canvas import PX_PER_MM as PX_PER_MM_OF_CANVAS
from training.synthetic.capture import shoot
from training.synthetic.hands import PALM_WIDTH_MM, TUNING_HANDS, HandStyle, draw_masked_hand
from training.synthetic.pairs import Pixels
from training.synthetic.scenes import rectangles
from training.synthetic.sessions import draw_session
from training.synthetic.styles import TRAINING

PHOTOS = 3
"""Drawn hands on a sheet."""

CROPS = 3
"""Crops on a sheet that are drawn as such; another one is cut out of a hand."""

TEXTURES = 3
"""Textures on a sheet; another view of neither shows a part of a photograph without the palm."""

SHEET = 20
"""Samples on a sheet: four views of each hand, four crops, and four views of neither."""

VEINS = tuple(LAYERS.index(name) for name in ("deep_veins", "shallow_veins"))
LINES = tuple(LAYERS.index(name) for name in ("principal_lines", "wrinkles"))
MIDDLE = (CANVAS_PX / 2, CANVAS_PX / 2)

HANDS = replace(
    TUNING_HANDS,
    scenes=(*TUNING_HANDS.scenes, rectangles),
    sizes=((512, 384), (512, 384), (320, 240), (384, 512), (448, 336), (400, 400), (480, 270)),
)
"""The hands to tune with, smaller: a view of 160 px shows no more, and they take half the time. Two
in seven lie on clutter."""

TILTED_HANDS = replace(HANDS, tilt_deg=(15.0, 45.0))
"""Hands that look narrower or shorter: one on each sheet."""

PX_PER_MM = (0.32, 1.4)
"""Least and greatest scale of a free view of 160 px: a palm that fills 17 to 74 % of its side."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A drawn hand.

    Attributes:
        grey: uint8 [H, W].
        mask: uint8 [H, W], 255 on the hand.
        points: float64 [4, 2], landmarks in px: the gaps, and the palm's middle.
        px_per_mm: scale.
        left: whether it is a left hand.
    """

    grey: Pixels
    mask: Pixels
    points: NDArray[np.float64]
    px_per_mm: float
    left: bool


def draw_sheet(
    palms: ImageFile, seed: int, number: int, side_px: int
) -> tuple[Pixels, NDArray[np.float32]]:
    """Draws a sheet of samples.

    Args:
        palms: layers of palms, from `training.synthetic.palms.draw_palms`.
        seed: seed of all sheets, at least 0.
        number: number of the sheet, at least 0.
        side_px: side S of the views.

    Returns:
        Views uint8 [SHEET, S, S, 1] and targets float32 [SHEET, T]; see `Sample.target`.
    """
    rng = np.random.default_rng([seed, number, 8])
    samples: list[Sample] = []
    for index in range(PHOTOS):
        style = TILTED_HANDS if index == PHOTOS - 1 else HANDS
        photo = draw_photo(mix(palms, rng), seed, PHOTOS * number + index, rng, style)
        samples += view_hand(photo, rng, side_px)
        if index == 0:
            samples.append(cut_crop(photo, rng, side_px))
        if index == 1:
            samples.append(look_away(photo, rng, side_px))
    samples += [draw_crop(mix(palms, rng), rng, side_px) for _ in range(CROPS)]
    samples += [draw_nothing(rng, side_px) for _ in range(TEXTURES)]
    views = np.stack([relight(sample.view, rng) for sample in samples])[..., None]
    return views, np.stack([sample.target() for sample in samples])


def draw_photo(
    palm: Layers, seed: int, number: int, rng: np.random.Generator, style: HandStyle = HANDS
) -> Photo:
    """Draws one hand; colours become grey by any mixture."""
    image, truth, mask = draw_masked_hand(seed, number, style, palm)
    if image.ndim == 3 and rng.random() < 0.5:
        image = (image @ rng.dirichlet(np.ones(3)).astype(np.float32)).astype(np.uint8)
    return Photo(
        grey=to_grey(image),
        mask=mask,
        points=np.concatenate([truth.gaps, truth.middle[None]]),
        px_per_mm=truth.palm_width_px / PALM_WIDTH_MM,
        left=truth.hand == "left",
    )


def view_hand(photo: Photo, rng: np.random.Generator, side_px: int) -> list[Sample]:
    """Returns four views of a hand: of all of the image or from any side, and three closer ones."""
    wide = view_whole if rng.random() < 0.5 else view_freely
    samples = [turn_randomly(wide(photo, rng, side_px), rng)]
    for _ in range(3):
        close = view_closely(photo, rng, side_px)
        samples.append(close.mirrored() if rng.random() < 0.5 else close)
    return [replace(s, view=change_background(s.view, s.mask, rng)) for s in samples]


def turn_randomly(sample: Sample, rng: np.random.Generator) -> Sample:
    """Returns one of the eight turned and mirrored samples."""
    sample = sample.mirrored() if rng.random() < 0.5 else sample
    for _ in range(rng.integers(4)):
        sample = sample.turned()
    return sample


def view_whole(photo: Photo, rng: np.random.Generator, side_px: int) -> Sample:
    """Views an image as the finder first does; half of the images lose a part of their borders."""
    height, width = photo.grey.shape
    first, last = np.zeros(2), np.array([width, height], np.float64)
    if rng.random() < 0.5:
        room = 12 * photo.px_per_mm
        first = rng.uniform(0, np.maximum(photo.points.min(axis=0) - room, 0.01))
        least = np.minimum(photo.points.max(axis=0) + room, last - 0.01)
        last = rng.uniform(least, last)
    left, top = first.astype(int)
    right, bottom = np.ceil(last).astype(int)
    part = np.s_[top:bottom, left:right]
    view = whole_view(bottom - top, right - left)
    return Sample(
        view=look_at_all(photo.grey[part], side_px),
        mask=look_at_all(photo.mask[part], side_px, bars=0),
        points=to_view(photo.points - (left, top), view, side_px),
        kind=HAND,
        left=photo.left,
    )


def view_freely(photo: Photo, rng: np.random.Generator, side_px: int) -> Sample:
    """Views a hand from any side, in any size, anywhere in the view."""
    for _ in range(20):
        sample = _hand_in(photo, _anywhere(photo, rng, side_px), side_px)
        if sample.points.min() > 3 and sample.points.max() < side_px - 4:
            return sample
    return view_closely(photo, rng, side_px)


def view_closely(photo: Photo, rng: np.random.Generator, side_px: int) -> Sample:
    """Views a palm as the finder does at last, about upright: in half of the views as exactly."""
    exact = close_view(photo.points[:3])
    doubt = rng.choice([0.3, 1.0, 4.0], p=[0.5, 0.4, 0.1])
    angle = np.radians(exact.rotation_deg + rng.normal(0, 10 * doubt))
    spread = min(doubt, 1.0)
    side = exact.side_px * float(np.exp(rng.normal(0, 0.1 * spread)))
    middle = exact.corners.mean(axis=0) + rng.normal(0, 0.05 * spread, 2) * exact.side_px
    return _hand_in(photo, square_around(middle, side, float(angle)), side_px)


def look_away(photo: Photo, rng: np.random.Generator, side_px: int) -> Sample:
    """Views an image of a hand where neither gaps nor the middle of the palm are."""
    for _ in range(10):
        view = _anywhere(photo, rng, side_px, spread=1.5)
        points = to_view(photo.points, view, side_px)
        inside = ((points > -6) & (points < side_px + 5)).all(axis=1)
        if not inside.any():
            return replace(_hand_in(photo, view, side_px), kind=NOTHING)
    return draw_nothing(rng, side_px)


def cut_crop(photo: Photo, rng: np.random.Generator, side_px: int) -> Sample:
    """Cuts an image that shows nothing but a palm out of a photograph, turned at random."""
    chord = photo.points[2] - photo.points[0]
    distance, level = float(np.hypot(*chord)), float(np.arctan2(chord[1], chord[0]))
    side = SIDE * distance * rng.uniform(0.75, 1.0)
    middle = photo.points[3] + rng.normal(0, 0.03, 2) * distance
    view = square_around(middle, side, level + rng.normal(0, 0.07))
    palm = look(photo.grey, view, side_px)
    mask = np.full_like(palm, 255)
    return turn_randomly(Sample(palm, mask, np.zeros((4, 2)), CROP), rng)


def draw_crop(palm: Layers, rng: np.random.Generator, side_px: int) -> Sample:
    """Draws a crop as databases hold it; one in four is not square."""
    session = draw_session(rng, TRAINING, draw_camera(rng, TRAINING))
    image = shoot(palm, session, rng, TRAINING)
    if rng.random() < 0.5:
        image = degrade(image, rng)
    if rng.random() < 0.25:
        image = image[: int(rng.uniform(0.65, 1) * len(image))]
    view, mask = look_at_all(image, side_px), look_at_all(np.full_like(image, 255), side_px, 0)
    return turn_randomly(Sample(view, mask, np.zeros((4, 2)), CROP), rng)


def draw_nothing(rng: np.random.Generator, side_px: int) -> Sample:
    """Draws a texture, in an image of any shape."""
    texture = (255 * np.clip(draw_texture(rng, side_px), 0, 1)).astype(np.uint8)
    if rng.random() < 0.7:
        texture = look_at_all(texture[: round(rng.uniform(0.5, 1) * side_px)], side_px)
    nothing = Sample(texture, np.zeros_like(texture), np.zeros((4, 2)), NOTHING)
    return turn_randomly(nothing, rng)


def mix(palms: ImageFile, rng: np.random.Generator) -> Layers:
    """Returns the veins of one palm with the skin of another, each turned, enlarged and moved.

    A few hundred palms show the net too few veins beside a gap, which it then takes for its end.
    """
    chosen = palms[rng.integers(palms.shape[0], size=2)]
    veins, skin = chosen.reshape(2, len(LAYERS), CANVAS_PX, CANVAS_PX)
    mixed = skin.copy()
    for source, numbers in ((veins, VEINS), (skin, LINES)):
        mirrored = rng.random() < 0.5
        move = cv2.getRotationMatrix2D(MIDDLE, rng.normal(0, 8), np.exp(rng.normal(0, 0.08)))
        move[:, 2] += rng.normal(0, 4 * PX_PER_MM_OF_CANVAS, 2)
        for number in numbers:
            layer = source[number, :, ::-1].copy() if mirrored else source[number]
            mixed[number] = cv2.warpAffine(
                layer, move, (CANVAS_PX, CANVAS_PX), borderMode=cv2.BORDER_REFLECT_101
            )
    return mixed


def _anywhere(photo: Photo, rng: np.random.Generator, side_px: int, spread: float = 0.3) -> Square:
    """Returns a square of any turn and size, with the palm about in its middle."""
    scale = np.exp(rng.uniform(*np.log(PX_PER_MM))) * side_px / 160
    side = side_px / scale * photo.px_per_mm
    middle = photo.points.mean(axis=0) + rng.uniform(-spread, spread, 2) * side
    return square_around(middle, side, rng.uniform(-np.pi, np.pi))


def _hand_in(photo: Photo, view: Square, side_px: int) -> Sample:
    return Sample(
        view=look(photo.grey, view, side_px),
        mask=look(photo.mask, view, side_px),
        points=to_view(photo.points, view, side_px),
        kind=HAND,
        left=photo.left,
    )
