"""The fusion's manifest: what is found, what is refused, and what is sealed."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.matching.calibration import Calibration, Case, Threshold
from app.nets.files import NetCorrupt, NetMissing
from app.nets.fusion_manifest import FusionEntry, read_fusion_manifest, seal_fusions
from tests.app.nets.conftest import assert_one_line, fusion_cases, write_fusions

CASE = Case(False, 1, 1, 0.07, (Threshold(0.4, 0.01, 1000),))
LOW = Threshold(0.7, 1e-05, 1000)


def test_a_fusion_is_found_by_its_nets_and_pinned_versions(two_nets: Path) -> None:
    newest = {"nets": ["other/2", "toy/2"], "cases": fusion_cases(0.02)}
    write_fusions(two_nets, newest, {"cases": fusion_cases(0.01)}, {"nets": ["toy/1", "third/1"]})
    manifest = read_fusion_manifest(two_nets)

    def temperature(**wanted: int | None) -> float | None:
        entry = manifest.find(wanted)
        return entry and entry.cases[0].temperature

    assert temperature(toy=None, other=None) == 0.02
    assert temperature(toy=2, other=None) == 0.02
    assert temperature(toy=1, other=None) == 0.01
    assert temperature(toy=1, other=2) is None
    assert temperature(toy=None) is None
    assert temperature(toy=None, other=None, third=None) is None


def test_a_fusion_s_weights_follow_the_names(two_nets: Path) -> None:
    (entry,) = read_fusion_manifest(two_nets).fusions

    assert entry.fusion(("toy", "other")).weights == (0.75, 0.25)
    assert entry.fusion(("other", "toy")).weights == (0.25, 0.75)
    assert entry.fusion(("other", "toy")).calibration == Calibration((CASE,))


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": [1.0]},
        {"weights": [0.5, 0.6]},
        {"weights": [2.0, -1.0]},
        {"nets": None},
        {"nets": ["toy", "other"]},
        {"nets": ["toy/1", "toy/2"]},
        {"cases": []},
        {"cases": fusion_cases(-1)},
        {"cases": 2 * fusion_cases(1)},
        {"cases": [{**fusion_cases(1)[0], "mean_map": True}]},
        {"cases": [{**fusion_cases(1)[0], "probes": 2}]},
    ],
    ids=str,
)
def test_a_fusion_that_makes_no_sense_is_corrupt(two_nets: Path, changes: dict[str, Any]) -> None:
    write_fusions(two_nets, changes)

    with pytest.raises(NetCorrupt, match=r"fusion\.json") as refusal:
        read_fusion_manifest(two_nets)
    assert_one_line(refusal)


def test_a_fusion_with_a_changed_digit_is_corrupt(two_nets: Path) -> None:
    path = two_nets / "fusion.json"
    path.write_text(path.read_text().replace('"score": 0.4', '"score": 0.1'))

    with pytest.raises(NetCorrupt, match=r"fusion\.json has SHA-256 \w{64}, not") as refusal:
        read_fusion_manifest(two_nets)
    assert_one_line(refusal)


def test_a_store_without_fusions_says_how_to_make_them(models_dir: Path) -> None:
    with pytest.raises(NetMissing, match=r"fusion\.json is missing.*training fuse"):
        read_fusion_manifest(models_dir)


def test_sealed_fusions_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    entry = FusionEntry(
        nets=("toy/3", "my-net/12"),
        weights=(1 / 3, 2 / 3),
        cases=(replace(CASE, thresholds=(Threshold(0.1 + 0.2, 0.01, 1000), LOW)),),
        strangers=("0" * 64, "1" * 64),
    )

    sealed = seal_fusions([entry], datetime(2026, 1, 2, tzinfo=UTC))
    (tmp_path / "fusion.json").write_text(sealed.as_json())

    assert read_fusion_manifest(tmp_path) == sealed
    assert sealed.fusions == (entry,)
