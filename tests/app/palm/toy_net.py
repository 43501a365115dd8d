"""A landmark net that knows where the gaps are: it reads them off coloured spots."""

from collections.abc import Mapping

import cv2
import numpy as np

from app.palm.decode import ImageLimits
from app.palm.finder import Finder
from app.palm.landmarks import DIRECTIONS, Run
from app.palm.reader import PalmReader

SIDE, STRIDE = 160, 4
LEVELS = (60, 110, 160, 210)
"""Grey level of the spot of each landmark, on black."""

SPREAD_PX = 4.0


def read_spots(views: np.ndarray) -> Mapping[str, np.ndarray]:
    """Answers as the net does: each landmark lies in the middle of the pixels of its level."""
    grid = SIDE // STRIDE
    middles = (np.arange(grid) + 0.5) * STRIDE - 0.5
    logits = np.zeros((len(views), grid, grid, 4), np.float32)
    kind = np.zeros((len(views), 3), np.float32)
    for number, view in enumerate(views[..., 0].astype(int)):
        # Eroded, because the rim of a bright spot has the levels of darker ones.
        near = [(np.abs(view - level) <= 8).astype(np.uint8) for level in LEVELS]
        found = [np.argwhere(cv2.erode(one, np.ones((3, 3), np.uint8))) for one in near]
        seen = all(len(places) > 2 for places in found)
        kind[number, 0 if seen else 2] = 1
        for k, places in enumerate(found if seen else []):
            y, x = places.mean(axis=0)
            distance = (middles[:, None] - y) ** 2 + (middles - x) ** 2
            logits[number, :, :, k] = -distance / 2 / SPREAD_PX**2
    skin = (views[..., 0] > 0).reshape(len(views), grid, STRIDE, grid, STRIDE).any((2, 4))
    return {
        "landmarks": logits,
        "kind": kind,
        "left": np.ones(len(views), np.float32),
        "skin": skin.astype(np.float32),
        "direction": np.full((len(views), 4), 0.25, np.float32),
    }


def see_crops(views: np.ndarray) -> Mapping[str, np.ndarray]:
    """Answers that every image is a region of interest; black and white ones are neither."""
    nothing = views.reshape(len(views), -1).std(axis=1) < 1
    kind = np.where(nothing[:, None], [[0.01, 0.01, 0.98]], [[0.01, 0.98, 0.01]])
    return dict(read_spots(views)) | {"kind": kind.astype(np.float32)}


def see_hands_or_crops(views: np.ndarray) -> Mapping[str, np.ndarray]:
    """Answers that spots on black are a hand, and that every other image is a palm's square."""
    spots, crops = dict(read_spots(views)), see_crops(views)
    black = (views.reshape(len(views), -1) == 0).mean(axis=1, keepdims=True) > 0.2
    hand = black & (spots["kind"][:, :1] > 0)
    return spots | {"kind": np.where(hand, spots["kind"], crops["kind"])}


def see_crops_pointing(direction: str) -> Run:
    """Returns a net that also answers that the fingers of every crop point in one direction."""
    odds = [[0.99 if one == direction else 0.0033 for one in DIRECTIONS]]

    def run(views: np.ndarray) -> Mapping[str, np.ndarray]:
        directions = np.repeat(np.array(odds, np.float32), len(views), axis=0)
        return dict(see_crops(views)) | {"direction": directions}

    return run


def reader_of_crops() -> PalmReader:
    """Returns a reader that takes every image for a region of interest."""
    return PalmReader(Finder(see_crops, SIDE, 0.5), limits=ImageLimits(), mode="auto")
