"""The views of probes and templates, against what can be worked out by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.palm.views import MOVES, STEP, TEMPLATE_VIEWS, probe_views, template_views

SIDE = 50
STEP_PX = round(STEP * SIDE)


def random_images(count: int) -> NDArray[np.uint8]:
    shape = (count, SIDE, SIDE, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_a_probe_has_an_upright_and_a_mirrored_view() -> None:
    images = random_images(2)
    shown = probe_views(images)
    assert shown.shape == (2, 2, SIDE, SIDE, 3)
    np.testing.assert_array_equal(shown[:, 0], images)
    np.testing.assert_array_equal(shown[1, 1, :, 3], images[1, :, SIDE - 1 - 3])


def test_a_template_s_first_views_are_those_of_a_probe() -> None:
    images = random_images(2)
    shown = template_views(images)
    assert shown.shape == (2, *TEMPLATE_VIEWS, SIDE, SIDE, 3)
    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(shown[:, :, 0], probe_views(images))


@pytest.mark.parametrize("move", range(1, len(MOVES)))
def test_every_view_of_a_template_is_the_image_some_pixels_further(move: int) -> None:
    images = random_images(1)
    upright, mirrored = template_views(images)[0, :, move]
    down, right = (way * STEP_PX for way in MOVES[move])
    inside = slice(STEP_PX, SIDE - STEP_PX)
    from_rows = slice(STEP_PX - down, SIDE - STEP_PX - down)
    from_columns = slice(STEP_PX - right, SIDE - STEP_PX - right)
    np.testing.assert_array_equal(upright[inside, inside], images[0, from_rows, from_columns])
    np.testing.assert_array_equal(mirrored, upright[:, ::-1])


def test_a_move_may_be_of_several_steps() -> None:
    far = template_views(random_images(1), ((0, 0), (2, -1)))
    np.testing.assert_array_equal(far[:, :, 0], probe_views(random_images(1)))
    down, right = 2 * STEP_PX, STEP_PX
    np.testing.assert_array_equal(far[0, 0, 1, down:, :-right], random_images(1)[0, :-down, right:])


def test_pixels_that_come_in_are_the_image_s_own_reflected() -> None:
    images = random_images(1)
    up_and_left = template_views(images)[0, 0, MOVES.index((-1, -1))]
    np.testing.assert_array_equal(up_and_left[-1, 0], images[0, -1 - STEP_PX, STEP_PX])
