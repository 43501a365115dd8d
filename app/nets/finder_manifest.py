"""manifest.json of a version of the finder, the net that finds finger gaps.

Training writes it through this model, and the service reads it.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from app.nets.files import ManifestPart, NetMissing, read_file
from app.nets.manifest import GOLDEN, MANIFEST, RESTORE, SAVED_MODEL, require_own_place

FINDER = "finder"
"""The finder's folder in the models store."""


class FinderManifest(ManifestPart):
    """manifest.json of one version; `app.nets.manifest.seal_manifest` fills in the checksums."""

    schema_version: Literal[1]
    net: Literal["finder"]
    version: int = Field(gt=0)
    created_at: datetime
    side_px: int = Field(gt=0, description="Side of the views, uint8 [B, side_px, side_px, 1].")
    least_certainty: float = Field(ge=0, le=1, description="Below it no hand is reported.")
    measured: dict[str, float] = Field(description="Rates on drawn hands, by name, 0 to 1.")
    training: dict[str, Any] = Field(description="The training's settings.")
    code_revision: str
    libraries: dict[str, str] = Field(description="Versions, by name.")
    files: dict[str, str] = Field(default={}, description="SHA-256 of the other files, by path.")
    sha256: str = Field(default="", description="Of all other fields.")


NEEDED = frozenset({SAVED_MODEL, GOLDEN})
"""Files that a version must list."""


def read_finder_manifest(folder: Path) -> FinderManifest:
    """Reads <store>/finder/<version>/manifest.json and checks it against its own checksum.

    Raises:
        NetMissing: if there is no such folder.
        app.nets.files.NetCorrupt: if the manifest is missing, changed, or of another release or
            folder.
    """
    if not folder.is_dir():
        raise NetMissing(f"{folder} is missing: give a version's folder, as models_store/finder/3")
    manifest, content = read_file(folder / MANIFEST, FinderManifest, RESTORE)
    require_own_place(folder / MANIFEST, content)
    return manifest
