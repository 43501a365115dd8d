"""WebP: a RIFF file of chunks (RFC 9649)."""

import struct
from collections.abc import Iterator

from app.palm.containers.orientation import orientation_of
from app.palm.containers.still import Damaged, Still, check_count, refuse_several
from app.palm.errors import ImageTooLarge
from app.palm.limits import ImageLimits

MAX_CHUNKS = 256
MAX_LOSSLESS_PIXELS = 524_288
"""Bounds the prefix codes of a lossless image. It may have a set of codes for each block of 4 x 4
pixels (RFC 9649, 6.2.2), and the decoder needs about 6 kB for each set, from 3 bytes of file."""

_SIZE_BITS = 0x3FFF


def read_webp(data: bytes, limits: ImageLimits) -> Still:
    """Reads the chunks, and keeps the pixels."""
    canvas: tuple[int, int] | None = None
    exif = xmp = b""
    pixels: list[tuple[bytes, bytes]] = []
    for name, body in _chunks(data):
        if name == b"VP8X":
            canvas = (_read_24_bits(body, 4) + 1, _read_24_bits(body, 7) + 1)
        elif name in (b"VP8 ", b"VP8L"):
            pixels.append((name, body))
        elif name == b"EXIF":
            exif = body
        elif name == b"XMP ":
            xmp = body
        elif name in (b"ANIM", b"ANMF"):
            raise refuse_several("WEBP")
    if len(pixels) != 1:
        raise Damaged(f"it has {len(pixels)} images instead of one")
    width, height = _check_image(*pixels[0], canvas, limits)
    return Still("WEBP", width, height, _file(*pixels[0]), orientation_of(exif, xmp))


def _check_image(
    name: bytes, body: bytes, canvas: tuple[int, int] | None, limits: ImageLimits
) -> tuple[int, int]:
    """Returns the width and height of the pixels."""
    size = _lossy_size(body) if name == b"VP8 " else _lossless_size(body)
    if canvas is not None and canvas != size:
        raise Damaged(f"a canvas of {canvas} for an image of {size} pixels")
    limits.check_size(*size)
    if name == b"VP8L" and size[0] * size[1] > MAX_LOSSLESS_PIXELS:
        raise ImageTooLarge(
            f"the lossless WebP has {size[0]}x{size[1]} = {size[0] * size[1]} pixels, more than "
            f"{MAX_LOSSLESS_PIXELS}; send PNG"
        )
    return size


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields each chunk's name and content, up to the end of the RIFF file."""
    (length,) = struct.unpack_from("<I", data, 4)
    end = 8 + length
    if end > len(data):
        raise Damaged(f"its header promises {end} bytes")
    position, count = 12, 0
    while position + 8 <= end:
        count += 1
        check_count(count, MAX_CHUNKS, "WebP chunks")
        name, length = struct.unpack_from("<4sI", data, position)
        if position + 8 + length > end:
            raise Damaged(f"chunk {name!r} ends after the file")
        yield name, data[position + 8 : position + 8 + length]
        position += 8 + length + length % 2


def _read_24_bits(body: bytes, start: int) -> int:
    return int.from_bytes(body[start : start + 3], "little")


def _lossy_size(body: bytes) -> tuple[int, int]:
    start_code, width, height = struct.unpack_from("<3sHH", body, 3)
    if start_code != b"\x9d\x01\x2a":
        raise Damaged("no key frame")
    return width & _SIZE_BITS, height & _SIZE_BITS


def _lossless_size(body: bytes) -> tuple[int, int]:
    signature, bits = struct.unpack_from("<BI", body)
    if signature != 0x2F:
        raise Damaged("no lossless image")
    return (bits & _SIZE_BITS) + 1, (bits >> 14 & _SIZE_BITS) + 1


def _file(name: bytes, body: bytes) -> bytes:
    chunk = name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk
