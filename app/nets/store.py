"""Finds versions in the models store, verifies their files, and loads them into an engine."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.ensemble import Ensemble
from app.matching.calibration import Calibration
from app.matching.fusion import Fusion
from app.matching.templates import Floats, NetKey, are_unit
from app.nets.fusion_manifest import FUSION_MANIFEST, FusionEntry, read_fusion_manifest
from app.nets.manifest import (
    GOLDEN,
    NET_REQUEST,
    Manifest,
    NetCorrupt,
    NetMissing,
    NetUnusable,
    highest_version,
    read_manifest,
    verify_files,
    versions,
)
from app.nets.openvino_engine import OpenvinoEngine
from app.nets.tensorflow_engine import TensorflowEngine
from app.palm.views import TEMPLATE_VIEWS

logger = logging.getLogger(__name__)

MIN_GOLDEN_COSINE = 0.999
"""Least cosine of an engine's embedding to the recorded one. OpenVINO in bfloat16 had 0.995 and
another best identity (docs/speed.md)."""


class NetMismatch(NetUnusable):
    """The engine does not reproduce the outputs that training recorded."""


class Engine(Protocol):
    """Runs one SavedModel."""

    def embed(self, images: NDArray[np.uint8]) -> Floats:
        """Maps uint8 [B, H, W, 3] to float32 [B, D]; thread-safe."""
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
    prototypes: Floats
    engine: Engine

    @property
    def key(self) -> NetKey:
        """Name and version."""
        return self.manifest.key

    @property
    def input_px(self) -> int:
        """Side of the input image."""
        return self.manifest.input.height

    @property
    def identities(self) -> tuple[str, ...]:
        """The identities that it was trained on, in the order of the prototypes."""
        return self.manifest.identities

    def embed(self, images: NDArray[np.uint8]) -> Floats:
        """Maps uint8 [B, input_px, input_px, 3] to float32 [B, D], rows of unit length."""
        return self.engine.embed(images)


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
    newest = [_find_version(models_dir, net, version) for net, version in wanted.items()]
    entry = _find_fusion(models_dir, wanted)
    folders = [_find_version(models_dir, net, entry.versions[net]) for net in wanted]
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
    folders = [_find_version(models_dir, *wanted) for wanted in _parse(names).items()]
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


def _find_version(models_dir: Path, net: str, version: int | None) -> Path:
    """Returns the folder of that version of a net, or of its highest."""
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
    prototypes = _read_prototypes(folder, manifest)
    try:
        running = ENGINES[engine](folder)
        _compare_with_golden(folder, running, prototypes[:, 0, 0], engine)
    except NetMismatch:
        raise
    except ImportError as error:
        raise NetUnusable(
            f"the {engine} engine is not installed ({error}): install it or choose another"
        ) from error
    except Exception as error:  # every engine raises errors of its own
        why = " ".join(str(error).split())
        raise NetCorrupt(f"{folder} cannot be run by {engine}: {why}; export it again") from error
    return LoadedNet(manifest, manifest.calibration, prototypes, running)


def _read_prototypes(folder: Path, manifest: Manifest) -> Floats:
    path = folder / manifest.prototypes_file
    try:
        prototypes = np.load(path).astype(np.float32)
    except (ValueError, EOFError) as error:
        raise NetCorrupt(f"{path} is not an array of numbers: export the net again") from error
    expected = (len(manifest.identities), *TEMPLATE_VIEWS, manifest.embedding_size)
    if prototypes.shape != expected:
        raise NetCorrupt(
            f"{path} has the shape {prototypes.shape}, not {expected}: export the net again"
        )
    if not are_unit(prototypes).all():
        raise NetCorrupt(
            f"{path} holds a prototype that is not of unit length: export the net again"
        )
    return prototypes


def _compare_with_golden(folder: Path, engine: Engine, prototypes: Floats, name: str) -> None:
    """Compares the engine's outputs with the recorded ones, all images at once and one by one."""
    with np.load(folder / GOLDEN) as golden:
        images, expected = golden["images"], golden["embedding"]
        top = golden["similarity"].argmax(axis=1)
    one_by_one = np.concatenate([engine.embed(image[None]) for image in images])
    for found in (engine.embed(images), one_by_one):
        cosine = float((found * expected).sum(axis=1).min())
        same_top = bool(((found @ prototypes.T).argmax(axis=1) == top).all())
        if not (cosine >= MIN_GOLDEN_COSINE and same_top):
            raise NetMismatch(
                f"{name} does not reproduce {folder / GOLDEN}: cosine {cosine:.5f}, at least "
                f"{MIN_GOLDEN_COSINE} is needed; same best identity: {same_top}; choose another "
                "engine or export the net again"
            )
