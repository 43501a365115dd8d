"""Weights of nets, and fusion.json, which is read as it was written or not at all."""

from pathlib import Path

import numpy as np
import pytest

from app.matching.calibration import Calibration, Threshold, calibrate, negative_log_likelihood
from app.matching.fusion import Fusion
from app.matching.templates import NetKey
from app.nets.fusion_manifest import read_fusion_manifest
from app.nets.manifest import NetCorrupt, NetMissing
from training.versions.fuse import (
    fusion_entry,
    other_entries,
    read_fusion,
    standard_error,
    weigh,
    write_fusions,
)

ALEXNET, VGG16, VGG19 = (NetKey(net, 1) for net in ("alexnet", "vgg16", "vgg19"))
CALIBRATION = Calibration(0.05, (Threshold(0.2, 0.1, 1000), Threshold(0.7093388349, 1e-05, 1000)))
FUSION = Fusion((0.75, 0.25), CALIBRATION)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A models store with fusion.json alone."""
    write_fusions(tmp_path, [fusion_entry([ALEXNET, VGG16], FUSION)])
    return tmp_path


def test_a_fusion_is_read_as_it_was_written(store: Path) -> None:
    assert read_fusion(store, [ALEXNET, VGG16]) == FUSION


def test_weights_follow_the_order_of_the_keys(store: Path) -> None:
    assert read_fusion(store, [VGG16, ALEXNET]).weights == (0.25, 0.75)


def test_a_missing_fusion_is_named(store: Path, tmp_path: Path) -> None:
    with pytest.raises(NetMissing, match=r"no entry for vgg16/1 \+ vgg19/1: run .*fuse` first"):
        read_fusion(store, [VGG16, VGG19])
    with pytest.raises(NetMissing, match=r"fusion\.json is missing: run"):
        read_fusion(tmp_path / "nowhere", [ALEXNET, VGG16])


def test_a_changed_digit_is_refused(store: Path) -> None:
    path = store / "fusion.json"
    path.write_text(path.read_text().replace("0.7093", "0.8093"))
    for read in (read_fusion, other_entries):
        with pytest.raises(NetCorrupt, match=r"fusion\.json has SHA-256 .*: restore it, or run"):
            read(store, [ALEXNET, VGG16])


def test_entries_of_other_versions_stay_while_those_are_in_the_store(tmp_path: Path) -> None:
    kept, replaced, removed = (
        fusion_entry(keys, FUSION)
        for keys in ((ALEXNET, VGG19), (ALEXNET, VGG16), (ALEXNET, NetKey("vgg16", 3)))
    )
    for key in (ALEXNET, VGG16, VGG19):
        (tmp_path / str(key)).mkdir(parents=True)
    write_fusions(tmp_path, [replaced, kept, removed])
    assert other_entries(tmp_path, [ALEXNET, VGG16]) == [kept]


def test_a_store_without_fusions_has_no_other_entries(tmp_path: Path) -> None:
    assert other_entries(tmp_path, [ALEXNET, VGG16]) == []


def test_the_first_entry_is_the_newest(store: Path) -> None:
    newer = fusion_entry([NetKey("alexnet", 2), NetKey("vgg16", 2)], FUSION)
    write_fusions(store, [newer, *read_fusion_manifest(store).fusions])
    found = read_fusion_manifest(store).find({"alexnet": None, "vgg16": None})
    assert found == newer


def similarities(rng: np.random.Generator, rows: int, noise: float) -> np.ndarray:
    found = rng.normal(0, noise, (rows, 10))
    found[np.arange(rows), np.arange(rows) % 10] += 0.5
    return found.astype(np.float32)


def impostors(rng: np.random.Generator, rows: int, noise: float) -> np.ndarray:
    return rng.normal(0, noise, (rows, 10)).astype(np.float32)


def test_a_net_with_fewer_errors_weighs_more() -> None:
    rng, labels = np.random.default_rng(0), np.arange(200, dtype=np.int32) % 10
    known = [similarities(rng, 200, noise) for noise in (0.15, 0.22)]
    unknown = [impostors(rng, 300, noise) for noise in (0.15, 0.22)]
    fusion = weigh(known, labels, unknown, np.arange(300, dtype=np.int32))
    assert fusion.weights[0] > 0.5
    assert sum(fusion.weights) == pytest.approx(1)

    def loss(calibration: Calibration, genuine: np.ndarray, impostors: np.ndarray) -> float:
        return float(negative_log_likelihood(calibration, genuine, labels, impostors).mean())

    fused = loss(fusion.calibration, fusion.combine(known), fusion.combine(unknown))
    assert fused < loss(calibrate(known[0], labels, unknown[0]), known[0], unknown[0])


@pytest.mark.parametrize("seed", range(3))
def test_nets_that_differ_by_chance_weigh_the_same(seed: int) -> None:
    rng, labels = np.random.default_rng(seed), np.arange(300, dtype=np.int32) % 10
    known = [similarities(rng, 300, 0.12) for _ in range(3)]
    unknown = [impostors(rng, 450, 0.12) for _ in range(3)]
    fusion = weigh(known, labels, unknown, np.arange(450, dtype=np.int32))
    assert fusion.weights == pytest.approx([1 / 3] * 3)


def test_more_images_of_the_same_palms_do_not_lower_the_standard_error() -> None:
    values, palms = np.random.default_rng(0).normal(size=40), np.arange(40, dtype=np.int32)
    alone = standard_error(values, palms)
    assert alone == pytest.approx(values.std(ddof=1) / np.sqrt(40))
    assert standard_error(np.repeat(values, 8), np.repeat(palms, 8)) == pytest.approx(alone)
