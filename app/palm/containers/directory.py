"""The image file directories of a TIFF (TIFF 6.0, section 2; BigTIFF)."""

import struct
from dataclasses import dataclass, field
from enum import IntEnum

from app.palm.containers.still import Damaged, check_count

MAX_PAGES = 16
MAX_ENTRIES = 256
MAX_VALUES = 8_192
"""Numbers of one tag, such as the offsets of strips: an image of 8,192 rows, one in each strip."""


class Tag(IntEnum):
    """The tags that are read; all others are ignored."""

    SUBFILE_TYPE = 254
    OLD_SUBFILE_TYPE = 255
    WIDTH = 256
    HEIGHT = 257
    BITS_PER_SAMPLE = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    FILL_ORDER = 266
    STRIP_OFFSETS = 273
    ORIENTATION = 274
    SAMPLES_PER_PIXEL = 277
    ROWS_PER_STRIP = 278
    STRIP_BYTES = 279
    PLANES = 284
    PREDICTOR = 317
    COLOUR_MAP = 320
    TILE_WIDTH = 322
    TILE_HEIGHT = 323
    TILE_OFFSETS = 324
    TILE_BYTES = 325
    EXTRA_SAMPLES = 338
    SAMPLE_FORMAT = 339
    XMP = 700


_TAGS = frozenset(Tag)
_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}  # BYTE, SHORT, LONG, IFD, LONG8
_BYTES = (1, 2, 7)  # BYTE, ASCII, UNDEFINED


@dataclass(frozen=True, slots=True)
class Directory:
    """One page of a TIFF.

    Attributes:
        data: the whole file.
        order: byte order, as `struct` spells it: < or >.
        entries: of each known tag, its type, the number of values, and their position in `data`.
    """

    data: bytes
    order: str
    entries: dict[int, tuple[int, int, int]] = field(
        default_factory=dict[int, tuple[int, int, int]]
    )

    def numbers(self, tag: Tag, missing: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Returns a tag's whole numbers.

        Raises:
            Damaged: if the tag is missing and `missing` is None, or if it holds no whole numbers.
        """
        if tag not in self.entries:
            if missing is None:
                raise Damaged(f"tag {tag.name} is missing")
            return missing
        kind, count, position = self.entries[tag]
        if kind not in _NUMBERS or not count:
            raise Damaged(f"tag {tag.name} holds {count} values of type {kind}")
        check_count(count, MAX_VALUES, f"values of the TIFF's tag {tag.name}")
        return struct.unpack_from(f"{self.order}{count}{_NUMBERS[kind]}", self.data, position)

    def number(self, tag: Tag, missing: int | None = None) -> int:
        """Returns the first of a tag's whole numbers."""
        return self.numbers(tag, None if missing is None else (missing,))[0]

    def raw(self, tag: Tag) -> bytes:
        """Returns a tag's bytes; none if it is missing or of another type."""
        kind, count, position = self.entries.get(tag, (0, 0, 0))
        return self.data[position : position + count] if kind in _BYTES else b""

    @property
    def is_secondary(self) -> bool:
        """Whether the page says that it is a reduced image or a transparency mask."""
        is_reduced_or_mask = self.number(Tag.SUBFILE_TYPE, 0) & 0b101
        return bool(is_reduced_or_mask) or self.number(Tag.OLD_SUBFILE_TYPE, 1) == 2


def read_directories(data: bytes) -> list[Directory]:
    """Reads the directories of all pages, and no pixel.

    Raises:
        Damaged: if a directory lies outside the file, or refers to an earlier one.
        UnsuitableImage: if there are more pages or entries than any camera writes.
    """
    order = "<" if data[:2] == b"II" else ">"
    is_big = data[2:4] in (b"+\0", b"\0+")
    (position,) = struct.unpack_from(f"{order}{'Q' if is_big else 'I'}", data, 8 if is_big else 4)
    pages: list[Directory] = []
    seen: set[int] = set()
    while position:
        if position in seen:
            raise Damaged(f"its directories form a loop at byte {position}")
        seen.add(position)
        check_count(len(pages) + 1, MAX_PAGES, "TIFF pages")
        page, position = _read_directory(data, order, position, is_big)
        pages.append(page)
    if not pages:
        raise Damaged("it has no directory")
    return pages


def _read_directory(data: bytes, order: str, start: int, is_big: bool) -> tuple[Directory, int]:
    """Returns the directory, and the position of the next one; 0 after the last."""
    count_format, entry_format, width = ("Q", "HHQ", 20) if is_big else ("H", "HHI", 12)
    offset_format = "Q" if is_big else "I"
    (count,) = struct.unpack_from(order + count_format, data, start)
    check_count(count, MAX_ENTRIES, "entries in a TIFF directory")
    page = Directory(data, order)
    position = start + struct.calcsize(f"={count_format}")
    inline = struct.calcsize(f"={offset_format}")
    for _ in range(count):
        tag, kind, values = struct.unpack_from(order + entry_format, data, position)
        if tag in _TAGS and tag not in page.entries:
            place = position + struct.calcsize(f"={entry_format}")
            if values * struct.calcsize(f"={_NUMBERS.get(kind, 'B')}") > inline:
                (place,) = struct.unpack_from(order + offset_format, data, place)
            page.entries[tag] = (kind, values, place)
        position += width
    (following,) = struct.unpack_from(order + offset_format, data, position)
    return page, following
