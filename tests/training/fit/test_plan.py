"""Phases and learning rates of a training."""

from dataclasses import replace

import keras
import pytest

from training.fit.plan import Phase, Plan, Plateau, loss_of
from training.nets.losses import MarginLoss
from training.nets.recipe import PRESETS, Recipe


def test_all_weights_learn_from_the_first_epoch() -> None:
    assert Plan.of(Recipe(learning_rate=0.5), 3).phases() == [Phase(0, 3, 0.5, frozen=False)]


@pytest.mark.parametrize(
    ("freeze_epochs", "phases"),
    [
        (1, [Phase(0, 1, 0.5, frozen=True), Phase(1, 3, 0.05, frozen=False)]),
        (5, [Phase(0, 3, 0.5, frozen=True)]),
        (0, [Phase(0, 3, 0.05, frozen=False)]),
    ],
)
def test_imagenet_weights_are_frozen_first(freeze_epochs: int, phases: list[Phase]) -> None:
    recipe = replace(PRESETS["transfer"], freeze_epochs=freeze_epochs, learning_rate=0.5)
    assert Plan.of(recipe, 3).phases() == phases


def test_a_cosine_schedule_warms_up_for_an_epoch_and_ends_at_zero() -> None:
    plan = Plan(epochs=4, learning_rate=0.2)
    (phase,) = plan.phases()
    rates = plan.rates(phase, steps=10)
    found = [float(rates(step)) for step in (0, 10, 25, 40)]
    assert found == pytest.approx([0.01, 0.2, 0.1, 0.0], abs=1e-6)


def test_a_constant_rate_is_the_phases() -> None:
    plan = Plan(epochs=4, learning_rate=0.2, schedule="constant")
    assert plan.rates(Phase(1, 4, 0.02, frozen=False), steps=10) == 0.02


def test_the_loss_is_that_of_the_recipes_head() -> None:
    loss = loss_of(Recipe(scale=3.0, margin=0.5))
    assert isinstance(loss, MarginLoss)
    assert (loss.scale, loss.margin) == (3.0, 0.5)
    paper = loss_of(Recipe(head="paper"))
    assert isinstance(paper, keras.losses.SparseCategoricalCrossentropy)


def test_a_plateau_goes_on_counting_where_it_stopped() -> None:
    """Keras's own callback over all epochs is the reference; cut after each of them."""
    losses = [3.0, 2.0, *[2.0] * 9]

    def rates(model: keras.Model, plateau: Plateau, epochs: range) -> list[dict[str, float]]:
        rows = []
        plateau.set_model(model)
        plateau.on_train_begin()
        for epoch in epochs:
            plateau.on_epoch_end(epoch, {"val_loss": losses[epoch]})
            rate = float(model.optimizer.learning_rate)
            rows.append({"epoch": epoch + 1, "val_loss": losses[epoch], "learning_rate": rate})
        return rows

    def fresh(rate: float) -> keras.Model:
        image = keras.Input((1,))
        model = keras.Model(image, keras.layers.Dense(1)(image))
        model.compile(optimizer=keras.optimizers.SGD(rate), loss="mse")
        return model

    whole = rates(fresh(1e-4), Plateau([]), range(len(losses)))
    assert len({row["learning_rate"] for row in whole}) > 2
    for cut in range(1, len(losses)):
        model = fresh(whole[cut - 1]["learning_rate"])
        rest = rates(model, Plateau(whole[:cut]), range(cut, len(losses)))
        assert rest == whole[cut:], cut
