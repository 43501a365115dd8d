"""TIFF and BigTIFF: the pages of a file, and the choice of the primary one (TIFF 6.0)."""

from app.palm.containers.directory import Directory, Tag, read_directories
from app.palm.containers.orientation import orientation_of
from app.palm.containers.still import Damaged, Still, refuse_pixels, refuse_several
from app.palm.containers.strips import file_of
from app.palm.errors import UnsupportedFormat
from app.palm.limits import ImageLimits

_COMPRESSIONS = (1, 5, 8, 32773, 32946)  # none, LZW, Deflate, PackBits, Deflate's older number
_REFUSED_PIXELS = {4: "a mask", 5: "CMYK", 6: "YCbCr", 8: "Lab", 9: "Lab", 10: "Lab"}
_WHITE_IS_ZERO, _BLACK_IS_ZERO = 0, 1
_DEPTHS = (1, 2, 4, 8, 12, 16, 32)
_SIGNED = 2


def read_tiff(data: bytes, limits: ImageLimits) -> Still:
    """Reads the directories, and keeps the primary page."""
    page = _primary(read_directories(data))
    size = (page.number(Tag.WIDTH), page.number(Tag.HEIGHT))
    if min(size) < 1:
        raise Damaged(f"an impossible size of {size[0]}x{size[1]}")
    limits.check_size(*size)
    _check_coding(page)
    limits.check_depth(*size, sum(page.numbers(Tag.BITS_PER_SAMPLE, (1,))))
    photometric = page.number(Tag.PHOTOMETRIC, _BLACK_IS_ZERO)
    orientation = page.number(Tag.ORIENTATION, 0)
    if not 1 <= orientation <= 8:
        orientation = orientation_of(b"", page.raw(Tag.XMP))
    return Still(
        "TIFF",
        *size,
        file_of(page, _BLACK_IS_ZERO if photometric == _WHITE_IS_ZERO else photometric, limits),
        orientation,
        # Pillow inverts 8 bits but not 16. Here neither is: `decode` inverts both.
        is_inverted=photometric == _WHITE_IS_ZERO,
    )


def _primary(pages: list[Directory]) -> Directory:
    """Returns the one page that is neither a thumbnail nor a mask.

    A page is a thumbnail if it says so, or if both sides are at most half of the largest page's.
    """
    pages = [page for page in pages if not page.is_secondary] or pages[:1]
    largest = max(pages, key=_area)
    full = [page for page in pages if page is largest or not _is_thumbnail(page, largest)]
    if len(full) > 1:
        raise refuse_several("TIFF")
    return largest


def _area(page: Directory) -> int:
    return page.number(Tag.WIDTH) * page.number(Tag.HEIGHT)


def _is_thumbnail(page: Directory, largest: Directory) -> bool:
    return all(2 * page.number(tag) <= largest.number(tag) for tag in (Tag.WIDTH, Tag.HEIGHT))


def _check_coding(page: Directory) -> None:
    """Refuses compression methods with decoders of their own, and pixels neither grey nor RGB."""
    compression = page.number(Tag.COMPRESSION, 1)
    if compression not in _COMPRESSIONS:
        raise UnsupportedFormat(
            f"the TIFF's compression (method {compression}) is not accepted; "
            "save it uncompressed, or with LZW, Deflate or PackBits"
        )
    photometric = page.number(Tag.PHOTOMETRIC, _BLACK_IS_ZERO)
    if photometric in _REFUSED_PIXELS:
        raise refuse_pixels(_REFUSED_PIXELS[photometric])
    depths = set(page.numbers(Tag.BITS_PER_SAMPLE, (1,)))
    if len(depths) > 1 or not depths <= set(_DEPTHS):
        raise refuse_pixels(f"of {', '.join(map(str, sorted(depths)))} bits in a TIFF")
    # Pillow refuses signed pixels of 16 and 32 bits, but reads those of 8 bits as unsigned.
    if page.number(Tag.SAMPLE_FORMAT, 1) == _SIGNED and max(depths) <= 8:
        raise refuse_pixels(f"signed numbers of {max(depths)} bits")
