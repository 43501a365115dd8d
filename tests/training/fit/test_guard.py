import numpy as np
import pytest

from training.fit.guard import Guard, NetIsDead, advise, find_death
from training.fit.layer_inspector import LayerSignal
from training.nets.recipe import PRESETS, Recipe


def signal(layer: str, spread: float, dead: float = 0.1, gradient: float = 1e-2) -> LayerSignal:
    return LayerSignal(layer, rms=1.0, spread=spread, dead=dead, gradient=gradient, step=gradient)


class Looks:
    """Stands for a probe: answers with the next of some signals."""

    def __init__(self, *looks: list[LayerSignal]) -> None:
        self._looks = list(looks)

    def look(self) -> list[LayerSignal]:
        return self._looks.pop(0)


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


def guard(*looks: list[LayerSignal], recipe: Recipe = PRESETS["as-posted"], stop: bool = True):
    watching = Guard(Looks(*looks), recipe, stop=stop)
    watching.set_model(type("Model", (), {"output": np.zeros((1, 160))})())
    watching.on_train_begin()
    return watching


def test_a_dead_net_is_stopped_with_the_layer_that_died_and_what_to_change() -> None:
    watching = guard(ALIVE, DEAD)
    with pytest.raises(NetIsDead) as caught:
        watching.on_epoch_end(0, {"loss": 5.0752})
    message = str(caught.value)
    assert "epoch 1" in message
    assert "conv2 died (100% of its units" in message
    assert "the loss is 5.075, chance is ln 160 = 5.075" in message
    assert "--normalization weight" in message
    assert "--wiring connected" in message


def test_a_net_that_tells_images_apart_ever_so_little_is_let_go_on() -> None:
    watching = guard(ALIVE, SLOW, SLOW)
    watching.on_epoch_end(0, {"loss": 5.0752})
    watching.on_epoch_end(1, {"loss": 5.07})
    (finding,) = watching.findings
    assert finding.startswith("epoch 2: alive, but it has not begun to learn")


def test_a_net_whose_running_averages_lag_is_let_go_on() -> None:
    """With BatchNorm all images may get one answer at first, while gradients flow."""
    watching = guard(ALIVE, LAGGING, ALIVE)
    watching.on_epoch_end(0, {"loss": 4.1})
    watching.on_epoch_end(1, {"loss": 3.7})
    assert watching.findings == []


def test_a_net_that_dies_late_is_stopped_too() -> None:
    """The ablation's VGG19 with standardised kernels and the paper's head died in epoch 7."""
    watching = guard(*[ALIVE] * 7, DEAD)
    for epoch in range(6):
        watching.on_epoch_end(epoch, {"loss": 3.6})
    with pytest.raises(NetIsDead, match="epoch 7"):
        watching.on_epoch_end(6, {"loss": 3.6})


def test_a_loss_that_is_no_number_ends_the_training_at_that_step() -> None:
    watching = guard(ALIVE)
    watching.on_train_batch_end(6, {"loss": 2.0})
    with pytest.raises(NetIsDead, match="the loss is nan after step 8: lower --learning-rate"):
        watching.on_train_batch_end(7, {"loss": float("nan")})


def test_a_guard_that_only_warns_writes_down_and_goes_on() -> None:
    watching = guard(ALIVE, DEAD, stop=False)
    watching.on_epoch_end(0, {"loss": 5.0752})
    assert len(watching.findings) == 1


def test_what_was_wrong_before_the_first_epoch_does_not_blind_a_guard_that_warns() -> None:
    watching = guard(ALIVE, DEAD, ALIVE, stop=False)
    watching.report("before epoch 1: the preprocessing is not connected")
    watching.on_epoch_end(0, {"loss": 5.0752})
    watching.on_epoch_end(1, {"loss": 5.0752})
    assert [finding.split(":")[0] for finding in watching.findings] == ["before epoch 1", "epoch 1"]


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
    assert find_death(broken) == "conv2 puts out values that are not finite"


def test_advice_fits_the_recipe() -> None:
    assert "--wiring" not in advise(Recipe())
    assert "1e-4" in advise(Recipe(learning_rate=1e-3))
    assert "--preset shipped" in advise(PRESETS["student"])
