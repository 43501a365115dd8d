"""fusion.json of a models store: weights and calibration of nets that are served together.

Training writes it through these models, and the service reads it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from app.matching.fusion import Fusion
from app.nets.files import ManifestPart, NetMissing, checksum, read_file, require_checksum
from app.nets.manifest import NET_NAME, NET_VERSION, Calibrated

FUSION_MANIFEST = "fusion.json"

FUSION_SCHEMA = 4
"""Of fusion.json. Version 1 calibrated embeddings; 2 did not scale thresholds by impostors;
3 had thresholds of similarities, not of scores."""

_FUSE = "run `python -m training fuse`"


class FusionEntry(Calibrated):
    """The weights and the calibration of one set of nets."""

    nets: tuple[Annotated[str, Field(pattern=f"^{NET_NAME}/{NET_VERSION}$")], ...] = Field(
        min_length=2, description="Each as vgg16/12."
    )
    weights: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        description="One for each net; their sum is 1."
    )

    @model_validator(mode="after")
    def _check_nets(self) -> Self:
        if len(self.weights) != len(self.nets) or abs(sum(self.weights) - 1) > 1e-6:
            raise ValueError(f"{self.nets} need one weight each, and 1 as their sum")
        if len(self.versions) != len(self.nets):
            raise ValueError(f"a net occurs twice: {self.nets}")
        return self

    @property
    def versions(self) -> dict[str, int]:
        """The version of every net."""
        parts = (key.split("/") for key in self.nets)
        return {net: int(version) for net, version in parts}

    def fusion(self, nets: Sequence[str]) -> Fusion:
        """Returns the fusion with the weights in the order of these names."""
        weights = dict(zip(self.versions, self.weights, strict=True))
        return Fusion(tuple(weights[net] for net in nets), self.calibration)


class FusionManifest(ManifestPart):
    """fusion.json of a models store; `seal_fusions` creates one."""

    schema_version: Literal[4]  # FUSION_SCHEMA
    created_at: datetime
    sha256: str = Field(description="Of `fusions`.")
    fusions: tuple[FusionEntry, ...] = Field(description="The newest first.")

    def find(self, wanted: Mapping[str, int | None]) -> FusionEntry | None:
        """Returns the first entry of exactly these nets.

        Args:
            wanted: for each name the version it must have; None accepts any.
        """
        for entry in self.fusions:
            same_nets = entry.versions.keys() == wanted.keys()
            if same_nets and all(
                wanted[net] in (None, version) for net, version in entry.versions.items()
            ):
                return entry
        return None


def read_fusion_manifest(store: Path) -> FusionManifest:
    """Reads fusion.json of a store and checks it against its own checksum.

    Raises:
        NetMissing: if there is no such file.
        NetCorrupt: if it cannot be read, is of another release, or was changed.
    """
    path = store / FUSION_MANIFEST
    if not path.exists():
        raise NetMissing(f"{path} is missing: {_FUSE}")
    manifest, content = read_file(path, FusionManifest, f"restore it, or {_FUSE}")
    require_checksum(path, content["fusions"], manifest.sha256, f"restore it, or {_FUSE}")
    return manifest


def seal_fusions(fusions: Sequence[FusionEntry], created_at: datetime) -> FusionManifest:
    """Returns a fusion manifest with its checksum."""
    content = [entry.model_dump(mode="json") for entry in fusions]
    return FusionManifest(
        schema_version=FUSION_SCHEMA,
        created_at=created_at,
        sha256=checksum(content),
        fusions=tuple(fusions),
    )
