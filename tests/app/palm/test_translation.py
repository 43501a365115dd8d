"""The search for how a palm lies, against what can be said by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.palm import translation
from app.palm.translation import MOVES, STEP, best_similarities, translate

SIDE = 50
STEP_PX = round(STEP * SIDE)


def pictures(count: int) -> NDArray[np.uint8]:
    shape = (count, SIDE, SIDE, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def embeddings(count: int, seed: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(count, len(MOVES), 8)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_the_first_copy_is_the_picture_itself() -> None:
    images = pictures(2)
    moved = translate(images)
    assert moved.shape == (2, len(MOVES), SIDE, SIDE, 3)
    assert moved.dtype == np.uint8
    np.testing.assert_array_equal(moved[:, 0], images)


@pytest.mark.parametrize("move", range(1, len(MOVES)))
def test_every_copy_is_the_picture_some_pixels_further(move: int) -> None:
    images = pictures(1)
    copy = translate(images)[0, move]
    down, right = (way * STEP_PX for way in MOVES[move])
    inside = slice(STEP_PX, SIDE - STEP_PX)
    from_rows = slice(STEP_PX - down, SIDE - STEP_PX - down)
    from_columns = slice(STEP_PX - right, SIDE - STEP_PX - right)
    np.testing.assert_array_equal(copy[inside, inside], images[0, from_rows, from_columns])


def test_what_comes_in_mirrors_the_picture() -> None:
    images = pictures(1)
    up_and_left = translate(images)[0, MOVES.index((-1, -1))]
    np.testing.assert_array_equal(up_and_left[-1, 0], images[0, -1 - STEP_PX, STEP_PX])


@pytest.mark.parametrize("pairs_at_once", [1, 1 << 24])
def test_a_similarity_is_the_best_cosine_of_any_two_copies(
    monkeypatch: pytest.MonkeyPatch, pairs_at_once: int
) -> None:
    monkeypatch.setattr(translation, "PAIRS_AT_ONCE", pairs_at_once)
    probes, templates = embeddings(4, 1), embeddings(3, 2)
    expected = [
        [max(float(a @ b) for a in probe for b in template) for template in templates]
        for probe in probes
    ]
    np.testing.assert_allclose(best_similarities(probes, templates), expected, rtol=1e-5)


def test_two_pictures_a_step_apart_are_found_alike() -> None:
    """As a camera sees it: one palm, cut out in two places."""
    step = round(STEP * 48)
    scene = pictures(1)
    one, other = scene[:, :48, :48], scene[:, 2 : 2 + 48, 2 : 2 + 48]

    def embed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        middle = images[..., 8:-8, 8:-8, :].reshape(*images.shape[:2], -1).astype(np.float32) - 127
        return middle / np.linalg.norm(middle, axis=-1, keepdims=True)

    assert step == 2
    plain = (embed(one[:, None]) * embed(other[:, None])).sum()
    assert plain < 0.1
    assert best_similarities(embed(translate(one)), embed(translate(other)))[0, 0] > 0.99


def test_in_an_empty_gallery_there_is_nothing() -> None:
    nobody = np.zeros((0, len(MOVES), 8), np.float32)
    assert best_similarities(embeddings(1, 1), nobody).shape == (1, 0)
