"""Finds versions in the models store, verifies their files, and loads them into an engine."""

import logging
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.ensemble import Ensemble
from app.matching.calibration import Calibration
from app.matching.fusion import Fusion
from app.matching.maps import Floats, VeinMaps
from app.matching.scores import Cohort
from app.matching.templates import MapFormat, NetKey, TrainedTemplates
from app.nets.files import NetCorrupt, NetMissing, NetUnusable
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
from app.nets.openvino_engine import OpenvinoEngine
from app.nets.tensorflow_engine import TensorflowEngine
from app.nets.trained import read_trained

logger = logging.getLogger(__name__)

MIN_GOLDEN_CORRELATION = 0.999
"""Least correlation of an engine's map with the recorded one."""


class NetMismatch(NetUnusable):
    """The engine does not reproduce the outputs that training recorded."""


class Engine(Protocol):
    """Runs one SavedModel."""

    def maps(self, images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Maps uint8 [B, H, W, 3] to float32 [B, S, S, C] and [B, S, S]; thread-safe."""
        ...

    def run(self, images: NDArray[np.uint8], names: Sequence[str]) -> dict[str, Floats]:
        """Maps images uint8 [B, H, W, C] to outputs by name, float32; thread-safe."""
        ...


ENGINES: dict[str, Callable[[Path], Engine]] = {
    "openvino": OpenvinoEngine,
    "tensorflow": TensorflowEngine,
}


@dataclass(frozen=True, slots=True)
class LoadedNet:
    """A net that is ready to serve, as `app.ensemble.Net` requires."""

    manifest: Manifest
    calibration: Calibration
    trained: TrainedTemplates
    cohort: Cohort
    test_pairs: VeinMaps
    engine: Engine

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
        return VeinMaps.of(*self.engine.maps(images))


def load_ensemble(models_dir: Path, names: Sequence[str], engine: str) -> Ensemble:
    """Loads the nets that vote together, and their fusion.

    Of several nets, those without a pinned version take the versions of the first entry in
    fusion.json of exactly these nets. So new versions take effect together, at the moment when
    fusion.json is replaced. One net alone takes its highest version.

    Args:
        models_dir: the store, `<net>/<version>/` inside.
        names: at least one; `vgg16`, or `vgg16:8` to pin version 8.
        engine: a key of `ENGINES`.

    Raises:
        NetUnusable: see `load_nets`.
        NetMissing: if fusion.json has no entry of these nets and versions.
        NetCorrupt: if fusion.json is damaged.
        app.ensemble.NetsDisagree: if the nets are not of one training.
    """
    wanted = _parse(names)
    if len(wanted) == 1:
        (net,) = load_nets(models_dir, names, engine)
        return Ensemble((net,), Fusion((1.0,), net.calibration))
    newest = [find_version(models_dir, net, version) for net, version in wanted.items()]
    entry = _find_fusion(models_dir, wanted)
    folders = [find_version(models_dir, net, entry.versions[net]) for net in wanted]
    for folder in newest:
        if folder not in folders and not any(wanted.values()):
            logger.warning("%s is not served until `python -m training fuse` has run", folder)
    nets = tuple(_load_net(folder, engine) for folder in folders)
    return Ensemble(nets, entry.fusion(tuple(wanted)))


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
    return [_load_net(folder, engine) for folder in folders]


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


def _load_net(folder: Path, engine: str) -> LoadedNet:
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    trained = read_trained(folder, manifest)
    with named_failures(folder, engine):
        running = ENGINES[engine](folder)
        _compare_with_golden(folder, manifest, running, engine)
    with np.load(folder / GOLDEN) as golden:
        pairs = VeinMaps.of(golden["map"], golden["mask"])
    cohort = Cohort.of(trained)
    return LoadedNet(manifest, manifest.calibration, trained, cohort, pairs, running)


@contextmanager
def named_failures(folder: Path, engine: str) -> Generator[None]:
    """Turns what an engine raises while it loads and tries a net into `NetUnusable`."""
    try:
        yield
    except NetMismatch:
        raise
    except ImportError as error:
        raise NetUnusable(
            f"the {engine} engine is not installed ({error}): install it or choose another"
        ) from error
    except Exception as error:  # every engine raises errors of its own
        why = " ".join(str(error).split())
        raise NetCorrupt(f"{folder} cannot be run by {engine}: {why}; export it again") from error


def _compare_with_golden(folder: Path, manifest: Manifest, engine: Engine, name: str) -> None:
    """Compares the engine's maps with the recorded ones, all images at once and one by one."""
    with np.load(folder / GOLDEN) as golden:
        images, expected, mask = golden["images"], golden["map"], golden["mask"]
    side, channels = manifest.map_format.shape
    shapes = (len(images), side, side, channels), (len(images), side, side)
    if (expected.shape, mask.shape) != shapes:
        raise ValueError(f"{GOLDEN} holds {expected.shape} and {mask.shape}, not {shapes}")
    one_by_one = [engine.maps(image[None]) for image in images]
    for maps, masks in (
        engine.maps(images),
        (np.concatenate([m for m, _ in one_by_one]), np.concatenate([m for _, m in one_by_one])),
    ):
        if (maps.shape, masks.shape) != shapes:
            raise ValueError(f"the net computes {maps.shape} and {masks.shape}, not {shapes}")
        correlation = float(np.min([*map(correlate, maps, expected)]))  # NaN if one is NaN
        same_mask = bool(((masks > 0.5) == (mask > 0.5)).all())
        if not (correlation >= MIN_GOLDEN_CORRELATION and same_mask):
            raise NetMismatch(
                f"{name} does not reproduce {folder / GOLDEN}: correlation {correlation:.5f}, at "
                f"least {MIN_GOLDEN_CORRELATION} is needed; same mask: {same_mask}; choose another "
                "engine or export the net again"
            )


def correlate(found: Floats, expected: Floats) -> float:
    """Returns the correlation of two arrays about 0; NaN if one holds NaN."""
    lengths = np.linalg.norm(found) * np.linalg.norm(expected)
    return float((found * expected).sum() / max(lengths, 1e-12))
