"""Draws the mesh of small veins between the large ones, and the palmar arch."""

import cv2
import numpy as np
from numpy.typing import NDArray

from training.synthetic.canvas import CANVAS_PX, Float32, Layers, smooth_noise, to_full_range

CELLS = (90, 320)
"""Least and greatest number of cells between the veins of the mesh: an assumption, wide on
purpose. Their mean diameter is 13 to 7 mm."""

_BLUR_PX = (0.8, 1.2, 1.8)  # shallow, middle and deep veins
_ARCH = ((0.2, 0.7), (0.3, 0.28), (0.66, 0.36), (0.82, 0.66))
_FINGER_GAPS = (0.3, 0.52, 0.73)


def draw_mesh(rng: np.random.Generator) -> Layers:
    """Draws a net of veins of all widths, and the arch with its branches to the finger gaps.

    The net is the Voronoi diagram of random points, bent smoothly; a third to two thirds of its
    edges are left out, more of them in some parts of the palm.

    Args:
        rng: a generator used for this identity only.

    Returns:
        uint8 [CANVAS_PX, CANVAS_PX], 0 (none) to 255 (darkest).
    """
    edges = _cell_edges(rng)
    middle = np.clip(edges.mean(axis=1), 0, CANVAS_PX - 1).astype(int)
    density = smooth_noise(rng, 20)[middle[:, 1], middle[:, 0]]
    edges = edges[density > rng.normal(rng.uniform(-0.8, 0), 0.7, len(edges))]
    width = np.rint(2 * np.clip(rng.lognormal(0.45, 0.5, len(edges)), 0.5, 5)) / 2
    depth = rng.integers(0, len(_BLUR_PX), len(edges))
    total = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
    for level, blur_px in enumerate(_BLUR_PX):
        drawn = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
        for px in np.unique(width):
            _draw_veins(drawn, edges[(depth == level) & (width == px)], px)
        if level == len(_BLUR_PX) - 1:
            for vein in _arch(rng):
                _draw_veins(drawn, vein[None], rng.uniform(2, 4.5))
        total += cv2.GaussianBlur(drawn, (0, 0), blur_px)
    return to_full_range(_bend(total, rng))


def _cell_edges(rng: np.random.Generator) -> Float32:
    """Returns the edges of a Voronoi diagram, float32 [E, 2, 2], x and y of both ends in px."""
    margin = 20
    plane = cv2.Subdiv2D((-margin, -margin, CANVAS_PX + 2 * margin, CANVAS_PX + 2 * margin))
    points = rng.uniform(-margin, CANVAS_PX + margin, (int(rng.uniform(*CELLS)), 2))
    # As float32, a point may lie on the far edge, which OpenCV refuses.
    inside = np.nextafter(np.float32(CANVAS_PX + margin), np.float32(0))
    plane.insert(np.minimum(points.astype(np.float32), inside).tolist())
    cells, _ = plane.getVoronoiFacetList([])
    corners = np.concatenate(cells)
    last = np.cumsum([len(cell) for cell in cells]) - 1
    following = np.arange(1, len(corners) + 1)
    following[last] = np.r_[0, last[:-1] + 1]
    edges = np.stack([corners, corners[following]], axis=1)
    # Both cells beside an edge hold it, in opposite directions.
    return edges[edges[:, 0, 0] < edges[:, 1, 0]].astype(np.float32)


def _arch(rng: np.random.Generator) -> list[NDArray[np.floating]]:
    """Returns the palmar arch and its branches, polylines [K, 2] in px, near their usual places."""
    t = np.linspace(0, 1, 17)[:, None]
    a, b, c, d = np.array(_ARCH) + rng.normal(0, 0.04, (4, 2))
    arch = (1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t**2 * (1 - t) * c + t**3 * d
    veins = [arch]
    for x, start in zip(_FINGER_GAPS, (5, 9, 12), strict=True):
        if rng.random() < 0.8:  # not every palm shows every digital vein
            gap = np.array([x, -0.02]) + rng.normal(0, 0.03, 2)
            veins.append(np.stack([arch[start], (arch[start] + gap) / 2, gap]))
    return [vein * CANVAS_PX for vein in veins]


def _draw_veins(layer: Float32, veins: NDArray[np.floating], width_px: float) -> None:
    """Draws polylines [V, K, 2] in place; a line narrower than a pixel is fainter instead."""
    fixed = list(np.rint(veins * 16).astype(np.int32))
    darkness = min(width_px, 1.0) * (0.9 + 0.1 * width_px)  # a wider vein holds more blood
    cv2.polylines(layer, fixed, False, darkness, max(round(width_px), 1), cv2.LINE_8, 4)


def _bend(layer: Float32, rng: np.random.Generator) -> Float32:
    """Bends a layer smoothly, so that no vein is straight."""
    line = np.arange(CANVAS_PX, dtype=np.float32)
    x, y = line + 2.5 * smooth_noise(rng, 7), line[:, None] + 2.5 * smooth_noise(rng, 7)
    bent = cv2.remap(layer, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(bent, np.float32)
