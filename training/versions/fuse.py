"""Fusions of several nets: their weights, their calibration and their file, fusion.json."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.matching.calibration import calibrate, negative_log_likelihood
from app.matching.fusion import Fusion, weighted_sum
from app.matching.templates import NetKey
from app.nets.manifest import (
    FUSION_MANIFEST,
    FusionEntry,
    NetMissing,
    read_fusion_manifest,
    seal_fusions,
    versions,
)
from training.report.files import write_text

SIXTHS = 6
"""Weights are multiples of a sixth, which include uniform weights of two and of three nets. Finer
steps change almost nothing and take longer."""

MAX_STANDARD_ERRORS = 2
"""Weights are as good as the best ones within this many standard errors of the difference."""

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]
Labels = NDArray[np.int32]


def weigh(
    known: Sequence[Float32],
    labels: Labels,
    unknown: Sequence[Float32],
    strangers: Labels,
    name: str = "fusion",
) -> Fusion:
    """Returns the most uniform weights that are as good as the best ones, with their calibration.

    The best weights have the least mean negative log-likelihood. Others are as good if theirs is
    within two standard errors of the difference: the rule of L. Breiman et al., "Classification
    and Regression Trees" (1984), section 3.4.3, which takes one. A net that makes almost no errors
    on the validation palms is therefore not preferred to another such net by chance.

    Args:
        known: for each net float32 [N, C], similarities of known palms' validation images.
        labels: int32 [N], the true columns of `known`.
        unknown: for each net float32 [M, C], similarities of strangers' validation images.
        strangers: int32 [M], the identity of each stranger's image.
        name: name of the nets, for the progress bar.

    Returns:
        A fusion whose weights are positive multiples of a sixth.
    """
    choices = [c for c in product(range(1, SIXTHS), repeat=len(known)) if sum(c) == SIXTHS]
    found: list[tuple[Fusion, Array]] = []
    for parts in tqdm(choices, f"{name}: weighing", unit="weights", delay=1):
        weights = tuple(part / SIXTHS for part in parts)
        genuine, impostors = weighted_sum(weights, known), weighted_sum(weights, unknown)
        calibration = calibrate(genuine, labels, impostors)
        losses = negative_log_likelihood(calibration, genuine, labels, impostors)
        found.append((Fusion(weights, calibration), losses))
    best = min((losses for _, losses in found), key=np.mean)
    palms = np.concatenate([labels, strangers + known[0].shape[1]])
    as_good = [one for one in found if _are_as_good(one[1], best, palms)]
    fusion, _ = min(as_good, key=lambda one: (np.square(one[0].weights).sum(), one[1].mean()))
    return fusion


def standard_error(values: Array, palms: Labels) -> float:
    """Returns the standard error of a mean over images that are independent between palms only.

    The cluster-robust estimate of K.-Y. Liang and S. Zeger, Biometrika 73 (1986), for a mean.

    Args:
        values: float64 [N], one for each image.
        palms: int32 [N], the palm of each image.
    """
    _, own = np.unique(palms, return_inverse=True)
    sums = np.bincount(own, values - values.mean())
    return float(np.sqrt(np.square(sums).sum() * len(sums) / (len(sums) - 1)) / len(values))


def read_fusion(store: Path, keys: Sequence[NetKey]) -> Fusion:
    """Reads the fusion of exactly these versions, its weights in the order of the keys.

    Raises:
        app.nets.manifest.NetMissing: if fusion.json is missing or has no such entry.
        app.nets.manifest.NetCorrupt: if fusion.json was changed since it was written.
    """
    entry = read_fusion_manifest(store).find({key.net: key.version for key in keys})
    if entry is None:
        raise NetMissing(
            f"{store / FUSION_MANIFEST} has no entry of {' + '.join(map(str, keys))}: run "
            "`python -m training fuse` first"
        )
    return entry.fusion([key.net for key in keys])


def other_entries(store: Path, keys: Sequence[NetKey]) -> list[FusionEntry]:
    """Returns the entries of fusion.json that stay when fusions of these versions are added.

    They are those of other versions that are still in the store, in the order of the file: the
    service then has the fusions of earlier versions, if they are pinned.

    Raises:
        app.nets.manifest.NetCorrupt: if fusion.json was changed since it was written.
    """
    if not (store / FUSION_MANIFEST).exists():
        return []
    replaced = {str(key) for key in keys}
    return [
        entry
        for entry in read_fusion_manifest(store).fusions
        if not replaced.issuperset(entry.nets)
        and all(version in versions(store, net) for net, version in entry.versions.items())
    ]


def fusion_entry(keys: Sequence[NetKey], fusion: Fusion) -> FusionEntry:
    """Returns a fusion as an entry of fusion.json."""
    return FusionEntry(
        nets=tuple(map(str, keys)),
        weights=fusion.weights,
        temperature=fusion.calibration.temperature,
        thresholds=fusion.calibration.thresholds,
    )


def write_fusions(store: Path, entries: Sequence[FusionEntry]) -> Path:
    """Writes fusion.json, whole or not at all, and returns its path.

    The service takes the first entry of the nets that it is told to serve. All versions in
    `entries` therefore take effect together.

    Args:
        store: the models store.
        entries: the newest first.
    """
    path = store / FUSION_MANIFEST
    write_text(path, seal_fusions(entries, datetime.now(UTC).replace(microsecond=0)).as_json())
    return path


def _are_as_good(losses: Array, best: Array, palms: Labels) -> bool:
    gap = losses - best
    return bool(gap.mean() <= MAX_STANDARD_ERRORS * standard_error(gap, palms))
