"""The training loop on toy nets: side by side, resumed, interrupted, frozen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.training.run_folder import read_state, rows_without_times
from training.fit.checkpoint import BEST, Checkpoint, epochs_done, read_history
from training.fit.loop import fit, rows_of
from training.fit.plan import Plan
from training.nets.losses import PairLoss


class Pairs(keras.utils.PyDataset):
    """Three batches of two palms, two images each; other images in every epoch."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self._epoch = epoch

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        rng = np.random.default_rng([self._epoch, index])
        return rng.integers(0, 256, (4, 2, 2, 3)).astype(np.uint8), np.array([0, 0, 1, 1], np.int32)

    def on_epoch_end(self) -> None:
        self._epoch += 1


def toy(seed: int, dropout: float = 0.0) -> keras.Model:
    """A convolution of 1x1 and a dense layer: from an image of 2x2 to an embedding of 3 numbers."""
    image = keras.Input((2, 2, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(4, 1, kernel_initializer=keras.initializers.GlorotNormal(seed))(x)
    x = keras.layers.Dropout(dropout)(keras.layers.Flatten()(x))
    dense = keras.layers.Dense(3, kernel_initializer=keras.initializers.GlorotNormal(seed))
    return keras.Model(image, keras.layers.UnitNormalization()(dense(x)))


class Stop(keras.callbacks.Callback):
    """Raises after the first batch of an epoch."""

    def __init__(self, epoch: int, error: type[BaseException]) -> None:
        super().__init__()
        self._epoch, self._error, self._now = epoch, error, 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._now = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._now == self._epoch:
            raise self._error


PLAN = Plan(epochs=4, learning_rate=0.1)
FROZEN_FIRST = Plan(epochs=4, learning_rate=0.1, schedule="constant", freeze_epochs=2)


def train(
    out: Path, plan: Plan = PLAN, callbacks: Sequence[keras.callbacks.Callback] = ()
) -> keras.Model:
    """Trains a toy net with dropout in a run's folder, from the epoch that it has come to."""
    net = toy(1, dropout=0.5)
    fit({"toy": net}, Pairs, PairLoss(), plan, seed=7, callbacks=callbacks,
        checkpoint=Checkpoint(out))  # fmt: skip
    return net


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[Plan, Path]:
    """Uninterrupted runs by their plan."""
    runs = {plan: tmp_path_factory.mktemp("run") for plan in (PLAN, FROZEN_FIRST)}
    for plan, out in runs.items():
        train(out, plan)
    return runs


@pytest.mark.parametrize(
    ("plan", "epoch"), [(PLAN, 2), (FROZEN_FIRST, 1), (FROZEN_FIRST, 2), (FROZEN_FIRST, 3)]
)
def test_a_resumed_run_ends_bit_by_bit_as_an_uninterrupted_one(
    plan: Plan, epoch: int, whole: dict[Plan, Path], tmp_path: Path
) -> None:
    with pytest.raises(InterruptedError):
        train(tmp_path, plan, [Stop(epoch, InterruptedError)])
    assert epochs_done(tmp_path) == epoch
    train(tmp_path, plan)
    assert rows_without_times(tmp_path) == rows_without_times(whole[plan])
    for one, other in zip(read_state(whole[plan]), read_state(tmp_path), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_finished_run_is_left_alone(whole: dict[Plan, Path]) -> None:
    files = {path: path.read_bytes() for path in whole[PLAN].iterdir()}
    train(whole[PLAN])
    assert {path: path.read_bytes() for path in whole[PLAN].iterdir()} == files


def test_an_interrupted_first_epoch_leaves_weights_that_load(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, callbacks=[Stop(0, KeyboardInterrupt)])
    toy(2, dropout=0.5).load_weights(tmp_path / BEST)


def test_frozen_convolutions_learn_in_the_second_phase_only(tmp_path: Path) -> None:
    kernels: list[np.ndarray] = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            model: Any = self.model
            kernels.append(model.layers[2].get_weights()[0])

    train(tmp_path, FROZEN_FIRST, [Look()])  # epochs 0 and 1 are frozen
    np.testing.assert_array_equal(kernels[0], toy(1).layers[2].get_weights()[0])
    np.testing.assert_array_equal(kernels[1], kernels[0])
    assert not np.array_equal(kernels[2], kernels[1])
    rates = [row["learning_rate"] for row in read_history(tmp_path)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01])


def test_nets_side_by_side_learn_as_if_alone(tmp_path: Path) -> None:
    def train_nets(nets: dict[str, keras.Model]) -> list[dict[str, float]]:
        return fit(nets, Pairs, PairLoss(), PLAN, seed=1)

    both = {"one": toy(1), "two": toy(2)}
    together = train_nets(both)
    for name, seed in (("one", 1), ("two", 2)):
        alone = toy(seed)
        rows = train_nets({name: alone})
        for expected, found in zip(alone.get_weights(), both[name].get_weights(), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-5)
        assert not np.allclose(alone.get_weights()[0], toy(seed).get_weights()[0], atol=0.01)
        own = rows_of(name, both, together)
        assert [row["loss"] for row in own] == pytest.approx([r["loss"] for r in rows], rel=1e-4)
        assert set(own[0]) == set(rows[0])


def test_nets_side_by_side_are_validated_each() -> None:
    class Labels(Pairs):
        def __getitem__(self, index: int) -> tuple[Any, ...]:
            return *super().__getitem__(index), np.array([1, 1, 2, 0], np.float32)

    nets = {"one": toy(1), "two": toy(2)}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    rows = fit(nets, Pairs, loss, PLAN, seed=1, accuracy=True, validation=Labels(0))
    assert {"val_loss", "one_accuracy", "val_two_accuracy", "val_one_loss"} <= set(rows[-1])


def test_rows_hold_what_callbacks_add() -> None:
    class Add(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["figure"] = epoch / 2

    rows = fit({"toy": toy(1)}, Pairs, PairLoss(), PLAN, seed=1, callbacks=[Add()])
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert [row["figure"] for row in rows] == [0, 0.5, 1, 1.5]
    assert {"loss", "learning_rate", "seconds"} <= set(rows[0])
