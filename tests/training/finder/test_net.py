"""The landmark net on toy views."""

import numpy as np
import pytest

from app.palm.landmarks import OUTPUTS
from training.finder.net import CoarseContrast, build_finder, fold_finder

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


def test_a_bottom_that_does_not_divide_the_side_is_refused() -> None:
    with pytest.raises(ValueError, match="--side-px must be a multiple of 32, not 40"):
        build_finder(40)


def test_contrast_depends_neither_on_gain_nor_on_brightness() -> None:
    x = np.random.default_rng(0).uniform(0.3, 0.7, (1, SIDE, SIDE, 1)).astype(np.float32)
    layer = CoarseContrast(floor=0.0)
    once, brighter = np.asarray(layer(x)), np.asarray(layer(0.5 * x + 0.3))
    assert brighter == pytest.approx(once, abs=1e-2)
    assert abs(once.mean()) < 0.1
    assert 0.8 < once.std() < 1.3
