"""Styles: families of cameras. Nets train on `TRAINING`; the others calibrate or only measure.

The ranges are wide on purpose. They cover what near-infrared palm databases show: low contrast,
uneven light, speckles, line noise, and regions of interest whose pose differs by a few degrees,
percent and pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.synthetic.blur import blur_lens, blur_motion, blur_phone
from training.synthetic.canvas import IMAGE_PX, Float32
from training.synthetic.patterns import draw_bands, draw_grid, draw_smear


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """A family of cameras. The defaults are those of the frozen held-out style.

    Attributes:
        blur: function that blurs an image float32 [IMAGE_PX, IMAGE_PX] by a width in px.
        displace: function that draws the displacement of the region of interest, [2] in px.
        quality: lowest and highest JPEG quality, 0 to 100.
        no_creases: probability that a camera shows neither lines nor wrinkles.
        inverts: probability that a session inverts the contrast in a part of the image.
        patterned: probability that a session's sensor adds a pattern.
        pattern: function that draws the pattern, float32 [IMAGE_PX, IMAGE_PX].
        shades: how much darker than plain skin each of `LAYERS` is in a typical camera, 0 to 1.
        camera_spread: deviation of the logarithm of a camera's shades.
        session_spread: deviation of the logarithm of a session's shades.
        shot_spread: greatest relative change of a shade in a shot.
        patches: deviation of the logarithm of a session's local contrast.
        dilation_px: px by which the veins' width changes between sessions.
        steadiness: share of light, exposure, gamma, blur and noise that the camera determines, 0
            to 1; each session draws the rest.
        pressure_px: deviation of the veins' displacement against the creases in a session.
        zoom: least and greatest px of an image per px of the canvas.
        turn_deg: deviation of a camera's fixed turn.
        offset: deviation of a camera's fixed displacement of the region of interest, as a share of
            its side.
        pose: how much a shot's turn, scale, tilt and bend vary.
        rim: least and greatest darkness of the palm's rim.
        uneven: unevenness of the light.
        exposure: least and greatest brightness of plain skin, 0 to 1.
        gamma: least and greatest exponent of the sensor's response.
        blur_px: least and greatest width of the blur.
        noise: least and greatest deviation of the read noise, for pixels from 0 to 1.
        spots: greatest number of highlights and specks of dirt.
        wobble_px: greatest displacement of the rows by a rolling shutter.
    """

    blur: Callable[[Float32, float, np.random.Generator], Float32]
    displace: Callable[[np.random.Generator], NDArray[np.floating]]
    quality: tuple[int, int]
    no_creases: float = 0.0
    inverts: float = 0.0
    patterned: float = 0.0
    pattern: Callable[[np.random.Generator], Float32] = draw_grid
    shades: tuple[float, ...] = (0.16, 0.13, 0.14, 0.13, 0.07, 0.0, 0.0, 0.0)
    camera_spread: float = 0.35
    session_spread: float = 0.2
    shot_spread: float = 0.25
    patches: float = 0.2
    dilation_px: float = 1.0
    steadiness: float = 0.0
    pressure_px: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)
    turn_deg: float = 0.0
    offset: float = 0.0
    pose: float = 1.0
    rim: tuple[float, float] = (0.0, 0.0)
    uneven: float = 1.0
    exposure: tuple[float, float] = (0.3, 0.6)
    gamma: tuple[float, float] = (0.65, 1.5)
    blur_px: tuple[float, float] = (0.3, 1.3)
    noise: tuple[float, float] = (0.003, 0.02)
    spots: int = 8
    wobble_px: float = 0.0


TRAINING = Style(
    blur=blur_lens,
    displace=lambda rng: np.clip(rng.normal(0, 0.025 * IMAGE_PX, 2), -10, 10),
    quality=(60, 95),
    shades=(0.14, 0.11, 0.12, 0.10, 0.06, 0.13, 0.06, 0.18),
    camera_spread=0.5,
    session_spread=0.1,
    shot_spread=0.1,
    patches=0.1,
    dilation_px=0.5,
    steadiness=0.8,
    pressure_px=1.3,
    zoom=(0.6, 1.5),
    turn_deg=3.0,
    offset=0.03,
    pose=0.7,
    rim=(0.1, 0.7),
    uneven=0.7,
    noise=(0.002, 0.01),
    spots=3,
)
"""Style of the images that nets are trained on. Its cameras differ more than its sessions."""

HELD_OUT = Style(
    blur=blur_motion,
    displace=lambda rng: rng.uniform(-0.08, 0.08, 2) * IMAGE_PX,
    quality=(40, 40),
    no_creases=0.15,
    inverts=0.2,
    patterned=0.7,
)
"""Style of the images for evaluation. Training never draws its defects: motion blur instead of
defocus, sensor patterns, cameras without creases, partly inverted contrast, JPEG quality 40, and a
region of interest displaced uniformly by up to 8 % of its side. It is frozen: it shows neither
relief nor mesh, and all its cameras have one scale."""

CONTACT = Style(
    blur=blur_lens,
    displace=lambda rng: rng.normal(0, 0.025 * IMAGE_PX, 2) * [1, 1.6],
    quality=(75, 98),
    patterned=1.0,
    pattern=draw_smear,
    shades=(0.16, 0.12, 0.16, 0.12, 0.05, 0.12, 0.07, -0.3),
    camera_spread=0.4,
    session_spread=0.12,
    shot_spread=0.1,
    patches=0.25,
    dilation_px=0.5,
    steadiness=0.85,
    pressure_px=2.2,
    zoom=(1.05, 1.4),
    turn_deg=1.5,
    offset=0.05,
    rim=(0.0, 0.15),
    uneven=0.6,
    exposure=(0.55, 0.8),
    gamma=(1.2, 1.9),
    noise=(0.002, 0.008),
    spots=2,
)
"""A hand pressed on a glass plate. Pressure moves the veins far against the creases; raised parts,
which touch the glass, are darker instead of brighter; smears on the glass stay for a session; the
image is bright, and its contrast high."""

MOBILE = Style(
    blur=blur_phone,
    displace=lambda rng: rng.normal(0, 0.03 * IMAGE_PX, 2),
    quality=(22, 38),
    shades=(0.13, 0.11, 0.15, 0.14, 0.07, 0.15, 0.06, 0.25),
    camera_spread=0.4,
    session_spread=0.12,
    shot_spread=0.12,
    patches=0.12,
    dilation_px=0.5,
    steadiness=0.4,
    pressure_px=0.8,
    zoom=(0.7, 1.0),
    turn_deg=5.0,
    offset=0.02,
    pose=1.1,
    rim=(0.3, 0.8),
    uneven=2.2,
    noise=(0.004, 0.012),
    spots=3,
    wobble_px=1.5,
)
"""A hand held in front of a telephone: few pixels, sharpened by the telephone; light from one side;
rows displaced by a rolling shutter; a distance that changes from shot to shot; JPEG quality 22 to
38."""

POLARIZED = Style(
    blur=blur_lens,
    displace=lambda rng: rng.uniform(-0.05, 0.05, 2) * IMAGE_PX,
    quality=(90, 98),
    patterned=1.0,
    pattern=draw_bands,
    shades=(0.2, 0.17, 0.03, 0.02, 0.02, 0.2, 0.04, 0.1),
    camera_spread=0.3,
    session_spread=0.1,
    shot_spread=0.1,
    patches=0.12,
    dilation_px=0.5,
    steadiness=0.8,
    pressure_px=1.0,
    pose=0.8,
    zoom=(0.62, 0.85),
    turn_deg=4.0,
    offset=0.035,
    rim=(0.3, 0.7),
    exposure=(0.25, 0.4),
    gamma=(0.45, 0.65),
    blur_px=(0.8, 1.6),
    noise=(0.004, 0.012),
    spots=0,
)
"""Crossed polarisers: veins with hardly a crease and no highlight, dark and lifted by a low gamma,
with noise in broad bands that move from session to session."""

STYLES = {
    "training": TRAINING,
    "held-out": HELD_OUT,
    "contact": CONTACT,
    "mobile": MOBILE,
    "polarized": POLARIZED,
}
"""Styles by their names for `--style`."""
