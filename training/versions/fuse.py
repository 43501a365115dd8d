"""Weighs and calibrates fusions of several nets; reads and writes their file, fusion.json."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.matching.calibration import Case
from app.matching.fusion import Fusion
from app.matching.templates import NetKey
from app.nets.files import NetMissing, earlier_schema
from app.nets.fusion_manifest import (
    FUSION_MANIFEST,
    FUSION_SCHEMA,
    FusionEntry,
    read_fusion_manifest,
    seal_fusions,
)
from app.nets.manifest import versions
from training.report.files import write_text
from training.versions.calibrate import CaseKind, fuse_trials
from training.versions.case import Trials, calibrate, negative_log_likelihood

SIXTHS = 6
"""Weights are multiples of 1 / SIXTHS, which include uniform weights of two and of three nets.
Finer steps change almost nothing and take longer."""

MAX_STANDARD_ERRORS = 2
"""Weights are as good as the best if the difference is at most this many standard errors."""

Array = NDArray[np.float64]
Labels = NDArray[np.integer]


def weigh(
    trials: Sequence[Sequence[Trials]], kind: CaseKind, name: str = "fusion"
) -> tuple[float, ...]:
    """Returns the most uniform weights that are as good as the best.

    The best weights have the least mean negative log-likelihood. Weights are as good if the
    difference is at most two standard errors. L. Breiman et al., "Classification and Regression
    Trees" (1984), section 3.4.3, use one standard error. If two nets make almost no errors on the
    strangers, the rule avoids that one is preferred by chance.

    Args:
        trials: for each net, its trials of every style of cameras.
        kind: the case of these trials.
        name: names of the nets, for the progress bar.

    Returns:
        For each net a positive multiple of a sixth; their sum is 1.
    """
    choices = [c for c in product(range(1, SIXTHS), repeat=len(trials)) if sum(c) == SIXTHS]
    found: list[tuple[tuple[float, ...], Array]] = []
    for parts in tqdm(choices, f"{name}: weighing", unit="weights", delay=1):
        weights = tuple(part / SIXTHS for part in parts)
        fused = fuse_trials(trials, weights)
        case = calibrate(fused, **kind._asdict())
        losses = np.concatenate([negative_log_likelihood(case, one) for one in fused])
        found.append((weights, losses))
    best = min((losses for _, losses in found), key=np.mean)
    palms = _palms_of_losses(trials[0])
    as_good = [one for one in found if _are_as_good(one[1], best, palms)]
    weights, _ = min(as_good, key=lambda one: (np.square(one[0]).sum(), one[1].mean()))
    return weights


def _palms_of_losses(styles: Sequence[Trials]) -> Labels:
    """Returns the palm of every loss: each probe of a style gives two."""
    first = np.cumsum([0, *(style.scores.shape[1] for style in styles)])
    parts = [np.tile(style.own, 2) + start for style, start in zip(styles, first, strict=False)]
    return np.concatenate(parts)


def standard_error(values: Array, palms: Labels) -> float:
    """Returns the standard error of a mean over images, if images of one palm are not independent.

    This is the cluster-robust estimate of K.-Y. Liang and S. Zeger, Biometrika 73 (1986).

    Args:
        values: float64 [N], one for each image.
        palms: integers [N], the palm of each image.
    """
    _, own = np.unique(palms, return_inverse=True)
    sums = np.bincount(own, values - values.mean())
    return float(np.sqrt(np.square(sums).sum() * len(sums) / (len(sums) - 1)) / len(values))


def find_fusion(store: Path, keys: Sequence[NetKey]) -> FusionEntry:
    """Reads the entry of exactly these versions in fusion.json.

    Raises:
        app.nets.manifest.NetMissing: if fusion.json is missing or has no such entry.
        app.nets.manifest.NetCorrupt: if fusion.json was changed since it was written.
    """
    entry = read_fusion_manifest(store).find({key.net: key.version for key in keys})
    if entry is None:
        raise NetMissing(
            f"{store / FUSION_MANIFEST} has no entry for {' + '.join(map(str, keys))}: run "
            "`python -m training fuse` first"
        )
    return entry


def read_fusion(store: Path, keys: Sequence[NetKey]) -> Fusion:
    """Reads the fusion of exactly these versions, with weights in the order of the keys.

    Raises:
        app.nets.manifest.NetUnusable: see `find_fusion`.
    """
    return find_fusion(store, keys).fusion([key.net for key in keys])


def other_entries(store: Path, keys: Sequence[NetKey]) -> list[FusionEntry]:
    """Returns the entries of fusion.json to keep when fusions of these versions are added.

    These are the entries of other versions that are still in the store, in the order of the file.
    The service needs them if earlier versions are pinned. A file of an earlier release has none,
    because its nets cannot be served any more.

    Raises:
        app.nets.manifest.NetCorrupt: if fusion.json was changed since it was written.
    """
    path = store / FUSION_MANIFEST
    if not path.exists() or earlier_schema(path, FUSION_SCHEMA):
        return []
    replaced = {str(key) for key in keys}
    return [
        entry
        for entry in read_fusion_manifest(store).fusions
        if not replaced.issuperset(entry.nets)
        and all(version in versions(store, net) for net, version in entry.versions.items())
    ]


def fusion_entry(
    keys: Sequence[NetKey],
    weights: Sequence[float],
    cases: Sequence[Case],
    strangers: Sequence[str],
) -> FusionEntry:
    """Returns a fusion as an entry of fusion.json.

    Args:
        keys: the nets.
        weights: one for each net.
        cases: calibration of the fused scores.
        strangers: digests of the databases that calibrated.
    """
    return FusionEntry(
        nets=tuple(map(str, keys)),
        weights=tuple(weights),
        cases=tuple(cases),
        strangers=tuple(strangers),
    )


def write_fusions(store: Path, entries: Sequence[FusionEntry]) -> Path:
    """Writes fusion.json, whole or not at all, and returns its path.

    The service uses the first entry for the nets that it serves, so all versions in `entries` take
    effect together.

    Args:
        store: the models store.
        entries: the entries, newest first.
    """
    path = store / FUSION_MANIFEST
    write_text(path, seal_fusions(entries, datetime.now(UTC).replace(microsecond=0)).as_json())
    return path


def _are_as_good(losses: Array, best: Array, palms: Labels) -> bool:
    gap = losses - best
    return bool(gap.mean() <= MAX_STANDARD_ERRORS * standard_error(gap, palms))
