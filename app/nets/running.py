"""Runs nets in an engine, and compares their outputs with the recorded ones."""

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version as library_version
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from app.matching.maps import Floats
from app.nets.files import NetCorrupt, NetUnusable
from app.nets.manifest import GOLDEN, Manifest
from app.nets.openvino_engine import OpenvinoEngine, OpenvinoNets, describe_processor
from app.nets.precision import Nets, PrecisionChoice, candidates, choose
from app.nets.precision_manifest import QUANTISED, Precision, find_precisions
from app.nets.tensorflow_engine import TensorflowEngine, TensorflowNets

MIN_GOLDEN_CORRELATION = 0.999
"""Least correlation of an engine's map with the recorded one."""


class NetMismatch(NetUnusable):
    """The engine does not reproduce the outputs that training recorded."""


class Engine(Protocol):
    """Runs one SavedModel."""

    def run(self, images: NDArray[np.uint8], names: Sequence[str]) -> dict[str, Floats]:
        """Maps images uint8 [B, H, W, C] to outputs by name, float32; thread-safe."""
        ...


ENGINES: dict[str, Callable[[Path], Engine]] = {
    "openvino": OpenvinoEngine,
    "tensorflow": TensorflowEngine,
}


NETS: dict[str, Callable[[Mapping[str, Path]], Nets]] = {
    "openvino": OpenvinoNets,
    "tensorflow": TensorflowNets,
}


class Version(NamedTuple):
    """A net's version on disk: its folder, and its manifest, whose checksums were compared."""

    folder: Path
    manifest: Manifest


def run_together(
    models_dir: Path, versions: Sequence[Version], engine: str, precision: PrecisionChoice
) -> tuple[str, Nets]:
    """Returns the precision that serves, and the nets running in it."""
    if engine != "openvino":
        if precision.wanted in ("bf16", "int8"):
            raise NetUnusable(
                f"PALM_PRECISION={precision.wanted} needs PALM_ENGINE=openvino: {engine} computes "
                "in f32; set PALM_PRECISION=auto"
            )
        return "f32", run_nets(versions, engine)
    if precision.wanted == "f32":
        return "f32", run_nets(versions, engine)
    manifests = [one.manifest for one in versions]
    folder, measured = find_precisions(models_dir, manifests) or (None, None)
    with named_failures(models_dir, engine):
        processor, native = describe_processor()
    names = " + ".join(str(one.key) for one in manifests)
    among = candidates(precision.wanted, measured, native, names)
    with np.load(versions[0].folder / GOLDEN) as golden:
        image = golden["images"][:1]
    key = {
        "processor": processor,
        "cores": len(os.sched_getaffinity(0)),
        "openvino": library_version("openvino"),
        "nets": {str(one.key): one.sha256 for one in manifests},
        "precisions": str(folder),
        "among": among,
    }
    return choose(
        among, lambda one: run_nets(versions, engine, one, folder), image, precision.cache, key
    )


def run_nets(
    versions: Sequence[Version],
    engine: str,
    precision: Precision = "f32",
    quantised: Path | None = None,
) -> Nets:
    """Loads nets into an engine, and compares their outputs with the recorded ones."""
    folders = {one.manifest.net: one.folder for one in versions}
    source = quantised if precision == "int8" and quantised else None
    with named_failures(source or versions[0].folder, engine):
        if precision == "f32":
            running = NETS[engine](folders)
        else:
            running = OpenvinoNets(folders, precision, source and source / QUANTISED)
        compute = _Golden(running)
        name, advice = engine, "choose another engine or export the net again"
        if precision != "f32":
            name, advice = f"{engine} in {precision}", "set PALM_PRECISION=f32"
        for place, one in enumerate(versions):
            _compare_with_golden(one, compute, place, name, advice, source)
    return running


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


def _compare_with_golden(
    version: Version,
    compute: "_Golden",
    place: int,
    name: str,
    advice: str,
    quantised: Path | None,
) -> None:
    """Compares a net's maps and masks with the recorded ones."""
    folder, manifest = version.folder, version.manifest
    with np.load(folder / GOLDEN) as golden:
        images, expected, mask = golden["images"], golden["map"], golden["mask"]
    if quantised:
        folder = quantised
        with np.load(folder / GOLDEN) as golden:
            expected = golden[str(manifest.key)].astype(np.float32)
    side, channels = manifest.map_format.shape
    shapes = (len(images), side, side, channels), (len(images), side, side)
    if (expected.shape, mask.shape) != shapes:
        raise ValueError(f"{GOLDEN} holds {expected.shape} and {mask.shape}, not {shapes}")
    for maps, masks in compute.maps(images, place):
        if (maps.shape, masks.shape) != shapes:
            raise ValueError(f"the net computes {maps.shape} and {masks.shape}, not {shapes}")
        correlation = float(np.min([*map(correlate, maps, expected)]))  # NaN if one is NaN
        same_mask = bool(((masks > 0.5) == (mask > 0.5)).all())
        if not (correlation >= MIN_GOLDEN_CORRELATION and same_mask):
            raise NetMismatch(
                f"{name} does not reproduce {folder / GOLDEN}: correlation {correlation:.5f}, at "
                f"least {MIN_GOLDEN_CORRELATION} is needed; same mask: {same_mask}; {advice}"
            )


class _Golden:
    """Nets that compute all images at once and one by one, and equal images only once."""

    def __init__(self, nets: Nets) -> None:
        self._nets = nets
        self._known: dict[bytes, list[list[tuple[Floats, Floats]]]] = {}

    def maps(self, images: NDArray[np.uint8], place: int) -> list[tuple[Floats, Floats]]:
        """Returns maps and masks of one of the nets, from one batch and from single images."""
        key = images.tobytes()
        if key not in self._known:
            singles = zip(*(self._nets.maps(image[None]) for image in images), strict=True)
            joined = [
                (np.concatenate([m for m, _ in one]), np.concatenate([m for _, m in one]))
                for one in singles
            ]
            self._known[key] = [self._nets.maps(images), joined]
        return [outputs[place] for outputs in self._known[key]]


def correlate(found: Floats, expected: Floats) -> float:
    """Returns the correlation of two arrays about 0; NaN if one holds NaN."""
    lengths = np.linalg.norm(found) * np.linalg.norm(expected)
    return float((found * expected).sum() / max(lengths, 1e-12))
