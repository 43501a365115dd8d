"""A sheet of images side by side, to look through by eye."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from training.report.files import replacing

TILE_PX = 160
COLUMNS = 8
MOST = 160
"""Largest number of images on a sheet."""


def write_sheet(path: Path, files: Sequence[Path]) -> None:
    """Writes a PNG of up to `MOST` image files in rows, in their order; replaces an existing one.

    Raises:
        OSError: if a file cannot be read, or the sheet cannot be written.
    """
    shown = files[:MOST]
    rows = max(-(-len(shown) // COLUMNS), 1)
    sheet = Image.new("RGB", (COLUMNS * TILE_PX, rows * TILE_PX), "white")
    for number, file in enumerate(shown):
        with Image.open(file) as image:
            tile = ImageOps.contain(
                ImageOps.exif_transpose(image).convert("RGB"), (TILE_PX, TILE_PX)
            )
        sheet.paste(tile, (number % COLUMNS * TILE_PX, number // COLUMNS * TILE_PX))
    with replacing(path) as target:
        sheet.save(target, "PNG")
