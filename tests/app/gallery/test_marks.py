"""The search for marks of removed keys."""

import random

import pytest

from app.gallery.encryption.marks import find_marks


@pytest.mark.parametrize("count", [2, 50])
@pytest.mark.parametrize("place", range(9))
def test_a_mark_is_found_wherever_it_stands(place: int, count: int) -> None:
    draw = random.Random(place)
    marks = {draw.randbytes(12).hex() for _ in range(count)}
    mark = min(marks)
    assert find_marks(draw.randbytes(place) + bytes.fromhex(mark) + b"x", marks) == {mark}
    assert find_marks(draw.randbytes(place) + bytes.fromhex(mark), marks) == {mark}


def test_a_part_of_a_mark_is_none() -> None:
    marks = {"00112233445566778899aabb"}
    for content in (b"", b"short", bytes.fromhex("00112233445566778899aa"), bytes(64)):
        assert find_marks(content, marks) == set()
    assert find_marks(bytes(64), set()) == set()
