"""The orientation of an image, from its EXIF or XMP metadata."""

import re
import struct

_TAG = 0x0112
_MAX_ENTRIES = 256
"""Tags read of an EXIF directory; cameras write fewer than 40 into the first one."""
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


def orientation_of(exif: bytes, xmp: bytes) -> int:
    """Returns the orientation, 1 to 8; 1 (upright) if the metadata has none or is damaged.

    Only one tag of the first directory is read. No offset is followed but the directory's own.

    Args:
        exif: EXIF data, which starts with a TIFF header, or with "Exif" before it; or empty.
        xmp: an XMP packet, or empty; it counts if EXIF has no orientation.
    """
    try:
        found = _from_exif(exif.removeprefix(b"Exif\0\0"))
    except struct.error:  # cut short
        found = None
    if found is None:
        match = _XMP.search(xmp)
        found = int(match[1]) if match else 1
    return found if 1 <= found <= 8 else 1


def _from_exif(exif: bytes) -> int | None:
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return None
    (start,) = struct.unpack_from(f"{order}I", exif, 4)
    (count,) = struct.unpack_from(f"{order}H", exif, start)
    for position in range(min(count, _MAX_ENTRIES)):
        entry = start + 2 + 12 * position
        tag, kind, values = struct.unpack_from(f"{order}HHI", exif, entry)
        if tag == _TAG and values == 1 and kind in (3, 4):  # SHORT, LONG
            return struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", exif, entry + 8)[0]
    return None
