"""From the bytes of a file to a palm's square."""

import numpy as np
import pytest

from app.palm.decode import ImageLimits
from app.palm.errors import PalmNotFound, PoorQuality
from app.palm.finder import Finder
from app.palm.reader import PalmReader
from app.palm.roi import prepare
from tests.app.conftest import encode
from tests.app.palm.test_hand import spots
from tests.app.palm.toy_net import SIDE, read_spots, reader_of_crops


@pytest.fixture
def reader() -> PalmReader:
    """A reader that finds hands drawn as spots, and takes other images for neither."""
    return PalmReader(Finder(read_spots, SIDE, 0.5), limits=ImageLimits(), mode="auto")


def test_the_square_of_a_hand_is_cut_upright(reader: PalmReader) -> None:
    upright, _ = spots((640, 480), (320, 200), 110, 0)
    turned = np.ascontiguousarray(np.rot90(upright))
    palms = [reader.read(encode(image), 96) for image in (upright, turned)]
    assert [palm.region.capture for palm in palms] == ["hand", "hand"]
    assert palms[0].pixels.shape == (96, 96, 3)
    difference = palms[0].pixels.astype(int) - palms[1].pixels
    assert np.abs(difference).mean() < 3
    assert palms[0].region.square.rotation_deg == pytest.approx(0, abs=1)
    assert palms[1].region.square.rotation_deg == pytest.approx(-90, abs=1)


def test_a_hand_is_mapped_only_where_there_is_skin(reader: PalmReader) -> None:
    image, _ = spots((640, 480), (320, 200), 110, 0)
    palm = reader.read(encode(image), 96)
    assert 0 < palm.skin.mean() < 1  # the spots
    assert palm.quality.skin == pytest.approx(palm.skin.mean())


def test_a_region_of_interest_is_left_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (128, 160, 3), dtype=np.uint8)
    palm = reader_of_crops().read(encode(image), 64)
    assert palm.region.capture == "roi"
    assert palm.skin.all()
    np.testing.assert_array_equal(palm.pixels, prepare(image, 64))


def test_of_a_colour_image_the_red_channel_counts() -> None:
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    red = np.ascontiguousarray(image[..., 0])
    np.testing.assert_array_equal(
        reader_of_crops().read(encode(image), 64).pixels,
        reader_of_crops().read(encode(red), 64).pixels,
    )


def test_the_caller_may_say_what_an_image_is_taken_for(reader: PalmReader) -> None:
    hand, _ = spots((320, 240), (150, 110), 50, 0)
    assert reader.read(encode(hand), 64).region.capture == "hand"
    assert reader.read(encode(hand), 64, "roi").region.capture == "roi"
    crop = encode(np.random.default_rng(0).integers(0, 256, (128, 128), dtype=np.uint8))
    with pytest.raises(PalmNotFound, match=r"no open hand is found .* send capture=roi"):
        reader_of_crops().read(crop, 64, "hand")


def test_what_shows_no_palm_is_refused_in_every_mode(reader: PalmReader) -> None:
    nothing = encode(np.zeros((128, 128), np.uint8))
    with pytest.raises(PalmNotFound, match="no open hand"):
        reader.read(nothing, 64)
    with pytest.raises(PoorQuality, match="it is not certain that this is a palm"):
        reader.read(nothing, 64, "roi").quality.refuse_below(1)
