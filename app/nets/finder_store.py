"""Loads the finder of the models store."""

from functools import partial
from pathlib import Path

import numpy as np

from app.nets.finder_manifest import FINDER, NEEDED, FinderManifest, read_finder_manifest
from app.nets.manifest import GOLDEN, verify_listed
from app.nets.running import (
    ENGINES,
    MIN_GOLDEN_CORRELATION,
    Engine,
    NetMismatch,
    correlate,
    named_failures,
)
from app.nets.store import find_version
from app.palm.finder import Finder
from app.palm.landmarks import OUTPUTS

MAX_DIFFERENCE = 0.02
"""Largest difference of an engine's probabilities from the recorded ones."""


def load_finder(models_dir: Path, engine: str = "openvino", version: int | None = None) -> Finder:
    """Loads the finder, checked file by file and against its golden outputs.

    Args:
        models_dir: the store, `finder/<version>/` inside.
        engine: a key of `app.nets.running.ENGINES`.
        version: its version; None is the highest.

    Raises:
        NetMissing: if there is no such version.
        NetCorrupt: if a file is missing, differs from its checksum or cannot be run.
        NetMismatch: if the engine's outputs are not the recorded ones.
        NetUnusable: if the engine is not installed, or the folder cannot be read.
    """
    folder = find_version(models_dir, FINDER, version)
    manifest = read_finder_manifest(folder)
    verify_listed(folder, manifest.files, NEEDED)
    with named_failures(folder, engine):
        running = ENGINES[engine](folder)
        _compare_with_golden(folder, manifest, running, engine)
    return Finder(partial(running.run, names=OUTPUTS), manifest.side_px, manifest.least_certainty)


def _compare_with_golden(folder: Path, manifest: FinderManifest, engine: Engine, name: str) -> None:
    """Compares the engine's outputs with the recorded ones, image by image as they are served."""
    with np.load(folder / GOLDEN) as golden:
        images = golden["images"]
        expected = {output: golden[output] for output in OUTPUTS}
    if images.shape[1:] != (manifest.side_px, manifest.side_px, 1):
        raise ValueError(f"{GOLDEN} holds images {images.shape}, of another side than the manifest")
    found = [engine.run(image[None], OUTPUTS) for image in images]
    for output, wanted in expected.items():
        rows = np.concatenate([one[output] for one in found])
        if rows.shape != wanted.shape:
            raise ValueError(f"the net computes {output} {rows.shape}, not {wanted.shape}")
        if output == "landmarks":
            worst = 1 - float(np.min([*map(correlate, rows, wanted)]))
            limit = 1 - MIN_GOLDEN_CORRELATION
        else:
            worst, limit = float(np.abs(rows - wanted).max()), MAX_DIFFERENCE
        if not worst <= limit:  # NaN is not
            raise NetMismatch(
                f"{name} does not reproduce {output} of {folder / GOLDEN}: it differs by "
                f"{worst:.5f}, at most {limit:.5f} is allowed; choose another engine or export "
                "the net again"
            )
