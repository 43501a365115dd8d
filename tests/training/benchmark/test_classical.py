"""The untrained matcher recognizes a palm that was moved, turned or lit differently."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.toy_palms import palms_of
from training.benchmark.classical import MATCH_PX, correlate, filter_images
from training.benchmark.comparisons import Trials
from training.benchmark.identification import ranks
from training.benchmark.matchers import compare_classically
from training.database.palms import load_palms
from training.metrics.protocol import is_template
from training.metrics.rates import equal_error_rate


def texture(seed: int, side: int = 200) -> NDArray[np.float32]:
    """Dark, blurred bands on a grey ground."""
    noise = np.random.default_rng(seed).normal(size=(side, side)).astype(np.float32)
    band = cv2.GaussianBlur(noise, (0, 0), 5)
    return 120 + 25 * band / band.std()


def similarity(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    filtered = filter_images(palms_of(np.clip([one, other], 0, 255), [0, 1]))
    return float(correlate(filtered[:1], filtered[1:], np.zeros(1, np.int32), 1)[0, 0])


def moved(seed: int, shift: int = 0, degrees: float = 0) -> NDArray[np.float32]:
    """The middle 160 pixels of a texture that was shifted and turned."""
    turn = cv2.getRotationMatrix2D((99.5, 99.5), degrees, 1)
    turned = cv2.warpAffine(texture(seed), turn, (200, 200), borderMode=cv2.BORDER_REFLECT)
    return turned[20 + shift : 180 + shift, 20 - shift : 180 - shift]


@pytest.mark.parametrize(("shift", "degrees"), [(0, 0), (10, 0), (-15, 0), (0, 4), (10, -4)])
def test_a_moved_palm_is_recognized_and_another_is_not(shift: int, degrees: float) -> None:
    assert similarity(moved(1), moved(1, shift, degrees)) > 0.8
    assert similarity(moved(1), moved(2, shift, degrees)) < 0.5


def test_shifts_beyond_a_tenth_are_not_searched() -> None:
    assert similarity(moved(1, -20), moved(1, 20)) < 0.6


def test_light_and_contrast_change_little() -> None:
    ramp = np.linspace(-60, 60, 160, dtype=np.float32)[None]
    assert similarity(moved(1), 0.4 * moved(1) + 80 + ramp) > 0.9


def test_the_same_image_has_similarity_1_and_a_uniform_one_0() -> None:
    assert similarity(moved(1), moved(1)) == pytest.approx(1, abs=1e-5)
    assert similarity(moved(1), np.full((160, 160), 128, np.float32)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("block", [1, 3, 1024])
def test_the_similarity_to_an_identity_is_that_of_its_best_template_image(block: int) -> None:
    rng = np.random.default_rng(1)
    images = rng.normal(size=(7, MATCH_PX, MATCH_PX)).astype(np.float32)
    labels = np.array([0, 1, 1, 0, 1], np.int32)
    alone = correlate(images[:2], images[2:], np.arange(5, dtype=np.int32), 5)
    found = correlate(images[:2], images[2:], labels, 2, block=block)
    expected = np.stack([alone[:, labels == i].max(axis=1) for i in range(2)], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_synthetic_palms_are_told_apart(database: Path) -> None:
    palms = load_palms(database, 128)
    trials = Trials.of(palms, is_template(palms))
    found = compare_classically(palms, trials).comparisons
    assert found.similarities.shape == (24, 4)
    assert (ranks(found) == 1).mean() > 0.9
    assert equal_error_rate(found.genuine(), found.impostors()) < 0.15
