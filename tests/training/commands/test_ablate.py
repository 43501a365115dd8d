"""The ablation on a toy database: one cell of AlexNet at 32 px, two epochs of one step each."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from training.commands.ablate import AblateConfig, ablate


@pytest.fixture(scope="module")
def config(database: Path, tmp_path_factory: pytest.TempPathFactory) -> AblateConfig:
    return AblateConfig(
        data=database,
        out=tmp_path_factory.mktemp("ablation") / "out",
        nets=("alexnet",),
        cells=("as-posted",),
        split="session",
        size_px=32,
        epochs=2,
    )


@pytest.fixture(scope="module")
def verdict(config: AblateConfig) -> str:
    return str(ablate(config))


def test_the_verdict_names_the_table_and_counts_outcomes(
    config: AblateConfig, verdict: str
) -> None:
    table = config.out / "quick" / "table.md"
    assert verdict.startswith(f"{table}: ")
    assert " of 1 trained nets learned, " in verdict
    text = table.read_text()
    assert "| as-posted | the question's code | 1 |" in text
    assert "of 4 identities; chance is 25.00%" in text


def test_every_net_has_its_plots(config: AblateConfig, verdict: str) -> None:
    for plot in ("loss", "depth", "death"):
        assert (config.out / "quick" / f"alexnet-{plot}.png").stat().st_size > 1000


def test_a_net_is_inspected_at_the_start_after_powers_of_two_and_after_every_epoch(
    config: AblateConfig, verdict: str
) -> None:
    cell = json.loads((config.out / "quick/alexnet/as-posted-1.json").read_text())
    assert [record["step"] for record in cell["trace"]] == [0, 1, 1, 2]
    assert [len(figures) for figures in cell["history"].values()] == [2] * 4


def test_cells_that_are_done_are_not_trained_again(config: AblateConfig, verdict: str) -> None:
    cells = sorted(config.out.glob("quick/alexnet/*.json"))
    before = [(path, path.stat().st_mtime_ns) for path in cells]
    assert str(ablate(config)) == verdict
    assert [(path, path.stat().st_mtime_ns) for path in cells] == before


@pytest.mark.parametrize(("option", "value"), [("epochs", 3), ("size_px", 48)])
def test_cells_of_other_settings_are_not_mixed_in(
    config: AblateConfig, verdict: str, option: str, value: int
) -> None:
    message = rf"as-posted-1\.json has another {option}: remove it"
    with pytest.raises(ValueError, match=message):
        ablate(replace(config, **{option: value}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nets": ("resnet",)}, "unknown net 'resnet': choose among alexnet"),
        ({"cells": ("hope",)}, "unknown cell 'hope': choose among as-posted"),
        ({"split": "identity"}, "choose seed or session"),
        ({"epochs": -1}, "--epochs must be at least 0, not -1"),
        ({"cells": ("transfer",)}, "leaves nothing to train.*--weights-file"),
    ],
)
def test_invalid_choices_are_named(
    config: AblateConfig, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ablate(replace(config, **changes))
