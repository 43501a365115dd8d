"""Limits on the size of an image."""

from dataclasses import dataclass

from app.palm.errors import ImageTooLarge, UnreadableImage, UnsuitableImage

MIB = 2**20
MAX_BYTES_PER_PIXEL = 6
"""At the largest size, RGB of 16 bits is accepted, and RGBA of 16 bits is not: it takes 0.5 s."""


MAX_RATIO = 10
"""Greatest ratio of an image's sides. A strip shows no palm, and vanishes in the finder's view."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits on the size of an image; they bound the time and memory that one upload can claim.

    Attributes:
        max_bytes: largest file.
        max_pixels: largest width times height, in all formats but JPEG.
        max_jpeg_pixels: largest width times height of a JPEG, which is decoded at reduced size.
        min_side_px: least length of the shorter side; veins are not resolved below it.
    """

    max_bytes: int = 8 * MIB
    max_pixels: int = 8_000_000
    max_jpeg_pixels: int = 25_000_000
    min_side_px: int = 96

    def check_bytes(self, data: bytes) -> None:
        """Refuses an empty file and one that is too large."""
        if not data:
            raise UnreadableImage("the image is empty (0 bytes); send a whole file")
        if len(data) > self.max_bytes:
            raise ImageTooLarge(
                f"the image has {len(data)} bytes, more than {self.max_bytes}; send a smaller one"
            )

    def check_depth(self, width: int, height: int, bits: int) -> None:
        """Refuses pixels that take too many bytes, at `bits` for each."""
        found, largest = width * height * bits // 8, self.max_pixels * MAX_BYTES_PER_PIXEL
        if found > largest:
            raise ImageTooLarge(
                f"the image's pixels take {found} bytes, more than {largest}; "
                "send grey, or 8 bits, or a smaller one"
            )

    def check_size(self, width: int, height: int, *, is_jpeg: bool = False) -> None:
        """Refuses a size in pixels that is outside the limits."""
        largest = self.max_jpeg_pixels if is_jpeg else self.max_pixels
        if width * height > largest:
            raise ImageTooLarge(
                f"the image has {width}x{height} = {width * height} pixels, "
                f"more than {largest}; send a smaller one"
            )
        if min(width, height) < self.min_side_px:
            raise UnsuitableImage(
                f"the image is {width}x{height}; its shorter side must be at least "
                f"{self.min_side_px} pixels"
            )
        if max(width, height) > MAX_RATIO * min(width, height):
            raise UnsuitableImage(
                f"the image is {width}x{height}; its longer side must be at most {MAX_RATIO} times "
                "its shorter one"
            )
