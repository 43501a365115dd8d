import numpy as np

from training.synthetic.palms import photograph
from training.synthetic.strangers import draw_strangers
from training.synthetic.styles import HELD_OUT, TRAINING


def test_strangers_are_in_the_order_of_identities_sessions_and_shots() -> None:
    found = draw_strangers(2, 5, HELD_OUT, sessions=2, shots=3, side_px=128)
    assert found.labels.tolist() == [0] * 6 + [1] * 6
    assert found.sessions.tolist() == [0, 0, 0, 1, 1, 1] * 2
    assert found.shots.tolist() == [0, 1, 2] * 4
    expected = photograph(1, seed=5, style=HELD_OUT, sessions=2, shots=3)
    np.testing.assert_array_equal(found.images()[6:], np.concatenate(expected))


def test_strangers_have_the_side_and_the_style_asked_for() -> None:
    found = draw_strangers(1, 5, HELD_OUT, side_px=48).images()
    assert found.shape == (4, 48, 48)
    assert not np.array_equal(found, draw_strangers(1, 5, TRAINING, side_px=48).images())
