"""models_store: finds a version, proves that it is whole, and loads it into an engine."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from app.ensemble import Ensemble
from app.matching.calibration import Calibration
from app.matching.fusion import Fusion
from app.matching.templates import Floats, NetKey
from app.nets.manifest import FusionManifest, Manifest
from app.nets.openvino_engine import OpenvinoEngine
from app.nets.tensorflow_engine import TensorflowEngine
from app.palm.views import TEMPLATE_VIEWS
from app.validation import in_one_line

MIN_GOLDEN_COSINE = 0.999
"""How far an engine's arithmetic (bfloat16, say) may turn an embedding."""


class NetUnusable(Exception):
    """A net cannot be served; the message names the file or value and what to do."""


class NetMissing(NetUnusable):
    """There is no such net or version."""


class NetCorrupt(NetUnusable):
    """A file of the version is missing, or not the one that training wrote."""


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
    """A net that is ready to serve; satisfies `app.ensemble.Net`."""

    manifest: Manifest
    calibration: Calibration
    prototypes: Floats
    engine: Engine

    @property
    def key(self) -> NetKey:
        """Name and version."""
        return NetKey(self.manifest.net, self.manifest.version)

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
    """Loads the nets that are to vote together, and what their sum means.

    Args:
        models_dir: see `load_nets`.
        names: see `load_nets`.
        engine: see `load_nets`.

    Raises:
        NetUnusable: see `load_nets`.
        NetMissing: if fusion.json has no entry for these versions together.
        NetCorrupt: if fusion.json is no such file.
        app.ensemble.NetsDisagree: if the nets are not of one training.
    """
    nets = tuple(load_nets(models_dir, names, engine))
    return Ensemble(nets, _load_fusion(models_dir / "fusion.json", nets))


def load_nets(models_dir: Path, names: Sequence[str], engine: str) -> list[LoadedNet]:
    """Loads nets, each checked file by file and against its golden outputs.

    Args:
        models_dir: the store, `<net>/<version>/` inside.
        names: `vgg16` for the highest version, `vgg16:1` for that one.
        engine: a key of `ENGINES`.

    Raises:
        NetMissing: if a net or version is not there, or no net is named.
        NetCorrupt: if a file is missing or has another checksum than the manifest says.
        NetMismatch: if the engine's outputs are not the recorded ones.
    """
    if not names:
        raise NetMissing("no net is named: name at least one, such as vgg16")
    return [_load_net(_find_version(models_dir, name), engine) for name in names]


def _find_version(models_dir: Path, name: str) -> Path:
    net, _, version = name.partition(":")
    if not re.fullmatch(r"[a-z0-9_]+(:[1-9]\d*)?", name):
        raise NetMissing(f"{name!r} names no net: write it like vgg16 or vgg16:1")
    folder = models_dir / net
    present = {int(p.name): p for p in folder.glob("*") if p.is_dir() and p.name.isdecimal()}
    if not present:
        raise NetMissing(
            f"{folder} holds no version of {net}: train and export it, or copy it there"
        )
    wanted = int(version) if version else max(present)
    if wanted not in present:
        raise NetMissing(f"{folder} has no version {wanted}, only {sorted(present)}")
    return present[wanted]


def _load_net(folder: Path, engine: str) -> LoadedNet:
    manifest = _read_manifest(folder)
    _verify_files(folder, manifest)
    prototypes = np.load(folder / manifest.prototypes_file).astype(np.float32)
    expected = (len(manifest.identities), *TEMPLATE_VIEWS, manifest.embedding_size)
    if prototypes.shape != expected:
        raise NetCorrupt(
            f"{folder / manifest.prototypes_file}: {prototypes.shape}, not {expected}; export "
            "the net again"
        )
    try:
        running = ENGINES[engine](folder)
        _compare_with_golden(folder, running, prototypes[:, 0, 0], engine)
    except ImportError as error:
        raise NetUnusable(
            f"the {engine} engine is not installed ({error}): install it or choose another"
        ) from error
    except (RuntimeError, KeyError, ValueError) as error:  # what engines and NumPy raise
        raise NetCorrupt(f"{folder} cannot be run by {engine}: {error}") from error
    return LoadedNet(manifest, manifest.calibration(), prototypes, running)


def _read_manifest(folder: Path) -> Manifest:
    path = folder / "manifest.json"
    try:
        content = path.read_bytes()
        manifest = Manifest.model_validate_json(content)
    except OSError as error:
        raise NetCorrupt(f"{path} cannot be read: restore the whole version folder") from error
    except ValidationError as error:
        raise NetCorrupt(
            f"{path} is not a manifest of this release ({in_one_line(error)}): restore the whole "
            "version folder, or export the net again"
        ) from error
    if (manifest.net, str(manifest.version)) != (folder.parent.name, folder.name):
        raise NetCorrupt(
            f"{path} is of {manifest.net}/{manifest.version}: move it where it belongs"
        )
    said = {name: value for name, value in json.loads(content).items() if name != "sha256"}
    _check_sum(path, said, manifest.sha256)
    return manifest


def _verify_files(folder: Path, manifest: Manifest) -> None:
    needed = {"saved_model.pb", "golden.npz", manifest.prototypes_file}
    if unlisted := needed - manifest.files.keys():
        raise NetCorrupt(f"{folder / 'manifest.json'} lists no checksum of {sorted(unlisted)}")
    for name, expected in manifest.files.items():
        path = folder / name
        try:
            with path.open("rb") as file:
                found = file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise NetCorrupt(f"{path} is missing: restore the whole version folder") from error
        if found != expected:
            raise NetCorrupt(
                f"{path} has SHA-256 {found}, the manifest says {expected}: "
                "restore the whole version folder"
            )


def _compare_with_golden(folder: Path, engine: Engine, prototypes: Floats, name: str) -> None:
    """Recomputes the recorded outputs, all at once and one by one."""
    with np.load(folder / "golden.npz") as golden:
        images, expected = golden["images"], golden["embedding"]
        top = golden["similarity"].argmax(axis=1)
    one_by_one = np.concatenate([engine.embed(image[None]) for image in images])
    for found in (engine.embed(images), one_by_one):
        cosine = float((found * expected).sum(axis=1).min())
        same_top = bool(((found @ prototypes.T).argmax(axis=1) == top).all())
        if not (cosine >= MIN_GOLDEN_COSINE and same_top):
            raise NetMismatch(
                f"{folder} under {name} does not reproduce golden.npz: cosine {cosine:.5f}, "
                f"at least {MIN_GOLDEN_COSINE} is asked, same best identity: {same_top}"
            )


def _load_fusion(path: Path, nets: Sequence[LoadedNet]) -> Fusion:
    if len(nets) == 1:
        return Fusion((1.0,), nets[0].calibration)
    keys = [str(net.key) for net in nets]
    if len(set(keys)) < len(keys):
        raise NetMissing(f"a net is named twice among {', '.join(keys)}: name each once")
    try:
        content = path.read_bytes()
        manifest = FusionManifest.model_validate_json(content)
        _check_sum(path, json.loads(content)["fusions"], manifest.sha256)
        fusions = manifest.fusions
    except FileNotFoundError:
        fusions = ()
    except (OSError, ValidationError) as error:
        why = in_one_line(error) if isinstance(error, ValidationError) else error
        raise NetCorrupt(f"{path} cannot be read ({why}): restore it") from error
    for entry in fusions:
        if sorted(entry.nets) == sorted(keys):
            weights = dict(zip(entry.nets, entry.weights, strict=True))
            return Fusion(tuple(weights[key] for key in keys), entry.calibration())
    raise NetMissing(
        f"{path} does not say what {' + '.join(keys)} mean together: "
        "run `python -m training fuse`, or name versions in PALM_NETS that it has"
    )


def _check_sum(path: Path, said: Any, expected: str) -> None:
    """Compares the checksum that `training.artefact` computed, over JSON without spaces."""
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
    found = sha256(canonical.encode()).hexdigest()
    if expected != found:
        raise NetCorrupt(
            f"what {path} says has SHA-256 {found}, and should have {expected}: restore it"
        )
