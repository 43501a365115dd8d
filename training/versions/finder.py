"""Writes a version of the finder, whose SavedModel has the net's outputs, and reads it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from app.nets.finder_manifest import FINDER, NEEDED, FinderManifest, read_finder_manifest
from app.nets.manifest import GOLDEN, MANIFEST, highest_version, seal_manifest, verify_listed
from app.palm.finder import Finder
from app.palm.landmarks import OUTPUTS
from training.finder.figures import NEAR, Trial
from training.finder.net import build_finder
from training.report.files import replacing
from training.synthetic.pairs import Pixels
from training.versions.read import set_stored_weights
from training.versions.write import ExportMismatch, code_revision, save_halves

FEWEST, MOST = 0.5, 0.95
"""Least and greatest certainty that `choose_certainty` returns."""

MARGIN = 0.02
"""By how much a certainty must exceed that of the wrong hands."""

MAX_DIFFERENCE = 1e-3
"""Largest difference of the SavedModel's probabilities from the net's; of its logits, relative to
the largest."""


def choose_certainty(trials: Sequence[Trial]) -> float:
    """Returns the certainty below which no hand is reported, above that of all wrong hands.

    Args:
        trials: what was found in drawn hands that the net was not trained on.

    Returns:
        A number from `FEWEST` to `MOST`; at `MOST` wrong hands may be reported.
    """
    wrong = [trial.certainty for trial in trials if trial.error > NEAR]
    return float(np.clip(max(wrong, default=0.0) + MARGIN, FEWEST, MOST))


def write_finder(
    target: Path,
    net: keras.Model,
    golden: Pixels,
    *,
    least_certainty: float,
    measured: Mapping[str, float],
    training: Mapping[str, Any],
) -> None:
    """Writes models_store/finder/<version>, whole or not at all.

    Args:
        target: the version's folder.
        net: the folded net.
        golden: views uint8 [G, S, S, 1] whose outputs are recorded.
        least_certainty: certainty below which no hand is reported.
        measured: rates on drawn hands, by name.
        training: settings of the training.

    Raises:
        ExportMismatch: if the SavedModel's outputs differ from the net's.
        OSError: if the version exists already, or cannot be written.
    """
    manifest = FinderManifest(
        schema_version=1,
        net=FINDER,
        version=int(target.name),
        created_at=datetime.now(UTC).replace(microsecond=0),
        side_px=golden.shape[1],
        least_certainty=least_certainty,
        measured=dict(measured),
        training=dict(training),
        code_revision=code_revision(),
        libraries={name: library_version(name) for name in ("keras", "tensorflow", "numpy")},
    )
    with replacing(target) as folder:
        save_halves(net, folder)
        _write_golden(net, folder, golden)
        (folder / MANIFEST).write_text(seal_manifest(manifest, folder).as_json())


def read_finder(store: Path) -> tuple[Finder, str]:
    """Reads the highest version of a models store; returns it and its manifest's SHA-256.

    Raises:
        app.nets.files.NetMissing: if the store holds none.
        app.nets.files.NetCorrupt: if a file is missing or differs from its checksum.
    """
    folder = highest_version(store, FINDER)
    manifest = read_finder_manifest(folder)
    verify_listed(folder, manifest.files, NEEDED)
    saved: Any = tf.saved_model.load(str(folder))

    def run(views: NDArray[np.uint8]) -> Mapping[str, NDArray[np.float32]]:
        outputs = saved.signatures["serving_default"](images=tf.constant(views))
        return {name: np.asarray(outputs[name], np.float32) for name in OUTPUTS}

    return Finder(run, manifest.side_px, manifest.least_certainty), manifest.sha256


def read_finder_net(folder: Path) -> keras.Model:
    """Builds the net of a version in Keras, with plain convolutions and the version's weights.

    Args:
        folder: models_store/finder/<version>.

    Raises:
        app.nets.files.NetCorrupt: if a file is missing or differs from its checksum, or the weights
            are those of another net.
    """
    manifest = read_finder_manifest(folder)
    verify_listed(folder, manifest.files, NEEDED)
    saved: Any = tf.saved_model.load(str(folder))
    net = build_finder(manifest.side_px, folded=True)
    set_stored_weights(net, saved.weights, folder)
    return net


def _write_golden(net: keras.Model, folder: Path, images: Pixels) -> None:
    reloaded = tf.saved_model.load(str(folder))  # owns the variables
    served = reloaded.signatures["serving_default"](images=tf.constant(images))
    found: dict[str, Any] = {name: np.asarray(served[name]) for name in OUTPUTS}
    for name, output in net(images, training=False).items():
        wanted = np.asarray(output)
        worst = float(np.abs(found[name] - wanted).max() / max(float(np.abs(wanted).max()), 1.0))
        if not worst <= MAX_DIFFERENCE:  # NaN is not
            raise ExportMismatch(
                f"between the trained net and its SavedModel, {name} differs by {worst:.6f}, so "
                "nothing was exported: check that the run's weights are complete, finite and "
                "below 65,504"
            )
    np.savez_compressed(folder / GOLDEN, images=images, **found)
