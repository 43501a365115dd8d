"""Weighs exported nets, calibrates their fused scores, and writes fusion.json."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from app.matching.calibration import Case
from app.matching.templates import NetKey
from app.nets.fusion_manifest import FusionEntry
from training.database.palms import DataOptions
from training.database.split import load_split
from training.fit.verdict import Verdict
from training.nets.recipe import NETS
from training.versions.calibrate import (
    CaseKind,
    StrangerMaps,
    choose_cases,
    describe_cases,
    fuse_trials,
    trials_by_case,
)
from training.versions.case import calibrate
from training.versions.fuse import fusion_entry, other_entries, weigh, write_fusions
from training.versions.read import open_highest_of_split
from training.versions.strangers import choose_strangers, require_enough


@dataclass(frozen=True, slots=True, kw_only=True)
class FuseConfig(DataOptions):
    """Fuses every set of two or more nets. Three nets take up to 1.5 hours on two cores.

    The highest version of each net is fused; once fusion.json is written, these versions take
    effect together. Give the database and the options that the nets were trained with: strangers
    that share an image with it are refused.

    Attributes:
        strangers: folders of palms of identities that are not in `data`, in any layout: one for
            each camera. They calibrate; see `export`.
        store: the models store; fusion.json is written there.
        nets: names of two or more nets.
    """

    strangers: tuple[Path, ...]
    store: Path = Path("models_store")
    nets: tuple[str, ...] = NETS


def fuse(config: FuseConfig) -> Verdict:
    """Writes fusion.json; its entries of other versions that are still in the store are kept.

    Raises:
        ValueError: if a net has no version, or was not trained on this split of `data`; if
            fusion.json was changed since it was written; or if the strangers are too few or share
            an image with `data`.
        FileNotFoundError: if there are no images.
    """
    if len(config.nets) < 2:
        raise ValueError("--nets must name two or more nets: one net alone needs no fusion")
    split = load_split(config)
    nets = open_highest_of_split(config.store, config.nets, split)
    keys = [net.key for net in nets]
    kept = other_entries(config.store, keys)  # fails early if the file is damaged
    strangers = choose_strangers(config.strangers, split, config)
    kinds = choose_cases(strangers, require_enough(strangers, len(split.train.identities)))
    maps = [StrangerMaps.of_cameras(strangers, net.maps, str(net.key)) for net in nets]
    entries = _calibrate_sets(keys, maps, kinds)
    path = write_fusions(config.store, [*entries, *kept])
    weights = ", ".join(
        f"{key} {weight:.2f}" for key, weight in zip(keys, entries[-1].weights, strict=True)
    )
    return Verdict(
        path,
        f"sets of nets calibrated: {len(entries)}; the fusion of all has the weights {weights}; "
        f"{describe_cases(kinds)}; these versions take effect when the service restarts",
    )


def _calibrate_sets(
    keys: Sequence[NetKey], maps: Sequence[Sequence[StrangerMaps]], kinds: Sequence[CaseKind]
) -> list[FusionEntry]:
    """Returns the fusion of every set of two or more nets, the largest set last.

    The weights are chosen in the first case, and all cases are calibrated with them.
    """
    numbers = range(len(keys))
    sets = [one for size in range(2, len(keys) + 1) for one in combinations(numbers, size)]
    weights: dict[tuple[int, ...], tuple[float, ...]] = {}
    cases: dict[tuple[int, ...], list[Case]] = {chosen: [] for chosen in sets}
    for kind, trials in trials_by_case(maps, kinds):
        for chosen in sets:
            own = [trials[i] for i in chosen]
            if chosen not in weights:
                weights[chosen] = weigh(own, kind, " + ".join(str(keys[i]) for i in chosen))
            fused = fuse_trials(own, weights[chosen])
            cases[chosen].append(calibrate(fused, **kind._asdict()))
    digests = [one.strangers.sha256 for one in maps[0]]
    return [
        fusion_entry([keys[i] for i in chosen], weights[chosen], cases[chosen], digests)
        for chosen in sets
    ]
