"""Similarities of nets that look their maps and embeddings up in a table."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.matching.calibration import Calibration
from app.matching.fusion import Fusion
from app.matching.impostors import Impostors
from app.matching.maps import MapShape, VeinMaps
from app.matching.templates import NetKey, TrainedTemplates
from tests.training.toy_palms import make_palms
from tests.training.toy_trials import make_calibration, make_case, make_trials
from training.benchmark.comparisons import Comparisons, Trials
from training.benchmark.map_options import MapOptions
from training.benchmark.map_similarities import split_identities
from training.benchmark.matchers import Matcher, compare_nets
from training.database.palms import Palms
from training.metrics.protocol import is_template

SIZE = 6
CALIBRATION = make_calibration((0.2, 0.1))


@dataclass(frozen=True)
class TableNet:
    """A net whose map and embedding depend on an image's pixel and the net's seed alone.

    The images that `make_palms` makes have one pixel, whose value is the image's number.
    """

    key: NetKey
    seed: int
    calibration: Calibration = CALIBRATION

    @property
    def trained(self) -> TrainedTemplates:
        return TrainedTemplates(np.zeros(0, np.int32), VeinMaps.empty(MapShape(7, 2)))

    def maps(self, palms: Palms) -> VeinMaps:
        found = np.stack([one.normal(size=(7, 7, 2)) for one in self._rngs(palms)])
        return VeinMaps.of(found.astype(np.float32), np.ones(found.shape[:3], np.float32))

    def run(self, palms: Palms) -> tuple[VeinMaps, NDArray[np.float32]]:
        return self.maps(palms), self.embeddings(palms)

    def embeddings(self, palms: Palms) -> NDArray[np.float32]:
        found = np.stack([one.normal(size=SIZE) for one in self._rngs(palms)]).astype(np.float32)
        return found / np.linalg.norm(found, axis=-1, keepdims=True)

    def _rngs(self, palms: Palms) -> list[np.random.Generator]:
        return [np.random.default_rng([self.seed, int(n)]) for n in palms.images()[:, 0, 0]]


NETS: Any = [TableNet(NetKey("alexnet", 1), 1), TableNet(NetKey("vgg16", 3), 2)]
FUSION = Fusion((0.75, 0.25), CALIBRATION)


def compare(
    palms: Palms, options: MapOptions | None = None, most: int | None = None
) -> dict[str, Matcher]:
    trials = Trials.of(palms, is_template(palms), most)
    splits = split_identities(len(palms.identities), seed=1)
    found = compare_nets(NETS, FUSION, palms, trials, splits, options=options or MapOptions())
    return {one.name: one for one in found}


@pytest.fixture(scope="module")
def few() -> dict[str, Matcher]:
    """Matchers of three identities."""
    return compare(make_palms(3, sessions=2, shots=2))


@pytest.fixture(scope="module")
def many() -> dict[str, Matcher]:
    """Matchers of 42 identities."""
    return compare(make_palms(42, sessions=2, shots=2))


def test_every_net_has_a_row_for_its_map_and_one_for_its_embedding(few: dict[str, Matcher]) -> None:
    names = ["alexnet/1 map", "alexnet/1 embedding", "vgg16/3 map", "vgg16/3 embedding", "fused"]
    assert list(few) == names
    assert [one.compares_maps for one in few.values()] == [True, False, True, False, True]
    assert few["vgg16/3 map"].made_of == "signs of a map of 7 x 7 x 2"
    assert few["fused"].made_of == "0.75 alexnet/1 map + 0.25 vgg16/3 map"


def test_only_maps_are_calibrated(few: dict[str, Matcher]) -> None:
    calibrated = [name for name, one in few.items() if one.calibration]
    assert calibrated == ["alexnet/1 map", "vgg16/3 map", "fused"]


def test_all_matchers_have_the_same_trials(few: dict[str, Matcher]) -> None:
    first, *others = (one.comparisons.trials for one in few.values())
    assert all(one is first for one in others)


def test_a_probe_has_the_similarity_of_the_best_template(few: dict[str, Matcher]) -> None:
    palms = make_palms(3, sessions=2, shots=2)
    embeddings = NETS[1].embeddings(palms)
    cosines = embeddings[palms.sessions == 1] @ embeddings[palms.sessions == 0].T
    found = few["vgg16/3 embedding"].comparisons.similarities
    np.testing.assert_allclose(found, cosines.reshape(6, 3, 2).max(axis=2), atol=1e-6)


def test_one_template_of_each_identity_is_its_first(few: dict[str, Matcher]) -> None:
    palms = make_palms(3, sessions=2, shots=2)
    one = compare(palms, most=1)["vgg16/3 embedding"].comparisons.similarities
    embeddings = NETS[1].embeddings(palms)
    first = (palms.sessions == 0) & (palms.shots == 0)
    np.testing.assert_allclose(
        one, embeddings[palms.sessions == 1] @ embeddings[first].T, atol=1e-6
    )


def test_the_fused_similarity_is_the_weighted_sum_of_the_maps(many: dict[str, Matcher]) -> None:
    one, other = (many[name].comparisons.similarities for name in ("alexnet/1 map", "vgg16/3 map"))
    fused = many["fused"].comparisons.similarities
    np.testing.assert_allclose(fused, 0.75 * one + 0.25 * other, atol=1e-6)
    assert np.abs(one - other).max() > 0.1


def test_few_identities_have_no_mean_map(few: dict[str, Matcher]) -> None:
    for one in few.values():
        assert (one.impostors, one.without_mean, one.outside) == (None, None, ())


def test_many_identities_have_a_mean_map_and_strangers_outside_it(many: dict[str, Matcher]) -> None:
    for name in ("vgg16/3 map", "fused"):
        one = many[name]
        assert one.impostors
        assert [of.impostors is not None for of in one.outside] == [False, True]
        assert one.without_mean
        assert not np.array_equal(one.without_mean.similarities, one.comparisons.similarities)
        assert [outside.enrolled for outside in one.outside] == [0, 20]
        shapes = [outside.comparisons.similarities.shape for outside in one.outside]
        assert shapes == [(84, 42), (44, 22)]
    assert not many["vgg16/3 embedding"].impostors


@pytest.mark.parametrize(
    "options", [MapOptions(shift=1), MapOptions(channels="local"), MapOptions(channels="wide")]
)
def test_maps_that_are_compared_otherwise_are_not_calibrated(
    few: dict[str, Matcher], options: MapOptions
) -> None:
    found = compare(make_palms(3, sessions=2, shots=2), options)
    assert not any(one.calibration for one in found.values())
    ours, shipped = (one["fused"].comparisons.similarities for one in (found, few))
    assert not np.array_equal(ours, shipped)


def test_limits_are_those_of_the_case() -> None:
    cases = (
        make_case((0.3, 1e-3)),
        make_case((4, 1e-3), mean_map=True),
        make_case((5, 1e-3), mean_map=True, templates=4),
    )
    trials = make_trials([0, 1], [0, 1], templates=[1, 4])
    found = Comparisons(np.zeros((2, 2), np.float32), trials)
    one = Matcher("", "", found, Calibration(cases))
    impostors = Impostors(0.25, 0.0625)
    limits = one.limits(1e-3, found, impostors)
    assert limits
    assert limits.scores.tolist() == [0.25 + 4 / 16, 0.25 + 5 / 16]
    without = one.limits(1e-3, found, None)
    assert without
    assert without.scores.tolist() == [0.3, 0.3]
    assert one.limits(1e-4, found, impostors) is None
    assert Matcher("", "", found).limits(1e-3, found, impostors) is None


def test_evidence_is_the_distance_from_the_threshold_in_temperatures() -> None:
    # Of two identities FPIR 1 % is an FMR of 5e-3.
    cases = make_case((0.3, 5e-3)), make_case((0.5, 5e-3), templates=2, temperature=0.1)
    similarities = np.array([[0.4, 0.7]], np.float32)
    unequal = Comparisons(similarities, make_trials([0], [0, 1], templates=[1, 2]))
    found = Matcher("", "", unequal, Calibration(cases)).evidence()
    np.testing.assert_allclose(found.similarities, [[0.1 / 0.05, 0.2 / 0.1]], rtol=1e-5)
    equal = Comparisons(similarities, make_trials([0], [0, 1], templates=2))
    assert Matcher("", "", equal, Calibration(cases)).evidence() is equal
    assert Matcher("", "", unequal).evidence() is unequal
