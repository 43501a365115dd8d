"""The ablation on a toy database: resumed cell by cell, judged by what the cells did."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.ablation.report import guard_says, outcome_of
from training.commands import ablate as ablation
from training.commands.ablate import CELLS, AblateConfig, Scale, ablate


@pytest.fixture
def config(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AblateConfig:
    """Two cells of AlexNet at 32 px, two epochs each."""
    monkeypatch.setitem(ablation.SCALES, "quick", Scale(32, 3, 2))
    return AblateConfig(
        data=database,
        out=tmp_path / "ablation",
        nets=("alexnet",),
        cells=("as-posted", "embedding-weight"),
        split="session",
    )


def test_a_table_and_plots_come_from_cells_that_are_trained_once(
    config: AblateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = ablate(config)
    text = table.read_text()
    assert "| as-posted | the question's code | 1 |" in text
    assert "of 3 identities; chance is 33.33%" in text
    for plot in ("loss", "depth", "death"):
        assert (table.parent / f"alexnet-{plot}.png").stat().st_size > 1000
    cell = json.loads((table.parent / "alexnet" / "as-posted-1.json").read_text())
    assert [record["step"] for record in cell["trace"]] == [0, 1, 1, 2]  # one step an epoch
    monkeypatch.setattr(ablation, "run_cell", None)  # would fail
    assert ablate(config).read_text() == text


def test_cells_of_another_length_are_not_mixed_in(config: AblateConfig) -> None:
    ablate(config)
    longer = AblateConfig(**{**vars_of(config), "epochs": 3})
    with pytest.raises(ValueError, match=r"as-posted-1\.json is of another epochs: remove it"):
        ablate(longer)


def vars_of(config: AblateConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in AblateConfig.__dataclass_fields__}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nets": ("resnet",)}, "unknown net 'resnet': choose among alexnet"),
        ({"cells": ("hope",)}, "unknown cell 'hope': choose among as-posted"),
        ({"split": "identity"}, "choose seed or session"),
    ],
)
def test_unknown_choices_are_named(
    config: AblateConfig, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ablate(AblateConfig(**{**vars_of(config), **changes}))


def test_identities_keep_their_labels_where_one_is_missing_from_a_part(
    config: AblateConfig, make_palms, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.database.split import Split

    palms = make_palms(5, 3, 2)
    missing = palms.select((palms.labels != 1) & (palms.sessions == 1))
    split = Split(palms.select(palms.sessions == 0), missing, missing, "session")
    monkeypatch.setattr(ablation, "load_split", lambda options: split)
    cut = ablation._load(config, Scale(32, 3, 2))
    assert cut.train.identities == cut.validation.identities == ("p000", "p001", "p002")
    assert set(cut.validation.labels.tolist()) == {0, 2}


def result(accuracy: float, step: float, spread: float, loss: float, head: str = "paper"):
    """A cell of 40 identities and 960 images that stands like this after every epoch."""
    layer = {"rms": 1.0, "dead": 0.1, "gradient": step}
    layers = [
        {**layer, "layer": "conv1", "spread": 0.2, "step": step},
        {**layer, "layer": "answer", "spread": spread, "step": step},
    ]
    return {
        "training_images": 960,
        "identities": 40,
        "recipe": {"head": head},
        "history": {"accuracy": [accuracy] * 2, "loss": [loss] * 2},
        "trace": [{"step": step, "layers": layers} for step in (0, 30, 60)],
    }


def test_an_outcome_goes_by_accuracy_and_by_the_gradient_that_is_left() -> None:
    chance = float(np.log(40))
    assert outcome_of(result(0.30, 1e-2, 1.0, 2.0)) == "learned"
    assert outcome_of(result(0.03, 1e-2, 1e-2, chance)) == "stuck"
    assert outcome_of(result(0.03, 1e-8, 1e-7, chance)) == "dead"
    assert outcome_of(result(0.055, 1e-2, 1.0, chance)) == "stuck"  # chance is 0.025


def test_the_guards_word_is_that_of_the_first_two_epochs() -> None:
    chance = float(np.log(40))
    assert guard_says(result(0.03, 1e-8, 1e-7, chance)) == "stops, epoch 1"
    assert guard_says(result(0.03, 1e-2, 1e-2, chance)) == "notes, epoch 2"
    assert guard_says(result(0.30, 1e-2, 1.0, 2.0)) == ""
    assert guard_says(result(0.30, 1e-2, 1.0, chance, head="embedding")) == ""


def test_every_cell_has_a_name_of_its_own_and_starts_from_the_question() -> None:
    names = [cell.name for cell in CELLS]
    assert len(set(names)) == len(names)
    assert names[0] == "as-posted"
