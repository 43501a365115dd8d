"""Rows of any table as bytes: how a backup carries them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple


class Carried(NamedTuple):
    """A row.

    Attributes:
        table: the table's name.
        row: values by the columns' names: text, numbers, bytes and None.
    """

    table: str
    row: dict[str, Any]


def write_row(out: BinaryIO, table: str, row: Mapping[str, Any]) -> None:
    """Writes a row: a line of JSON, and after it the values that are bytes."""
    blobs = {name: value for name, value in row.items() if isinstance(value, bytes)}
    rest = {name: value for name, value in row.items() if name not in blobs}
    sizes = {name: len(blob) for name, blob in blobs.items()}
    line = json.dumps([table, rest, sizes], separators=(",", ":"))
    out.write(b"".join([line.encode(), b"\n", *blobs.values()]))


def read_rows(source: BinaryIO) -> Iterator[Carried]:
    """Yields the rows that `write_row` has written."""
    while line := source.readline():
        table, row, sizes = json.loads(line)
        row |= {name: source.read(size) for name, size in sizes.items()}
        yield Carried(table, row)
