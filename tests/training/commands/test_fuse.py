"""New versions of several nets take effect together, when fusion.json is replaced."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app.nets.fusion_manifest import read_fusion_manifest
from app.nets.manifest import read_manifest
from training.commands.fuse import FuseConfig, fuse


@pytest.fixture
def config(toy_store: Path, database: Path, strangers: Path, tmp_path: Path) -> FuseConfig:
    """Fuses the two toy nets."""
    store = Path(shutil.copytree(toy_store, tmp_path / "store"))
    return FuseConfig(
        data=database,
        strangers=(strangers,),
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
    # One net twice: fused, it is calibrated as alone.
    alone = read_manifest(config.store / "alexnet/1")
    assert len(entry.cases) == len(alone.cases) == 4
    for fused, own in zip(entry.cases, alone.cases, strict=True):
        assert (fused.mean_map, fused.templates, fused.probes) == (
            own.mean_map,
            own.templates,
            own.probes,
        )
        found, expected = ([t.score for t in one.thresholds] for one in (fused, own))
        assert found == pytest.approx(expected, abs=0.05)
    assert entry.strangers == alone.strangers


def test_every_set_of_nets_is_fused_with_its_own_weights(
    config: FuseConfig, change_manifest: Callable[..., None]
) -> None:
    shutil.copytree(config.store / "alexnet", config.store / "vgg19")
    change_manifest(config.store / "vgg19/1", net="vgg19")
    verdict = fuse(replace(config, nets=("alexnet", "vgg16", "vgg19")))
    assert "sets of nets calibrated: 4;" in verdict.summary
    sets = [set(entry.versions) for entry in read_fusion_manifest(config.store).fusions]
    assert sets == [
        {"alexnet", "vgg16"},
        {"alexnet", "vgg19"},
        {"vgg16", "vgg19"},
        {"alexnet", "vgg16", "vgg19"},
    ]


def test_too_few_strangers_are_refused_and_the_file_is_left(
    config: FuseConfig, other_strangers: Path
) -> None:
    before = (config.store / "fusion.json").read_text()
    with pytest.raises(ValueError, match="give 56 or more strangers"):
        fuse(replace(config, strangers=(other_strangers,)))
    assert (config.store / "fusion.json").read_text() == before


def test_one_net_needs_no_fusion(config: FuseConfig) -> None:
    with pytest.raises(ValueError, match="--nets must name two or more nets"):
        fuse(FuseConfig(data=config.data, strangers=config.strangers, nets=("vgg16",)))


def test_a_damaged_file_is_refused_and_left(config: FuseConfig) -> None:
    path = config.store / "fusion.json"
    damaged = path.read_text().replace("0.75", "0.85")
    path.write_text(damaged)
    with pytest.raises(ValueError, match=r"fusion\.json"):
        fuse(config)
    assert path.read_text() == damaged
