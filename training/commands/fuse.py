"""Weighs exported nets, calibrates their fused similarities, and writes fusion.json."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from app.nets.fusion_manifest import FusionEntry
from training.database.palms import DataOptions, Palms, load_palms
from training.database.split import load_split, split_strangers
from training.fit.verdict import Verdict
from training.nets.recipe import NETS
from training.versions.fuse import fusion_entry, other_entries, weigh, write_fusions
from training.versions.read import Version, open_highest_of_split


@dataclass(frozen=True, slots=True, kw_only=True)
class FuseConfig(DataOptions):
    """Fuses every set of two or more nets. Three nets take two minutes on two cores.

    The highest version of each net is fused; once fusion.json is written, these versions take
    effect together. Give the database and the options that the nets were trained with; its
    validation part is used to calibrate.

    Attributes:
        strangers: folder of palms of identities that are not in `data`, in any layout. The first
            half of the identities is used to calibrate.
        store: the models store; fusion.json is written there.
        nets: names of two or more nets.
    """

    strangers: Path
    store: Path = Path("models_store")
    nets: tuple[str, ...] = NETS


def fuse(config: FuseConfig) -> Verdict:
    """Writes fusion.json; its entries of other versions that are still in the store are kept.

    Raises:
        ValueError: if a net has no version, or was not trained on this split of `data`; or if
            fusion.json was changed since it was written.
        FileNotFoundError: if there are no images.
    """
    if len(config.nets) < 2:
        raise ValueError("--nets must name two or more nets: one net alone needs no fusion")
    split = load_split(config)
    nets = open_highest_of_split(config.store, config.nets, split)
    keys = [net.key for net in nets]
    kept = other_entries(config.store, keys)  # fails early if the file is damaged
    strangers, _ = split_strangers(
        load_palms(config.strangers, config.size_px, scratch=config.scratch)
    )
    entries = list(_calibrate_sets(nets, split.validation, strangers))
    path = write_fusions(config.store, [*entries, *kept])
    weights = ", ".join(
        f"{key} {weight:.2f}" for key, weight in zip(keys, entries[-1].weights, strict=True)
    )
    return Verdict(
        path,
        f"sets of nets calibrated: {len(entries)}; the fusion of all has the weights {weights}; "
        "these versions take effect when the service restarts",
    )


def _calibrate_sets(
    nets: list[Version], validation: Palms, strangers: Palms
) -> Iterator[FusionEntry]:
    """Yields the fusion of every set of two or more nets, the largest set last."""
    known = [net.similarities(validation) for net in nets]
    unknown = [net.similarities(strangers) for net in nets]
    for size in range(2, len(nets) + 1):
        for chosen in combinations(range(len(nets)), size):
            keys = [nets[i].key for i in chosen]
            fusion = weigh(
                [known[i] for i in chosen],
                validation.labels,
                [unknown[i] for i in chosen],
                strangers.labels,
                " + ".join(map(str, keys)),
            )
            yield fusion_entry(keys, fusion)
