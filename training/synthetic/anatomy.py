"""The anatomy of one synthetic palm: vessels, creases and skin, as image layers.

Veins grow in three dimensions and are seen through the skin: a deeper vein is fainter and more
blurred. A palm is drawn once, on a canvas larger than an image, so that a shot can move, turn and
bend it (`training.synthetic.capture`).
"""

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from training.synthetic.canvas import (
    CANVAS_PX,
    PX_PER_MM,
    Float32,
    Layers,
    smooth_noise,
    to_full_range,
)
from training.synthetic.mesh import draw_mesh
from training.synthetic.relief import draw_relief
from training.synthetic.vessels import DEPTH_MM, VesselTree, grow_vessels

FROZEN_LAYERS = ("deep_veins", "shallow_veins", "principal_lines", "wrinkles", "texture")
"""The layers that the held-out style shows. They never change, so that its figures compare."""

LAYERS = (*FROZEN_LAYERS, "mesh", "mottle", "relief")
"""Layers in the order of `draw_palm`."""

SKIN_SCATTERING_PER_MM = 4.6 * (850 / 500) ** -1.421
"""Reduced scattering coefficient of skin at 850 nm: S. L. Jacques, Phys. Med. Biol. 58 (2013),
table 1."""

SKIN_ABSORPTION_PER_MM = 0.03
"""Absorption coefficient of skin in the near infrared; order of magnitude of the same review."""

BLOOD_ABSORPTION_PER_MM = 0.4
"""Absorption coefficient of venous whole blood at about 850 nm, rounded: N. Bosschaart et al.,
Lasers Med. Sci. 29 (2014)."""

EFFECTIVE_ATTENUATION_PER_MM = float(
    np.sqrt(3 * SKIN_ABSORPTION_PER_MM * (SKIN_ABSORPTION_PER_MM + SKIN_SCATTERING_PER_MM))
)
"""Attenuation coefficient of diffuse light: mu_eff of the diffusion approximation."""

BLUR_PER_DEPTH = 0.5
"""Standard deviation of a vessel's blur, as a share of its depth. The half width of the
depth-dependent point-spread function of K. Shimizu et al., Applied Optics 44 (2005), is about 0.6
of the depth."""

_DEPTH_BINS = 4


def draw_palm(rng: np.random.Generator) -> Layers:
    """Draws the identity layers of one palm.

    Args:
        rng: a generator used for this identity only; equal generators draw equal palms.

    Returns:
        uint8 [8, CANVAS_PX, CANVAS_PX] in the order of `LAYERS`. Veins, lines, wrinkles and mesh
        are 0 (none) to 255 (darkest); texture and mottle have mean 128 and a standard deviation of
        about 32; relief is the height of the skin, 0 to 255.
    """
    deep, shallow = _draw_vessels(grow_vessels(rng), rng)
    skin = (_draw_principal_lines(rng), _draw_wrinkles(rng), _draw_texture(rng))
    mirrored = rng.random() < 0.5  # left or right hand
    # Drawn last: what is drawn above stays as it is.
    palm = np.stack([deep, shallow, *skin, draw_mesh(rng), _draw_mottle(rng), draw_relief(rng)])
    return palm[:, :, ::-1].copy() if mirrored else palm


def _draw_vessels(tree: VesselTree, rng: np.random.Generator) -> tuple[Layers, Layers]:
    """Draws the deeper and the shallower half of the vessels, faded and blurred by the skin."""
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
            equal = chosen[width[chosen] == px]
            lines = np.rint(ends[equal, :, :2] * 16).astype(np.int32)
            cv2.polylines(drawn, list(lines), False, float(contrast[equal].mean()), int(px), 8, 4)
        sigma = BLUR_PER_DEPTH * float(depth_mm[chosen].mean()) * PX_PER_MM
        blurred = cv2.GaussianBlur(drawn, (0, 0), max(sigma * rng.uniform(0.7, 1.1), 0.8))
        seen.append(np.asarray(blurred, np.float32))
    half = _DEPTH_BINS // 2
    shallow, deep = np.sum(seen[:half], axis=0), np.sum(seen[half:], axis=0)
    return to_full_range(deep), to_full_range(shallow)


def _draw_principal_lines(rng: np.random.Generator) -> Layers:
    """Draws heart, head and life line, which are sharper and darker than veins, with forks."""
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
    return to_full_range(cv2.GaussianBlur(layer, (0, 0), rng.uniform(0.5, 1.0)))


def _draw_wrinkles(rng: np.random.Generator) -> Layers:
    """Draws 10 to 119 fine creases, along two directions of this palm."""
    layer = np.zeros((CANVAS_PX, CANVAS_PX), np.uint8)
    preferred = rng.uniform(0, np.pi, 2)
    for _ in range(rng.integers(10, 120)):
        centre = rng.uniform(0, CANVAS_PX, 2)
        angle = preferred[rng.integers(2)] + rng.normal(0, 0.5)
        half = rng.gamma(2.2, 10.0) / 2 * np.array([np.cos(angle), np.sin(angle)])
        control = np.stack([centre - half, centre + rng.normal(0, 3, 2), centre + half])
        _draw_curve(layer, control, rng, rng.uniform(0.25, 1), rng.uniform(0.5, 1.3))
    return to_full_range(cv2.GaussianBlur(layer, (0, 0), rng.uniform(0.4, 0.7)))


def _draw_texture(rng: np.random.Generator) -> Layers:
    """Draws the skin's texture: noise of four widths."""
    amounts = rng.uniform(0.2, 1, 4)
    total = sum(
        amount * smooth_noise(rng, sigma)
        for amount, sigma in zip(amounts, (1.2, 3.0, 8.0, 20.0), strict=True)
    )
    levels = 128 + 32 * np.asarray(total) / np.linalg.norm(amounts)
    return np.clip(levels, 0, 255).astype(np.uint8)


def _draw_mottle(rng: np.random.Generator) -> Layers:
    """Draws blotches of 2 to 4 mm: skin holds unequal amounts of blood."""
    fine, wide = smooth_noise(rng, rng.uniform(2.5, 4)), smooth_noise(rng, rng.uniform(5, 8))
    levels = 128 + 50 * np.tanh(0.6 * fine + rng.uniform(0.3, 0.9) * wide)
    return levels.astype(np.uint8)


def _draw_curve(
    layer: Layers,
    control: NDArray[np.floating],
    rng: np.random.Generator,
    strength: float,
    width_px: float,
) -> None:
    """Draws an uneven quadratic Bezier curve that is thinner at its ends, in place.

    A line narrower than one pixel is drawn one pixel wide, but fainter.

    Args:
        layer: uint8 [H, W] to draw on.
        control: control points [3, 2], x and y in px.
        rng: source of the unevenness.
        strength: brightness of the line, 0 to 1.
        width_px: width of the line.
    """
    t = np.linspace(0, 1, 13)[:, None]
    points = (1 - t) ** 2 * control[0] + 2 * t * (1 - t) * control[1] + t**2 * control[2]
    points += rng.normal(0, 0.004 * np.linalg.norm(control[2] - control[0]), points.shape)
    fixed = np.rint(points * 16).astype(np.int32)
    colour = 255 * strength * min(width_px, 1.0)
    for part, thin in ((fixed, 0.6), (fixed[2:-2], 1.0)):
        px = max(round(width_px * thin), 1)
        cv2.polylines(layer, [part], False, colour * thin, px, cv2.LINE_AA, 4)
