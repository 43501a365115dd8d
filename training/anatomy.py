"""What makes one synthetic palm itself: its vessels, creases and skin, as image layers.

A palm is drawn once on a canvas larger than the picture, so that a shot can move, turn and bend it
without running out of skin. The picture is the canvas's middle (`training.capture`).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

CANVAS_PX = 320
"""Side of the canvas; the picture shows its middle 224 px."""

LAYERS = ("deep_veins", "branch_veins", "principal_lines", "wrinkles", "texture")
"""Order of the layers in `draw_palm`'s result."""

MURRAY_EXPONENT = 3.0
"""r_parent^3 = sum(r_child^3): C. D. Murray, PNAS 12 (1926), least work of blood flow."""

_SPROUTING = 0.17  # share of the arch's nodes, 8 px apart, that may send out a branch


@dataclass(frozen=True, slots=True)
class VesselTree:
    """A vascular tree in canvas pixels.

    Attributes:
        points: float32 [M, 2], x and y of every node.
        parents: int32 [M], index of the node upstream, -1 at the two wrist roots.
        radii: float32 [M], vessel radius in px at the node, by Murray's law.
    """

    points: Float32
    parents: NDArray[np.int32]
    radii: Float32


def draw_palm(rng: np.random.Generator) -> Float32:
    """Draws the identity layers of one palm.

    Args:
        rng: the identity's own generator; equal generators draw equal palms.

    Returns:
        float32 [5, CANVAS_PX, CANVAS_PX] in the order of `LAYERS`. Veins, lines and wrinkles are
        0 (none) to 1 (darkest); texture has mean 0 and standard deviation 1.
    """
    tree = grow_vessels(rng)
    deep, branches = _draw_vessels(tree, rng)
    return np.stack(
        [deep, branches, _draw_principal_lines(rng), _draw_wrinkles(rng), _draw_texture(rng)]
    )


def grow_vessels(
    rng: np.random.Generator, step_px: float = 6.0, reach_px: float = 90.0, kill_px: float = 11.0
) -> VesselTree:
    """Grows a palm's vessels by space colonisation from an arch between two wrist roots.

    Runions, Lane and Prusinkiewicz, "Modeling Trees with a Space Colonization Algorithm" (2007):
    tissue points attract the nearest node within reach, a node grows one step towards the mean of
    its attractors, and a point is supplied once a node comes within the kill distance.

    Args:
        rng: source of the palm's individuality.
        step_px: length of one growth step.
        reach_px: distance over which tissue attracts a vessel.
        kill_px: distance at which tissue counts as supplied.

    Returns:
        The tree, with radii by Murray's law.
    """
    points, parents = _palmar_arch(rng)
    tissue = _tissue_points(rng)
    arch_px = np.where(rng.random(len(points)) < _SPROUTING, 0, np.inf)
    for _ in range(120):
        gaps = np.linalg.norm(tissue[:, None] - points[None], axis=2)
        gaps[:, : len(arch_px)] += arch_px
        nearest = gaps.argmin(axis=1)
        distance = gaps[np.arange(len(tissue)), nearest]
        pulled = (distance < reach_px) & (distance > kill_px)
        if not pulled.any():
            break
        growing, owner = np.unique(nearest[pulled], return_inverse=True)
        pull = np.zeros((len(growing), 2), np.float32)
        direction = (tissue[pulled] - points[nearest[pulled]]) / distance[pulled, None]
        np.add.at(pull, owner, direction)
        pull += rng.normal(0, 0.25, pull.shape)
        pull /= np.linalg.norm(pull, axis=1, keepdims=True) + 1e-6
        points = np.concatenate([points, points[growing] + step_px * pull]).astype(np.float32)
        parents = np.concatenate([parents, growing.astype(np.int32)])
        tissue = tissue[distance > kill_px]
    return VesselTree(points, parents, _murray_radii(parents, rng.uniform(0.8, 1.15)))


def _palmar_arch(rng: np.random.Generator) -> tuple[Float32, NDArray[np.int32]]:
    """Two chains of nodes from the wrist that meet in the palmar arch; [M, 2] and parents [M]."""
    left = np.array([rng.normal(0.32, 0.07), 1.02]) * CANVAS_PX
    right = np.array([rng.normal(0.68, 0.07), 1.02]) * CANVAS_PX
    apex = np.array([rng.normal(0.5, 0.1), rng.normal(0.46, 0.08)]) * CANVAS_PX
    points: list[NDArray[np.floating]] = []
    parents: list[int] = []
    for root, side in ((left, -1), (right, 1)):
        bulge = (root + apex) / 2 + np.array([side * rng.normal(30, 16), rng.normal(-10, 14)])
        steps = max(int(np.linalg.norm(root - apex) / 8), 2)
        for index, t in enumerate(np.linspace(0, 1, steps)):
            points.append((1 - t) ** 2 * root + 2 * t * (1 - t) * bulge + t**2 * apex)
            parents.append(-1 if index == 0 else len(points) - 2)
    return np.array(points, np.float32), np.array(parents, np.int32)


def _tissue_points(rng: np.random.Generator) -> Float32:
    """Points to be supplied, [A, 2] in px, denser where this palm is denser."""
    density = _smooth_noise(rng, sigma_px=40)
    candidates = rng.uniform(0, CANVAS_PX, (int(rng.uniform(140, 320)), 2))
    column, row = candidates.astype(int).T
    return candidates[density[row, column] > rng.normal(0, 1, len(candidates))].astype(np.float32)


def _murray_radii(parents: NDArray[np.int32], leaf_radius_px: float) -> Float32:
    """Radius of every node; a child always stands after its parent in the arrays."""
    cubes = np.zeros(len(parents), np.float64)
    for node in range(len(parents) - 1, -1, -1):
        if cubes[node] == 0:
            cubes[node] = leaf_radius_px**MURRAY_EXPONENT
        if parents[node] >= 0:
            cubes[parents[node]] += cubes[node]
    return (cubes ** (1 / MURRAY_EXPONENT)).astype(np.float32)


def _draw_vessels(tree: VesselTree, rng: np.random.Generator) -> tuple[Float32, Float32]:
    """Thick deep vessels and their branches as two layers, blurred by the skin above them."""
    depth = _smooth_noise(rng, sigma_px=45)
    split_px = float(np.quantile(tree.radii, rng.uniform(0.55, 0.75)))
    layers = np.zeros((2, CANVAS_PX, CANVAS_PX), np.float32)
    for node, parent in enumerate(tree.parents):
        if parent < 0:
            continue
        start, end = tree.points[parent], tree.points[node]
        column, row = np.clip(end, 0, CANVAS_PX - 1).astype(int)
        contrast = float(np.clip(0.75 + 0.2 * depth[row, column], 0.15, 1))
        layer = layers[0 if tree.radii[node] > split_px else 1]
        _draw_segment(layer, start, end, contrast, 1.5 * float(tree.radii[node]))
    deep = cv2.GaussianBlur(layers[0], (0, 0), rng.uniform(3.0, 6.0))
    branches = cv2.GaussianBlur(layers[1], (0, 0), rng.uniform(1.8, 3.6))
    return _to_unit_peak(deep), _to_unit_peak(branches)


def _draw_principal_lines(rng: np.random.Generator) -> Float32:
    """Heart, head and life line: three long creases, sharper and darker than veins."""
    layer = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
    heart = ((0.95, 0.36), (0.6, 0.42), (0.3, 0.12))
    head = ((0.08, 0.38), (0.45, 0.42), (0.9, 0.68))
    life = ((0.08, 0.36), (0.5, 0.5), (0.36, 1.02))
    for line in (heart, head, life):
        control = (np.array(line) + rng.normal(0, 0.07, (3, 2))) * CANVAS_PX
        _draw_curve(layer, control, rng, float(rng.uniform(0.5, 1)), float(rng.uniform(1.6, 3.6)))
    return _to_unit_peak(cv2.GaussianBlur(layer, (0, 0), rng.uniform(0.6, 1.3)))


def _draw_wrinkles(rng: np.random.Generator) -> Float32:
    """Ten to seventy short fine creases, with a preferred direction of this palm."""
    layer = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
    preferred = rng.uniform(0, np.pi)
    for _ in range(rng.integers(10, 70)):
        centre = rng.uniform(0, CANVAS_PX, 2)
        angle = preferred + rng.normal(0, 0.7)
        half = rng.uniform(10, 70) / 2 * np.array([np.cos(angle), np.sin(angle)])
        control = np.stack([centre - half, centre + rng.normal(0, 5, 2), centre + half])
        _draw_curve(layer, control, rng, float(rng.uniform(0.3, 1)), float(rng.uniform(0.8, 1.8)))
    return _to_unit_peak(cv2.GaussianBlur(layer, (0, 0), rng.uniform(0.5, 0.9)))


def _draw_texture(rng: np.random.Generator) -> Float32:
    """Skin mottling at four widths, zero mean, unit standard deviation."""
    amounts = rng.uniform(0.2, 1, 4)
    total = sum(
        amount * _smooth_noise(rng, sigma)
        for amount, sigma in zip(amounts, (2.0, 5.0, 14.0, 35.0), strict=True)
    )
    return (total / np.linalg.norm(amounts)).astype(np.float32)


def _draw_curve(
    layer: Float32,
    control: NDArray[np.floating],
    rng: np.random.Generator,
    strength: float,
    width_px: float,
) -> None:
    """Draws a quadratic Bezier curve [3, 2] that thins out towards its ends."""
    t = np.linspace(0, 1, 14)[:, None]
    points = (1 - t) ** 2 * control[0] + 2 * t * (1 - t) * control[1] + t**2 * control[2]
    length_px = np.linalg.norm(control[2] - control[0])
    points += rng.normal(0, 0.004 * length_px, points.shape)
    taper = np.sin(np.pi * np.clip(t[:, 0], 0.08, 0.92)) ** 0.5
    for start, end, thin in zip(points[:-1], points[1:], taper[1:], strict=True):
        _draw_segment(layer, start, end, strength * float(thin), width_px * float(thin))


def _draw_segment(
    layer: Float32,
    start: NDArray[np.floating],
    end: NDArray[np.floating],
    strength: float,
    width_px: float,
) -> None:
    """Draws one line to 1/16 px; a line thinner than a pixel is drawn fainter instead."""
    (x0, y0), (x1, y1) = np.rint(np.stack([start, end]) * 16).astype(int).tolist()
    colour = strength * min(width_px, 1.0)
    cv2.line(layer, (x0, y0), (x1, y1), colour, max(round(width_px), 1), cv2.LINE_8, 4)


def _smooth_noise(rng: np.random.Generator, sigma_px: float) -> Float32:
    """Gaussian noise of one width, zero mean, unit standard deviation, made small and enlarged."""
    shrink = max(sigma_px / 2, 1.0)
    side = int(np.ceil(CANVAS_PX / shrink)) + 4
    small = rng.standard_normal((side, side), np.float32)
    small = cv2.GaussianBlur(small, (0, 0), sigma_px / shrink)
    small = (small - small.mean()) / small.std()
    return cv2.resize(small, (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_CUBIC)


def _to_unit_peak(layer: Float32) -> Float32:
    """Scales a layer so that its darkest hundredth reaches 1."""
    peak = float(np.quantile(layer, 0.99))
    return np.clip(layer / max(peak, 1e-3), 0, 1).astype(np.float32)
