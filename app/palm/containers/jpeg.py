"""JPEG and MPO: segments and scans (ITU-T T.81, annex B).

An MPO (CIPA DC-007) is a JPEG, the primary image, with more JPEGs after it. Reading ends with the
first one.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from app.palm.containers.orientation import orientation_of
from app.palm.containers.still import Damaged, Still, check_count, refuse_pixels
from app.palm.errors import UnsupportedFormat
from app.palm.limits import ImageLimits

MAX_SEGMENTS = 1_000
MAX_TABLE_BYTES = 65_536
"""Headers, quantization and Huffman tables together; cameras write fewer than 2,000 bytes."""
MAX_SCANS = 64
MAX_SCANNED_BLOCKS = 8_000_000
"""Blocks of 8 x 8 samples over all scans: each takes time even in a scan that holds nothing.
libjpeg's 10 scans of 25 megapixels with colour at half size pass over 3.3 million."""

MAX_STORED_BLOCKS = 600_000
"""Blocks of a JPEG with several scans, which the decoder stores until the last one: 25 megapixels
with colour at half size (4:2:0) have 590,000. A single scan is decoded as it is read."""

# A marker that ends a scan: 0xFF before neither a zero (a stuffed byte), a restart (D0 to D7), nor
# another 0xFF (a fill byte).
_AFTER_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_MARKER = re.compile(rb"\xff[\x01-\xfe]")

_SOI, _EOI, _SOS, _APP0, _APP1, _APP14 = 0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xEE
_DHT, _DQT, _DRI = 0xC4, 0xDB, 0xDD
_FRAMES = {0xC0: "baseline", 0xC1: "extended sequential", 0xC2: "progressive"}
_OTHER_FRAMES = {
    **dict.fromkeys((0xC3,), "lossless"),
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xDE, 0xDF), "hierarchical"),
    **dict.fromkeys((0xC8, 0xC9, 0xCA, 0xCB, 0xCC, 0xCD, 0xCE, 0xCF), "arithmetic"),
}
_ALONE = (0x01, 0xD0, 0xD1, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, _SOI)  # without a length


@dataclass(slots=True)
class _Reading:
    """What has been read so far: the kept bytes, and what decides whether they are decoded."""

    kept: list[bytes] = field(default_factory=lambda: [b"\xff\xd8"])
    size: tuple[int, int] | None = None
    blocks: dict[int, int] = field(default_factory=dict[int, int])  # of each component
    scans: int = 0
    scanned_blocks: int = 0
    table_bytes: int = 0
    exif: bytes = b""
    xmp: bytes = b""


def read_jpeg(data: bytes, limits: ImageLimits) -> Still:
    """Reads the segments up to the end of the first image, and keeps what decoding needs."""
    reading = _Reading()
    for marker, body, scan in _segments(data):
        if marker in _OTHER_FRAMES:
            raise _refuse_coding(_OTHER_FRAMES[marker])
        if marker in _FRAMES:
            _read_frame(body, limits, reading)
        elif marker == _SOS:
            _count_scan(body, reading)
        elif marker == _APP1:
            _read_metadata(body, reading)
        if marker in _FRAMES or marker in (_SOS, _DHT, _DQT, _DRI) or _tells_colours(marker, body):
            _keep(marker, body, scan, reading)
    if reading.size is None or not reading.scans:
        raise Damaged("it has no pixels")
    reading.kept.append(b"\xff\xd9")
    orientation = orientation_of(reading.exif, reading.xmp)
    return Still("JPEG", *reading.size, b"".join(reading.kept), orientation)


def _segments(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yields each segment's marker and content, and the entropy-coded bytes after a scan's header.

    Bytes between segments are skipped, as decoders do.
    """
    position, count = 2, 0
    while match := _MARKER.search(data, position):
        marker = data[match.start() + 1]
        position = match.end()
        count += 1
        check_count(count, MAX_SEGMENTS, "JPEG segments")
        if marker == _EOI:
            return
        if marker in _ALONE:
            continue
        (length,) = struct.unpack_from(">H", data, position)
        end = position + length
        if length < 2 or end > len(data):
            raise Damaged(f"segment 0x{marker:02X} ends after the file")
        body, scan = data[position + 2 : end], b""
        if marker == _SOS:
            following = _AFTER_SCAN.search(data, end)
            if following is None:
                raise Damaged("its last scan does not end")
            scan = data[end : following.start()]
            end = following.start()
        yield marker, body, scan
        position = end
    raise Damaged("it has no end marker")


def _read_frame(body: bytes, limits: ImageLimits, reading: _Reading) -> None:
    """Reads the frame header (B.2.2): depth, size and the components' sampling factors."""
    if reading.size is not None:
        raise Damaged("it has several frame headers")
    depth, height, width, components = struct.unpack_from(">BHHB", body)
    if depth != 8:
        raise refuse_pixels(f"of {depth} bits in a JPEG")
    if not width or not height:
        raise Damaged(f"an impossible size of {width}x{height}")
    limits.check_size(width, height, is_jpeg=True)
    if components not in (1, 3):
        raise refuse_pixels("CMYK" if components == 4 else f"of {components} components")
    factors = {body[6 + 3 * i]: divmod(body[7 + 3 * i], 16) for i in range(components)}
    if not all(1 <= factor <= 4 for pair in factors.values() for factor in pair):
        raise Damaged(f"impossible sampling factors {factors}")
    widest, highest = (max(axis) for axis in zip(*factors.values(), strict=True))
    across, down = -(-width // (8 * widest)), -(-height // (8 * highest))
    reading.size = (width, height)
    reading.blocks = {name: across * h * down * v for name, (h, v) in factors.items()}


def _count_scan(body: bytes, reading: _Reading) -> None:
    """Counts a scan (B.2.3), and the blocks that it passes over, whatever it holds."""
    reading.scans += 1
    reading.scanned_blocks += sum(reading.blocks.get(name, 0) for name in body[1 : 2 * body[0] : 2])
    check_count(reading.scans, MAX_SCANS, "scans")
    if reading.scans > 1:
        check_count(sum(reading.blocks.values()), MAX_STORED_BLOCKS, "blocks in several scans")
        check_count(reading.scanned_blocks, MAX_SCANNED_BLOCKS, "blocks in all scans")


def _read_metadata(body: bytes, reading: _Reading) -> None:
    if body.startswith(b"Exif\0\0") and not reading.exif:
        reading.exif = body
    elif body.startswith(b"http://ns.adobe.com/xap/1.0/\0") and not reading.xmp:
        reading.xmp = body


def _tells_colours(marker: int, body: bytes) -> bool:
    """Tells whether decoders derive the colour space from a segment."""
    return (marker == _APP0 and body.startswith(b"JFIF\0")) or (
        marker == _APP14 and body.startswith(b"Adobe")
    )


def _keep(marker: int, body: bytes, scan: bytes, reading: _Reading) -> None:
    reading.table_bytes += len(body)
    check_count(reading.table_bytes, MAX_TABLE_BYTES, "bytes of JPEG tables")
    reading.kept += [struct.pack(">BBH", 0xFF, marker, len(body) + 2), body, scan]


def _refuse_coding(coding: str) -> UnsupportedFormat:
    accepted = ", ".join(_FRAMES.values())
    return UnsupportedFormat(
        f"the JPEG is {coding}, which is not accepted; send a JPEG that is {accepted}, or PNG"
    )
