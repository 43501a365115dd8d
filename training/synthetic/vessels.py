"""Grows the veins of a palm in three dimensions. Lengths are in px of the canvas (`PX_PER_MM`)."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.synthetic.canvas import CANVAS_PX, PX_PER_MM, Float32, smooth_noise

MURRAY_EXPONENT = 3.0
"""r_parent^3 = sum(r_child^3), the least work for the blood flow: C. D. Murray, PNAS 12 (1926)."""

DEPTH_MM = (0.6, 5.0)
"""Least and greatest depth of veins under the skin: an assumption, wide on purpose."""

LEAF_RADIUS_MM = (0.16, 0.32)
"""Radius of the finest visible branches: an assumption. Murray's law gives the other radii."""

_STEP_PX = 3.5
_REACH_PX = 50.0
_KILL_PX = 6.5
_SPROUTING = 0.25  # share of the trunks' nodes that may send out a branch


@dataclass(frozen=True, slots=True)
class VesselTree:
    """A tree of vessels on the canvas.

    Attributes:
        points: float32 [M, 3], x, y and depth under the skin of every node, in px.
        parents: int32 [M], index of every node's parent, -1 at the two roots at the wrist; a
            parent's index is below its children's.
        radii: float32 [M], radius of the vessel at every node, in px, by Murray's law.
    """

    points: Float32
    parents: NDArray[np.int32]
    radii: Float32


def grow_vessels(rng: np.random.Generator) -> VesselTree:
    """Grows a palm's vessels from its trunks by space colonisation.

    Every tissue point attracts the nearest node within `_REACH_PX`; a node grows one step in the
    mean direction of the points that attract it; a point is removed when a node is within
    `_KILL_PX`: Runions, Lane and Prusinkiewicz, "Modeling Trees with a Space Colonization
    Algorithm" (2007).

    Args:
        rng: a generator used for this identity only.
    """
    points, parents = _trunks(rng)
    tissue = _tissue_points(rng)
    sprouts = np.flatnonzero(rng.random(len(points)) < _SPROUTING)
    nearest, distance = _nearest(tissue, points, sprouts)
    for _ in range(60):
        kept = distance > _KILL_PX
        tissue, nearest, distance = tissue[kept], nearest[kept], distance[kept]
        pulled = distance < _REACH_PX
        if not pulled.any():
            break
        growing, owner = np.unique(nearest[pulled], return_inverse=True)
        direction = (tissue[pulled] - points[nearest[pulled]]) / distance[pulled, None]
        pull = rng.normal(0, 0.25, (len(growing), 3))
        np.add.at(pull, owner, direction)
        pull /= np.linalg.norm(pull, axis=1, keepdims=True) + 1e-6
        grown = np.arange(len(points), len(points) + len(growing))
        points = np.concatenate([points, points[growing] + _STEP_PX * pull]).astype(np.float32)
        parents = np.concatenate([parents, growing.astype(np.int32)])
        candidate, closer = _nearest(tissue, points, grown)
        nearest = np.where(closer < distance, candidate, nearest)
        distance = np.minimum(closer, distance)
    leaf = rng.uniform(*LEAF_RADIUS_MM) * PX_PER_MM
    return VesselTree(_meander(points, rng), parents, _murray_radii(parents, leaf))


def _nearest(
    tissue: Float32, points: Float32, among: NDArray[np.integer]
) -> tuple[NDArray[np.int64], Float32]:
    """Returns, for every tissue point, the nearest of the nodes `among` and its distance in px."""
    if not len(among):
        return np.zeros(len(tissue), np.int64), np.full(len(tissue), np.inf, np.float32)
    gaps = tissue[:, None] - points[among][None]
    squares = np.einsum("tnd,tnd->tn", gaps, gaps)
    best = squares.argmin(axis=1)
    return among[best].astype(np.int64), np.sqrt(squares[np.arange(len(tissue)), best])


def _trunks(rng: np.random.Generator) -> tuple[Float32, NDArray[np.int32]]:
    """Returns the trunks' points and parents: from the wrist to an arch and on to the fingers."""
    side, depth = CANVAS_PX, np.array(DEPTH_MM) * PX_PER_MM
    apex = np.array([rng.uniform(0.3, 0.7) * side, rng.uniform(0.25, 0.65) * side, depth.mean()])
    points: list[NDArray[np.floating]] = []
    parents: list[int] = []
    arch: list[int] = []
    for x, outwards in ((0.32, -1), (0.68, 1)):
        root = np.array([rng.normal(x, 0.11) * side, 1.03 * side, rng.uniform(*depth)])
        bulge = (root + apex) / 2 + np.array([outwards * rng.normal(18, 10), rng.normal(-6, 8), 0])
        arch += _append_chain(points, parents, -1, (root, bulge, apex))
    for x in (0.22, 0.42, 0.62, 0.82):
        if rng.random() < 0.3:  # not every palm shows every digital vein
            continue
        start = int(rng.choice(arch[len(arch) // 4 :]))
        gap = np.array([rng.normal(x, 0.09) * side, -0.03 * side, rng.uniform(*depth)])
        bend = (points[start] + gap) / 2 + np.append(rng.normal(0, 12, 2), 0)
        _append_chain(points, parents, start, (points[start], bend, gap))
    return np.array(points, np.float32), np.array(parents, np.int32)


def _append_chain(
    points: list[NDArray[np.floating]],
    parents: list[int],
    start: int,
    curve: tuple[NDArray[np.floating], ...],
) -> list[int]:
    """Adds nodes along a quadratic Bezier curve from node `start`, and returns their indices."""
    steps = max(int(np.linalg.norm(curve[2] - curve[0]) / 5), 2)
    added: list[int] = []
    for t in np.linspace(0, 1, steps)[int(start >= 0) :]:
        points.append((1 - t) ** 2 * curve[0] + 2 * t * (1 - t) * curve[1] + t**2 * curve[2])
        parents.append(added[-1] if added else start)
        added.append(len(points) - 1)
    return added


def _tissue_points(rng: np.random.Generator) -> Float32:
    """Draws the tissue points [A, 3] in px; their density varies over the palm."""
    density = smooth_noise(rng, sigma_px=22)
    count = int(rng.uniform(120, 420))
    flat = rng.uniform(0, CANVAS_PX, (count, 2))
    depth = rng.uniform(*DEPTH_MM, count) * PX_PER_MM
    column, row = flat.astype(int).T
    kept = density[row, column] > rng.normal(0, 1, count)
    return np.c_[flat, depth][kept].astype(np.float32)


def _meander(points: Float32, rng: np.random.Generator) -> Float32:
    """Bends the whole tree smoothly, so that no vessel is straight."""
    coarse = (rng.normal(0, 1, (9, 9, 2)) * rng.uniform(4, 9)).astype(np.float32)
    field = cv2.resize(coarse, (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_CUBIC)
    column, row = np.clip(points[:, :2], 0, CANVAS_PX - 1).astype(int).T
    return points + np.pad(field[row, column], ((0, 0), (0, 1)))


def _murray_radii(parents: NDArray[np.int32], leaf_radius_px: float) -> Float32:
    """Returns the radius of every node in px, from the leaves to the roots."""
    cubes = [0.0] * len(parents)
    for node in range(len(parents) - 1, -1, -1):
        cubes[node] = cubes[node] or leaf_radius_px**MURRAY_EXPONENT
        if parents[node] >= 0:
            cubes[parents[node]] += cubes[node]
    return (np.array(cubes) ** (1 / MURRAY_EXPONENT)).astype(np.float32)
