"""Synthetic palms without end, and the loss of pairs that learns from them."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from app.palm.roi import prepare
from training.commands.synthesize import draw_palms, processes
from training.database.image_files import ImageFile
from training.fit.augmentation import degrade
from training.nets.losses import PairLoss
from training.synthetic.capture import HELD_OUT, TRAINING, draw_camera
from training.synthetic.pairs import SERVED_PX
from training.synthetic.stream import PalmStream, strangers


@pytest.fixture(scope="module")
def palms(tmp_path_factory: pytest.TempPathFactory) -> ImageFile:
    return draw_palms(6, 1, tmp_path_factory.mktemp("scratch"))


def stream(palms: ImageFile, epoch: int = 0, **options: Any) -> PalmStream:
    chosen = {"pairs": 2, "batch_size": 6, "side_px": 32, "seed": 1, "degraded": True} | options
    return PalmStream(palms, epoch=epoch, **chosen)


@pytest.mark.parametrize("side_px", [112, 32])
def test_nets_are_shown_what_they_will_see_in_service(side_px: int) -> None:
    shown, taken = (strangers(2, 1, TRAINING, side_px=side).pixels for side in (side_px, 128))
    for ours, whole in zip(shown, taken, strict=True):
        served = prepare(whole, SERVED_PX)[..., 0].astype(float)
        factor = SERVED_PX // side_px
        averaged = served.reshape(side_px, factor, side_px, factor).mean(axis=(1, 3))
        assert np.abs(ours - averaged).max() <= 1.5  # both round


def test_a_batch_holds_two_images_of_each_of_its_palms(palms: ImageFile) -> None:
    images, labels = stream(palms, first_label=10)[0]
    assert images.shape == (6, 32, 32, 3)
    assert images.dtype == np.uint8
    assert len(set(labels)) == 3
    np.testing.assert_array_equal(labels[::2], labels[1::2])
    assert labels.min() >= 10


def test_an_epoch_shows_every_palm_equally_often(palms: ImageFile) -> None:
    batches = stream(palms)
    labels = np.concatenate([batches[i][1] for i in range(len(batches))])
    assert np.bincount(labels).tolist() == [4] * 6


def test_no_image_comes_twice_and_a_resumed_epoch_is_the_same(palms: ImageFile) -> None:
    batches = stream(palms)
    seen = [image.tobytes() for i in range(len(batches)) for image in batches[i][0]]
    batches.on_epoch_end()
    again = [image.tobytes() for i in range(len(batches)) for image in batches[i][0]]
    assert len(set(seen + again)) == len(seen + again) == 48
    resumed = stream(palms, epoch=1)
    np.testing.assert_array_equal(resumed[2][0], batches[2][0])


def test_nobody_is_twice_in_a_batch_that_does_not_divide_the_palms(palms: ImageFile) -> None:
    batches = stream(palms, batch_size=8)
    assert len(batches) == 2
    assert all(len(set(batches[i][1])) == 4 for i in range(len(batches)))


def test_a_disturbed_image_still_shows_the_palm() -> None:
    plain = np.full((64, 64), 100, np.uint8)
    plain[:, 20:30] = 60
    spoilt = [degrade(plain, np.random.default_rng(i)) for i in range(60)]
    assert all(image.shape == (64, 64) and image.dtype == np.uint8 for image in spoilt)
    left = [np.array_equal(image, plain) for image in spoilt]
    assert 5 < sum(left) < 30  # what is expected: 0.7 * 0.7 * 0.8 * 0.7 of 60
    # Most of the vein stays in sight, in nearly all of them.
    seen = [np.corrcoef(image.ravel(), plain.ravel())[0, 1] for image in spoilt]
    assert np.quantile(seen, 0.1) > 0.5


@pytest.mark.parametrize("degraded", [True, False])
def test_a_stream_spoils_every_image_or_none(
    palms: ImageFile, degraded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def blacken(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        calls.append(1)
        return np.zeros_like(image)

    monkeypatch.setattr("training.synthetic.pairs.degrade", blacken)
    images, _ = stream(palms, degraded=degraded)[0]
    assert (len(calls), images.max() == 0) == ((6, True) if degraded else (0, False))


def test_a_process_gets_its_share_of_a_batch_or_all_of_it(
    palms: ImageFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, labels = stream(palms)[0]
    monkeypatch.setattr("training.synthetic.stream.process_share", lambda: slice(1, None, 2))
    part, _ = stream(palms)[0]
    np.testing.assert_array_equal(part, whole[2:4])
    again, _ = stream(palms, whole=True)[0]
    np.testing.assert_array_equal(again, whole)
    assert len(labels) == 6


def test_processes_take_the_same_images(palms: ImageFile) -> None:
    alone = stream(palms)
    with processes(1) as pool:
        helped = stream(palms, pool=pool)
        for index in (0, 1, 3, 0):
            for expected, found in zip(alone[index], helped[index], strict=True):
                np.testing.assert_array_equal(found, expected)


def test_a_large_batch_has_several_cameras(
    palms: ImageFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    cameras: list[np.ndarray] = []

    def draw(*arguments: Any) -> np.ndarray:
        cameras.append(draw_camera(*arguments))
        return cameras[-1]

    monkeypatch.setattr("training.synthetic.pairs.draw_camera", draw)
    monkeypatch.setattr("training.synthetic.stream.CAMERA_PALMS", 2)
    images, labels = stream(palms)[0]
    assert images.shape[0] == len(labels) == 6
    assert len(cameras) == 2  # of three palms
    assert not np.array_equal(*cameras)


def test_palms_are_those_of_the_seed(palms: ImageFile, tmp_path: Path) -> None:
    same, other = draw_palms(2, 1, tmp_path), draw_palms(2, 2, tmp_path)
    np.testing.assert_array_equal(same[np.arange(2)], palms[np.arange(2)])
    assert not np.array_equal(other[np.arange(2)], palms[np.arange(2)])


def test_strangers_have_their_style_and_their_visits() -> None:
    found = strangers(2, 5, HELD_OUT, sessions=2, shots=3, side_px=48)
    assert found.images().shape == (12, 48, 48)
    assert found.labels.tolist() == [0] * 6 + [1] * 6
    assert found.sessions.tolist() == [0, 0, 0, 1, 1, 1] * 2
    assert not np.array_equal(
        found.images(), strangers(2, 5, TRAINING, sessions=2, shots=3, side_px=48).images()
    )


def test_pair_loss_is_that_of_finding_ones_partner_among_all_others() -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(6, 5)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    labels, partner = np.array([7, 7, 2, 2, 4, 4]), [1, 0, 3, 2, 5, 4]
    expected = []
    for i in range(6):
        others = [j for j in range(6) if j != i]
        logits = [10 * (embeddings[i] @ embeddings[j] - 0.2 * (j == partner[i])) for j in others]
        odds = np.exp(logits) / np.exp(logits).sum()
        expected.append(-np.log(odds[others.index(partner[i])]))
    loss = PairLoss(scale=10, margin=0.2)
    found = loss.call(labels, keras.ops.convert_to_tensor(embeddings))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
