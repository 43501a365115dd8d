"""Views of an image, and the way between their pixels."""

import numpy as np
import pytest

from app.palm.views import (
    close_view,
    from_view,
    look,
    look_at_all,
    square_around,
    to_view,
    whole_view,
)


@pytest.mark.parametrize("turn_deg", [0, 30, 135, -100])
def test_points_come_back(turn_deg: float) -> None:
    view = square_around(np.array([40.0, 70]), 55.0, np.radians(turn_deg))
    points = np.random.default_rng(0).uniform(-50, 200, (6, 2))
    assert from_view(to_view(points, view, 160), view, 160) == pytest.approx(points)
    assert to_view(view.corners, view, 160) == pytest.approx(
        np.array([(0, 0), (160, 0), (160, 160), (0, 160)]) - 0.5
    )


@pytest.mark.parametrize(("width", "height"), [(300, 200), (200, 300), (80, 60), (101, 101)])
def test_a_whole_image_lies_in_the_middle_of_its_view(width: int, height: int) -> None:
    y, x = np.mgrid[:height, :width]
    point = np.array([0.7 * width, 0.4 * height])
    spot = 255 * np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / 2 / (width / 25) ** 2)
    seen = look_at_all(spot.astype(np.uint8), 160, bars=0).astype(float)
    rows, columns = np.mgrid[:160, :160]
    found = np.array([(columns * seen).sum(), (rows * seen).sum()]) / seen.sum()
    expected = to_view(point[None], whole_view(height, width), 160)[0]
    assert found == pytest.approx(expected, abs=0.8)


def test_bars_have_the_image_s_mean_brightness() -> None:
    image = np.full((20, 40), 200, np.uint8)
    image[:10] = 100
    seen = look_at_all(image, 80)
    assert (seen[0] == 150).all()
    assert (seen[-1] == 150).all()
    assert (seen[25] == 100).all()


def test_a_closer_view_is_upright_and_shows_the_gaps_above_its_middle() -> None:
    gaps = np.array([(100.0, 60), (98, 80), (100, 100)])  # the fingers point right
    seen = to_view(gaps, close_view(gaps), 160)
    assert seen[0, 1] == pytest.approx(seen[2, 1])
    assert seen[1, 0] == pytest.approx(79.5)
    assert seen[0, 0] < seen[2, 0]
    assert seen[0, 1] < 70


def test_a_turned_view_shows_the_turned_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    view = square_around(np.array([31.5, 31.5]), 64.0, np.pi / 2)
    assert (look(image, view, 64) == np.rot90(image)).mean() > 0.99


def test_equal_outer_gaps_are_refused() -> None:
    with pytest.raises(ValueError, match="must differ"):
        close_view(np.zeros((3, 2)))
