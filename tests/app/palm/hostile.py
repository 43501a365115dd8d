"""Small files that would cost a decoder much time or memory, and files of unusual depth."""

import struct
import zlib
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Entry = tuple[int, int, list[int]]
"""Tag, type (1 BYTE, 3 SHORT, 4 LONG) and values of a TIFF directory's entry."""

_LETTERS = {1: "B", 3: "H", 4: "I"}


def chunk(name: bytes, body: bytes) -> bytes:
    """Returns a PNG chunk."""
    checksum = struct.pack(">I", zlib.crc32(name + body))
    return struct.pack(">I", len(body)) + name + body + checksum


def png_with(chunks: bytes, png: bytes) -> bytes:
    """Returns a PNG with more chunks after its header."""
    return png[:33] + chunks + png[33:]


def jpeg(**options: object) -> bytes:
    """Returns a grey JPEG of 120 x 100 pixels."""
    file = BytesIO()
    Image.new("L", (120, 100), 90).save(file, "JPEG", **options)
    return file.getvalue()


def progressive_with(scans: int) -> bytes:
    """Returns a progressive JPEG with more scans, which hold no coefficient."""
    # AC coefficients 1 to 63 of component 1, in a single run of empty blocks.
    table = b"\xff\xc4" + struct.pack(">H", 20) + b"\x10" + bytes([1] + [0] * 15) + b"\xe0"
    scan = b"\xff\xda\0\x08\x01\x01\0\x01\x3f\0" + b"\x00\x00\x00"
    return jpeg(progressive=True)[:-2] + table + scan * scans + b"\xff\xd9"


def segment(marker: int, body: bytes) -> bytes:
    """Returns a JPEG segment."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def tiff(
    pixels: NDArray[np.generic], *more: Entry, order: str = "<", big: bool = False, **tags: int
) -> bytes:
    """Returns an uncompressed grey TIFF of one strip.

    Args:
        pixels: uint8 or uint16 [H, W].
        more: entries that replace or follow the ordinary ones.
        order: byte order, < or >.
        big: whether to write a BigTIFF.
        tags: `next`, the position of another directory.
    """
    strip = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    height, width = pixels.shape
    depth = pixels.dtype.itemsize * 8
    start = 16 if big else 8
    shape = {256: [width], 257: [height], 258: [depth], 259: [1], 262: [1]}
    strips = {273: [start], 277: [1], 278: [height], 279: [len(strip)]}
    entries = {tag: (4, values) for tag, values in {**shape, **strips}.items()}
    entries |= {tag: (kind, values) for tag, kind, values in more}
    magic = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if big else 42)
    offset = "Q" if big else "I"
    tables = b""
    listed = b""
    for tag, (kind, values) in sorted(entries.items()):
        value = struct.pack(f"{order}{len(values)}{_LETTERS[kind]}", *values)
        if len(value) > struct.calcsize(offset):
            place = start + len(strip) + len(tables)
            tables += value
            value = struct.pack(order + offset, place)
        value = value.ljust(struct.calcsize(f"={offset}"), b"\0")
        listed += struct.pack(f"{order}HH{offset}", tag, kind, len(values)) + value
    directory = struct.pack(order + ("Q" if big else "H"), len(entries)) + listed
    directory += struct.pack(order + offset, tags.get("next", 0))
    extra = struct.pack(f"{order}HH", 8, 0) if big else b""
    first = struct.pack(order + offset, start + len(strip) + len(tables))
    return magic + extra + first + strip + tables + directory


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """Returns a WebP of the given chunks."""
    body = b"".join(
        name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def canvas(width: int, height: int) -> tuple[bytes, bytes]:
    """Returns a WebP's extended header."""
    return b"VP8X", bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(
        3, "little"
    )


def lossless(width: int, height: int) -> tuple[bytes, bytes]:
    """Returns the header of a lossless WebP image, without pixels."""
    return b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(8)
