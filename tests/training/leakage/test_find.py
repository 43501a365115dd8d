"""Copies of one photograph are found across parts; other shots of the same palm are not."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.training.toy_palms import palms_of
from training.database.palms import Palms, load_palms
from training.database.split import Split
from training.leakage.copies import COPY_LIKENESS, details, likeness
from training.leakage.find import Leakage, find_leaks, refuse_leaks
from training.leakage.hashes import nearest

Pixels = NDArray[np.uint8]
SIDE = 32


def draw(seed: int, side: int = SIDE) -> Pixels:
    """Dark lines on an uneven ground, another for every seed."""
    rng = np.random.default_rng(seed)
    image = cv2.resize(rng.uniform(120, 200, (4, 4)).astype(np.float32), (256, 256))
    for _ in range(14):
        start, end = rng.integers(0, 256, (2, 2)).tolist()
        cv2.line(image, start, end, float(rng.uniform(40, 110)), int(rng.integers(4, 16)))
    small = cv2.resize(
        cv2.GaussianBlur(image, (0, 0), 2), (side, side), interpolation=cv2.INTER_AREA
    )
    return small.clip(0, 255).astype(np.uint8)


def make_part(images: list[Pixels], prefix: str, labels: list[int], sessions: list[int]) -> Palms:
    return palms_of(
        images,
        labels,
        sessions=np.array(sessions, np.int32),
        identities=("p0", "p1", "p2"),
        session_names=("s1", "s2"),
        files=tuple(f"{prefix}/{i}.png" for i in range(len(images))),
    )


def split_with(tested: Pixels, label: int = 0, side: int = SIDE) -> Split:
    """Three palms in training; one other image in validation; one given image in test."""
    train = make_part([draw(i, side) for i in range(3)], "train", [0, 1, 2], [0, 0, 0])
    validation = make_part([draw(50, side)], "validation", [1], [1])
    return Split(train, validation, make_part([tested], "test", [label], [1]), "session")


def as_jpeg(image: Pixels) -> Pixels:
    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file))


def turned(image: Pixels) -> Pixels:
    side = image.shape[0]
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), 27, 1.06)
    turn[:, 2] += (0.06 * side, -0.05 * side)
    return np.asarray(cv2.warpAffine(image, turn, (side, side), borderMode=cv2.BORDER_REFLECT))


def cropped(image: Pixels) -> Pixels:
    side = image.shape[0]
    kept = image[side // 50 :, side // 50 :]
    return np.asarray(cv2.resize(kept, (side, side), interpolation=cv2.INTER_LINEAR))


def test_the_same_pixels_under_another_name_are_an_exact_copy() -> None:
    leakage = find_leaks(split_with(draw(1), label=2))
    (pair,) = leakage.exact
    assert (pair.first, pair.second) == ("train/1.png", "test/0.png")
    assert (pair.first_part, pair.second_part, pair.distance) == ("training", "test", 0)
    assert not leakage.near


@pytest.mark.parametrize(
    ("change", "mirrored"),
    [
        (as_jpeg, False),
        (lambda p: np.asarray(Image.fromarray(p).resize((20, 20)).resize((SIDE, SIDE))), False),
        (lambda p: (p * 0.8 + 10).astype(np.uint8), False),
        (lambda p: (p + np.random.default_rng(0).normal(0, 3, p.shape)).astype(np.uint8), False),
        (lambda p: np.ascontiguousarray(p[:, ::-1]), True),
    ],
    ids=["jpeg", "resized", "contrast", "noise", "mirrored"],
)
def test_a_changed_copy_is_found_under_any_label(
    change: Callable[[Pixels], Pixels], mirrored: bool
) -> None:
    leakage = find_leaks(split_with(change(draw(1)), label=2))
    (pair,) = leakage.near
    assert (pair.first, pair.second, pair.mirrored) == ("train/1.png", "test/0.png", mirrored)
    assert not leakage.exact


@pytest.mark.parametrize("change", [turned, cropped, lambda p: turned(p[:, ::-1].copy())])
def test_a_copy_that_was_turned_or_cropped_is_found(change: Callable[[Pixels], Pixels]) -> None:
    leakage = find_leaks(split_with(change(draw(1, 128)), label=1, side=128))
    assert [(pair.first, pair.second) for pair in leakage.near] == [("train/1.png", "test/0.png")]
    assert (leakage.near[0].likeness or 0) >= COPY_LIKENESS


def test_other_palms_are_no_copies() -> None:
    leakage = find_leaks(split_with(draw(9)))
    assert leakage.pairs == ()
    refuse_leaks(leakage, allow=False)


@pytest.fixture(scope="module")
def database_palms(database: Path) -> Palms:
    return load_palms(database)


def test_other_shots_of_a_session_are_no_copies(database_palms: Palms) -> None:
    """The hardest case: the parts of this split share every session."""
    number = np.arange(len(database_palms)) % 3
    parts = [database_palms.select(number == part) for part in range(3)]
    leakage = find_leaks(Split(*parts, "seed"))
    assert leakage.pairs == ()
    assert leakage.sessions_shared == 12
    assert leakage.sampled == leakage.held_out == 24


def test_an_identity_that_no_earlier_part_has_is_not_sampled() -> None:
    train = make_part([draw(0)], "train", [0], [0])
    rest = [make_part([draw(i)], str(i), [i], [-1]) for i in (1, 2)]
    leakage = find_leaks(Split(train, *rest, "identity"))
    assert (leakage.sampled, leakage.held_out, leakage.sessions_shared) == (0, 2, 0)


def test_featureless_images_are_alike_to_nothing() -> None:
    even = details(np.full((SIDE, SIDE), 90, np.uint8))
    assert likeness(even, even) == -1
    assert likeness(details(draw(1)), even) == -1


def test_refusal_counts_names_a_pair_and_says_what_to_do() -> None:
    leakage = find_leaks(split_with(draw(1)))
    message = r"1 exact and 0 near copies .* train/1.png \(training\) and .*--allow-leaks"
    with pytest.raises(ValueError, match=message):
        refuse_leaks(leakage, allow=False)
    refuse_leaks(leakage, allow=True)


def test_leakage_survives_json() -> None:
    leakage = find_leaks(split_with(draw(1)))
    stored = json.loads(json.dumps(leakage.as_dict()))
    assert (stored["exact"], stored["near"]) == (1, 0)
    assert stored["exact_pairs"][0]["second"] == "test/0.png"
    assert stored["statement"] == str(leakage)


def test_a_clean_split_says_what_it_cannot_see() -> None:
    text = str(Leakage((), (), 0, 0, 10))
    assert text.startswith("0 exact and 0 near copies across the parts. No session")
    assert "are not found" in text


def test_nearest_equals_a_bit_by_bit_search() -> None:
    rng = np.random.default_rng(3)
    hashes = rng.integers(0, 2**64, (600, 4), np.uint64, endpoint=False)
    probes, templates = hashes[:200], hashes[200:].copy()
    templates[:50] = probes[:50] ^ np.uint64(0b1011)
    bits = [np.unpackbits(h.view(np.uint8), axis=1).astype(np.int32) for h in (probes, templates)]
    ones = [b.sum(axis=1) for b in bits]
    distances = ones[0][:, None] + ones[1][None] - 2 * bits[0] @ bits[1].T
    rows, columns = np.nonzero(distances <= 105)
    expected = {(int(r), int(c), int(distances[r, c])) for r, c in zip(rows, columns, strict=True)}
    found = nearest(probes, templates, 105, keep=len(templates))
    assert {tuple(hit) for hit in found.tolist()} == expected
    assert len(expected) > 100


def test_nearest_keeps_the_closest_of_each_probe() -> None:
    probes = np.array([[0], [0b111]], np.uint64)
    templates = np.array([[0b11], [0b1], [0b0], [0b111]], np.uint64)
    found = nearest(probes, templates, 2, keep=2)
    np.testing.assert_array_equal(found, [[0, 2, 0], [0, 1, 1], [1, 3, 0], [1, 0, 1]])
