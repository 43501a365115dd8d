"""How much of a fine-tuning is kept, on toy nets that embed two numbers."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.training.toy_palms import pixel_net
from training.database.palms import Palms
from training.fit.interpolation import Interpolation, interpolate_weights


@pytest.fixture
def strangers(make_palms: Callable[..., Palms]) -> Palms:
    """Four identities whose images have one grey each, so that any sensible net separates them."""
    palms = make_palms(4, 2, 2)
    palms.pixels[:, 0, 0] = 20 + 60 * palms.labels
    return palms


GOOD, BLIND = (1.0, 0.0), (0.0, 0.0)


def test_all_of_a_change_is_kept_that_costs_strangers_nothing(strangers: Palms) -> None:
    model, tuned = pixel_net(GOOD), pixel_net((1.5, 0.0))
    kept = interpolate_weights(model, tuned, strangers)
    assert (kept.share_kept, kept.eer_before, kept.eer_after) == (1, 0, 0)
    np.testing.assert_allclose(
        model.get_layer("dense").get_weights()[0], tuned.get_layer("dense").get_weights()[0]
    )
    assert str(kept).startswith(
        "All of the change is kept: the maps' equal error rate on 4 synthetic strangers is 0.000%"
    )


def test_nothing_of_a_change_is_kept_that_costs_strangers_at_every_share(strangers: Palms) -> None:
    model, tuned = pixel_net(GOOD), pixel_net(BLIND)
    tuned.get_layer("dense").set_weights(
        [np.full((3, 2), 1e6, np.float32), np.zeros(2, np.float32)]
    )
    before = model.get_weights()
    kept = interpolate_weights(model, tuned, strangers)
    assert kept.share_kept == 0
    assert list(kept.eer_by_share) == [1, 0.75, 0.5, 0.25]
    assert min(kept.eer_by_share.values()) > kept.eer_before == kept.eer_after
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert str(kept).startswith("None of the change is kept: even 25% of it raises")
    assert kept.as_dict()["summary"] == str(kept)


def test_a_part_of_a_change_is_kept_if_more_costs_strangers(strangers: Palms) -> None:
    """The tuned net is blind; a mean of it and the good one is good."""
    model = pixel_net(GOOD)
    kept = interpolate_weights(model, pixel_net(BLIND), strangers)
    assert kept.share_kept == 0.75
    assert model.get_layer("dense").get_weights()[0][0, 0] == pytest.approx(0.25)
    assert "75% of the change is kept: 100% of it raises the maps' equal error rate" in str(kept)


def test_more_is_kept_where_the_rate_may_rise(strangers: Palms) -> None:
    assert (
        interpolate_weights(pixel_net(GOOD), pixel_net(BLIND), strangers, may_rise=1).share_kept
        == 1
    )


def test_prototypes_stay_as_they_are(strangers: Palms) -> None:
    model, tuned = pixel_net(GOOD), pixel_net((1.5, 0.0))
    before = model.get_layer("similarity").get_weights()[0]
    interpolate_weights(model, tuned, strangers)
    np.testing.assert_array_equal(model.get_layer("similarity").get_weights()[0], before)


def test_a_kept_part_names_the_rates_in_result_json() -> None:
    kept = Interpolation(600, 0.004, {1.0: 0.006, 0.75: 0.004}, 0.75)
    assert kept.as_dict() | {"summary": ""} == {
        "identities": 600,
        "eer_before": 0.004,
        "eer_after": 0.004,
        "eer_by_share": {"1": 0.006, "0.75": 0.004},
        "share_kept": 0.75,
        "summary": "",
    }
