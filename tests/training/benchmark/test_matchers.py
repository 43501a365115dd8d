"""Similarities of nets that look their embeddings up in a table."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from app.matching.calibration import Calibration, Threshold
from app.matching.fusion import Fusion
from app.matching.templates import NetKey
from tests.training.toy_palms import make_palms
from training.benchmark.comparisons import Trials
from training.benchmark.matchers import compare_nets
from training.database.palms import Palms
from training.metrics.protocol import is_template
from training.versions.read import Views

SIZE = 6
CALIBRATION = Calibration(0.05, (Threshold(0.2, 0.1, 1000),))


@dataclass(frozen=True)
class TableNet:
    """A net whose embedding depends on an image's pixel, its view and the net's seed alone.

    The images that `make_palms` makes have one pixel, whose value is the image's number.
    """

    key: NetKey
    seed: int
    calibration: Calibration = CALIBRATION

    def embeddings(self, palms: Palms, views: Views) -> NDArray[np.float32]:
        shape = views(np.zeros((1, 4, 4, 3), np.uint8)).shape[1:-3]
        numbers = palms.images()[:, 0, 0]
        rows = [self.embedding(int(number), shape) for number in numbers]
        return np.stack(rows)

    def embedding(self, number: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        rng = np.random.default_rng([self.seed, number])
        found = rng.normal(size=(*shape, SIZE)).astype(np.float32)
        return found / np.linalg.norm(found, axis=-1, keepdims=True)


NETS = [TableNet(NetKey("alexnet", 1), 1), TableNet(NetKey("vgg16", 3), 2)]
FUSION = Fusion((0.75, 0.25), CALIBRATION)


@pytest.fixture
def palms() -> Palms:
    return make_palms(3, sessions=2, shots=2)


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_a_net_is_compared_as_in_the_service(palms: Palms) -> None:
    trials = Trials.of(palms, is_template(palms))
    (matcher,) = compare_nets(NETS[:1], None, palms, trials, views=True)
    assert (matcher.name, matcher.made_of) == ("alexnet", "alexnet/1")
    assert matcher.calibration == CALIBRATION
    found = matcher.comparisons.similarities
    for row, probe in enumerate(np.flatnonzero(palms.sessions == 1)):
        embedding = NETS[0].embedding(int(probe), (2,))
        for identity in range(3):
            own = np.flatnonzero((palms.labels == identity) & (palms.sessions == 0))
            embeddings = [NETS[0].embedding(int(one), (2, 5)) for one in own]
            template = unit(np.mean(embeddings, axis=0))
            best = (template @ embedding[..., None])[..., 0].max(axis=1)
            assert found[row, identity] == pytest.approx(best.mean(), abs=1e-5)


def test_without_views_every_image_is_embedded_once_and_nothing_is_calibrated(palms: Palms) -> None:
    trials = Trials.of(palms, is_template(palms))
    matchers = list(compare_nets(NETS, FUSION, palms, trials, views=False))
    assert [matcher.calibration for matcher in matchers] == [None] * 3
    embeddings = NETS[0].embeddings(palms, lambda images: images)
    templates = np.stack(
        [unit(embeddings[(palms.labels == i) & trials.templates].mean(axis=0)) for i in range(3)]
    )
    expected = embeddings[~trials.templates] @ templates.T
    np.testing.assert_allclose(matchers[0].comparisons.similarities, expected, atol=1e-5)


def test_the_fused_similarity_is_the_weighted_sum_of_the_nets(palms: Palms) -> None:
    trials = Trials.of(palms, is_template(palms))
    one, other, fused = compare_nets(NETS, FUSION, palms, trials, views=True)
    assert (fused.name, fused.made_of) == ("fused", "0.75 alexnet/1 + 0.25 vgg16/3")
    expected = 0.75 * one.comparisons.similarities + 0.25 * other.comparisons.similarities
    np.testing.assert_allclose(fused.comparisons.similarities, expected, atol=1e-6)
    assert np.abs(one.comparisons.similarities - other.comparisons.similarities).max() > 0.1
