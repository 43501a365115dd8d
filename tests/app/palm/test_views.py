"""What nets are shown of a picture, and how alike two are, against what can be said by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.palm.views import (
    MOVES,
    STEP,
    TEMPLATE_VIEWS,
    probe_views,
    similarities,
    template_views,
)

SIDE = 50
STEP_PX = round(STEP * SIDE)


def pictures(count: int) -> NDArray[np.uint8]:
    shape = (count, SIDE, SIDE, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def embeddings(seed: int, *shape: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(*shape, 8)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_a_probe_is_shown_as_it_lies_and_mirrored() -> None:
    images = pictures(2)
    shown = probe_views(images)
    assert shown.shape == (2, 2, SIDE, SIDE, 3)
    np.testing.assert_array_equal(shown[:, 0], images)
    np.testing.assert_array_equal(shown[1, 1, :, 3], images[1, :, SIDE - 1 - 3])


def test_a_template_s_first_views_are_a_probe_s() -> None:
    images = pictures(2)
    shown = template_views(images)
    assert shown.shape == (2, *TEMPLATE_VIEWS, SIDE, SIDE, 3)
    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(shown[:, :, 0], probe_views(images))


@pytest.mark.parametrize("move", range(1, len(MOVES)))
def test_every_view_of_a_template_is_the_picture_some_pixels_further(move: int) -> None:
    images = pictures(1)
    lying, mirrored = template_views(images)[0, :, move]
    down, right = (way * STEP_PX for way in MOVES[move])
    inside = slice(STEP_PX, SIDE - STEP_PX)
    from_rows = slice(STEP_PX - down, SIDE - STEP_PX - down)
    from_columns = slice(STEP_PX - right, SIDE - STEP_PX - right)
    np.testing.assert_array_equal(lying[inside, inside], images[0, from_rows, from_columns])
    np.testing.assert_array_equal(mirrored, lying[:, ::-1])


def test_a_move_may_be_of_several_steps() -> None:
    far = template_views(pictures(1), ((0, 0), (2, -1)))
    np.testing.assert_array_equal(far[:, :, 0], probe_views(pictures(1)))
    down, right = 2 * STEP_PX, STEP_PX
    np.testing.assert_array_equal(far[0, 0, 1, down:, :-right], pictures(1)[0, :-down, right:])


def test_what_comes_in_mirrors_the_picture() -> None:
    images = pictures(1)
    up_and_left = template_views(images)[0, 0, MOVES.index((-1, -1))]
    np.testing.assert_array_equal(up_and_left[-1, 0], images[0, -1 - STEP_PX, STEP_PX])


def test_a_similarity_is_the_mean_of_both_views_best_cosines() -> None:
    probes, templates = embeddings(1, 4, 2), embeddings(2, 3, *TEMPLATE_VIEWS)
    expected = [
        [
            sum(max(float(a @ b) for b in template[v]) for v, a in enumerate(probe)) / 2
            for template in templates
        ]
        for probe in probes
    ]
    np.testing.assert_allclose(similarities(probes, templates), expected, rtol=1e-5)


def test_two_pictures_a_step_apart_are_found_alike() -> None:
    """As a camera sees it: one palm, cut out in two places."""
    step = round(STEP * 48)
    scene = pictures(1)
    one, other = scene[:, :48, :48], scene[:, 2 : 2 + 48, 2 : 2 + 48]

    def embed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        middle = images[..., 8:-8, 8:-8, :].reshape(*images.shape[:-3], -1).astype(np.float32) - 127
        return middle / np.linalg.norm(middle, axis=-1, keepdims=True)

    assert step == 2
    assert (embed(one) * embed(other)).sum() < 0.1
    assert similarities(embed(probe_views(one)), embed(template_views(other)))[0, 0] > 0.99


def test_in_an_empty_gallery_there_is_nothing() -> None:
    nobody = np.zeros((0, *TEMPLATE_VIEWS, 8), np.float32)
    assert similarities(embeddings(1, 1, 2), nobody).shape == (1, 0)
