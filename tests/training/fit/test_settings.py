"""Settings that a run goes on with, or is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from training.fit.options import require_at_least
from training.fit.settings import resolve_settings, write_settings

CHOSEN = {"epochs": 1, "seed": 1, "precision": "float32", "guard": "stop", "data": Path("/a")}


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A run that has the state of an epoch."""
    write_settings(resolve_settings(CHOSEN, tmp_path), tmp_path)
    (tmp_path / "state-0001.weights.h5").touch()
    return tmp_path


def test_settings_are_resolved_as_json_holds_them(tmp_path: Path) -> None:
    settings = resolve_settings({**CHOSEN, "bands": (850, 940)}, tmp_path)
    assert settings == {**CHOSEN, "data": "/a", "bands": [850, 940]}
    assert settings == json.loads(json.dumps(settings))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 2, "seed": 7}, r"other settings \(epochs 1, not 2; seed 1, not 7\): give the"),
        ({"dataset_sha256": "another"}, r"other settings \(dataset_sha256 None, not 'another'\)"),
        ({"precision": "mixed_bfloat16"}, "precision 'float32', not 'mixed_bfloat16'"),
    ],
)
def test_other_settings_do_not_go_on_with_a_run(
    changes: dict[str, Any], message: str, begun: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        resolve_settings({**CHOSEN, **changes}, begun)


def test_what_does_not_change_the_result_may_differ(begun: Path) -> None:
    changes = {"guard": "warn", "data": Path("/b"), "precision": "auto"}
    found = resolve_settings({**CHOSEN, **changes}, begun)
    assert found == {**CHOSEN, "guard": "warn", "data": "/b"}


def test_a_run_without_a_whole_epoch_may_begin_anew(tmp_path: Path) -> None:
    write_settings({**CHOSEN, "data": "/a"}, tmp_path)
    assert resolve_settings({**CHOSEN, "epochs": 9}, tmp_path)["epochs"] == 9


def test_options_below_their_least_value_are_named() -> None:
    require_at_least({"epochs": 1}, epochs=1)
    with pytest.raises(ValueError, match="--batch-size must be at least 4, not 2"):
        require_at_least({"epochs": 1, "batch_size": 2}, epochs=1, batch_size=4)
