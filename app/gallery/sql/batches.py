"""Splits what one statement cannot bind at once."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

VALUES_PER_STATEMENT = 500  # databases bound the values of one statement

Item = TypeVar("Item")


def batches(items: Iterable[Item], size: int = VALUES_PER_STATEMENT) -> Iterator[list[Item]]:
    """Yields the items in lists of at most `size`, none of them empty."""
    remaining = iter(items)
    while some := list(islice(remaining, size)):
        yield some
