"""Nets that are trained on images made as it goes, alone and side by side."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from training.fit.checkpoint import read_history
from training.fit.loop import FitOptions, fit_stream
from training.nets.layers import UnitLength
from training.nets.losses import PairLoss
from training.nets.recipe import Recipe


class Pairs(keras.utils.PyDataset):
    """Three batches of two palms, two images each."""

    def __init__(self) -> None:
        super().__init__()

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        images = np.random.default_rng(index).integers(0, 256, (4, 2, 2, 3)).astype(np.uint8)
        return images, np.array([0, 0, 1, 1], np.int32)


def toy(seed: int) -> keras.Model:
    """A net of one layer from a image of 2x2 to an embedding of 3 numbers."""
    image = keras.Input((2, 2, 3), dtype="uint8")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    dense = keras.layers.Dense(3, kernel_initializer=keras.initializers.GlorotNormal(seed))
    return keras.Model(image, UnitLength()(dense(x)))


def train(nets: dict[str, keras.Model], out: Path) -> dict[str, list[Any]]:
    """Their weights after two epochs; with `guard` off nobody looks."""
    for net in nets:
        (out / net).mkdir(parents=True)
    options = FitOptions(out=out, epochs=2, guard="off")
    kept = {out / name: net for name, net in nets.items()}
    loss = PairLoss()
    fit_stream(nets, Pairs(), options, Recipe(learning_rate=0.1), loss, [], kept=kept)
    assert all((folder / "best.weights.h5").exists() for folder in kept)
    return {name: net.get_weights() for name, net in nets.items()}


def test_nets_side_by_side_learn_as_if_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.fit.loop.Probe", None)
    together = train({"one": toy(1), "two": toy(2)}, tmp_path / "both")
    for name, seed in (("one", 1), ("two", 2)):
        alone = train({name: toy(seed)}, tmp_path / name)[name]
        for expected, found in zip(alone, together[name], strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-5)
        assert not np.allclose(alone[0], toy(seed).get_weights()[0], atol=0.01)
    last = read_history(tmp_path / "both")[-1]
    assert last["loss"] == pytest.approx(last["one_loss"] + last["two_loss"], rel=1e-4)
    assert last["one_loss"] == pytest.approx(read_history(tmp_path / "one")[-1]["loss"], rel=1e-4)
