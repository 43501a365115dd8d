from dataclasses import asdict

from training.nets.recipe import PRESETS, recipe_of


def test_a_recipe_is_read_from_settings_that_hold_more_and_less() -> None:
    settings = {"head": "paper", "learning_rate": 1e-4, "epochs": 16, "data": "palms"}
    recipe = recipe_of(settings)
    assert (recipe.head, recipe.learning_rate) == ("paper", 1e-4)
    assert recipe.normalization == PRESETS["shipped"].normalization
    assert recipe_of(asdict(PRESETS["student"])) == PRESETS["student"]
