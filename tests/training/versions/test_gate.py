"""A precision passes if its decisions are those of TensorFlow in float32."""

from pathlib import Path

import numpy as np
import pytest

from app.nets.tensorflow_engine import TensorflowNets
from training.database.palms import load_palms
from training.database.split import split_palms
from training.versions.fuse import read_fusion
from training.versions.gate import Gate, Run, enrolled_part, trained_part
from training.versions.read import Version
from training.versions.strangers import Strangers

NETS = ("alexnet", "vgg16")


@pytest.fixture(scope="module")
def nets(toy_store: Path) -> list[Version]:
    return [Version.open(toy_store / net / "1") for net in NETS]


@pytest.fixture(scope="module")
def gate(nets: list[Version], database: Path, other_strangers: Path, toy_store: Path) -> Gate:
    """Measures the toy nets on their test part, strangers and enrolled strangers."""
    test = split_palms(load_palms(database, 32), by="seed").test
    strangers = load_palms(other_strangers, 32)
    enrolled = Strangers.choose(strangers, other_strangers)
    parts = [trained_part(nets, test, [strangers]), enrolled_part(nets, enrolled)]
    return Gate(toy_store, nets, parts)


@pytest.fixture(scope="module")
def run(nets: list[Version]) -> Run:
    return TensorflowNets({net.key.net: net.folder for net in nets}).maps


def test_the_same_maps_decide_equally_in_every_set_of_nets(gate: Gate, run: Run) -> None:
    found = gate.measure("f32", run, "toy")

    assert [one.nets for one in found] == [("alexnet/1",), ("vgg16/1",), ("alexnet/1", "vgg16/1")]
    for one in found:
        assert one.passed
        assert one.least_correlation == pytest.approx(1)
        for trial in one.trials:
            assert trial.equal == trial.probes
            assert trial.false_non_matches == trial.false_non_matches_of_tensorflow
            assert trial.false_matches == trial.false_matches_of_tensorflow


def test_a_net_of_noise_fails_and_its_false_non_matches_are_counted(
    gate: Gate, run: Run, nets: list[Version], database: Path, toy_store: Path
) -> None:
    rng = np.random.default_rng(1)

    def noise(images: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        return [
            (rng.normal(size=maps.shape).astype(np.float32), np.ones_like(mask))
            for maps, mask in run(images)
        ]

    fused = gate.measure("int8", noise, "toy")[-1]

    assert not fused.passed
    assert fused.least_correlation < 0.5
    test = split_palms(load_palms(database, 32), by="seed").test
    counts, owners = nets[0].trained.counts, test.labels
    fusion = read_fusion(toy_store, [net.key for net in nets])
    limits = fusion.calibration.at(0.01 / len(counts), counts, probes=1, impostors=None)
    # TensorFlow's false non-matches, by the definition of a decision and not by `decide`.
    scores = fusion.combine([net.scores(test) for net in nets]).astype(np.float64)
    odds = np.exp((scores - limits.scores) / limits.temperatures)
    accepted = (odds.max(axis=1) >= 1) & (2 * odds.max(axis=1) >= 1 + odds.sum(axis=1))
    missed = ~(accepted & (odds.argmax(axis=1) == owners))
    trial = fused.trials[0]
    assert trial.false_non_matches_of_tensorflow == missed.sum()
    assert trial.false_non_matches > missed.sum()
    assert trial.equal < trial.probes


def test_a_probe_without_a_subject_is_no_false_non_match(
    gate: Gate, run: Run, other_strangers: Path
) -> None:
    def nothing(images: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(np.zeros_like(maps), np.zeros_like(mask)) for maps, mask in run(images)]

    test, enrolled = gate.measure("int8", nothing, "toy")[-1].trials

    strangers = load_palms(other_strangers, 32)
    assert test.false_non_matches == test.probes - len(strangers)
    assert test.false_matches == 0
    assert enrolled.false_non_matches == enrolled.probes
