"""Which containers are read, and that costly ones are refused before Pillow sees them."""

import struct

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.palm.containers.reading import read_container
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
from tests.app.palm.hostile import (
    canvas,
    chunk,
    jpeg,
    lossless,
    png_with,
    progressive_with,
    riff,
    segment,
    tiff,
)

LIMITS = ImageLimits()
GREY = np.random.default_rng(0).integers(0, 256, (100, 120), dtype=np.uint8)
SMALL = GREY[:40, :50]
PNG = encode(GREY, "PNG")
WHITE_IS_ZERO = (262, 3, [0])


@pytest.fixture
def no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every attempt to open a file with Pillow an error of the test."""

    def fail(*_: object, **__: object) -> None:
        pytest.fail("Pillow was called")

    monkeypatch.setattr("app.palm.decode.Image.open", fail)


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(
    ("data", "error", "reason"),
    [
        (progressive_with(5_000), UnsuitableImage, "segments|scans"),
        (encode(Image.new("RGB", (4_200, 4_200)), "JPEG", progressive=True, subsampling=0),
         UnsuitableImage, "826875 blocks in several scans"),
        (jpeg()[:2] + segment(0xE5, b"") * 2_000 + jpeg()[2:], UnsuitableImage, "segments"),
        (jpeg()[:2] + segment(0xDB, bytes(60_000)) * 2 + jpeg()[2:], UnsuitableImage, "tables"),
        (jpeg().replace(b"\xff\xc0", b"\xff\xc9"), UnsupportedFormat, "arithmetic"),
        (jpeg().replace(b"\xff\xc0", b"\xff\xc3"), UnsupportedFormat, "lossless"),
        (jpeg().replace(b"\xff\xc0\0\x0b\x08", b"\xff\xc1\0\x0b\x0c"), UnsuitableImage, "12 bits"),
        (png_with(chunk(b"tEXt", b"") * 100_000, PNG), UnsuitableImage, "8193 PNG chunks"),
        (tiff(GREY, (273, 4, [8] * 10**6)), UnsuitableImage, "1000000 values .*STRIP_OFFSETS"),
        (tiff(GREY, (278, 4, [1]), (273, 4, [8] * 100), (279, 4, [12_000] * 100)),
         UnreadableImage, "share bytes"),
        (tiff(GREY, next=8 + GREY.size), UnreadableImage, "loop"),
        (tiff(GREY, (259, 3, [7])), UnsupportedFormat, "method 7"),
        (tiff(GREY, (258, 3, [10])), UnsuitableImage, "10 bits"),
        (tiff(GREY, (339, 3, [2])), UnsuitableImage, "signed"),
        (riff(lossless(16_383, 16_383)), ImageTooLarge, "16383x16383"),
        (riff(canvas(16_000, 16_000), lossless(120, 100)), UnreadableImage, "canvas"),
        (riff(lossless(1_000, 1_000)), ImageTooLarge, "lossless"),
        (riff(*[(b"JUNK", b"")] * 300), UnsuitableImage, "257 WebP chunks"),
        (b"BM" + struct.pack("<IIIIiiHHI", 0, 0, 54, 40, 120, 100, 1, 8, 1) + bytes(20),
         UnsupportedFormat, "BMP is compressed"),
        (b"BM" + struct.pack("<IIIIiiHHI", 0, 0, 54, 40, 120, 100, 1, 8, 0) + bytes(20),
         UnreadableImage, "end after the file"),
        (bytes(8 * 2**20 + 1), ImageTooLarge, "8388609 bytes, more than 8388608"),
    ],
)  # fmt: skip
def test_a_costly_file_is_refused_before_a_decoder_runs(
    data: bytes, error: type[PalmImageError], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        decode(data, LIMITS)


def test_rgba_of_16_bits_has_a_smaller_limit() -> None:
    png = encode(np.zeros((100, 120, 4), np.uint8), "PNG")
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 120, 100, 16, 6, 0, 0, 0))

    with pytest.raises(ImageTooLarge, match="96000 bytes, more than 72000"):
        decode(png[:8] + header + png[33:], ImageLimits(max_pixels=12_000))


def test_the_number_of_scans_is_bounded_exactly() -> None:
    own = jpeg(progressive=True).count(b"\xff\xda")

    read_container(progressive_with(64 - own), LIMITS)
    with pytest.raises(UnsuitableImage, match="65 scans"):
        read_container(progressive_with(65 - own), LIMITS)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_no_metadata_reaches_pillow(file_format: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "bomb" * 500  # the image's description
    data = encode(np.stack([GREY] * 3, axis=2), file_format, exif=exif, icc_profile=b"bomb" * 99)

    assert b"bomb" in data or file_format == "PNG"
    assert b"bomb" not in read_container(data, LIMITS).file
    assert decode(data, LIMITS).shape == (100, 120, 3)


def test_an_exif_directory_that_promises_65535_entries_is_left_alone() -> None:
    bomb = b"Exif\0\0II*\0\x08\0\0\0" + b"\xff\xff" + bytes(60_000)
    data = jpeg()[:2] + segment(0xE1, bomb) + jpeg()[2:]

    np.testing.assert_array_equal(decode(data, LIMITS), decode(jpeg(), LIMITS))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("bits", [8, 9, 10, 12, 14, 16])
def test_grey_of_any_depth_in_a_16_bit_tiff_gives_its_8_bit_copy(
    order: str, big: bool, bits: int
) -> None:
    found = decode(tiff(_deepened(bits), order=order, big=big), LIMITS)

    np.testing.assert_allclose(found, GREY.astype(int), atol=1)


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 14, 16])
def test_grey_of_any_depth_in_a_16_bit_png_gives_its_8_bit_copy(bits: int) -> None:
    np.testing.assert_allclose(
        decode(encode(_deepened(bits), "PNG"), LIMITS), GREY.astype(int), atol=1
    )


def test_12_bits_at_the_upper_end_of_16_bits_give_the_8_bit_copy() -> None:
    found = decode(encode(_deepened(12) << 4, "PNG"), LIMITS)

    np.testing.assert_allclose(found, GREY.astype(int), atol=1)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_tiff_whose_white_is_zero_is_inverted(order: str, bits: int) -> None:
    deep = _deepened(bits)
    stored = (2**bits - 1 - deep).astype(np.uint8 if bits == 8 else np.uint16)

    found = decode(tiff(stored, WHITE_IS_ZERO, order=order), LIMITS)

    np.testing.assert_allclose(found, GREY.astype(int), atol=1)


def _deepened(bits: int) -> NDArray[np.uint16]:
    """GREY stretched to more bits."""
    return np.rint(GREY * ((2**bits - 1) / 255)).astype(np.uint16)


@pytest.mark.parametrize("thumbnail_first", [True, False])
def test_of_a_tiff_with_a_thumbnail_the_primary_image_is_read(thumbnail_first: bool) -> None:
    pages = [Image.fromarray(GREY), Image.fromarray(SMALL)]
    first, second = pages[::-1] if thumbnail_first else pages
    data = encode(first, "TIFF", save_all=True, append_images=[second])

    np.testing.assert_array_equal(decode(data, LIMITS), GREY)


def test_of_an_mpo_the_primary_image_is_read() -> None:
    first = Image.fromarray(GREY)
    data = encode(first, "MPO", save_all=True, append_images=[Image.fromarray(GREY[::-1])])

    np.testing.assert_array_equal(decode(data, LIMITS), decode(encode(first, "JPEG"), LIMITS))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_compressed_tiffs_keep_their_pixels(compression: str, mode: str) -> None:
    image = Image.fromarray(GREY).convert(mode)

    found = decode(encode(image, "TIFF", compression=compression), LIMITS)

    expected = image.convert("L" if mode in ("1", "L") else "RGB")
    np.testing.assert_array_equal(found, np.asarray(expected))


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_applied_in_every_format(file_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.stack([GREY] * 3, axis=2)
    turned = {
        1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1],
        5: pixels.swapaxes(0, 1), 6: np.rot90(pixels, -1),
        7: pixels[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(pixels),
    }  # fmt: skip

    found = decode(encode(pixels, file_format, exif=exif, quality=95), LIMITS)

    atol = 0 if file_format in ("PNG", "TIFF") else 120
    np.testing.assert_allclose(found.astype(int), turned[orientation].astype(int), atol=atol)


def test_a_large_jpeg_is_decoded_at_reduced_size() -> None:
    data = encode(Image.new("L", (4_000, 3_000), 90), "JPEG")

    found = decode(data, LIMITS)

    assert found.shape == (1_500, 2_000)
    np.testing.assert_allclose(found, 90, atol=1)


def test_a_jpeg_up_to_8_megapixels_keeps_its_size() -> None:
    assert decode(encode(Image.new("L", (4_000, 2_000)), "JPEG"), LIMITS).shape == (2_000, 4_000)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_a_file_cut_anywhere_is_refused_or_whole(file_format: str) -> None:
    data = encode(np.stack([GREY] * 3, axis=2), file_format)
    whole = decode(data, LIMITS)
    for length in range(1, len(data), max(1, len(data) // 97)):
        try:
            found = decode(data[:length], LIMITS)
        except PalmImageError:
            continue
        np.testing.assert_array_equal(found, whole)
