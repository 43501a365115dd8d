"""Relief and shadow of the palm."""

import numpy as np

from training.synthetic.canvas import CANVAS_PX
from training.synthetic.relief import draw_relief, rim, shadow

MIDDLE = (CANVAS_PX - 1) / 2
PLACES = ((132, 40), (132, 139), (88, 92))  # rows and columns of thenar, hypothenar and hollow


def test_all_palms_have_balls_and_a_hollow_and_each_its_own() -> None:
    reliefs = [draw_relief(np.random.default_rng(seed)).astype(np.float32) for seed in range(20)]
    mean = np.stack(reliefs).mean(axis=0)
    thenar, hypothenar, hollow = (float(mean[at]) for at in PLACES)
    assert min(thenar, hypothenar) > hollow + 50
    alike = np.corrcoef([relief.ravel() for relief in reliefs])[np.triu_indices(20, 1)]
    assert 0.4 < alike.mean() < 0.95


def test_low_skin_is_darker_and_light_brightens_the_slopes_that_face_it() -> None:
    relief = np.tile(np.linspace(0, 255, CANVAS_PX).astype(np.uint8), (CANVAS_PX, 1))
    level = shadow(relief, 0.2, np.zeros(2, np.float32))
    assert (level[:, 5] > level[:, -5] + 0.15).all()
    lit = shadow(relief, 0.2, np.array([-1, 0], np.float32))
    assert (lit < level).all()
    assert not shadow(relief, 0, np.ones(2, np.float32)).any()


def test_the_rim_grows_darker_outwards() -> None:
    x = np.linspace(MIDDLE, 2.5 * MIDDLE, 20, dtype=np.float32)[None]
    dark = rim(x, np.full_like(x, MIDDLE))
    assert dark[0, 0] == 0
    assert (np.diff(dark) > 0).all()
    assert dark.max() < 1
