"""Mean templates and the check of unit length, against values worked out by hand."""

import numpy as np
import pytest

from app.matching.templates import NetKey, are_unit, mean_template, mean_templates
from tests.app.conftest import unit_rows


def test_a_key_is_written_as_net_and_version() -> None:
    assert str(NetKey("vgg16", 8)) == "vgg16/8"


def test_a_mean_template_is_the_mean_at_unit_length() -> None:
    found = mean_template(np.array([[0, 1], [0.6, 0.8]], np.float32))

    length = (0.6**2 + 1.8**2) ** 0.5
    np.testing.assert_allclose(found, [0.6 / length, 1.8 / length], rtol=1e-6)
    assert found.dtype == np.float32


def test_a_mean_template_has_unit_length_in_every_view() -> None:
    rows = unit_rows(3, 5, 4)

    found = mean_template(rows)

    for view in range(5):
        np.testing.assert_allclose(found[view], mean_template(rows[:, view]), rtol=1e-6)


def test_mean_templates_are_each_identity_s_mean_template() -> None:
    embeddings, labels = unit_rows(6, 2, 5, 4), np.array([2, 0, 2, 0, 0, 2])

    found = mean_templates(embeddings, labels, 3)

    assert found.shape == (3, 2, 5, 4)
    assert found.dtype == np.float32
    for identity in (0, 2):
        expected = mean_template(embeddings[labels == identity])
        np.testing.assert_allclose(found[identity], expected, rtol=1e-5)


def test_an_identity_without_embeddings_has_a_template_of_zeros() -> None:
    found = mean_templates(unit_rows(2, 4), np.array([0, 2]), 4)

    assert np.abs(found[[1, 3]]).max() == 0


@pytest.mark.parametrize(
    ("vector", "unit"),
    [
        ([0.6, 0.8], True),
        ([0.6, 0.795], True),
        ([0.6, 0.7], False),
        ([0.0, 0.0], False),
        ([np.nan, 1.0], False),
        ([np.inf, 0.0], False),
        ([3e38, 3e38], False),
    ],
)
def test_unit_length_is_told_from_every_other(vector: list[float], unit: bool) -> None:
    assert are_unit(np.array([vector, [0.0, 1.0]], np.float32)).tolist() == [unit, True]
