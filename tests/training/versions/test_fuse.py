"""Weights of nets, and fusion.json, which is read as it was written or not at all."""

from pathlib import Path

import numpy as np
import pytest

from app.matching.calibration import (
    Calibration,
    Case,
    Threshold,
)
from app.matching.fusion import Fusion
from app.matching.templates import NetKey
from app.nets.files import NetCorrupt, NetMissing
from app.nets.fusion_manifest import FusionEntry, read_fusion_manifest
from training.versions.calibrate import CaseKind, fuse_trials
from training.versions.case import Trials, calibrate, negative_log_likelihood
from training.versions.fuse import (
    find_fusion,
    fusion_entry,
    other_entries,
    read_fusion,
    standard_error,
    weigh,
    write_fusions,
)

ALEXNET, VGG16, VGG19 = (NetKey(net, 1) for net in ("alexnet", "vgg16", "vgg19"))
THRESHOLDS = (Threshold(0.2, 0.1, 1000), Threshold(0.7093388349, 1e-05, 1000))
CASES = (Case(False, 1, 1, 0.05, THRESHOLDS), Case(True, 3, 1, 0.04, THRESHOLDS))
FUSION = Fusion((0.75, 0.25), Calibration(CASES))


def entry_of(*keys: NetKey) -> FusionEntry:
    return fusion_entry(keys, FUSION.weights, CASES, ["0" * 64])


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A models store with fusion.json alone."""
    write_fusions(tmp_path, [entry_of(ALEXNET, VGG16)])
    return tmp_path


def test_a_fusion_is_read_as_it_was_written(store: Path) -> None:
    assert read_fusion(store, [ALEXNET, VGG16]) == FUSION
    assert find_fusion(store, [ALEXNET, VGG16]).strangers == ("0" * 64,)


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
        entry_of(*keys)
        for keys in ((ALEXNET, VGG19), (ALEXNET, VGG16), (ALEXNET, NetKey("vgg16", 3)))
    )
    for key in (ALEXNET, VGG16, VGG19):
        (tmp_path / str(key)).mkdir(parents=True)
    write_fusions(tmp_path, [replaced, kept, removed])
    assert other_entries(tmp_path, [ALEXNET, VGG16]) == [kept]


def test_a_store_without_fusions_has_no_other_entries(tmp_path: Path) -> None:
    assert other_entries(tmp_path, [ALEXNET, VGG16]) == []


def test_the_file_of_an_earlier_release_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "fusion.json").write_text('{"schema_version": 1, "fusions": []}')
    assert other_entries(tmp_path, [ALEXNET, VGG16]) == []


def test_the_first_entry_is_the_newest(store: Path) -> None:
    newer = entry_of(NetKey("alexnet", 2), NetKey("vgg16", 2))
    write_fusions(store, [newer, *read_fusion_manifest(store).fusions])
    found = read_fusion_manifest(store).find({"alexnet": None, "vgg16": None})
    assert found == newer


KIND = CaseKind(mean_map=False, templates=1, probes=1)


def trials(rng: np.random.Generator, noise: float, subjects: int = 60) -> Trials:
    found = rng.normal(0, noise, (subjects, subjects)).astype(np.float32)
    return Trials(found + 0.5 * np.eye(subjects, dtype=np.float32), np.arange(subjects))


def test_a_net_with_fewer_errors_weighs_more() -> None:
    rng = np.random.default_rng(0)
    nets = [[trials(rng, noise) for _ in range(2)] for noise in (0.12, 0.25)]
    weights = weigh(nets, KIND)
    assert weights[0] > 0.5
    assert sum(weights) == pytest.approx(1)

    def loss(styles: list[Trials]) -> float:
        case = calibrate(styles, **KIND._asdict())
        return float(np.mean([negative_log_likelihood(case, one) for one in styles]))

    assert loss(fuse_trials(nets, weights)) < loss(nets[0])


@pytest.mark.parametrize("seed", range(3))
def test_nets_that_differ_by_chance_weigh_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = weigh([[trials(rng, 0.12)] for _ in range(3)], KIND)
    assert weights == pytest.approx([1 / 3] * 3)


def test_more_images_of_the_same_palms_do_not_lower_the_standard_error() -> None:
    values, palms = np.random.default_rng(0).normal(size=40), np.arange(40, dtype=np.int32)
    alone = standard_error(values, palms)
    assert alone == pytest.approx(values.std(ddof=1) / np.sqrt(40))
    assert standard_error(np.repeat(values, 8), np.repeat(palms, 8)) == pytest.approx(alone)
