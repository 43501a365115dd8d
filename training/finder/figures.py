"""Measures a finder on images that are drawn once: hands, crops, and images of neither."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from app.palm.capture import Capture
from app.palm.errors import PalmNotFound
from app.palm.finder import Finder, to_grey
from app.palm.hand import find_hand, locate
from app.palm.landmarks import Run
from app.palm.views import look_at_all
from training.finder.samples import draw_nothing
from training.synthetic.hands import TUNING_HANDS, HandGeometry, draw_hand
from training.synthetic.palms import draw_identity, photograph
from training.synthetic.styles import HELD_OUT

MONITOR_SEED = 2_000_003
"""Seed of the images that are measured; no training draws its own with it."""

CLOSE, NEAR = 0.03, 0.1
"""Errors of the worst gap, in palm widths: within the first a hand counts as right, beyond the
second as wrong."""

PALMS = 20  # palms that take turns in the hands

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Trial:
    """What was found in the image of a hand.

    Attributes:
        error: distance of the worst gap from the drawn one, in palm widths; infinite if no hand
            was looked for.
        certainty: the finder's certainty; 0 if no hand was looked for.
        right_hand: whether left and right were told correctly.
    """

    error: float
    certainty: float
    right_hand: bool


@dataclass(frozen=True, slots=True)
class Images:
    """Images to measure a finder on.

    Attributes:
        hands: grey images uint8 [H, W] with what was drawn.
        crops: images of nothing but a palm.
        nothing: images of neither.
    """

    hands: Sequence[tuple[Pixels, HandGeometry]]
    crops: Sequence[Pixels]
    nothing: Sequence[Pixels]


def draw_images(hands: int, seed: int = MONITOR_SEED) -> Images:
    """Draws images: hands of the style for tuning, and a third as many of the two other kinds."""
    palms = [draw_identity(seed, number) for number in range(min(PALMS, hands))]
    drawn = [draw_hand(seed, i, TUNING_HANDS, palms[i % len(palms)]) for i in range(hands)]
    others = max(hands // 3, 1)
    shots = partial(photograph, seed=seed, style=HELD_OUT, sessions=1, shots=1)
    generators = [np.random.default_rng([seed, number, 9]) for number in range(others)]
    return Images(
        hands=[(to_grey(image), truth) for image, truth in drawn],
        crops=[shots(number)[0][0] for number in range(others)],
        nothing=[draw_nothing(rng, 256).view for rng in generators],
    )


def judge_hand(grey: Pixels, truth: HandGeometry, finder: Finder) -> Trial:
    """Looks for one hand."""
    hand = find_hand(grey, finder, least_certainty=0)
    if hand is None:
        return Trial(np.inf, 0.0, False)
    error = float(np.hypot(*(hand.gaps - truth.gaps).T).max()) / truth.palm_width_px
    return Trial(error, hand.certainty, hand.hand == truth.hand)


def judge_hands(images: Images, finder: Finder) -> list[Trial]:
    """Looks for every hand."""
    return [judge_hand(grey, truth, finder) for grey, truth in images.hands]


def measure(images: Images, finder: Finder, trials: Sequence[Trial]) -> dict[str, float]:
    """Returns shares of the images, 0 to 1.

    Args:
        images: the images.
        finder: looks for crops and nothing.
        trials: what it found in the hands, from `judge_hands`.

    Returns:
        `within_3` and `within_10`: hands whose gaps are so close, in % of the palm's width;
        `hand_right`: hands told left or right; `certain`: hands of enough certainty; `wrong`:
        those of them with a gap off by more than 10 %; `crop_right` and `nothing_right`: the other
        images that are recognised as such; `direction_right`: crops, turned in all directions,
        whose direction is the most probable one.
    """
    error = np.array([trial.error for trial in trials])
    certain = np.array([trial.certainty for trial in trials]) >= finder.least_certainty
    crops, nothing = (
        [_capture(x, finder) for x in some] for some in (images.crops, images.nothing)
    )
    figures = {
        "within_3": error <= CLOSE,
        "within_10": error <= NEAR,
        "hand_right": [trial.right_hand for trial in trials],
        "certain": certain,
        "wrong": certain & (error > NEAR),
        "crop_right": [capture == "roi" for capture in crops],
        "nothing_right": [capture is None for capture in nothing],
        "direction_right": [
            finder.glance(np.rot90(crop, -number)).found.direction.argmax() == number % 4
            for number, crop in enumerate(images.crops)
        ],
    }
    return {name: float(np.mean(values)) for name, values in figures.items()}


def _capture(image: Pixels, finder: Finder) -> Capture | None:
    """Returns what an image is taken for; None if no palm is found in it."""
    try:
        return locate(image, finder).capture
    except PalmNotFound:
        return None


def golden_views(images: Images, side_px: int) -> Pixels:
    """Returns views uint8 [G, side_px, side_px, 1] of a few images of each kind."""
    hands = [grey for grey, _ in images.hands[:4]]
    views = [look_at_all(x, side_px) for x in (*hands, *images.crops[:2], *images.nothing[:2])]
    return np.stack(views)[..., None]


class FinderMonitor(keras.callbacks.Callback):
    """Adds the figures of `measure` to the logs of every epoch, each with the prefix `val_`."""

    def __init__(self, net: keras.Model, images: Images, least_certainty: float) -> None:
        """Creates the callback.

        Args:
            net: the net that is trained.
            images: images to measure it on.
            least_certainty: certainty from which a hand counts as found.
        """
        super().__init__()
        self._images = images
        self._finder = finder_of(net, least_certainty)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures the net."""
        if logs is not None:
            trials = judge_hands(self._images, self._finder)
            figures = measure(self._images, self._finder, trials)
            logs |= {f"val_{name}": value for name, value in figures.items()}


def finder_of(net: keras.Model, least_certainty: float) -> Finder:
    """Returns the finder of a net in Keras, always with the net's current weights."""
    images: Any = net.input
    # A model of its own: compiling the trained one again must not change how this one runs.
    run: Run = keras.Model(images, net.output).predict_on_batch
    return Finder(run, images.shape[1], least_certainty)
