"""The landmark net on toy views."""

import numpy as np
import pytest

from app.palm.landmarks import OUTPUTS
from training.finder.net import GreyAndContrast, build_finder, fold_finder
from training.versions.read import copy_body

SIDE = 32


@pytest.fixture(scope="module")
def views() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 1), np.uint8)


def test_outputs_have_the_shapes_that_the_finder_reads(views: np.ndarray) -> None:
    outputs = build_finder(SIDE)(views, training=False)
    shapes = {name: tuple(outputs[name].shape) for name in OUTPUTS}
    assert shapes == {
        "landmarks": (3, 8, 8, 4),
        "skin": (3, 8, 8),
        "kind": (3, 3),
        "left": (3,),
        "direction": (3, 4),
    }
    for name in ("kind", "direction"):
        assert np.asarray(outputs[name]).sum(axis=1) == pytest.approx(np.ones(3))


def test_a_folded_net_has_the_same_outputs(views: np.ndarray) -> None:
    trained = build_finder(SIDE)
    expected = trained(views, training=False)
    folded = fold_finder(trained)
    assert not any(type(layer).__name__ == "ScaledConv2D" for layer in folded.layers)
    for name, output in folded(views, training=False).items():
        assert np.asarray(output) == pytest.approx(np.asarray(expected[name]), abs=1e-4)


def test_a_net_that_is_unfolded_has_the_same_outputs(views: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    trained, other = build_finder(SIDE), build_finder(SIDE)
    for weight in trained.weights:
        if weight.path.endswith("gain"):
            weight.assign(rng.uniform(0.5, 2, weight.shape))
    folded = fold_finder(trained)
    copy_body(folded, other)
    for name, output in other(views, training=False).items():
        expected = np.asarray(folded(views, training=False)[name])
        largest = max(float(np.abs(expected).max()), 1.0)
        assert np.asarray(output) == pytest.approx(expected, abs=1e-4 * largest)


def test_a_bottom_that_does_not_divide_the_side_is_refused() -> None:
    with pytest.raises(ValueError, match="--side-px must be a multiple of 32, not 40"):
        build_finder(40)


def average_twice(blocks: np.ndarray) -> np.ndarray:
    """Returns the mean over 5 by 5 places, twice; at the edge over those that there are."""
    for _ in range(2):
        rows, columns = blocks.shape
        blocks = np.array(
            [
                [
                    blocks[max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3].mean()
                    for j in range(columns)
                ]
                for i in range(rows)
            ]
        )
    return blocks


def test_the_net_sees_contrast_with_coarse_neighbourhoods_and_the_whole_image_scaled(
    views: np.ndarray,
) -> None:
    seen = np.asarray(GreyAndContrast(floor=0.01)(views))
    for view, (contrast, grey) in zip(views, np.moveaxis(seen, -1, 1), strict=True):
        x = view[..., 0] / 255.0
        mean, squares = (
            average_twice(one.reshape(SIDE // 4, 4, SIDE // 4, 4).mean(axis=(1, 3)))
            for one in (x, x * x)
        )
        deviation = np.sqrt(squares - mean * mean)
        mean, deviation = (one.repeat(4, 0).repeat(4, 1) for one in (mean, deviation))
        assert contrast == pytest.approx((x - mean) / (deviation + 0.01), abs=1e-4)
        assert grey == pytest.approx((x - x.mean()) / x.std(), abs=1e-4)


def test_an_image_of_one_grey_has_no_contrast() -> None:
    seen = np.asarray(GreyAndContrast()(np.full((1, SIDE, SIDE, 1), 77, np.uint8)))
    assert np.abs(seen).max() < 0.1
