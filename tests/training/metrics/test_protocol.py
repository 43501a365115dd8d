"""Which images are templates, and which databases cannot be compared."""

import numpy as np
import pytest

from tests.training.toy_palms import make_palms
from training.metrics.protocol import is_template, require_pairs


def test_templates_are_the_images_of_the_first_session() -> None:
    palms = make_palms(2, sessions=3, shots=2)
    np.testing.assert_array_equal(is_template(palms), palms.sessions == 0)


def test_identities_that_missed_the_first_session_have_templates_of_a_later_one() -> None:
    whole = make_palms(3, sessions=3, shots=2)
    late, once = whole.labels == 1, whole.labels == 2
    palms = whole.select((~late | (whole.sessions > 0)) & (~once | (whole.sessions == 2)))
    expected = {0: [0, 0], 1: [1, 1], 2: [2, 2]}  # the last one has no probe
    for label, sessions in expected.items():
        assert palms.sessions[is_template(palms) & (palms.labels == label)].tolist() == sessions


@pytest.mark.parametrize(("shots", "templates"), [(1, 1), (2, 1), (3, 1), (4, 2)])
def test_without_a_second_session_the_first_half_of_the_shots_are_templates(
    shots: int, templates: int
) -> None:
    palms = make_palms(2, sessions=0, shots=shots)
    np.testing.assert_array_equal(is_template(palms), palms.shots < templates)


def test_one_shot_in_two_bands_stays_on_one_side() -> None:
    palms = make_palms(2, sessions=1, shots=3, bands=2)
    np.testing.assert_array_equal(is_template(palms), palms.shots < 1)


def test_identities_with_one_image_each_are_refused() -> None:
    require_pairs(make_palms(4, sessions=0, shots=2))
    message = "none of 4 identities has a second image, such as 0/0/0-0.*choose another --split"
    with pytest.raises(ValueError, match=message):
        require_pairs(make_palms(4, sessions=0, shots=1))


def test_one_identity_is_refused() -> None:
    with pytest.raises(ValueError, match=r"only one identity, such as 0/0/0-0.*: add images$"):
        require_pairs(make_palms(1, sessions=2, shots=2), ": add images")
