"""Which files are decoded, to which pixels, and which are refused."""

import struct
import zlib
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app.palm.decode import (
    ImageLimits,
    ImageTooLarge,
    PalmImageError,
    UnreadableImage,
    UnsuitableImage,
    UnsupportedFormat,
    decode,
)
from tests.app.conftest import encode

LIMITS = ImageLimits()
GREY = np.random.default_rng(0).integers(0, 256, (100, 120), dtype=np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (100, 120, 3), dtype=np.uint8)


def png_header(width: int, height: int) -> bytes:
    """Returns a PNG that claims a size and holds no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    length, checksum = struct.pack(">I", 13), struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + length + header + checksum + struct.pack(">I", 0) + b"IDAT"


@pytest.mark.parametrize(
    ("file_format", "pixels"),
    [*product(["PNG", "BMP", "TIFF"], [GREY, RGB]), ("WEBP", RGB)],
)
def test_lossless_files_give_their_pixels(file_format: str, pixels: NDArray[np.uint8]) -> None:
    options = {"lossless": True} if file_format == "WEBP" else {}
    found = decode(encode(pixels, file_format, **options), LIMITS)

    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, pixels)


def test_jpeg_is_read() -> None:
    flat = np.full((100, 120), 90, np.uint8)

    np.testing.assert_allclose(decode(encode(flat, "JPEG"), LIMITS), flat, atol=1)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_linearly(file_format: str) -> None:
    deep = np.zeros((100, 120), np.uint16)
    deep[0, :4] = [65535, 257, 128, 129]

    found = decode(encode(deep, file_format), LIMITS)

    assert found.dtype == np.uint8
    assert found[0, :5].tolist() == [255, 1, 0, 1, 0]


def test_bilevel_is_black_and_white() -> None:
    found = decode(encode(Image.fromarray(GREY).convert("1"), "PNG"), LIMITS)

    assert found.shape == GREY.shape
    assert set(np.unique(found)) == {0, 255}


@pytest.mark.parametrize(
    ("modes", "file_format"),
    [(["P"], "PNG"), (["P", "PA"], "TIFF"), (["RGBA"], "PNG"), (["LA"], "PNG")],
)
def test_palettes_are_expanded_and_transparency_dropped(modes: list[str], file_format: str) -> None:
    image = Image.fromarray(GREY)
    for mode in modes:
        image = image.convert(mode)

    found = decode(encode(image, file_format), LIMITS)

    np.testing.assert_array_equal(found, np.stack([GREY] * 3, axis=2))


@pytest.mark.parametrize("pixels", [GREY, GREY.astype(np.uint16) * 257], ids=["8 bit", "16 bit"])
def test_the_exif_orientation_is_applied(pixels: NDArray[np.generic]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees

    found = decode(encode(pixels, "PNG", exif=exif), LIMITS)

    np.testing.assert_array_equal(found, np.rot90(GREY, k=-1))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (encode(GREY, "GIF", save_all=True, append_images=[Image.fromarray(GREY[::-1])]), "GIF"),
        (b"%PDF-1.7 " + bytes(99), "PDF"),
        (b"\0\0\0\x18ftypheic" + bytes(99), "HEIF"),
    ],
    ids=["gif", "pdf", "heic"],
)
def test_other_formats_are_unsupported(data: bytes, name: str) -> None:
    with pytest.raises(UnsupportedFormat, match=f"{name}.* is not accepted; send PNG, JPEG"):
        decode(data, LIMITS)


@pytest.mark.parametrize(
    "data", [b"", b"palm", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"II*\0", bytes(5000)]
)
def test_what_is_no_image_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableImage, match=f"{len(data)} bytes"):
        decode(data, LIMITS)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_file_is_unreadable(file_format: str, share: float) -> None:
    data = encode(RGB, file_format)

    with pytest.raises(UnreadableImage):
        decode(data[: int(share * len(data))], LIMITS)


@pytest.mark.parametrize("after_pixels", [False, True])
@pytest.mark.parametrize(("size", "count"), [(2**20 + 1, 1), (2**20, 65)], ids=["one", "many"])
def test_a_png_s_text_is_never_decompressed(size: int, count: int, after_pixels: bool) -> None:
    metadata = PngInfo()
    for _ in range(count):
        packed = b"Comment\0\0" + zlib.compress(b"x" * size)
        metadata.add(b"zTXt", packed, after_idat=after_pixels)

    found = decode(encode(GREY, "PNG", pnginfo=metadata), LIMITS)

    np.testing.assert_array_equal(found, GREY)


def test_damage_never_raises_anything_but_a_palm_image_error() -> None:
    rng = np.random.default_rng(7)
    originals = [encode(GREY, f) for f in ("PNG", "JPEG", "BMP", "TIFF", "WEBP")]
    refused = 0
    for _ in range(60):
        for original in originals:
            data = bytearray(original)
            for place in rng.integers(0, min(len(data), 400), 6):
                data[place] = rng.integers(256)
            try:
                decode(bytes(data), LIMITS)
            except PalmImageError:
                refused += 1
    assert refused > 50


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("width", "height"), [(10_000, 5_000), (10_000, 10_000), (40_000, 40_000)])
def test_a_bomb_is_refused_by_its_header(width: int, height: int) -> None:
    with pytest.raises(ImageTooLarge, match="pixels"):
        decode(png_header(width, height), LIMITS)


def test_the_pixel_limit_is_inclusive() -> None:
    data = encode(GREY, "PNG")

    assert decode(data, ImageLimits(max_pixels=12_000)).shape == (100, 120)
    with pytest.raises(ImageTooLarge, match="120x100 = 12000 pixels, more than 11999"):
        decode(data, ImageLimits(max_pixels=11_999))


def test_a_short_side_below_the_limit_is_unsuitable() -> None:
    assert decode(encode(GREY[:96], "PNG"), LIMITS).shape == (96, 120)
    with pytest.raises(UnsuitableImage, match=r"120x95.*96"):
        decode(encode(GREY[:95], "PNG"), LIMITS)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
def test_several_frames_or_pages_are_unsuitable(file_format: str) -> None:
    data = encode(RGB, file_format, save_all=True, append_images=[Image.fromarray(RGB[::-1])])

    with pytest.raises(UnsuitableImage, match="one still image"):
        decode(data, LIMITS)


@pytest.mark.parametrize(
    ("mode", "file_format"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("F", "TIFF"), ("I", "TIFF")]
)
def test_pixels_neither_grey_nor_rgb_are_unsuitable(mode: str, file_format: str) -> None:
    data = encode(Image.fromarray(GREY).convert(mode), file_format)

    with pytest.raises(UnsuitableImage, match=f"{mode}; send grey"):
        decode(data, LIMITS)
