"""The manifest: what is read, what is refused, and what is sealed."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.matching.calibration import Calibration, Case, Threshold
from app.matching.maps import MapShape
from app.matching.templates import MapFormat, NetKey
from app.nets.files import NetCorrupt, NetMissing, NetUnusable, checksum
from app.nets.fusion_manifest import read_fusion_manifest
from app.nets.manifest import (
    Manifest,
    highest_version,
    read_manifest,
    seal_manifest,
    verify_files,
    versions,
)
from tests.app.nets.conftest import CASES, add_version, assert_one_line, seal
from tests.app.nets.conftest import checksum as reference_checksum

SHIPPED = Path(__file__).parents[3] / "models_store"
FILES = ("saved_model.pb", "variables/variables.index", "templates.npz", "golden.npz")


def test_a_manifest_is_read_with_all_it_says(exported: Path) -> None:
    manifest = read_manifest(exported / "toy/1")

    assert manifest.key == NetKey("toy", 1)
    thresholds = (Threshold(0.3, 0.01, 640_000), Threshold(0.5, 0.0001, 640_000))
    kinds = ((False, 1), (False, 3), (True, 1), (True, 3))
    assert manifest.calibration == Calibration(
        tuple(Case(mean, templates, 1, 0.1, thresholds) for mean, templates in kinds)
    )
    assert manifest.map_format == MapFormat("toy", "0123456789abcdef", MapShape(8, 4))
    assert manifest.strangers == ("1" * 64,)
    assert manifest.dataset.training_images == 8
    verify_files(exported / "toy/1", manifest)


def test_thresholds_are_put_in_the_order_of_falling_fmr(models_dir: Path) -> None:
    folder = models_dir / "toy/1"
    seal(folder, cases=[{**CASES[0], "thresholds": CASES[0]["thresholds"][::-1]}])

    (case,) = read_manifest(folder).calibration.cases
    assert [t.fmr for t in case.thresholds] == [0.01, 0.0001]


def thresholds(content: list[dict[str, float]]) -> dict[str, Any]:
    return {"cases": [{**CASES[0], "thresholds": content}]}


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": 1},
        {"schema_version": 7},
        {"cases": []},
        {"cases": CASES[2:]},  # none without a mean map
        {"cases": [*CASES, CASES[0]]},
        {"cases": [{**CASES[0], "temperature": 0}]},
        {"cases": [{**CASES[0], "templates": 0}]},
        thresholds([]),
        thresholds([{"fmr": 0.01, "score": 0.5}]),
        thresholds([{"fmr": 2, "score": 0.5, "comparisons": 9}]),
        thresholds([{"fmr": 0.01, "score": float("nan"), "comparisons": 9}]),
        thresholds([{"fmr": 0.01, "score": 0.5, "comparisons": -9}]),
        {"map_side": 4},
        {"map_channels": 0},
        {"map_side": None},
        {"template_id": "0123"},
        {"identities": []},
        {"identities": ["p001", "p002", "p003", "p001"]},
        {"version": 7},
        {"net": "vgg16"},
        {"net": "Toy"},
        {"dataset": {"name": "noise"}},
        {"metrics": {"validation_accuracy": 1.5, "validation_images": 4}},
        {"input": {"height": 32, "width": 48, "channels": 3, "dtype": "uint8"}},
        {"unheard_of": 1},
        thresholds(
            [
                {"fmr": 0.01, "score": 0.5, "comparisons": 9},
                {"fmr": 0.001, "score": 0.4, "comparisons": 9},
            ]
        ),
    ],
    ids=str,
)
def test_a_manifest_without_sense_is_corrupt(changes: dict[str, Any], models_dir: Path) -> None:
    seal(models_dir / "toy/1", **changes)

    with pytest.raises(NetCorrupt, match=r"manifest\.json") as refusal:
        read_manifest(models_dir / "toy/1")
    assert "\n" not in str(refusal.value)


NO_DIGEST = "has SHA-256 [0-9a-f]{64}, not"


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (r".*", "{", ""),
        (r".*", "", ""),
        (r".*", "[]", ""),
        (r".*", '{"schema_version": 6}', ""),
        (r".*", "\x00", ""),
        (r'"score": 0.3', '"score": 0.2', NO_DIGEST),
        (r', "sha256": "[^"]*"}$', "}", f"{NO_DIGEST} ''"),
    ],
    ids=["cut", "empty", "list", "incomplete", "binary", "changed digit", "no checksum"],
)
def test_a_damaged_manifest_is_corrupt(
    models_dir: Path, pattern: str, replacement: str, message: str
) -> None:
    path = models_dir / "toy/1/manifest.json"
    path.write_text(re.sub(pattern, lambda _: replacement, path.read_text(), count=1))

    with pytest.raises(NetCorrupt, match=rf"manifest\.json {message}") as refusal:
        read_manifest(models_dir / "toy/1")
    assert_one_line(refusal)


def test_a_manifest_of_an_earlier_release_is_to_be_exported_again(models_dir: Path) -> None:
    seal(models_dir / "toy/1", schema_version=3)

    message = r"has schema_version 3, of an earlier .*train the net .*export the net again"
    with pytest.raises(NetCorrupt, match=message):
        read_manifest(models_dir / "toy/1")


def test_a_version_that_is_not_there_is_missing_and_an_empty_one_corrupt(models_dir: Path) -> None:
    (models_dir / "toy/2").mkdir()
    with pytest.raises(NetCorrupt, match=r"toy/2/manifest\.json.*restore"):
        read_manifest(models_dir / "toy/2")
    with pytest.raises(NetMissing, match="toy/3 is missing"):
        read_manifest(models_dir / "toy/3")


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_or_a_missing_file_is_corrupt_and_named(name: str, models_dir: Path) -> None:
    manifest = read_manifest(models_dir / "toy/1")
    path = models_dir / "toy/1" / name
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(NetCorrupt, match=rf"{name} has SHA-256"):
        verify_files(models_dir / "toy/1", manifest)

    path.unlink()
    with pytest.raises(NetCorrupt, match=rf"{name} cannot be read"):
        verify_files(models_dir / "toy/1", manifest)


def test_a_manifest_must_have_a_checksum_of_every_file_that_is_read(exported: Path) -> None:
    manifest = read_manifest(exported / "toy/1")
    files = {name: digest for name, digest in manifest.files.items() if name != "golden.npz"}

    with pytest.raises(NetCorrupt, match=r"no checksum of \['golden\.npz'\]"):
        verify_files(exported / "toy/1", manifest.model_copy(update={"files": files}))


def test_a_sealed_manifest_is_read_back_as_it_was_written(models_dir: Path) -> None:
    folder = models_dir / "toy/1"
    content = json.loads((folder / "manifest.json").read_text())
    (folder / "templates.npz").write_bytes(b"other templates")
    unsealed = Manifest.model_validate(content | {"files": {}, "sha256": "", "embedding_size": 9})

    sealed = seal_manifest(unsealed, folder)
    (folder / "manifest.json").write_text(sealed.as_json())

    found = read_manifest(folder)
    verify_files(folder, found)
    assert found == sealed
    assert found.embedding_size == 9
    assert found.files.keys() == content["files"].keys()


def test_versions_are_listed_in_rising_order(models_dir: Path) -> None:
    for name in ("10", "9", ".unfinished-11", "latest", "012"):
        (models_dir / "toy" / name).mkdir()
    (models_dir / "toy/20").touch()

    assert [*versions(models_dir, "toy")] == [1, 9, 10]
    assert highest_version(models_dir, "toy") == models_dir / "toy/10"


def test_a_net_without_a_version_is_missing(models_dir: Path) -> None:
    assert versions(models_dir, "vgg16") == {}
    with pytest.raises(NetMissing, match="vgg16 holds no version of vgg16"):
        highest_version(models_dir, "vgg16")


def test_a_folder_that_cannot_be_read_is_named(models_dir: Path) -> None:
    (models_dir / "vgg16").symlink_to("vgg16")

    with pytest.raises(NetUnusable, match="vgg16 cannot be read"):
        versions(models_dir, "vgg16")


@pytest.mark.parametrize("content", [{}, [], {"b": [1, 2.5, None], "a": "ä"}, 1e-05])
def test_a_checksum_is_that_of_canonical_json(content: Any) -> None:
    assert checksum(content) == reference_checksum(content)


@pytest.mark.parametrize("net", ["alexnet", "vgg16", "vgg19"])
def test_the_shipped_versions_are_whole(net: str) -> None:
    folder = highest_version(SHIPPED, net)

    manifest = read_manifest(folder)

    verify_files(folder, manifest)
    assert manifest.training.keys() >= {"degrade", "monitor"}
    assert f"{net}/{manifest.version}" in {
        key for entry in read_fusion_manifest(SHIPPED).fusions for key in entry.nets
    }


def test_other_nets_may_have_hyphens_in_their_names(models_dir: Path) -> None:
    add_version(models_dir, "my-net", 2)

    assert read_manifest(models_dir / "my-net/2").key == NetKey("my-net", 2)
