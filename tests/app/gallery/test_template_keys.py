"""Template keys transform whole stored maps, and hide what is not compared."""

import numpy as np
import pytest

from app.gallery.encryption.template_keys import TemplateKey, TemplateKeys
from app.matching.maps import SCALE_BYTES, VeinMaps
from tests.app.gallery.conftest import VGG16, vein_maps

KEY, OTHER = TemplateKey(bytes(range(32))), TemplateKey(bytes(32))
PLACE = ("vgg16", "0123456789abcdef", 7)


def scaled(count: int) -> VeinMaps:
    """Returns maps with unusable places, and with scales."""
    maps = vein_maps(count, masked=0.2)
    scales = np.tile(np.array([0.1, 0.2, 3], np.float32), (count, 1))
    return VeinMaps(maps.values, maps.usable, scales)


@pytest.mark.parametrize("size", [0, 1, 11, 12, 13, 264, VGG16.shape.stored_bytes])
def test_every_stored_map_comes_back_also_of_another_size_or_damaged(size: int) -> None:
    stored = np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()

    transformed = KEY.apply(stored, *PLACE)

    assert len(transformed) == size
    assert KEY.undo(transformed, *PLACE) == stored


def test_maps_under_one_key_keep_the_distances_of_their_values() -> None:
    def products(stored: list[bytes]) -> np.ndarray:
        rows = np.stack([np.frombuffer(one[:-SCALE_BYTES], np.int8) for one in stored])
        return rows.astype(np.int64) @ rows.T.astype(np.int64)

    stored = scaled(5).to_bytes()
    transformed = [KEY.apply(one, "vgg16", "0", number) for number, one in enumerate(stored)]

    np.testing.assert_array_equal(products(transformed), products(stored))


def test_a_map_under_two_keys_is_unlike_itself() -> None:
    (stored,) = scaled(1).to_bytes()
    ours, theirs = (
        np.frombuffer(key.apply(stored, *PLACE)[:-SCALE_BYTES], np.int8).astype(np.float64)
        for key in (KEY, OTHER)
    )

    assert abs(np.corrcoef(ours, theirs)[0, 1]) < 4 / np.sqrt(len(ours))


def test_a_scale_is_hidden_for_each_map_and_key_anew() -> None:
    (stored,) = scaled(1).to_bytes()
    hidden = [
        key.apply(stored, "vgg16", "0", number)[-SCALE_BYTES:]
        for key in (KEY, OTHER)
        for number in (1, 2)
    ]

    assert len({stored[-SCALE_BYTES:], *hidden}) == 5


def test_the_newest_key_has_the_highest_number() -> None:
    assert TemplateKeys(lambda: {"9": KEY, "10": OTHER}).newest == "10"
