"""Writes models_store/precisions/<version>: nets in int8, and the gate's results."""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version as library_version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.nets.manifest import GOLDEN, MANIFEST, seal_manifest
from app.nets.openvino_engine import (
    OpenvinoNets,
    describe_processor,
    merge,
    openvino,
    outside_bodies,
)
from app.nets.precision_manifest import (
    PRECISIONS,
    QUANTISED,
    Measured,
    Precision,
    PrecisionManifest,
)
from training.database.palms import Palms
from training.fit.batches import as_colour
from training.report.files import replacing
from training.versions.gate import Gate
from training.versions.read import Version
from training.versions.write import code_revision

LAYERS = {
    "resize, local contrast, mask, standardisation": "f32 in every precision",
    "convolutions and pooling": "the precision",
}


def write_precisions(
    target: Path, nets: Sequence[Version], calibration: Palms, name: str, gate: Gate
) -> list[Measured]:
    """Quantises nets, measures every precision and writes both, whole or not at all.

    Args:
        target: models_store/precisions/<version>.
        nets: the nets, which take images of one size.
        calibration: images on which the ranges of int8 are measured.
        name: the database's name.
        gate: measures the precisions.

    Returns:
        The gate's results.

    Raises:
        OSError: if the version exists already, or cannot be written.
    """
    folders = {net.key.net: net.folder for net in nets}
    with replacing(target) as folder:
        folder.mkdir()
        quantise(folders, calibration, folder / QUANTISED)
        quantised = OpenvinoNets(folders, "int8", folder / QUANTISED)
        _write_golden(folder, nets, quantised)
        processor, _ = describe_processor()
        runs: dict[Precision, OpenvinoNets] = {
            "f32": OpenvinoNets(folders),
            "bf16": OpenvinoNets(folders, "bf16"),
            "int8": quantised,
        }
        measured = [
            one for name, run in runs.items() for one in gate.measure(name, run.maps, processor)
        ]
        manifest = PrecisionManifest(
            schema_version=1,
            net=PRECISIONS,
            version=int(target.name),
            created_at=datetime.now(UTC).replace(microsecond=0),
            sources={str(net.key): net.manifest.sha256 for net in nets},
            layers=LAYERS,
            calibration={
                "database": name,
                "sha256": calibration.sha256,
                "images": len(calibration),
            },
            gate=tuple(measured),
            code_revision=code_revision(),
            libraries={one: library_version(one) for one in ("nncf", "openvino", "tensorflow")},
        )
        (folder / MANIFEST).write_text(seal_manifest(manifest, folder).as_json())
    return measured


def quantise(folders: Mapping[str, Path], calibration: Palms, target: Path) -> None:
    """Writes nets as one OpenVINO model whose convolutions compute in int8.

    Post-training quantisation of weights by channel and of activations by the ranges of the images
    given, with bias correction (NNCF). Preprocessing and standardisation stay in float32.

    Args:
        folders: for each net's name the folder of its saved_model.pb.
        calibration: the images.
        target: the .xml file; its weights are written beside it.
    """
    model = merge(folders)
    import nncf  # only now: it imports OpenVINO, whose telemetry `merge` has switched off

    nncf.set_log_level(logging.ERROR)
    images = [as_colour(calibration.images(slice(i, i + 1))) for i in range(len(calibration))]
    found = nncf.quantize(
        model,
        nncf.Dataset(images),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(images),
        fast_bias_correction=True,
        ignored_scope=nncf.IgnoredScope(names=outside_bodies(model), validate=False),
    )
    openvino().save_model(found, target)


def _write_golden(folder: Path, nets: Sequence[Version], quantised: OpenvinoNets) -> None:
    """Writes each net's maps in int8 of the images in its own golden.npz."""
    maps: dict[str, NDArray[np.float16]] = {}
    for place, net in enumerate(nets):
        with np.load(net.folder / GOLDEN) as golden:
            found, _ = quantised.maps(golden["images"])[place]
        maps[str(net.key)] = found.astype(np.float16)
    np.savez_compressed(folder / GOLDEN, allow_pickle=False, **maps)
