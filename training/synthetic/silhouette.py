"""The outline of a hand in millimetres: palm, fingers, thumb, arm and sleeve.

The frame is that of the region of interest: its origin lies between the two outer finger gaps, x
points from the index to the little finger, y to the wrist. Both outer gaps lie on y = 0.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

GAP_DISTANCE_MM = 38.0
"""Distance of the outer finger gaps, 0.43 of the canvas, where `vessels.py` and `mesh.py` send the
veins of the finger gaps. Every hand is drawn with it: the region of interest is tied to it."""

FINGER_MM = (63.9, 70.7, 65.5, 53.3)
"""Mean lengths of index, middle, ring and little finger. O. Chatzioglou, Y. Pinar and F. Govsa,
Anat. Cell Biol. 57 (2024)."""

THUMB_MM = 49.5
"""Mean length of the thumb, from the same article."""

ABDUCTION_DEG = (17.2, 14.3, 32.1)
"""Greatest angles between neighbouring fingers, index to little, from the same article."""

_WIDTHS = (1.0, 1.02, 0.97, 0.98, 0.9, 0.86, 0.7, 0.42, 0.0)
_ALONG = (0.0, 0.15, 0.3, 0.42, 0.6, 0.78, 0.92, 0.98, 1.0)  # an assumption, from drawings
_ROOT_MM = 14.0  # how far a finger reaches into the palm's polygon


@dataclass(frozen=True, slots=True)
class Silhouette:
    """The outline of one hand, thumb on the side of negative x. All points are [K, 2] in mm.

    Attributes:
        skin: polygons whose union is the hand with its arm.
        sleeve: polygon of the sleeve; None if there is none.
        seams: lines between neighbouring fingers, each from its gap to the shorter fingertip, and
            the thumb's inner side.
        creases: lines across the fingers.
        gaps: [3, 2], deepest points between index, middle, ring and little finger.
        spread: 0 (neighbouring fingers touch) to 1 (spread as far as they go).
    """

    skin: tuple[Points, ...]
    sleeve: Points | None
    seams: tuple[Points, ...]
    creases: tuple[Points, ...]
    gaps: Points
    spread: float


@dataclass(frozen=True, slots=True)
class _Finger:
    """A finger: its axis starts at `root`, and turns by `bend_deg` from there to the tip."""

    root: Points
    angle_deg: float
    length: float
    width: float
    bend_deg: float

    def at(self, along: NDArray[np.float64]) -> tuple[Points, Points]:
        """Returns points [K, 2] of the axis and the unit vectors [K, 2] across it."""
        angle = np.deg2rad(self.angle_deg + self.bend_deg * np.maximum(along, 0) / self.length)
        # The mean of the angles up to a point leads there, to a very good approximation.
        towards = np.deg2rad(self.angle_deg) / 2 + angle / 2
        step = np.stack([np.sin(towards), -np.cos(towards)], axis=1)
        across = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return self.root + along[:, None] * step, across

    def polygon(self) -> Points:
        """Returns its outline [K, 2]."""
        along = np.array(_ALONG)
        dense = np.concatenate(
            [np.linspace(0, 0.9, 10), 0.9 + 0.1 * np.sin(np.linspace(0, 1.57, 9))]
        )
        half = self.width / 2 * np.interp(dense, along, np.array(_WIDTHS))
        round_tip = dense > 0.9
        half[round_tip] = (
            self.width * 0.37 * np.sqrt(np.maximum(1 - ((dense[round_tip] - 0.9) / 0.1) ** 2, 0))
        )
        centre, across = self.at(dense * self.length)
        root, _ = self.at(np.array([-_ROOT_MM]))
        side = half[:, None] * across
        wide = self.width / 2 * across[:1]
        return np.concatenate([root - wide, centre - side, (centre + side)[::-1], root + wide])

    def crease(self, share: float) -> Points:
        """Returns a line across it at a share of its length."""
        centre, across = self.at(np.array([share * self.length]))
        half = 0.46 * self.width * across
        return np.concatenate([centre - half, centre + np.array([0, 0.8]), centre + half])


def draw_silhouette(rng: np.random.Generator, spread: float, sleeve: bool) -> Silhouette:
    """Draws the outline of a hand with its arm.

    Args:
        rng: source of the hand's proportions and pose.
        spread: 0 (neighbouring fingers touch) to 1 (spread as far as they go).
        sleeve: whether a sleeve covers the arm.
    """
    half = GAP_DISTANCE_MM / 2
    gaps = np.array([(-half, 0), (rng.normal(0, 0.8), rng.uniform(-4, -0.5)), (half, 0)])
    openings = 0.8 + 5.5 * spread * rng.uniform(0.6, 1, 3)
    fingers = _draw_fingers(rng, gaps, openings, spread)
    thumb = _draw_thumb(rng)
    palm, wrist, wrist_half = _draw_palm_outline(rng, gaps, openings, fingers)
    arm, cover = _draw_arm(rng, wrist, wrist_half)
    skin = (palm, arm, *(finger.polygon() for finger in (*fingers, thumb)), _thumb_web(thumb))
    creases = [finger.crease(share) for finger in fingers for share in (0.03, 0.38, 0.7)]
    return Silhouette(
        skin=skin,
        sleeve=cover if sleeve else None,
        seams=(
            *map(_seam, gaps, fingers[:-1], fingers[1:]),
            _thumb_seam(thumb),
        ),
        creases=(*creases, thumb.crease(0.5)),
        gaps=gaps,
        spread=spread,
    )


def _draw_fingers(
    rng: np.random.Generator, gaps: Points, openings: NDArray[np.float64], spread: float
) -> list[_Finger]:
    """Draws index, middle, ring and little finger between and beside the gaps."""
    lean = rng.normal(-3, 2)  # the gap beside the little finger is nearer to the wrist
    between = rng.uniform(-2.5, 0.5, 3) + spread * np.array(ABDUCTION_DEG) * rng.uniform(0.7, 1, 3)
    middle = lean + rng.normal(0, 1.5)
    angles = middle + np.array([-between[0], 0, between[1], between[1] + between[2]])
    pitch = np.diff(gaps[:, 0])
    width = np.array(
        [
            pitch[0] * rng.uniform(0.93, 1.02) - openings[0] / 2,
            pitch[0] - openings[:2].mean(),
            pitch[1] - openings[1:].mean(),
            pitch[1] * rng.uniform(0.82, 0.93) - openings[2] / 2,
        ]
    )
    edges = openings / 2
    x = np.array(
        [
            gaps[0, 0] - edges[0] - width[0] / 2,
            gaps[:2, 0].mean() + (edges[0] - edges[1]) / 2,
            gaps[1:, 0].mean() + (edges[1] - edges[2]) / 2,
            gaps[2, 0] + edges[2] + width[3] / 2,
        ]
    )
    y = np.array([gaps[0, 1] + 1, gaps[:2, 1].mean(), gaps[1:, 1].mean(), gaps[2, 1] + 1])
    size = np.exp(rng.normal(0, 0.06))
    lengths = np.array(FINGER_MM) * size * np.exp(rng.normal(0, 0.04, 4))
    bends = rng.normal(0, 2.0, 4) - [0, 0, 1, 3]
    return [
        _Finger(np.array([x[i], y[i]]), angles[i], lengths[i], width[i], bends[i]) for i in range(4)
    ]


def _draw_thumb(rng: np.random.Generator) -> _Finger:
    """Draws the thumb, 20 to 60 degrees from the fingers."""
    root = np.array([rng.normal(-27, 1.5), rng.normal(61, 3)])
    length = THUMB_MM * rng.uniform(1.15, 1.35)  # from its ball on
    return _Finger(root, -rng.uniform(20, 60), length, rng.uniform(19, 22), rng.uniform(-8, 14))


def _draw_palm_outline(
    rng: np.random.Generator,
    gaps: Points,
    openings: NDArray[np.float64],
    fingers: list[_Finger],
) -> tuple[Points, Points, float]:
    """Draws the palm's outline; returns it, the middle of the wrist, and half its width."""
    size = np.exp(rng.normal(0, 0.04))
    radial = fingers[0].root[0] - fingers[0].width / 2
    ulnar = fingers[3].root[0] + fingers[3].width / 2
    wrist = np.array([rng.normal(3, 3), 98 * size])
    half = 29 * size * np.exp(rng.normal(0, 0.05))
    right = [
        (ulnar, -4), (ulnar + 2.5, 12), (ulnar + 4.5 * size, 35), (ulnar + 4 * size, 60),
        (wrist[0] + half + 5, 84 * size), (wrist[0] + half, wrist[1] + 6),
    ]  # fmt: skip
    left = [
        (wrist[0] - half, wrist[1] + 6), (wrist[0] - half - 3, 86 * size),
        (-43 * size, 70), (-41 * size, 42), (radial - 2, 20), (radial, -4),
    ]  # fmt: skip
    webs = [_web(gap, opening) for gap, opening in zip(gaps, openings, strict=True)]
    outline = np.concatenate([_rounded(np.array(right)), _rounded(np.array(left)), *webs])
    return outline, wrist, half


def _web(gap: Points, opening: float) -> Points:
    """Returns the arc of the skin between two fingers, [9, 2]; its lowest point is the gap."""
    across = np.linspace(-1, 1, 9)
    reach = opening / 2 + 1.5
    return gap + np.stack([reach * across, -(0.6 * reach + 1) * across**2], axis=1)


def _thumb_web(thumb: _Finger) -> Points:
    """Returns the polygon of the skin between thumb and index finger, with a concave edge."""
    top = np.array([-40.0, 31.0])
    centre, across = thumb.at(np.array([0.36 * thumb.length]))
    inner = (centre + across * thumb.width * 0.46)[0]
    crotch = 0.25 * (top + inner) + 0.5 * np.array([-37.0, 46.0])
    t = np.linspace(0, 1, 9)[:, None]
    edge = (1 - t) ** 2 * top + 2 * t * (1 - t) * crotch + t**2 * inner
    return np.concatenate([edge, centre, [thumb.root], [(-25, 44)]])


def _thumb_seam(thumb: _Finger) -> Points:
    """Returns the thumb's inner side, where it may lie on the palm or the index finger."""
    along = np.linspace(0.42, 0.88, 8) * thumb.length
    centre, across = thumb.at(along)
    half = thumb.width / 2 * np.interp(along / thumb.length, _ALONG, _WIDTHS)
    return centre + across * half[:, None]


def _draw_arm(rng: np.random.Generator, wrist: Points, half: float) -> tuple[Points, Points]:
    """Draws the forearm, which is 350 mm long, and the sleeve around it."""
    angle = np.deg2rad(rng.normal(0, 8))
    along = np.array([np.sin(angle), np.cos(angle)])
    across = np.array([along[1], -along[0]])
    widen = rng.uniform(1.2, 1.45)
    stations = ((-14.0, 1.0), (0.0, 1.0), (35.0, 1.02), (180.0, widen), (350.0, widen))
    start, cuff, flare = rng.uniform(25, 110), rng.uniform(1.15, 1.6), rng.uniform(1.0, 1.4)
    sleeve = ((start, widen * cuff), (350.0, widen * cuff * flare))
    arm, cover = (
        np.array(
            [wrist + s * along - half * w * across for s, w in part]
            + [wrist + s * along + half * w * across for s, w in part[::-1]]
        )
        for part in (stations, sleeve)
    )
    return arm, cover


def _seam(gap: Points, left: _Finger, right: _Finger) -> Points:
    """Returns the line between two fingers, from the gap to the shorter one's tip."""
    along = np.linspace(0, 0.93 * min(left.length, right.length), 12)
    (a, across_a), (b, across_b) = left.at(along), right.at(along)
    middle = (a + across_a * left.width / 2 + b - across_b * right.width / 2) / 2
    middle[:, :] += (gap - middle[0]) * np.linspace(1, 0, 12)[:, None] ** 2
    return middle


def _rounded(points: Points) -> Points:
    """Cuts the corners of a line three times (G. M. Chaikin, 1974); its ends stay."""
    for _ in range(3):
        early = 0.75 * points[:-1] + 0.25 * points[1:]
        late = 0.25 * points[:-1] + 0.75 * points[1:]
        cut = np.stack([early, late], axis=1).reshape(-1, 2)
        points = np.concatenate([points[:1], cut, points[-1:]])
    return points
