"""A TIFF of one page, written anew from the strips or tiles of another file."""

import struct

from app.palm.containers.directory import Directory, Tag
from app.palm.containers.still import Damaged
from app.palm.errors import ImageTooLarge
from app.palm.limits import ImageLimits

_MAX_SAMPLES = 6  # the most that Pillow reads
_SHORT, _LONG = 3, 4
_SHORTS = (Tag.BITS_PER_SAMPLE, Tag.COLOUR_MAP, Tag.SAMPLE_FORMAT, Tag.EXTRA_SAMPLES)
_KEPT = (
    Tag.WIDTH,
    Tag.HEIGHT,
    Tag.BITS_PER_SAMPLE,
    Tag.COMPRESSION,
    Tag.FILL_ORDER,
    Tag.SAMPLES_PER_PIXEL,
    Tag.PLANES,
    Tag.PREDICTOR,
    Tag.COLOUR_MAP,
    Tag.EXTRA_SAMPLES,
    Tag.SAMPLE_FORMAT,
)


def file_of(page: Directory, photometric: int, limits: ImageLimits) -> bytes:
    """Returns a classic TIFF with the page's pixels and nothing else.

    Args:
        page: a page whose size, compression and depth are accepted.
        photometric: photometric interpretation to write.
        limits: bounds on the pixels, with those that tiles hold beyond the edge.

    Raises:
        Damaged: if strips or tiles are missing, lie outside the file, or share bytes.
        ImageTooLarge: if tiles hold too many pixels beyond the edge.
    """
    tags = {tag: page.numbers(tag) for tag in _KEPT if tag in page.entries}
    tags[Tag.PHOTOMETRIC] = (photometric,)
    if Tag.TILE_OFFSETS in page.entries:
        tiling, count = _tiling(page, limits)
        pieces = _pieces(page, Tag.TILE_OFFSETS, Tag.TILE_BYTES, count)
        return _write(page, tags | tiling, pieces, (Tag.TILE_OFFSETS, Tag.TILE_BYTES))
    height = page.number(Tag.HEIGHT)
    rows = min(max(page.number(Tag.ROWS_PER_STRIP, height), 1), height)
    tags[Tag.ROWS_PER_STRIP] = (rows,)
    pieces = _pieces(page, Tag.STRIP_OFFSETS, Tag.STRIP_BYTES, -(-height // rows) * _planes(page))
    return _write(page, tags, pieces, (Tag.STRIP_OFFSETS, Tag.STRIP_BYTES))


def _planes(page: Directory) -> int:
    """Returns the number of separately stored planes."""
    is_separate = page.number(Tag.PLANES, 1) == 2
    samples = page.number(Tag.SAMPLES_PER_PIXEL, 1)
    if not 1 <= samples <= _MAX_SAMPLES:
        raise Damaged(f"{samples} samples in a pixel")
    return samples if is_separate else 1


def _tiling(page: Directory, limits: ImageLimits) -> tuple[dict[Tag, tuple[int, ...]], int]:
    """Returns the tags of the tiles' size, and the number of tiles."""
    width, height = page.number(Tag.TILE_WIDTH), page.number(Tag.TILE_HEIGHT)
    if min(width, height) < 1:
        raise Damaged(f"tiles of {width}x{height} pixels")
    across = -(-page.number(Tag.WIDTH) // width)
    down = -(-page.number(Tag.HEIGHT) // height)
    if across * width * down * height > limits.max_pixels:
        raise ImageTooLarge(
            f"the TIFF's {across}x{down} tiles of {width}x{height} pixels hold more than "
            f"{limits.max_pixels} pixels; save it without tiles"
        )
    size = {Tag.TILE_WIDTH: (width,), Tag.TILE_HEIGHT: (height,)}
    return size, across * down * _planes(page)


def _pieces(page: Directory, offsets: Tag, sizes: Tag, count: int) -> list[bytes]:
    """Returns the bytes of each strip or tile."""
    starts = page.numbers(offsets)
    if sizes not in page.entries and len(starts) == 1:
        lengths: tuple[int, ...] = (len(page.data) - starts[0],)  # written so by old programs
    else:
        lengths = page.numbers(sizes)
    if len(starts) < count or len(lengths) < count:
        raise Damaged(f"{min(len(starts), len(lengths))} strips or tiles instead of {count}")
    places = list(zip(starts[:count], lengths[:count], strict=True))
    if sum(length for _, length in places) > len(page.data):
        raise Damaged("its strips or tiles share bytes, or end after the file")
    if any(length < 1 or start + length > len(page.data) for start, length in places):
        raise Damaged("a strip or tile is empty, or ends after the file")
    return [page.data[start : start + length] for start, length in places]


def _write(
    page: Directory, tags: dict[Tag, tuple[int, ...]], pieces: list[bytes], names: tuple[Tag, Tag]
) -> bytes:
    """Writes the header, the pieces, the long values and the directory, in that order."""
    # Pillow reads 12 bits in this order only; packed, they are the same bytes in both.
    order = "<" if tags.get(Tag.BITS_PER_SAMPLE) == (12,) else page.order
    parts = [b"II*\0" if order == "<" else b"MM\0*", b""]
    position = 8
    starts: list[int] = []
    for piece in pieces:
        starts.append(position)
        parts += [piece, bytes(len(piece) % 2)]
        position += len(piece) + len(piece) % 2
    tags = {**tags, names[0]: tuple(starts), names[1]: tuple(map(len, pieces))}
    entries: list[bytes] = []
    for tag, values in sorted(tags.items()):
        kind, letter = (_SHORT, "H") if tag in _SHORTS else (_LONG, "I")
        value = struct.pack(f"{order}{len(values)}{letter}", *values)
        if len(value) > 4:
            parts.append(value)
            value, position = struct.pack(f"{order}I", position), position + len(value)
        entries.append(struct.pack(f"{order}HHI4s", tag, kind, len(values), value))
    parts[1] = struct.pack(f"{order}I", position)
    directory = struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4)
    return b"".join([*parts, directory])
