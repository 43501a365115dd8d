"""How lenses, moving hands and telephones blur an image."""

import cv2
import numpy as np

from training.synthetic.canvas import IMAGE_PX, Float32


def blur_lens(image: Float32, width_px: float, rng: np.random.Generator) -> Float32:
    """Blurs like a lens out of focus, by a Gaussian."""
    del rng
    return np.asarray(cv2.GaussianBlur(image, (0, 0), width_px), np.float32)


def blur_motion(image: Float32, width_px: float, rng: np.random.Generator) -> Float32:
    """Blurs like a moving hand, along a straight line in any direction, four widths long."""
    side, angle = 11, rng.uniform(0, np.pi)
    reach = 2 * width_px * np.array([np.cos(angle), np.sin(angle)])
    kernel = np.zeros((side, side), np.float32)
    ends = np.rint((side // 2 + np.stack([-reach, reach])) * 16).astype(int).tolist()
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_8, 4)
    blurred = cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float32)


def blur_phone(image: Float32, width_px: float, rng: np.random.Generator) -> Float32:
    """Takes few pixels of a moving hand, enlarges and sharpens them, as a telephone does."""
    moved = blur_motion(image, 0.6 * width_px, rng)
    few = round(IMAGE_PX * rng.uniform(0.5, 0.75))
    small = cv2.resize(moved, (few, few), interpolation=cv2.INTER_AREA)
    enlarged = cv2.resize(small, (IMAGE_PX, IMAGE_PX), interpolation=cv2.INTER_LINEAR)
    wide = cv2.GaussianBlur(enlarged, (0, 0), 2.0)
    return np.asarray(cv2.addWeighted(enlarged, 1.8, wide, -0.8, 0), np.float32)
