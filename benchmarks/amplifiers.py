"""Files at the edge of what is accepted, and files just beyond it, that cost a decoder most."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from app.palm.containers.jpeg import MAX_SCANS


def _noise(width: int, height: int, bands: int = 3) -> np.ndarray:
    """Returns small tiles of noise side by side."""
    tile = np.random.default_rng(0).integers(0, 256, (64, 64, bands), dtype=np.uint8)
    return np.tile(tile, (-(-height // 64), -(-width // 64), 1))[:height, :width].squeeze()


def _save(image: Image.Image | np.ndarray, file_format: str, **options: Any) -> bytes:
    opened = image if isinstance(image, Image.Image) else Image.fromarray(image)
    file = BytesIO()
    opened.save(file, file_format, **options)
    return file.getvalue()


def _jpeg(width: int, height: int, *, quality: int, **options: Any) -> bytes:
    return _save(_noise(width, height), "JPEG", quality=quality, **options)


def _first_scan(width: int, height: int) -> bytes:
    """A progressive JPEG without its later scans, which the decoder replaces by smoothing."""
    file = _jpeg(width, height, quality=20, subsampling=2, progressive=True)
    second = file.index(b"\xff\xc4", file.index(b"\xff\xda"))
    return file[:second] + b"\xff\xd9"


def _empty_scans(
    width: int,
    height: int,
    subsampling: int,
    scans: int,
    component: int,
    pixels: np.ndarray | None = None,
) -> bytes:
    """A progressive JPEG, uniform without `pixels`, with scans more that hold no coefficient."""
    image = Image.new("RGB", (width, height), (90, 120, 60)) if pixels is None else pixels
    file = _save(image, "JPEG", quality=20, progressive=True, subsampling=subsampling)
    # One symbol, EOB14: the longest run of empty blocks, 32,767, in one code of a bit and 14 more.
    table = b"\xff\xc4" + struct.pack(">H", 20) + b"\x10" + bytes([1] + [0] * 15) + b"\xe0"
    runs = width * height // 64 // 32_767 + 2
    bits = ("0" + "1" * 14) * runs
    packed = int(bits.ljust(-(-len(bits) // 8) * 8, "1"), 2).to_bytes(-(-len(bits) // 8), "big")
    packed = packed.replace(b"\xff", b"\xff\0")
    scan = b"\xff\xda\0\x08\x01" + bytes([component, 0, 1, 63, 0]) + packed
    return file[:-2] + table + scan * scans + b"\xff\xd9"


def _png(depth: int, colour: int, bands: int, *, interlaced: bool) -> bytes:
    """A PNG of 8 megapixels that deflates well, every row with the slowest filter."""
    width, height = 4_000, 2_000
    paeth = b"\4"  # all bytes alike, so that each row of each pass starts with the filter's number
    pixels = zlib.compress(paeth * ((width * bands * depth // 8 + 64) * (height + 4_000)), 1)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    parts = [_chunk(b"IHDR", header)]
    if colour == 3:
        parts.append(_chunk(b"PLTE", bytes(range(256)) * 3))
    parts += [_chunk(b"IDAT", pixels), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _noisy_png() -> bytes:
    """A PNG of 6 megapixels, RGBA of 16 bits, whose noise makes the slowest filter slower."""
    noise = np.random.default_rng(0).integers(0, 256, 3_000 * 8, dtype=np.uint8).tobytes()
    header = struct.pack(">IIBBBBB", 3_000, 2_000, 16, 6, 0, 0, 0)
    pixels = zlib.compress((b"\4" + noise) * 2_000)
    parts = [_chunk(b"IHDR", header), _chunk(b"IDAT", pixels), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _tiff(compression: str, rows: int, mode: str = "RGB") -> bytes:
    width, height = (4_000, 2_000) if rows > 1 else (976, 8_192)
    image = Image.new(mode, (width, height))
    return _save(
        image, "TIFF", compression=compression, strip_size=rows * width, tiffinfo={278: rows}
    )


def _ff_bytes() -> bytes:
    """A JPEG whose scan is 8 MiB of stuffed bytes."""
    file = _save(Image.new("L", (5_000, 5_000)), "JPEG")
    return file[:-2] + b"\xff\0" * ((8 * 2**20 - len(file)) // 2) + b"\xff\xd9"


def _with_segments(marker: int, body: bytes, count: int) -> bytes:
    file = _save(Image.new("L", (640, 480), 90), "JPEG")
    added = (struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body) * count
    return file[:2] + added + file[2:]


AMPLIFIERS: dict[str, Callable[[], bytes]] = {
    "JPEG 25 Mpx, colour at full size": lambda: _jpeg(5_000, 5_000, quality=20, subsampling=0),
    "JPEG 25 Mpx, progressive": lambda: _jpeg(
        5_000, 5_000, quality=30, subsampling=2, progressive=True
    ),
    "JPEG 12 Mpx, progressive, colour at full size": lambda: _jpeg(
        4_000, 3_000, quality=50, subsampling=0, progressive=True
    ),
    "JPEG 25 Mpx, progressive, long": lambda: _jpeg(
        1_400, 17_850, quality=30, subsampling=2, progressive=True
    ),
    "JPEG 8 Mpx, progressive": lambda: _jpeg(
        4_000, 2_000, quality=60, subsampling=0, progressive=True
    ),
    "JPEG 25 Mpx, 11 empty scans": lambda: _empty_scans(5_000, 5_000, 2, 11, 1),
    "JPEG 25 Mpx, progressive and empty scans": lambda: _empty_scans(
        5_000, 5_000, 2, 11, 1, _noise(5_000, 5_000)
    ),
    "JPEG 25 Mpx, first scan only": lambda: _first_scan(5_000, 5_000),
    "JPEG 8 Mpx, first scan only": lambda: _first_scan(4_000, 2_000),
    "JPEG 8 Mpx, empty scans": lambda: _empty_scans(4_000, 2_000, 0, MAX_SCANS - 10, 1),
    "JPEG 5,000 empty scans": lambda: _empty_scans(640, 480, 0, 5_000, 1),
    "JPEG stuffed bytes": _ff_bytes,
    "JPEG 100,000 segments": lambda: _with_segments(0xE5, b"", 100_000),
    "JPEG tables": lambda: _with_segments(0xDB, b"".join([b"\0" + bytes([1] * 64)] * 1_000), 100),
    "PNG RGB of 16 bits": lambda: _png(16, 2, 3, interlaced=False),
    "PNG 6 Mpx RGBA of 16 bits, noise": _noisy_png,
    "PNG RGB of 16 bits, interlaced": lambda: _png(16, 2, 3, interlaced=True),
    "PNG grey of 16 bits": lambda: _png(16, 0, 1, interlaced=False),
    "PNG palette, interlaced": lambda: _png(8, 3, 1, interlaced=True),
    "PNG 100,000 chunks": lambda: (
        (file := _save(Image.new("L", (640, 480)), "PNG"))[:33]
        + _chunk(b"tEXt", b"") * 100_000
        + file[33:]
    ),
    "BMP 8 Mpx of 1 bit": lambda: _save(Image.new("1", (4_000, 2_000)), "BMP"),
    "TIFF LZW": lambda: _tiff("tiff_lzw", 16),
    "TIFF LZW, 8,192 strips": lambda: _tiff("tiff_lzw", 1),
    "TIFF Deflate, 8,192 strips": lambda: _tiff("tiff_adobe_deflate", 1),
    "TIFF PackBits, 8,192 strips": lambda: _tiff("packbits", 1),
    "TIFF uncompressed, 8,192 strips": lambda: _tiff("raw", 1, "L"),
    "WEBP 8 Mpx": lambda: _save(_noise(4_000, 2_000), "WEBP", quality=50, method=0),
    "WEBP lossless, 0.5 Mpx": lambda: _save(
        _noise(724, 724), "WEBP", lossless=True, quality=0, method=0
    ),
}
"""Builds each file; the first word of its name is the container."""
