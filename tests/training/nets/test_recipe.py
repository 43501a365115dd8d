"""Recipes: read from settings, and refused if a number is out of range."""

from dataclasses import asdict, replace

import pytest

from training.nets.recipe import PRESETS, recipe_of, require_valid


def test_a_recipe_is_read_from_settings_that_hold_more_and_less() -> None:
    settings = {"head": "paper", "learning_rate": 1e-4, "epochs": 16, "data": "palms"}
    recipe = recipe_of(settings)
    assert (recipe.head, recipe.learning_rate) == ("paper", 1e-4)
    assert recipe.normalization == PRESETS["shipped"].normalization
    assert recipe_of(asdict(PRESETS["student"])) == PRESETS["student"]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid(name: str) -> None:
    require_valid(PRESETS[name])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("learning_rate", 0.0, r"--learning-rate must be above 0, not 0\.0"),
        ("learning_rate", float("nan"), "--learning-rate must be above 0, not nan"),
        ("scale", 0.0, r"--scale must be above 0, not 0\.0"),
        ("margin", 1.1, r"--margin must be from 0 to 1, not 1\.1"),
        ("dropout", 1.0, r"--dropout must be from 0 to less than 1, not 1\.0"),
        ("clip_norm", -1.0, r"--clip-norm must be at least 0, not -1\.0"),
        ("embedding_size", 0, "--embedding-size must be at least 1, not 0"),
        ("contrast_px", -1, "--contrast-px must be at least 0, not -1"),
        ("freeze_epochs", -1, "--freeze-epochs must be at least 0, not -1"),
    ],
)
def test_a_number_out_of_range_is_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_valid(replace(PRESETS["shipped"], **{name: value}))
