from pathlib import Path

import numpy as np
import pytest

from training.ablation.paper import build_from_recipe
from training.database.palms import Palms, load_palms
from training.fit.augmentation import augment
from training.fit.batches import Batches
from training.fit.input_check import check_inputs
from training.nets.build import scoring_model
from training.nets.recipe import PRESETS, Recipe


@pytest.fixture(scope="module")
def palms(database: Path) -> Palms:
    return load_palms(database, 64)


def problems(palms: Palms, recipe: Recipe, *, batches: Batches | None = None, identities: int = 4):
    scores = scoring_model(build_from_recipe("alexnet", identities, recipe, input_px=64))
    change = augment if recipe.augment == "palm" else None
    return check_inputs(scores, batches or Batches(palms, 8, 1, augment=change), recipe)


@pytest.mark.parametrize("kind", ["raw", "rescaled", "standardized", "contrast", "imagenet"])
@pytest.mark.parametrize("augmentation", ["none", "paper", "palm"])
def test_a_net_that_sees_what_its_recipe_says_has_no_problem(
    kind: str, augmentation: str, palms: Palms
) -> None:
    assert problems(palms, Recipe(input=kind, augment=augmentation)) == []


def test_the_questions_disconnected_layers_are_both_found(palms: Palms) -> None:
    found = problems(palms, PRESETS["as-posted"])
    assert len(found) == 2
    assert "but --input rescaled promises 0 to 1" in found[0]
    assert "--augment paper is chosen, but the graph leaves 8 of 8" in found[1]


def test_an_input_pipeline_that_does_not_augment_is_found(palms: Palms) -> None:
    found = problems(palms, Recipe(), batches=Batches(palms, 8, 1))
    assert found == [
        "--augment palm is chosen, but the input pipeline leaves 8 of 8 images unchanged: "
        "the augmentation is built and not connected; pass its output on (--wiring connected)"
    ]


def test_images_beside_other_images_labels_are_found(palms: Palms) -> None:
    class Shuffled(Batches):
        def __getitem__(self, index: int):
            images, labels = super().__getitem__(index)
            return images, np.roll(labels, 1)

    found = problems(palms, Recipe(), batches=Shuffled(palms, 8, 1, augment=augment))
    assert any("have the labels of other images" in problem for problem in found)


def test_a_net_with_another_number_of_outputs_is_found(palms: Palms) -> None:
    assert "the net has 5 outputs for 4 identities" in problems(palms, Recipe(), identities=5)


def test_identities_without_a_training_image_are_counted(palms: Palms) -> None:
    few = palms.select(palms.labels < 3)
    found = problems(palms, Recipe(), batches=Batches(few, 8, 1, augment=augment))
    assert "1 of 4 identities have no training image" in found
