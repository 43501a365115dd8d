"""A net's version on disk: its manifest, its checksums, and the list of versions.

Training writes manifest.json through this model, and the service reads it.
"""

import re
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, model_validator

from app.matching.calibration import Calibration, Case
from app.matching.maps import MapShape
from app.matching.templates import MapFormat, NetKey
from app.nets.files import (
    ManifestPart,
    NetCorrupt,
    NetMissing,
    NetUnusable,
    checksum,
    earlier_schema,
    file_checksum,
    read_file,
    require_checksum,
)

MANIFEST = "manifest.json"
SAVED_MODEL = "saved_model.pb"
GOLDEN = "golden.npz"
TEMPLATES = "templates.npz"

SCHEMA = 6
"""Of manifest.json. Up to 3, embeddings were compared, not vein maps. In 4, no threshold was
scaled by the site's impostors. In 5, thresholds were of similarities, not of scores."""

NET_NAME = "[a-z][a-z0-9_-]*"
"""A net's name, which is also its folder's."""

NET_VERSION = "[1-9][0-9]{0,8}"
"""A version's number, which is also its folder's name."""

TEMPLATE_ID = "[0-9a-f]{16}"
"""Which templates can be compared; see `Manifest.template_id`."""

NET_REQUEST = f"({NET_NAME})(?::({NET_VERSION}))?"
"""How a net is asked for: vgg16, or vgg16:8 to pin version 8."""

RESTORE = "restore the whole version folder, or export the net again"
"""Advice of every refusal of a version's files."""


class InputSpec(ManifestPart):
    """The net's input: square RGB images of 8 bits."""

    height: int = Field(gt=0)
    width: int = Field(gt=0)
    channels: Literal[3]
    dtype: Literal["uint8"]


class Dataset(ManifestPart):
    """The database whose identities the net knows."""

    name: str
    sha256: str = Field(description="Digest over every file's path and bytes.")
    split: str = Field(description="session or seed: how training and test were separated.")
    split_seed: int | None
    training_images: int = Field(gt=0)


class Metrics(ManifestPart):
    """Closed-set accuracy on the validation part, 0 to 1, and its number of images."""

    validation_accuracy: float = Field(ge=0, le=1)
    validation_images: int = Field(gt=0)


class Calibrated(ManifestPart):
    """The meaning of scores, in at least one case."""

    cases: tuple[Case, ...] = Field(min_length=1)
    strangers: tuple[str, ...] = Field(
        default=(), description="Digests of the databases that calibrated, as `Dataset.sha256`."
    )

    @model_validator(mode="after")
    def _check_cases(self) -> Self:
        kinds = Counter((case.mean_map, case.templates, case.probes) for case in self.cases)
        if repeated := [kind for kind, count in kinds.items() if count > 1]:
            raise ValueError(f"mean_map, templates and probes occur twice: {repeated[0]}")
        if not any(case.probes == 1 and not case.mean_map for case in self.cases):
            # Any other case's thresholds are lower and would accept too many strangers.
            raise ValueError("a case of 1 probe without a mean map is needed")
        for case in self.cases:
            _check_case(case)
        return self

    @property
    def calibration(self) -> Calibration:
        """The cases, each with its thresholds in the order of falling FMR."""
        return Calibration(
            tuple(
                replace(case, thresholds=tuple(sorted(case.thresholds, key=lambda t: -t.fmr)))
                for case in self.cases
            )
        )


def _check_case(case: Case) -> None:
    if not (case.temperature > 0 and case.thresholds and min(case.templates, case.probes) > 0):
        raise ValueError(f"a case needs a temperature, thresholds and images: {case}")
    for threshold in case.thresholds:
        if not 0 < threshold.fmr <= 1 or (threshold.comparisons or 0) <= 0:
            raise ValueError(f"an FMR in (0, 1] and its comparisons are needed: {threshold}")
    for looser, stricter in pairwise(sorted(case.thresholds, key=lambda t: -t.fmr)):
        if looser.fmr == stricter.fmr or looser.score > stricter.score:
            raise ValueError(f"a lower FMR needs a higher score: {looser}, {stricter}")


class Manifest(Calibrated):
    """manifest.json of one version; `seal_manifest` fills in the checksums."""

    schema_version: Literal[6]  # SCHEMA
    net: str = Field(pattern=f"^{NET_NAME}$")
    version: int = Field(gt=0)
    created_at: datetime
    input: InputSpec
    embedding_size: int = Field(gt=0)
    map_side: int = Field(gt=4, description="Places of the vein map in a row and in a column.")
    map_channels: int = Field(gt=0)
    template_id: str = Field(
        pattern=f"^{TEMPLATE_ID}$",
        description="Digest of the map's weights and format: templates of equal ids compare.",
    )
    identities: tuple[str, ...] = Field(min_length=1, description="In the scores' order.")
    training: dict[str, Any] = Field(description="The training's settings.")
    dataset: Dataset
    metrics: Metrics
    code_revision: str
    libraries: dict[str, str] = Field(description="Versions, by name.")
    files: dict[str, str] = Field(default={}, description="SHA-256 of the other files, by path.")
    sha256: str = Field(default="", description="Of all other fields.")

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.input.height != self.input.width:
            raise ValueError(f"the image is not square: {self.input.height}x{self.input.width}")
        if repeated := [name for name, count in Counter(self.identities).items() if count > 1]:
            raise ValueError(f"identities occur twice: {', '.join(repeated[:5])}")
        return self

    @property
    def key(self) -> NetKey:
        """Name and version."""
        return NetKey(self.net, self.version)

    @property
    def map_format(self) -> MapFormat:
        """The format of the net's vein maps."""
        return MapFormat(self.net, self.template_id, MapShape(self.map_side, self.map_channels))


def versions(store: Path, net: str) -> dict[int, Path]:
    """Returns the folders of a net's versions, in rising order; none if there is no such net.

    Raises:
        NetUnusable: if the net's folder cannot be read.
    """
    folder = store / net
    try:
        folders = [path for path in folder.iterdir() if path.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise NetUnusable(
            f"{folder} cannot be read ({error.strerror}): correct its name, or let this user read "
            "it and the folders above it"
        ) from error
    found = {int(path.name): path for path in folders if re.fullmatch(NET_VERSION, path.name)}
    return dict(sorted(found.items()))


def highest_version(store: Path, net: str) -> Path:
    """Returns the folder of a net's highest version.

    Raises:
        NetMissing: if it has none.
    """
    found = versions(store, net)
    if not found:
        raise NetMissing(
            f"{store / net} holds no version of {net}: train and export it, or copy it there"
        )
    return found[max(found)]


def read_manifest(folder: Path) -> Manifest:
    """Reads <store>/<net>/<version>/manifest.json and checks it against its own checksum.

    Raises:
        NetMissing: if there is no such folder.
        NetCorrupt: if the manifest is missing, changed, or of another release or folder.
    """
    if not folder.is_dir():
        raise NetMissing(f"{folder} is missing: give a version's folder, as models_store/vgg16/12")
    path = folder / MANIFEST
    if schema := earlier_schema(path, SCHEMA):
        raise NetCorrupt(
            f"{path} has schema_version {schema}, of an earlier release, which compared or "
            f"calibrated in another way, and this one needs {SCHEMA}: train the net with this "
            "release and export the net again"
        )
    manifest, content = read_file(path, Manifest, RESTORE)
    require_own_place(path, content)
    return manifest


def require_own_place(path: Path, content: Mapping[str, Any]) -> None:
    """Compares a manifest's net and version with its folder, and its content with its checksum.

    Raises:
        NetCorrupt: if they differ.
    """
    net, version = content["net"], content["version"]
    if (net, str(version)) != path.parent.absolute().parts[-2:]:
        raise NetCorrupt(f"{path} is the manifest of {net}/{version}: move it to that folder")
    hashed = {name: value for name, value in content.items() if name != "sha256"}
    require_checksum(path, hashed, content.get("sha256", ""), RESTORE)


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Compares every file of a version with its checksum.

    Raises:
        NetCorrupt: if a file is missing or changed, or a needed file has no checksum.
    """
    verify_listed(folder, manifest.files, {SAVED_MODEL, GOLDEN, TEMPLATES})


def verify_listed(folder: Path, files: Mapping[str, str], needed: Set[str]) -> None:
    """Compares the files of a folder with their SHA-256, by path, as `verify_files` does."""
    if unlisted := needed - files.keys():
        raise NetCorrupt(f"{folder / MANIFEST} lists no checksum of {sorted(unlisted)}: {RESTORE}")
    for name, expected in files.items():
        path = folder / name
        try:
            found = file_checksum(path)
        except OSError as error:
            raise NetCorrupt(f"{path} cannot be read ({error.strerror}): {RESTORE}") from error
        if found != expected:
            raise NetCorrupt(f"{path} has SHA-256 {found}, not {expected}: {RESTORE}")


_Sealed = TypeVar("_Sealed", bound=ManifestPart)  # with the fields `files` and `sha256`


def seal_manifest(manifest: _Sealed, folder: Path) -> _Sealed:
    """Returns the manifest with the checksums of all files in the folder, and its own."""
    files = {
        path.relative_to(folder).as_posix(): file_checksum(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    listed = manifest.model_copy(update={"files": files})
    return listed.model_copy(
        update={"sha256": checksum(listed.model_dump(mode="json", exclude={"sha256"}))}
    )
