"""A sheet of image files side by side, to look through by eye."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from app.palm.decode import decode
from training.database.decoding import DATABASE_LIMITS
from training.report.files import replacing

TILE_PX = 160
COLUMNS = 8
MOST = 160
"""Largest number of images on a sheet."""


def write_sheet(path: Path, files: Sequence[Path]) -> None:
    """Writes a PNG of up to `MOST` image files in rows, in their order; replaces an existing one.

    Args:
        path: the PNG.
        files: files that can be decoded, at least one.

    Raises:
        OSError: if a file cannot be read, or the sheet cannot be written.
    """
    shown = files[:MOST]
    sheet = Image.new("RGB", (COLUMNS * TILE_PX, -(-len(shown) // COLUMNS) * TILE_PX), "white")
    for number, file in enumerate(shown):
        image = Image.fromarray(decode(file.read_bytes(), DATABASE_LIMITS))
        tile = ImageOps.contain(image, (TILE_PX, TILE_PX))
        sheet.paste(tile, (number % COLUMNS * TILE_PX, number // COLUMNS * TILE_PX))
    with replacing(path) as target:
        sheet.save(target, "PNG")
