"""What the finder learns matches what was drawn."""

from dataclasses import replace

import numpy as np
import pytest

from app.palm.landmarks import DIRECTIONS, decode
from training.finder.losses import (
    QUADRATIC,
    DirectionLoss,
    LandmarkLoss,
    LeftLoss,
    SkinLoss,
    far_off,
    place_targets,
)
from training.finder.targets import (
    CROP,
    DIRECTION_AT,
    HAND,
    KIND_AT,
    LEFT_AT,
    NOTHING,
    SKIN_AT,
    STRIDE,
    Sample,
)

SIDE = 64


@pytest.fixture
def sample() -> Sample:
    rng = np.random.default_rng(0)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:, :20] = 255
    points = np.array([(10.2, 30.0), (20.0, 26.5), (31.7, 30.0), (20.0, 50.0)])
    return Sample(rng.integers(0, 256, (SIDE, SIDE), np.uint8), mask, points, HAND, left=True)


def test_a_target_peaks_at_the_point_between_the_places(sample: Sample) -> None:
    row = sample.target()[None]
    odds = np.asarray(place_targets(row[:, :KIND_AT], SIDE // 4))
    assert odds.sum(axis=(1, 2)) == pytest.approx(np.ones((1, 4)))
    found, _ = decode(np.log(odds[0] + 1e-30), SIDE)
    assert found == pytest.approx(sample.points, abs=0.1)


def test_a_mirror_image_swaps_the_outer_gaps_and_the_hand(sample: Sample) -> None:
    other = sample.mirrored()
    assert not other.left
    assert other.points[0] == pytest.approx([63 - 31.7, 30])
    assert other.points[2] == pytest.approx([63 - 10.2, 30])
    assert other.points[[1, 3], 0] == pytest.approx([43, 43])
    assert (other.view[:, ::-1] == sample.view).all()
    again = other.mirrored()
    assert again.left
    assert again.points == pytest.approx(sample.points)


def test_a_turned_sample_keeps_what_is_below_its_points(sample: Sample) -> None:
    other = sample.turned()
    for before, after in zip(np.rint(sample.points), np.rint(other.points), strict=True):
        (x, y), (u, v) = before.astype(int), after.astype(int)
        assert sample.view[y, x] == other.view[v, u]
    assert other.left
    for _ in range(3):
        other = other.turned()
    assert other.points == pytest.approx(sample.points)


def test_a_target_holds_kind_hand_and_skin(sample: Sample) -> None:
    row = sample.target()
    assert (row[KIND_AT], row[LEFT_AT]) == (HAND, 1)
    skin = row[SKIN_AT:].reshape(SIDE // 4, SIDE // 4)
    assert (skin[:, :5] == 1).all()
    assert (skin[:, 5:] == 0).all()


def test_the_loss_of_landmarks_is_least_where_they_are(sample: Sample) -> None:
    row = sample.target()[None]
    right = np.log(np.asarray(place_targets(row[:, :KIND_AT], SIDE // 4)) + 1e-30)
    loss = LandmarkLoss()
    exact = float(loss(row, right))
    assert exact < float(loss(row, np.roll(right, 1, axis=2))) - 0.3
    assert exact < float(loss(row, np.zeros_like(right))) - 1


@pytest.mark.parametrize("away", [0.0, 0.1, 1.5])
def test_the_loss_of_places_is_hubers_function_of_how_far_decode_is_from_them(
    away: float, sample: Sample
) -> None:
    """The reference: the points that the finder would read, and Huber's function of each axis."""
    points = sample.points.ravel()[None].astype(np.float32)
    moved = points + np.float32(away * STRIDE)
    odds = np.asarray(place_targets(moved, SIDE // STRIDE))
    found, _ = decode(np.log(odds[0] + 1e-30), SIDE)
    off = np.abs(found - sample.points) / STRIDE
    small = np.minimum(off, QUADRATIC)
    huber = (small * (off - small / 2) / QUADRATIC).mean()
    assert float(far_off(points, odds)[0]) == pytest.approx(huber, abs=0.12 * away + 1e-4)
    assert (huber > 0.01) == (away > 0)


def test_the_direction_turns_with_the_sample_and_is_mirrored_with_it(sample: Sample) -> None:
    names = [DIRECTIONS[one.direction] for one in (sample, sample.turned(), sample.mirrored())]
    assert names == ["up", "left", "up"]  # turned against the clock
    assert DIRECTIONS[sample.turned().mirrored().direction] == "right"
    assert sample.turned().target()[DIRECTION_AT] == DIRECTIONS.index("left")


@pytest.mark.parametrize("kind", [HAND, NOTHING])
def test_the_direction_is_learned_of_crops_alone(kind: int, sample: Sample) -> None:
    found = np.array([[0.1, 0.1, 0.1, 0.7]], np.float32)
    rows = [replace(sample, kind=k, direction=3).target()[None] for k in (kind, CROP)]
    assert [float(DirectionLoss()(row, found)) for row in rows] == pytest.approx([0, -np.log(0.7)])


@pytest.mark.parametrize("kind", [CROP, NOTHING])
def test_landmarks_and_hand_are_learned_of_hands_alone(kind: int, sample: Sample) -> None:
    row = Sample(sample.view, sample.mask, sample.points, kind).target()[None]
    assert float(LandmarkLoss()(row, np.ones((1, 16, 16, 4), np.float32))) == 0
    assert float(LeftLoss()(row, np.full(1, 0.9, np.float32))) == 0
    assert float(SkinLoss()(row, np.full((1, 16, 16), 0.5, np.float32))) > 0.5
