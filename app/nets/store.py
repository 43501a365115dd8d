"""Finds versions in the models store, verifies their files, and loads them into an engine."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.ensemble import Ensemble
from app.matching.calibration import Calibration
from app.matching.fusion import Fusion
from app.matching.maps import VeinMaps
from app.matching.scores import Cohort
from app.matching.templates import MapFormat, NetKey, TrainedTemplates
from app.nets.files import NetMissing
from app.nets.fusion_manifest import FUSION_MANIFEST, FusionEntry, read_fusion_manifest
from app.nets.manifest import (
    GOLDEN,
    NET_REQUEST,
    Manifest,
    highest_version,
    read_manifest,
    verify_files,
    versions,
)
from app.nets.precision import F32, Nets, PrecisionChoice
from app.nets.running import Version, run_nets, run_together
from app.nets.trained import read_trained

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedNet:
    """A net that is ready to serve, as `app.ensemble.Net` requires."""

    manifest: Manifest
    calibration: Calibration
    trained: TrainedTemplates
    cohort: Cohort
    test_pairs: VeinMaps
    run: Callable[[NDArray[np.uint8]], VeinMaps]

    @property
    def key(self) -> NetKey:
        """Name and version."""
        return self.manifest.key

    @property
    def format(self) -> MapFormat:
        """The format of its maps."""
        return self.manifest.map_format

    @property
    def input_px(self) -> int:
        """Side of the input image."""
        return self.manifest.input.height

    @property
    def identities(self) -> tuple[str, ...]:
        """The identities that it was trained on."""
        return self.manifest.identities

    def maps(self, images: NDArray[np.uint8]) -> VeinMaps:
        """Computes the vein maps of uint8 [B, input_px, input_px, 3], not scaled yet."""
        return self.run(images)


def load_ensemble(
    models_dir: Path,
    names: Sequence[str],
    engine: str,
    precision: PrecisionChoice = F32,
) -> Ensemble:
    """Loads the nets that vote together, and their fusion.

    Of several nets, those without a pinned version take the versions of the first entry in
    fusion.json of exactly these nets. So new versions take effect together, at the moment when
    fusion.json is replaced. One net alone takes its highest version.

    Args:
        models_dir: the store, `<net>/<version>/` inside.
        names: at least one; `vgg16`, or `vgg16:8` to pin version 8.
        engine: a key of `app.nets.running.ENGINES`.
        precision: how the precision is chosen; TensorFlow computes in float32.

    Raises:
        NetUnusable: see `load_nets`; or if the precision cannot be served.
        NetMissing: if fusion.json has no entry of these nets and versions.
        NetCorrupt: if fusion.json is damaged.
        app.ensemble.NetsDisagree: if the nets are not of one training.
    """
    wanted = _parse(names)
    newest = [find_version(models_dir, net, version) for net, version in wanted.items()]
    if len(wanted) == 1:
        folders, fusion = newest, None
    else:
        entry = _find_fusion(models_dir, wanted)
        folders = [find_version(models_dir, net, entry.versions[net]) for net in wanted]
        fusion = entry.fusion(tuple(wanted))
    for folder in newest:
        if folder not in folders and not any(wanted.values()):
            logger.warning("%s is not served until `python -m training fuse` has run", folder)
    opened = [_read(folder) for folder in folders]
    served, running = run_together(models_dir, opened, engine, precision)
    nets = tuple(_load(one, running, place) for place, one in enumerate(opened))

    def together(images: NDArray[np.uint8]) -> list[VeinMaps]:
        return [VeinMaps.of(*outputs) for outputs in running.maps(images)]

    return Ensemble(nets, fusion or Fusion((1.0,), nets[0].calibration), together, served)


def load_nets(models_dir: Path, names: Sequence[str], engine: str) -> list[LoadedNet]:
    """Loads nets one by one, each checked file by file and against its golden outputs.

    Args:
        models_dir: see `load_ensemble`.
        names: see `load_ensemble`; a net without a pinned version takes its highest.
        engine: see `load_ensemble`.

    Raises:
        NetMissing: if a net or version is not there, or no net is named.
        NetCorrupt: if a file is missing, differs from its checksum or cannot be run.
        NetMismatch: if the engine's outputs are not the recorded ones.
        NetUnusable: if the engine is not installed, or a net's folder cannot be read.
    """
    folders = [find_version(models_dir, *wanted) for wanted in _parse(names).items()]
    opened = [_read(folder) for folder in folders]
    return [_load(one, run_nets([one], engine), 0) for one in opened]


def _parse(names: Sequence[str]) -> dict[str, int | None]:
    """Returns each net's pinned version, None if it has none."""
    wanted: dict[str, int | None] = {}
    for name in names:
        request = re.fullmatch(NET_REQUEST, name)
        if request is None:
            raise NetMissing(f"{name!r} is not a net: write it like vgg16 or vgg16:8")
        net, version = request.groups()
        if net in wanted:
            raise NetMissing(f"{net} is named twice among {', '.join(names)}: name each net once")
        wanted[net] = int(version) if version else None
    if not wanted:
        raise NetMissing("no net is named: name at least one, such as vgg16")
    return wanted


def find_version(models_dir: Path, net: str, version: int | None) -> Path:
    """Returns the folder of that version of a net, or of its highest.

    Raises:
        NetMissing: if there is none.
    """
    highest = highest_version(models_dir, net)
    present = versions(models_dir, net)
    if version is not None and version not in present:
        raise NetMissing(f"{models_dir / net} has no version {version}, only {[*present]}")
    return highest if version is None else present[version]


def _find_fusion(models_dir: Path, wanted: Mapping[str, int | None]) -> FusionEntry:
    manifest = read_fusion_manifest(models_dir)
    entry = manifest.find(wanted)
    if entry is None:
        asked = " + ".join(net if v is None else f"{net}/{v}" for net, v in wanted.items())
        present = "; ".join(" + ".join(one.nets) for one in manifest.fusions) or "nothing"
        raise NetMissing(
            f"{models_dir / FUSION_MANIFEST} has no fusion of {asked}, only of {present}: run "
            "`python -m training fuse`, or name nets and versions that it has"
        )
    return entry


def _read(folder: Path) -> Version:
    """Opens a version and compares every file with its checksum."""
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    return Version(folder, manifest)


def _load(version: Version, nets: Nets, place: int) -> LoadedNet:
    """Returns the net that has this place among those that run together."""
    trained = read_trained(version.folder, version.manifest)

    def run(images: NDArray[np.uint8]) -> VeinMaps:
        return VeinMaps.of(*nets.maps(images)[place])

    with np.load(version.folder / GOLDEN) as golden:
        pairs = VeinMaps.of(golden["map"], golden["mask"])
    manifest = version.manifest
    return LoadedNet(manifest, manifest.calibration, trained, Cohort.of(trained), pairs, run)
