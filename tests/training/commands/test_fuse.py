"""New versions of several nets take effect together, when fusion.json is replaced."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from app.nets.fusion_manifest import read_fusion_manifest
from training.commands.fuse import FuseConfig, fuse


@pytest.fixture
def config(toy_store: Path, database: Path, tmp_path: Path) -> FuseConfig:
    """Fuses the two toy nets."""
    store = Path(shutil.copytree(toy_store, tmp_path / "store"))
    return FuseConfig(
        data=database,
        strangers=database,
        store=store,
        nets=("alexnet", "vgg16"),
        size_px=32,
        split="seed",
    )


def test_new_versions_are_fused_and_the_earlier_fusion_is_kept(
    config: FuseConfig, change_manifest: Callable[..., None]
) -> None:
    for net in config.nets:
        shutil.copytree(config.store / net / "1", config.store / net / "2")
        change_manifest(config.store / net / "2", version=2)
    before = read_fusion_manifest(config.store)

    verdict = fuse(config)

    assert verdict.path == config.store / "fusion.json"
    assert "alexnet/2 0.50, vgg16/2 0.50" in verdict.summary  # one net twice
    new, old = read_fusion_manifest(config.store).fusions
    assert new.nets == ("alexnet/2", "vgg16/2")
    assert old == before.fusions[0]


def test_fused_again_the_entry_is_replaced(config: FuseConfig) -> None:
    fuse(config)
    (entry,) = read_fusion_manifest(config.store).fusions
    assert entry.weights == (0.5, 0.5)


def test_one_net_needs_no_fusion(config: FuseConfig) -> None:
    with pytest.raises(ValueError, match="--nets must name two or more nets"):
        fuse(FuseConfig(data=config.data, strangers=config.data, nets=("vgg16",)))


def test_a_damaged_file_is_refused_and_left(config: FuseConfig) -> None:
    path = config.store / "fusion.json"
    damaged = path.read_text().replace("0.75", "0.85")
    path.write_text(damaged)
    with pytest.raises(ValueError, match=r"fusion\.json"):
        fuse(config)
    assert path.read_text() == damaged
