"""Batches of synthetic pairs."""

from typing import Any

import numpy as np
import pytest

from training.database.image_files import ImageFile
from training.synthetic.pairs import photograph_pairs
from training.synthetic.palms import draw_palms, start_processes
from training.synthetic.stream import PalmStream


@pytest.fixture(scope="module")
def palms(tmp_path_factory: pytest.TempPathFactory) -> ImageFile:
    return draw_palms(6, 1, tmp_path_factory.mktemp("scratch"))


def stream(palms: ImageFile, epoch: int = 0, **options: Any) -> PalmStream:
    chosen = {"pairs": 2, "batch_size": 6, "side_px": 32, "seed": 1, "degraded": True} | options
    return PalmStream(palms, epoch=epoch, **chosen)


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


def test_no_palm_is_twice_in_a_batch_that_does_not_divide_the_palms(palms: ImageFile) -> None:
    batches = stream(palms, batch_size=8)
    assert len(batches) == 2
    assert all(len(set(batches[i][1])) == 4 for i in range(len(batches)))


@pytest.mark.parametrize("degraded", [True, False])
def test_a_batchs_cameras_take_as_many_palms_each_as_asked_for(
    palms: ImageFile, degraded: bool
) -> None:
    images, labels = stream(palms, camera_palms=2, degraded=degraded)[0]
    chosen = labels[::2].astype(np.int64)
    parts = [
        photograph_pairs(palms, some, (1, 0, 0), camera, 32, degraded)
        for camera, some in enumerate((chosen[:2], chosen[2:]))
    ]
    np.testing.assert_array_equal(images[..., 0], np.concatenate(parts))


def test_processes_take_the_same_images(palms: ImageFile) -> None:
    alone = stream(palms)
    with start_processes(1) as pool:
        helped = stream(palms, pool=pool)
        for index in (0, 1, 3, 0):
            for expected, found in zip(alone[index], helped[index], strict=True):
                np.testing.assert_array_equal(found, expected)
