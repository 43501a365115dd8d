"""How a drawn hand lies before the camera: turned, tilted and moved, in perspective."""

import cv2
import numpy as np
from numpy.typing import NDArray

from training.synthetic.canvas import Float32


def draw_pose(
    rng: np.random.Generator, size: tuple[int, int], tilt_deg: float, mirrored: bool
) -> Float32:
    """Draws a homography from mm to px that keeps the palm and the gaps inside the image.

    Args:
        rng: source of the hand's size, direction and place.
        size: width and height of the image in px.
        tilt_deg: angle by which the palm is turned away from the camera, below 90.
        mirrored: whether it is a right hand.

    Returns:
        float32 [3, 3], for points of a silhouette.
    """
    width, height = size
    # Every image shows the square, and a part of the fingers. In mm:
    needed = np.array([(-33, 13), (33, 13), (33, 79), (-33, 79), (-36, -22), (0, -30), (36, -22)])
    for _ in range(100):
        scale = rng.uniform(0.5, 1.15) * min(size) / 165  # palm and fingers are about 165 mm long
        angle = rng.uniform(-np.pi, np.pi)
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        away = _tilt(tilt_deg, rng.uniform(-np.pi, np.pi), rng.uniform(200, 600))
        flip = np.diag([-1.0 if mirrored else 1.0, 1.0, 1.0])
        raise_palm = np.array([[1, 0, 0], [0, 1, -30.0], [0, 0, 1]])
        free = np.array([width, height]) * rng.uniform(0.25, 0.75, 2)
        shift = np.array([[1, 0, free[0]], [0, 1, free[1]], [0, 0, 1]])
        pose = shift @ turn @ away @ raise_palm @ flip
        points = project(needed, pose)
        if points.min() > 2 and (points < (width - 3, height - 3)).all():
            return pose.astype(np.float32)
    raise ValueError(f"no pose keeps the palm inside an image of {width}x{height} px")


def _tilt(tilt_deg: float, axis: float, distance_mm: float) -> NDArray[np.float64]:
    """Returns the homography by which a camera sees a plane that is turned about an axis in it.

    Args:
        tilt_deg: angle of the turn.
        axis: direction of the axis in the plane, in radians.
        distance_mm: distance of the camera from the origin.
    """
    x, y = np.cos(axis), np.sin(axis)
    turned, _ = cv2.Rodrigues(np.radians(tilt_deg) * np.array([x, y, 0.0]))
    away = np.asarray(turned, np.float64)[2] / distance_mm
    return np.array([[*turned[0, :2], 0], [*turned[1, :2], 0], [*away[:2], 1]])


def project(points: NDArray[np.floating], pose: NDArray[np.floating]) -> NDArray[np.float64]:
    """Maps points [K, 2] from mm to px."""
    moved = np.column_stack([points, np.ones(len(points))]) @ np.asarray(pose, np.float64).T
    return moved[:, :2] / np.maximum(moved[:, 2:], 0.1)  # the arm may reach behind the camera


def scale_at(point: NDArray[np.float64], pose: Float32) -> float:
    """Returns px per mm at a point in mm."""
    ends = project(point + np.array([(-5.0, 0.0), (5.0, 0.0)]), pose)
    return float(np.hypot(*(ends[1] - ends[0]))) / 10
