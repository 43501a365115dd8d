"""The similarity of probes to templates, against a sum written out."""

import numpy as np
from numpy.typing import NDArray

from app.matching.similarity import similarities
from app.palm.views import STEP, TEMPLATE_VIEWS, probe_views, template_views
from tests.app.conftest import unit_rows


def test_a_similarity_is_the_mean_of_both_views_best_cosines() -> None:
    probes, templates = unit_rows(4, 2, 8, seed=1), unit_rows(3, *TEMPLATE_VIEWS, 8, seed=2)
    expected = [
        [
            sum(max(float(a @ b) for b in template[v]) for v, a in enumerate(probe)) / 2
            for template in templates
        ]
        for probe in probes
    ]

    found = similarities(probes, templates)

    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.dtype == np.float32


def test_two_images_one_step_apart_are_alike() -> None:
    """One palm, cut out of one scene in two places."""
    step = round(STEP * 48)
    scene = np.random.default_rng(0).integers(0, 256, (1, 50, 50, 3), dtype=np.uint8)
    one, other = scene[:, :48, :48], scene[:, 2 : 2 + 48, 2 : 2 + 48]

    def embed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        middle = images[..., 8:-8, 8:-8, :].reshape(*images.shape[:-3], -1).astype(np.float32) - 127
        return middle / np.linalg.norm(middle, axis=-1, keepdims=True)

    assert step == 2
    assert (embed(one) * embed(other)).sum() < 0.1
    assert similarities(embed(probe_views(one)), embed(template_views(other)))[0, 0] > 0.99


def test_without_templates_there_are_no_similarities() -> None:
    nobody = np.zeros((0, *TEMPLATE_VIEWS, 8), np.float32)

    assert similarities(unit_rows(1, 2, 8), nobody).shape == (1, 0)
