"""Comparisons in bulk are those of the service."""

import numpy as np
import pytest

from app.matching.maps import Signs, VeinMaps
from app.matching.scores import NO_SCORE
from app.matching.similarity import NO_SIMILARITY, probe_codes, similarities, template_codes
from app.matching.templates import TrainedTemplates
from training.versions.compare import (
    best_of_subject,
    compare_maps,
    compare_trained,
)

SIDE, CHANNELS = 9, 4


def maps(count: int, seed: int, masked: float = 0.0) -> VeinMaps:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, SIDE, SIDE, CHANNELS)).astype(np.float32)
    return VeinMaps.of(values, (rng.random((count, SIDE, SIDE)) >= masked).astype(np.float32))


@pytest.mark.parametrize("masked", [0.0, 0.1, 0.5])
@pytest.mark.parametrize(("shift", "with_mean"), [(2, False), (2, True), (1, False)])
def test_scores_are_those_of_the_service(masked: float, shift: int, with_mean: bool) -> None:
    probes, templates = maps(5, 0, masked), maps(6, 1, masked)
    mean = maps(1, 2).deviations[0] if with_mean else None
    found = compare_maps(probes, templates, mean, "toy", shift=shift)
    codes = template_codes(Signs.of(templates, mean))
    expected = [
        similarities(
            probe_codes(Signs.of(probes[i : i + 1], mean), shift), codes, probes.shape, shift
        )
        for i in range(5)
    ]
    similar = np.stack(expected)
    scores = np.where(similar == NO_SIMILARITY, NO_SCORE, similar)  # the maps are not scaled
    np.testing.assert_allclose(found, scores, atol=1e-6)
    assert found.dtype == np.float32
    assert ((found == NO_SCORE).any()) == (masked == 0.5)


def test_a_subject_s_similarity_is_that_of_its_best_template() -> None:
    found = best_of_subject(np.array([[0.1, 0.4, 0.3, 0.2]], np.float32), np.array([1, 0, 1, 1]), 2)
    assert found.tolist() == [[np.float32(0.4), np.float32(0.3)]]


def test_an_image_is_most_like_its_own_identity() -> None:
    own = maps(6, 3)
    trained = TrainedTemplates(np.array([0, 0, 1, 1, 2, 2], np.int32), own)
    found = compare_trained(own, trained, "toy")
    assert found.shape == (6, 3)
    assert found.argmax(axis=1).tolist() == trained.owners.tolist()
    assert found.max(axis=1).tolist() == [1] * 6
