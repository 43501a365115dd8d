"""manifest.json of models_store/precisions/<version>: nets in other precisions than float32.

`python -m training quantize` writes it through this model, and the service reads it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from app.nets.files import ManifestPart, NetMissing, read_file
from app.nets.manifest import (
    GOLDEN,
    MANIFEST,
    RESTORE,
    Manifest,
    require_own_place,
    verify_listed,
    versions,
)

PRECISIONS = "precisions"
"""The folder in the models store."""

QUANTISED = "model.xml"
"""The nets in int8, as OpenVINO's intermediate representation; its weights are `WEIGHTS`."""

WEIGHTS = "model.bin"

LEAST_EQUAL = 0.999
"""Least share of the decisions on the test set that must equal TensorFlow's."""

MOST_FALSE_NON_MATCHES = 3
"""Most false non-matches beyond TensorFlow's."""

Precision = Literal["f32", "bf16", "int8"]
Counts = Annotated[int, Field(ge=0)]


class Trial(ManifestPart):
    """The decisions of one precision on one part of the test data, beside TensorFlow's."""

    part: str = Field(description="The probes and the gallery.")
    probes: int = Field(gt=0)
    equal: Counts = Field(description="Probes with TensorFlow's decision and subject.")
    false_non_matches: Counts
    false_non_matches_of_tensorflow: Counts
    false_matches: Counts
    false_matches_of_tensorflow: Counts


class Measured(ManifestPart):
    """The gate of one precision of some nets that are served together."""

    nets: tuple[str, ...] = Field(min_length=1, description="Each as vgg16/12.")
    precision: Precision
    processor: str = Field(description="The processor that computed it.")
    least_correlation: float = Field(
        ge=-1, le=1, description="Of a probe's map with TensorFlow's, in any of the nets."
    )
    trials: tuple[Trial, ...] = Field(min_length=1, description="The first is on the test set.")

    @property
    def passed(self) -> bool:
        """Whether the decisions are equal enough to serve; see the gate in docs/speed.md."""
        test = self.trials[0]
        return test.equal >= LEAST_EQUAL * test.probes and all(
            one.false_non_matches <= one.false_non_matches_of_tensorflow + MOST_FALSE_NON_MATCHES
            for one in self.trials
        )


class PrecisionManifest(ManifestPart):
    """manifest.json of one version; `app.nets.manifest.seal_manifest` fills in the checksums."""

    schema_version: Literal[1]
    net: Literal["precisions"]
    version: int = Field(gt=0)
    created_at: datetime
    sources: dict[str, str] = Field(
        min_length=1, description="By net, as vgg16/12, the SHA-256 of its manifest."
    )
    layers: dict[str, str] = Field(description="Precision by group of layers.")
    calibration: dict[str, str | int] = Field(description="The images that set int8's ranges.")
    gate: tuple[Measured, ...]
    code_revision: str
    libraries: dict[str, str] = Field(description="Versions, by name.")
    files: dict[str, str] = Field(default={}, description="SHA-256 of the other files, by path.")
    sha256: str = Field(default="", description="Of all other fields.")

    def of(self, nets: Sequence[Manifest]) -> dict[str, Measured] | None:
        """Returns what was measured of exactly these nets, by precision.

        None if a net is not a source, or was exported again since.
        """
        wanted = {str(net.key): net.sha256 for net in nets}
        if any(self.sources.get(key) != sha256 for key, sha256 in wanted.items()):
            return None
        return {one.precision: one for one in self.gate if set(one.nets) == wanted.keys()}


def read_precisions(folder: Path) -> PrecisionManifest:
    """Reads <store>/precisions/<version>/ and compares every file with its checksum.

    Raises:
        NetMissing: if there is no such folder.
        app.nets.files.NetCorrupt: if a file is missing, changed, or of another release or folder.
    """
    if not folder.is_dir():
        raise NetMissing(f"{folder} is missing: run `python -m training quantize`")
    manifest, content = read_file(folder / MANIFEST, PrecisionManifest, RESTORE)
    require_own_place(folder / MANIFEST, content)
    verify_listed(folder, manifest.files, {GOLDEN, QUANTISED, WEIGHTS})
    return manifest


def find_precisions(
    store: Path, nets: Sequence[Manifest]
) -> tuple[Path, Mapping[str, Measured]] | None:
    """Returns the newest version of these nets and what was measured; None if there is none.

    Raises:
        app.nets.files.NetUnusable: if a version of the folder is damaged or cannot be read.
    """
    for folder in reversed(versions(store, PRECISIONS).values()):
        measured = read_precisions(folder).of(nets)
        if measured:
            return folder, measured
    return None
