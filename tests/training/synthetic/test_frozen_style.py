"""The held-out style is frozen: figures measured on it stay comparable."""

from hashlib import sha256

import numpy as np
import pytest

from training.synthetic.palms import photograph
from training.synthetic.styles import HELD_OUT

PIXELS = {
    (3, 0): "2f2e240b58b01bff67037c5622384be47b684071ddb589dce67fd2fe195f346c",
    (3, 1): "e1669761211522e5f7a67f45304b6714b384eb8d3bb37f17540938ab78c5b08c",
    (3, 7): "d2012c9f03cecc53d9a37fc3e960e62e8b1162b2d1281104ccdd3b65328c417f",
    (5, 0): "5c190ee7d45008caada0c852e01eabecef3dd6d4f1b92635a29e68f03aa0644d",
    (5, 1): "5087856e7c7808d9a31c4167f72084b5b89100bdc9d931c684ce0dc9db8657c8",
    (5, 7): "60c8eab2ac56d5a9315e2cdc240375f261843e2a343ff08d7cafdec4366e145e",
}
"""SHA-256 of a palm's images (2 sessions of 2 shots), by seed and identity."""


@pytest.mark.parametrize(("seed", "identity"), PIXELS)
def test_images_in_the_held_out_style_never_change(seed: int, identity: int) -> None:
    images = np.array(photograph(identity, seed=seed, style=HELD_OUT, sessions=2, shots=2))
    assert sha256(images.tobytes()).hexdigest() == PIXELS[seed, identity]
