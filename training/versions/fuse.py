"""What nets mean together: fusion.json, measured on the palms that calibrate each net alone."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.database.palms import DataOptions, load_palms
from training.database.split import load_split, split_strangers
from training.metrics.calibration import Calibration, calibrate, surprise
from training.nets.build import NETS
from training.versions.read import checksum, load_highest

SIXTHS = 6
"""Equal weights are among them, and finer ones change next to nothing but cost a calibration."""

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class FuseConfig(DataOptions):
    """What `python -m training fuse` does; two minutes for three nets on two cores.

    Give it the database that the nets were trained on and the options they were trained with; the
    validation part calibrates.

    Attributes:
        strangers: palms of nobody in `data`, in any layout; their first half calibrates.
        store: models_store; fusion.json is written there.
        nets: names of the nets; the highest version of each takes part.
    """

    strangers: Path
    store: Path = Path("models_store")
    nets: tuple[str, ...] = NETS


def fuse(config: FuseConfig) -> Path:
    """Calibrates every set of two or more nets and writes fusion.json.

    Returns:
        The path of fusion.json.
    """
    split = load_split(config)
    validation = split.validation
    nets = load_highest(config.store, config.nets, split)
    strangers, _ = split_strangers(
        load_palms(config.strangers, config.size_px, scratch=config.scratch)
    )
    known = [net.similarities(validation) for net in nets]
    unknown = [net.similarities(strangers) for net in nets]
    entries: list[dict[str, Any]] = []
    for size in range(2, len(nets) + 1):
        for chosen in combinations(range(len(nets)), size):
            weights, calibration = weigh(
                [known[i] for i in chosen],
                validation.labels,
                [unknown[i] for i in chosen],
                strangers.labels,
            )
            keys = [nets[i].key for i in chosen]
            entries.append({"nets": keys, "weights": weights, **calibration.as_manifest()})
    target = config.store / "fusion.json"
    created = datetime.now(UTC).isoformat(timespec="seconds")
    content = {
        "schema_version": 1,
        "created_at": created,
        "sha256": checksum(entries),
        "fusions": entries,
    }
    unfinished = target.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(content, indent=1) + "\n")
    unfinished.replace(target)
    return target


def weigh(
    known: Sequence[Array],
    labels: NDArray[np.int32],
    unknown: Sequence[Array],
    strangers: NDArray[np.int32],
) -> tuple[list[float], Calibration]:
    """The most equal weights, in sixths, none of them 0, that nothing speaks against.

    What speaks against weights is that the truth surprises them more than it does the best ones, by
    over two standard errors of the difference: the rule of L. Breiman et al., "Classification and
    Regression Trees" (1984), section 3.4.3, there with one. Nets that hardly err on validation
    palms cannot be ranked by them.

    Args:
        known: each net's similarities [N, C] of known palms' validation images.
        labels: int32 [N], the true columns.
        unknown: each net's similarities [M, C] of strangers' validation images.
        strangers: int32 [M], whose these are.

    Returns:
        The weights, with the sum 1, and what their weighted similarity means.
    """
    found: list[tuple[list[float], Calibration, Array]] = []
    for parts in product(range(1, SIXTHS + 1), repeat=len(known)):
        if sum(parts) == SIXTHS:
            weights = [part / SIXTHS for part in parts]
            sums = weighted_sum(weights, known), weighted_sum(weights, unknown)
            calibration = calibrate(sums[0], labels, sums[1])
            found.append((weights, calibration, surprise(calibration, sums[0], labels, sums[1])))
    least = min((surprises for *_, surprises in found), key=np.mean)
    palms = np.concatenate([labels, strangers + len(known[0][0])])
    as_good = [
        one for one in found if (gap := one[2] - least).mean() <= 2 * standard_error(gap, palms)
    ]
    weights, calibration, _ = min(as_good, key=lambda one: (np.square(one[0]).sum(), one[2].mean()))
    return weights, calibration


def standard_error(values: Array, palms: NDArray[np.int32]) -> float:
    """Of a mean over images, of which only those of different palms are independent.

    The cluster-robust estimate of K.-Y. Liang and S. Zeger, Biometrika 73 (1986), for a mean.

    Args:
        values: [N], one for each image.
        palms: int32 [N], of which palm it is.
    """
    _, own = np.unique(palms, return_inverse=True)
    sums = np.bincount(own, values - values.mean())
    return float(np.sqrt(np.square(sums).sum() * len(sums) / (len(sums) - 1)) / len(values))


def weighted_sum(weights: Sequence[float], similarities: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Fused similarities [N, C] of the nets' [N, C]."""
    return np.tensordot(np.asarray(weights), np.stack(similarities), 1)


def read_fusion(store: Path, keys: Sequence[str]) -> tuple[list[float], Calibration]:
    """Weights and calibration of a set of nets, by their keys.

    Raises:
        FileNotFoundError: if fusion.json is missing or does not have them.
        ValueError: if it is not as `fuse` wrote it.
    """
    path = store / "fusion.json"
    content = json.loads(path.read_text()) if path.exists() else {"fusions": []}
    if content["fusions"] and content.get("sha256") != checksum(content["fusions"]):
        raise ValueError(f"{path} was changed since it was written: run `fuse` again")
    for entry in content["fusions"]:
        if entry["nets"] == list(keys):
            return entry["weights"], Calibration.of(entry)
    raise FileNotFoundError(f"{path} has no entry for {', '.join(keys)}: run `fuse` first")
