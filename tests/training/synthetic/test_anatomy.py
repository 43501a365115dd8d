"""Vessels and the layers of a palm."""

import numpy as np
import pytest

from training.synthetic.anatomy import draw_palm
from training.synthetic.canvas import CANVAS_PX, PX_PER_MM
from training.synthetic.vessels import DEPTH_MM, MURRAY_EXPONENT, grow_vessels


def test_vessels_obey_murrays_law_and_form_two_trees() -> None:
    tree = grow_vessels(np.random.default_rng(3))
    assert (tree.parents < np.arange(len(tree.parents))).all()
    assert (tree.parents == -1).sum() == 2
    cubes = tree.radii.astype(np.float64) ** MURRAY_EXPONENT
    for node in range(len(tree.parents)):
        children = np.flatnonzero(tree.parents == node)
        if len(children):
            assert cubes[node] == pytest.approx(cubes[children].sum(), rel=1e-4)


def test_layers_of_a_palm_are_in_range() -> None:
    palm = draw_palm(np.random.default_rng(1))
    assert palm.shape == (8, CANVAS_PX, CANVAS_PX)
    assert palm.dtype == np.uint8
    assert (palm[:4].max(axis=(1, 2)) == 255).all()
    assert (np.median(palm[:4], axis=(1, 2)) < 60).all()
    assert abs(palm[4].mean() - 128) < 10
    assert palm[5].max() == 255
    assert abs(palm[6].mean() - 128) < 10
    assert 24 < palm[6].std() < 40


def test_vessels_lie_within_the_skin_and_deep_ones_are_more_blurred() -> None:
    depth = grow_vessels(np.random.default_rng(3)).points[:, 2] / PX_PER_MM
    assert 0 < depth.min() < depth.max() < DEPTH_MM[1] * 1.5
    for seed in range(3):
        deep, shallow = draw_palm(np.random.default_rng(seed))[:2].astype(np.float32)
        steepness = [np.percentile(np.abs(np.diff(layer)), 99.5) for layer in (deep, shallow)]
        assert steepness[0] < steepness[1]


def test_no_identity_has_the_vessels_of_another() -> None:
    """Two equal palms would have the same nodes."""
    trees = {grow_vessels(np.random.default_rng([7, i, 0, 0])).points.tobytes() for i in range(100)}
    assert len(trees) == 100
