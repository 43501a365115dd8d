"""BMP: a file header, an information header and rows of pixels."""

import struct

from app.palm.containers.still import Damaged, Still, refuse_pixels
from app.palm.errors import UnsupportedFormat
from app.palm.limits import ImageLimits

_HEADERS = (40, 52, 56, 64, 108, 124)
_MAX_COLOURS = 256
_UNCOMPRESSED = (0, 3)  # BI_RGB, BI_BITFIELDS
_DEPTHS = (1, 4, 8, 16, 24, 32)


def read_bmp(data: bytes, limits: ImageLimits) -> Still:
    """Checks the header. A BMP has no metadata, so that the whole file is kept."""
    offset, header = struct.unpack_from("<II", data, 10)
    compression = colours = 0
    if header == 12:
        width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
    elif header in _HEADERS:
        width, height, _, depth, compression = struct.unpack_from("<iiHHI", data, 18)
        (colours,) = struct.unpack_from("<I", data, 46)
        height = abs(height)  # negative if the rows are stored from top to bottom
    else:
        raise Damaged(f"an unknown header of {header} bytes")
    if width < 1 or height < 1:
        raise Damaged(f"an impossible size of {width}x{height}")
    limits.check_size(width, height)
    _check_coding(compression, depth, colours)
    row_bytes = (width * depth + 31) // 32 * 4
    if offset + row_bytes * height > len(data):
        raise Damaged(f"{height} rows of {row_bytes} bytes end after the file")
    return Still("BMP", width, height, data)


def _check_coding(compression: int, depth: int, colours: int) -> None:
    if compression not in _UNCOMPRESSED:
        raise UnsupportedFormat(
            f"the BMP is compressed (method {compression}), which is not accepted; "
            "send it uncompressed, or as PNG"
        )
    if depth not in _DEPTHS:
        raise refuse_pixels(f"of {depth} bits")
    if depth <= 8 and colours > _MAX_COLOURS:
        raise Damaged(f"a palette of {colours} colours")
