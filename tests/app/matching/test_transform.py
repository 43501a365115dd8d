"""Transforms are exact, keep distances, and make templates under two keys unlike."""

import numpy as np
import pytest

from app.matching.transform import Transform, keystream

KEY, OTHER = bytes(range(32)), bytes(32)
SIZE = 1000
RNG = np.random.default_rng(5)
VALUES = RNG.integers(-127, 128, (20, SIZE)).astype(np.int8)
BITS = RNG.random((20, SIZE)) < 0.5


def test_undo_returns_every_value() -> None:
    transform = Transform(KEY, SIZE, "a test")
    everything = np.arange(-128, 128).astype(np.int8).repeat(4)
    whole = Transform(KEY, len(everything), "a test")

    np.testing.assert_array_equal(transform.undo(transform.apply(VALUES)), VALUES)
    np.testing.assert_array_equal(whole.undo(whole.apply(everything)), everything)


def test_transformed_values_are_the_values_elsewhere_and_with_other_signs() -> None:
    transform = Transform(KEY, SIZE, "a test")
    moved = transform.apply(np.arange(1, SIZE + 1).astype(np.int64))

    assert sorted(abs(moved)) == list(range(1, SIZE + 1))
    assert 400 < (moved < 0).sum() < 600
    assert (abs(moved) == np.arange(1, SIZE + 1)).sum() < 10


def test_templates_transformed_alike_keep_their_distances() -> None:
    transform = Transform(KEY, SIZE, "a test")
    bits, values = transform.apply_bits(BITS), transform.apply(VALUES)

    np.testing.assert_array_equal(
        (bits[:, None] != bits).sum(axis=2), (BITS[:, None] != BITS).sum(axis=2)
    )
    np.testing.assert_array_equal(
        values.astype(np.int64) @ values.T.astype(np.int64),
        VALUES.astype(np.int64) @ VALUES.T.astype(np.int64),
    )


def test_a_transform_commutes_with_subtraction_and_signs() -> None:
    transform = Transform(KEY, SIZE, "a test")
    values = RNG.normal(size=(20, SIZE))
    mean = RNG.normal(size=SIZE)

    np.testing.assert_array_equal(
        transform.apply(values) - transform.apply(mean), transform.apply(values - mean)
    )
    np.testing.assert_array_equal(
        transform.apply(values - mean) > 0, transform.apply_bits(values - mean > 0)
    )


@pytest.mark.parametrize("other", [Transform(OTHER, SIZE, "a test"), Transform(KEY, SIZE, "else")])
def test_under_another_key_or_purpose_a_template_is_unlike_itself(other: Transform) -> None:
    transform = Transform(KEY, SIZE, "a test")

    differing = (transform.apply_bits(BITS) != other.apply_bits(BITS)).mean(axis=1)

    assert abs(differing - 0.5).max() < 0.1  # six standard deviations
    np.testing.assert_allclose(differing.mean(), 0.5, atol=0.02)


def test_a_transform_refuses_values_of_another_size_and_a_short_key() -> None:
    with pytest.raises(ValueError, match="takes 1000 values, not 999"):
        Transform(KEY, SIZE, "a test").apply(VALUES[:, 1:])
    with pytest.raises(ValueError, match="16 bytes"):
        Transform(KEY[:15], SIZE, "a test")


def test_a_keystream_depends_on_key_and_purpose() -> None:
    streams = {keystream(key, 9, purpose) for key in (KEY, OTHER) for purpose in ("1", "2")}

    assert len(streams) == 4
    assert all(len(stream) == 9 for stream in streams)
