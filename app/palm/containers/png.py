"""PNG: a signature and chunks (PNG specification, third edition)."""

import struct
import zlib
from collections.abc import Iterator

from app.palm.containers.orientation import orientation_of
from app.palm.containers.still import Damaged, Still, check_count, refuse_several
from app.palm.limits import ImageLimits

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 8_192
"""8 MiB in pieces of 1 KiB; encoders write pieces of 4 KiB or more."""

_XMP_KEYWORD = b"XML:com.adobe.xmp\0\0\0"  # uncompressed; a compressed one is never expanded
_CHECKED = (b"IHDR", b"PLTE")  # the pixels have a checksum of their own, of zlib
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


def read_png(data: bytes, limits: ImageLimits) -> Still:
    """Reads the chunks, and keeps the header, the palette and the pixels."""
    size = (0, 0)
    header = palette = exif = xmp = b""
    pixels: list[bytes] = []
    for name, body in _chunks(data):
        if name == b"IHDR":
            size, header = _read_header(body, limits), _chunk(name, body)
        elif name == b"PLTE":
            palette = _chunk(name, body)
        elif name == b"IDAT":
            pixels.append(body)
        elif name == b"eXIf":
            exif = body
        elif name == b"iTXt" and body.startswith(_XMP_KEYWORD):
            xmp = body
        elif name == b"fdAT" or (name == b"acTL" and body[:4] > b"\0\0\0\1"):
            raise refuse_several("PNG")
    if not pixels:
        raise Damaged("it has no pixels")
    parts = [SIGNATURE, header, palette, _chunk(b"IDAT", b"".join(pixels)), _chunk(b"IEND", b"")]
    return Still("PNG", *size, b"".join(parts), orientation_of(exif, xmp))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields each chunk's name and content, up to IEND or the end of the file."""
    position = len(SIGNATURE)
    count = 0
    while position < len(data):
        count += 1
        check_count(count, MAX_CHUNKS, "PNG chunks")
        length, name = struct.unpack_from(">I4s", data, position)
        if name == b"IEND":
            return
        if (count == 1) != (name == b"IHDR" and length == 13):
            raise Damaged("IHDR is not the first chunk")
        end = position + 8 + length
        if end > len(data):
            raise Damaged(f"chunk {name!r} ends after the file")
        body = data[position + 8 : end]
        if name in _CHECKED and _checksum(name, body) != data[end : end + 4]:
            raise Damaged(f"chunk {name!r} has a wrong checksum")
        yield name, body
        position = end + 4


def _read_header(header: bytes, limits: ImageLimits) -> tuple[int, int]:
    width, height, depth, colour, compression, filtering, interlacing = struct.unpack(
        ">IIBBBBB", header
    )
    if depth not in _DEPTHS.get(colour, ()) or compression or filtering or interlacing > 1:
        raise Damaged(f"an impossible IHDR chunk: {header[8:].hex()}")
    limits.check_size(width, height)
    limits.check_depth(width, height, depth * _SAMPLES[colour])
    return width, height


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + _checksum(name, body)


def _checksum(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))
