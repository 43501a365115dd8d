from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from training.fit.guard import Guard, NetIsDead, advise, find_death, make_guards
from training.fit.layer_inspector import LayerSignal
from training.nets.recipe import PRESETS, Recipe


def signal(layer: str, spread: float, dead: float = 0.1, gradient: float = 1e-2) -> LayerSignal:
    return LayerSignal(layer, rms=1.0, spread=spread, dead=dead, gradient=gradient, step=gradient)


class Inspections:
    """An inspector that returns the next of some signals."""

    def __init__(self, *signals: list[LayerSignal]) -> None:
        self._signals = list(signals)

    def inspect(self) -> list[LayerSignal]:
        return self._signals.pop(0)


ALIVE = [signal("conv1", 0.2), signal("conv2", 0.2), signal("probabilities", 0.5)]
DEAD = [
    signal("conv1", 0.2, gradient=0),
    signal("conv2", 0.0, dead=1.0),
    signal("probabilities", 1e-7),
]
SLOW = [
    signal("conv1", 0.2, gradient=9e-5),
    signal("conv2", 0.05),
    signal("probabilities", 6e-5),
]
LAGGING = [signal("conv1", 0.2), signal("dense1", 0.2, dead=0.95), signal("probabilities", 0.0)]


def make_guard(*signals: list[LayerSignal], stop: bool = True, log: Path | None = None) -> Guard:
    """A guard of the question's net of 160 identities, before its first epoch."""
    inspections: Any = Inspections(*signals)
    guard = Guard(inspections, PRESETS["as-posted"], stop=stop, log=log)
    guard.set_model(type("Model", (), {"output": np.zeros((1, 160))})())
    guard.on_train_begin()
    return guard


def test_a_dead_net_is_stopped_with_the_layer_that_died_and_what_to_change() -> None:
    guard = make_guard(ALIVE, DEAD)
    with pytest.raises(NetIsDead) as caught:
        guard.on_epoch_end(0, {"loss": 5.0752})
    message = str(caught.value)
    assert "epoch 1" in message
    assert "conv2 died (100% of its units" in message
    assert "the loss is 5.075, chance is ln 160 = 5.075" in message
    assert "--normalization weight" in message
    assert "--wiring connected" in message


def test_a_net_that_tells_images_apart_ever_so_little_is_let_go_on() -> None:
    guard = make_guard(ALIVE, SLOW, SLOW)
    guard.on_epoch_end(0, {"loss": 5.0752})
    guard.on_epoch_end(1, {"loss": 5.07})
    (finding,) = guard.findings
    assert finding.startswith("epoch 2: alive, but it has not begun to learn")


def test_a_net_whose_running_averages_lag_is_let_go_on() -> None:
    """With BatchNorm all images may get one answer at first, while gradients flow."""
    guard = make_guard(ALIVE, LAGGING, ALIVE)
    guard.on_epoch_end(0, {"loss": 4.1})
    guard.on_epoch_end(1, {"loss": 3.7})
    assert guard.findings == []


def test_a_net_that_dies_late_is_stopped_too() -> None:
    """The ablation's VGG19 with standardised kernels and the paper's head died in epoch 7."""
    guard = make_guard(*[ALIVE] * 7, DEAD)
    for epoch in range(6):
        guard.on_epoch_end(epoch, {"loss": 3.6})
    with pytest.raises(NetIsDead, match="epoch 7"):
        guard.on_epoch_end(6, {"loss": 3.6})


def test_a_loss_that_is_no_number_ends_the_training_at_that_step() -> None:
    guard = make_guard(ALIVE)
    guard.on_train_batch_end(6, {"loss": 2.0})
    with pytest.raises(NetIsDead, match="the loss is nan after step 8: lower --learning-rate"):
        guard.on_train_batch_end(7, {"loss": float("nan")})


def test_a_guard_that_only_warns_writes_down_and_goes_on() -> None:
    guard = make_guard(ALIVE, DEAD, stop=False)
    guard.on_epoch_end(0, {"loss": 5.0752})
    assert len(guard.findings) == 1


def test_what_was_wrong_before_the_first_epoch_does_not_blind_a_guard_that_warns() -> None:
    guard = make_guard(ALIVE, DEAD, ALIVE, stop=False)
    guard.report("before epoch 1: the preprocessing is not connected")
    guard.on_epoch_end(0, {"loss": 5.0752})
    guard.on_epoch_end(1, {"loss": 5.0752})
    assert [finding.split(":")[0] for finding in guard.findings] == ["before epoch 1", "epoch 1"]


def test_the_first_layer_where_images_became_alike_is_named() -> None:
    fading = [
        signal("conv1", 0.2, gradient=1e-7),
        signal("conv2", 5e-3, dead=0.5),
        signal("answer", 1e-7),
    ]
    assert "conv2 died (50%" in str(find_death(fading))
    assert find_death(ALIVE) is None


def test_values_that_are_not_finite_are_found_with_their_layer() -> None:
    broken = [signal("conv1", 0.2), LayerSignal("conv2", np.inf, np.nan, 0, 0, 0)]
    assert find_death(broken) == "conv2 has outputs that are not finite"


def test_advice_fits_the_recipe() -> None:
    assert "--wiring" not in advise(Recipe())
    assert "1e-4" in advise(Recipe(learning_rate=1e-3))
    assert "--preset shipped" in advise(PRESETS["student"])


def test_findings_outlive_an_interruption_and_are_not_repeated(tmp_path: Path) -> None:
    log = tmp_path / "guard.txt"
    make_guard(ALIVE, stop=False, log=log).report_before(["one", "two"])
    again = make_guard(ALIVE, stop=False, log=log)
    again.report_before(["one", "two"])
    assert again.findings == ["before epoch 1: one", "before epoch 1: two"]


def guards_of(nets: list[str], out: Path, mode: str = "stop") -> list[Guard]:
    def net() -> keras.Model:
        images = keras.Input((1, 1, 3))
        return keras.Model(images, keras.layers.Dense(2)(keras.layers.Flatten()(images)))

    images, labels = np.zeros((4, 1, 1, 3), np.uint8), np.zeros(4, np.int32)
    loss = keras.losses.SparseCategoricalCrossentropy()
    named = {name: net() for name in nets}
    return make_guards(named, images, labels, loss, Recipe(), mode=mode, out=out)


def test_every_net_has_a_guard_and_a_log_of_its_own(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = guards_of(["one", "two"], tmp_path, mode="warn")
    two.report("dead")
    assert (one.findings, two.findings) == ([], ["dead"])
    assert (tmp_path / "two" / "guard.txt").read_text() == "dead\n"
    assert guards_of(["one"], tmp_path, mode="off") == []


def test_findings_of_a_run_without_a_whole_epoch_are_forgotten(tmp_path: Path) -> None:
    log = tmp_path / "guard.txt"
    log.write_text("dead\n")
    (tmp_path / "state-0001.weights.h5").touch()
    assert guards_of(["one"], tmp_path)[0].findings == ["dead"]
    (tmp_path / "state-0001.weights.h5").unlink()
    assert guards_of(["one"], tmp_path)[0].findings == []
    assert not log.exists()
