"""What makes one synthetic palm itself: its vessels, creases and skin, as image layers.

A palm is grown in three dimensions in pixels of `PX_PER_MM`, then seen through the skin: what lies
deeper is fainter and more blurred. It is drawn once on a canvas larger than the picture, so that a
shot can move, turn and bend it without running out of skin (`training.synthetic.capture`).
"""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Layers = NDArray[np.uint8]

PX_PER_MM = 2.0
"""A region of interest of 64 mm is 128 px, about what palm databases cut out."""

CANVAS_PX = 176
"""Side of the canvas, 88 mm; the picture shows its middle 128 px."""

LAYERS = ("deep_veins", "shallow_veins", "principal_lines", "wrinkles", "texture")
"""Order of the layers in `draw_palm`'s result."""

MURRAY_EXPONENT = 3.0
"""r_parent^3 = sum(r_child^3): C. D. Murray, PNAS 12 (1926), least work of blood flow."""

SKIN_SCATTERING_PER_MM = 4.6 * (850 / 500) ** -1.421
"""Reduced scattering of skin at 850 nm: S. L. Jacques, Phys. Med. Biol. 58 (2013), table 1."""

SKIN_ABSORPTION_PER_MM = 0.03
"""Absorption of skin in the near infrared; its order of magnitude is from the same review."""

BLOOD_ABSORPTION_PER_MM = 0.4
"""Absorption of venous whole blood about 850 nm, rounded: N. Bosschaart et al., Lasers Med. Sci. 29
(2014)."""

EFFECTIVE_ATTENUATION_PER_MM = float(
    np.sqrt(3 * SKIN_ABSORPTION_PER_MM * (SKIN_ABSORPTION_PER_MM + SKIN_SCATTERING_PER_MM))
)
"""How fast diffuse light fades with depth: the diffusion approximation, mu_eff."""

BLUR_PER_DEPTH = 0.5
"""Standard deviation of a vessel's blur, in depths. The half width of the depth-dependent
point-spread function of K. Shimizu et al., Applied Optics 44 (2005), is about 0.6 depths."""

DEPTH_MM = (0.6, 5.0)
"""Where veins lie under the skin; an assumption, wide on purpose."""

LEAF_RADIUS_MM = (0.16, 0.32)
"""Radius of the finest branches that still show; the trunks' follow by Murray's law."""

_STEP_PX = 3.5
_REACH_PX = 50.0
_KILL_PX = 6.5
_SPROUTING = 0.25  # share of the trunks' nodes that may send out a branch
_DEPTH_BINS = 4


@dataclass(frozen=True, slots=True)
class VesselTree:
    """A vascular tree in canvas pixels.

    Attributes:
        points: float32 [M, 3], x, y and depth under the skin of every node.
        parents: int32 [M], index of the node upstream, -1 at the wrist roots; a child stands
            after its parent.
        radii: float32 [M], vessel radius in px at the node, by Murray's law.
    """

    points: Float32
    parents: NDArray[np.int32]
    radii: Float32


def draw_palm(rng: np.random.Generator) -> Layers:
    """Draws the identity layers of one palm.

    Args:
        rng: the identity's own generator; equal generators draw equal palms.

    Returns:
        uint8 [5, CANVAS_PX, CANVAS_PX] in the order of `LAYERS`. Veins, lines and wrinkles are
        0 (none) to 255 (darkest); texture has mean 128, and 32 is its standard deviation.
    """
    deep, shallow = _draw_vessels(grow_vessels(rng), rng)
    layers = np.stack([deep, shallow, _draw_principal_lines(rng), _draw_wrinkles(rng)])
    palm = np.concatenate([layers, _draw_texture(rng)[None]])
    return palm[:, :, ::-1].copy() if rng.random() < 0.5 else palm  # a left hand or a right one


def grow_vessels(rng: np.random.Generator) -> VesselTree:
    """Grows a palm's vessels by space colonisation from its trunks.

    Runions, Lane and Prusinkiewicz, "Modeling Trees with a Space Colonization Algorithm" (2007):
    tissue points attract the nearest node within reach, a node grows one step towards the mean of
    its attractors, and a point is supplied once a node comes within the kill distance.
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
    """Of some nodes the nearest to every tissue point, and how far it is."""
    if not len(among):
        return np.zeros(len(tissue), np.int64), np.full(len(tissue), np.inf, np.float32)
    gaps = tissue[:, None] - points[among][None]
    squares = np.einsum("tnd,tnd->tn", gaps, gaps)
    best = squares.argmin(axis=1)
    return among[best], np.sqrt(squares[np.arange(len(tissue)), best])


def _trunks(rng: np.random.Generator) -> tuple[Float32, NDArray[np.int32]]:
    """Two chains from the wrist that meet in the palmar arch, and from it to the finger gaps."""
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
        if rng.random() < 0.3:  # not everybody has every digital vein within sight
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
    """Adds nodes along a quadratic Bezier curve, hanging on node `start`; their indices."""
    steps = max(int(np.linalg.norm(curve[2] - curve[0]) / 5), 2)
    added: list[int] = []
    for t in np.linspace(0, 1, steps)[int(start >= 0) :]:
        points.append((1 - t) ** 2 * curve[0] + 2 * t * (1 - t) * curve[1] + t**2 * curve[2])
        parents.append(added[-1] if added else start)
        added.append(len(points) - 1)
    return added


def _tissue_points(rng: np.random.Generator) -> Float32:
    """Points to be supplied, [A, 3] in px, denser where this palm is denser."""
    density = _smooth_noise(rng, sigma_px=22)
    count = int(rng.uniform(120, 420))
    flat = rng.uniform(0, CANVAS_PX, (count, 2))
    depth = rng.uniform(*DEPTH_MM, count) * PX_PER_MM
    column, row = flat.astype(int).T
    kept = density[row, column] > rng.normal(0, 1, count)
    return np.c_[flat, depth][kept].astype(np.float32)


def _meander(points: Float32, rng: np.random.Generator) -> Float32:
    """Bends the whole tree smoothly: no vessel runs straight, and no two palms alike."""
    coarse = rng.normal(0, 1, (9, 9, 2)) * rng.uniform(4, 9)
    field = cv2.resize(
        coarse.astype(np.float32), (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_CUBIC
    )
    column, row = np.clip(points[:, :2], 0, CANVAS_PX - 1).astype(int).T
    return points + np.pad(field[row, column], ((0, 0), (0, 1)))


def _murray_radii(parents: NDArray[np.int32], leaf_radius_px: float) -> Float32:
    """Radius of every node."""
    cubes = [0.0] * len(parents)
    for node in range(len(parents) - 1, -1, -1):
        cubes[node] = cubes[node] or leaf_radius_px**MURRAY_EXPONENT
        if parents[node] >= 0:
            cubes[parents[node]] += cubes[node]
    return (np.array(cubes) ** (1 / MURRAY_EXPONENT)).astype(np.float32)


def _draw_vessels(tree: VesselTree, rng: np.random.Generator) -> tuple[Layers, Layers]:
    """The deeper half of the vessels and the shallower one, as the skin above lets them be seen."""
    child = np.flatnonzero(tree.parents >= 0)
    ends = np.stack([tree.points[tree.parents[child]], tree.points[child]], axis=1)
    depth_mm = np.clip(ends[:, :, 2].mean(axis=1) / PX_PER_MM, *DEPTH_MM)
    path_mm = 2 * tree.radii[child] / PX_PER_MM
    absorbed = 1 - np.exp(-BLOOD_ABSORPTION_PER_MM * path_mm)
    contrast = absorbed * np.exp(-2 * EFFECTIVE_ATTENUATION_PER_MM * depth_mm)
    width = np.maximum(np.rint(2 * tree.radii[child]), 1).astype(int)
    order = np.argsort(depth_mm)
    split = np.quantile(np.arange(len(order)), np.linspace(0, 1, _DEPTH_BINS + 1)).astype(int)
    seen: list[Float32] = []
    for first, last in pairwise(split):
        chosen = order[first:last]
        drawn = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
        for px in np.unique(width[chosen]):
            alike = chosen[width[chosen] == px]
            lines = np.rint(ends[alike, :, :2] * 16).astype(np.int32)
            cv2.polylines(drawn, list(lines), False, float(contrast[alike].mean()), int(px), 8, 4)
        sigma = BLUR_PER_DEPTH * float(depth_mm[chosen].mean()) * PX_PER_MM
        seen.append(cv2.GaussianBlur(drawn, (0, 0), max(sigma * rng.uniform(0.7, 1.1), 0.8)))
    half = _DEPTH_BINS // 2
    shallow, deep = np.sum(seen[:half], axis=0), np.sum(seen[half:], axis=0)
    return _to_full_range(deep), _to_full_range(shallow)


def _draw_principal_lines(rng: np.random.Generator) -> Layers:
    """Heart, head and life line: long creases, sharper and darker than veins, and their forks."""
    layer = np.zeros((CANVAS_PX, CANVAS_PX), np.uint8)
    heart = ((0.97, 0.34), (0.6, 0.40), (0.3, 0.1))
    head = ((0.06, 0.38), (0.45, 0.42), (0.9, 0.68))
    life = ((0.06, 0.36), (0.52, 0.5), (0.36, 1.02))
    for line in (heart, head, life):
        control = (np.array(line) + rng.normal(0, 0.065, (3, 2))) * CANVAS_PX
        width = rng.uniform(1.0, 2.2)
        _draw_curve(layer, control, rng, rng.uniform(0.5, 1), width)
        for _ in range(rng.integers(0, 4)):  # forks and companions
            beside = control + rng.normal(0, 5, (3, 2))
            _draw_curve(layer, beside, rng, rng.uniform(0.2, 0.7), 0.6 * width)
    return _to_full_range(cv2.GaussianBlur(layer, (0, 0), rng.uniform(0.5, 1.0)))


def _draw_wrinkles(rng: np.random.Generator) -> Layers:
    """Ten to a hundred and twenty fine creases, along two directions that this palm prefers."""
    layer = np.zeros((CANVAS_PX, CANVAS_PX), np.uint8)
    preferred = rng.uniform(0, np.pi, 2)
    for _ in range(rng.integers(10, 120)):
        centre = rng.uniform(0, CANVAS_PX, 2)
        angle = preferred[rng.integers(2)] + rng.normal(0, 0.5)
        half = rng.gamma(2.2, 10.0) / 2 * np.array([np.cos(angle), np.sin(angle)])
        control = np.stack([centre - half, centre + rng.normal(0, 3, 2), centre + half])
        _draw_curve(layer, control, rng, rng.uniform(0.25, 1), rng.uniform(0.5, 1.3))
    return _to_full_range(cv2.GaussianBlur(layer, (0, 0), rng.uniform(0.4, 0.7)))


def _draw_texture(rng: np.random.Generator) -> Layers:
    """Skin mottling at four widths."""
    amounts = rng.uniform(0.2, 1, 4)
    total = sum(
        amount * _smooth_noise(rng, sigma)
        for amount, sigma in zip(amounts, (1.2, 3.0, 8.0, 20.0), strict=True)
    )
    return np.clip(128 + 32 * total / np.linalg.norm(amounts), 0, 255).astype(np.uint8)


def _draw_curve(
    layer: Layers,
    control: NDArray[np.floating],
    rng: np.random.Generator,
    strength: float,
    width_px: float,
) -> None:
    """Draws a quadratic Bezier curve [3, 2], trembling a little, that thins out at its ends.

    A line thinner than a pixel is drawn fainter instead.
    """
    t = np.linspace(0, 1, 13)[:, None]
    points = (1 - t) ** 2 * control[0] + 2 * t * (1 - t) * control[1] + t**2 * control[2]
    points += rng.normal(0, 0.004 * np.linalg.norm(control[2] - control[0]), points.shape)
    fixed = np.rint(points * 16).astype(np.int32)
    colour = 255 * strength * min(width_px, 1.0)
    for part, thin in ((fixed, 0.6), (fixed[2:-2], 1.0)):
        px = max(round(width_px * thin), 1)
        cv2.polylines(layer, [part], False, colour * thin, px, cv2.LINE_AA, 4)


def _smooth_noise(rng: np.random.Generator, sigma_px: float) -> Float32:
    """Gaussian noise of one width, zero mean, unit standard deviation, made small and enlarged."""
    shrink = max(sigma_px / 2, 1.0)
    side = int(np.ceil(CANVAS_PX / shrink)) + 4
    small = rng.standard_normal((side, side), np.float32)
    small = cv2.GaussianBlur(small, (0, 0), sigma_px / shrink)
    small = (small - small.mean()) / small.std()
    return cv2.resize(small, (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_CUBIC)


def _to_full_range(layer: NDArray[np.generic]) -> Layers:
    """Scales a layer so that its darkest hundredth reaches 255."""
    peak = max(float(np.percentile(layer[::2, ::2], 99)), 1e-3)
    return cv2.convertScaleAbs(np.asarray(layer, np.float32), alpha=255 / peak)
