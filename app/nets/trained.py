"""templates.npz of a version: the templates of the identities that its net was trained on."""

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from app.matching.maps import VeinMaps
from app.matching.templates import TrainedTemplates
from app.nets.files import NetCorrupt
from app.nets.manifest import TEMPLATES, Manifest


def write_trained(folder: Path, trained: TrainedTemplates) -> None:
    """Writes templates.npz, compressed."""
    np.savez_compressed(
        folder / TEMPLATES,
        owners=trained.owners,
        values=trained.maps.values,
        usable=trained.maps.usable,
        scales=trained.maps.scales,
    )


def read_trained(folder: Path, manifest: Manifest) -> TrainedTemplates:
    """Reads templates.npz.

    Raises:
        NetCorrupt: if the file cannot be read or does not fit the manifest.
    """
    path = folder / TEMPLATES
    try:
        # NumPy leaves a file open that it opened and that is no archive.
        with path.open("rb") as file, np.load(file) as arrays:
            owners, values = arrays["owners"], arrays["values"]
            usable, scales = arrays["usable"], arrays["scales"]
    except (OSError, EOFError, KeyError, TypeError, ValueError, BadZipFile) as error:
        raise NetCorrupt(f"{path} cannot be read ({error}): export the net again") from error
    side, channels = manifest.map_format.shape
    count = owners.size
    found = [_describe(one) for one in (owners, values, usable, scales)]
    needed = [
        f"int32 {(count,)}",
        f"int8 {(count, side, side, channels)}",
        f"bool {(count, side, side)}",
        f"float32 {(count, 3)}",
    ]
    if found != needed:
        raise NetCorrupt(
            f"{path} holds {', '.join(found)}, not {', '.join(needed)}: export the net again"
        )
    if not np.array_equal(np.unique(owners), np.arange(len(manifest.identities))):
        raise NetCorrupt(
            f"{path} must hold templates of each of the {len(manifest.identities)} identities, and "
            f"of no other: it has {len(np.unique(owners))}; export the net again"
        )
    if not (np.isfinite(scales).all() and (scales[:, 1] > 0).all()):
        raise NetCorrupt(
            f"{path} holds scales that are not finite, or not above 0: export the net again"
        )
    return TrainedTemplates(owners, VeinMaps(values, usable, scales))


def _describe(array: NDArray[Any]) -> str:
    return f"{array.dtype} {array.shape}"
