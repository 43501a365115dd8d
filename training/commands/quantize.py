"""Writes nets in int8, and proves which precisions decide as TensorFlow does."""

from collections import Counter
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from app.nets.precision_manifest import PRECISIONS, Measured
from training.database.palms import DataOptions, Palms
from training.database.split import load_split
from training.fit.options import require_at_least
from training.fit.verdict import Verdict
from training.nets.recipe import NETS
from training.versions.read import open_highest_of_split
from training.versions.strangers import choose_strangers, load_strangers
from training.versions.target import target_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeConfig(DataOptions):
    """Quantises exported nets to int8, and measures f32, bf16 and int8 against TensorFlow.

    Three nets take about ten minutes on two cores. Run it after `fuse`, with the database and the
    options that the nets were trained with. Its training part sets int8's ranges; its test part and
    the other folders, which calibrated no net, measure. Needs the package nncf.

    Attributes:
        strangers: folders of palms of identities that are not in `data`, in any layout: nobody to
            the trained identities.
        enrolled: folders of palms of two or more sessions, in any layout: the first session is
            enrolled, two later images of each palm are probes.
        store: the models store; precisions/<version>/ is written there.
        nets: names of the nets; the highest version of each is measured, alone and in every set.
        images: number of training images that set the ranges, at least 1.
        version: number of the version, at least 1; by default one more than the highest.
    """

    strangers: tuple[Path, ...]
    enrolled: tuple[Path, ...] = ()
    store: Path = Path("models_store")
    nets: tuple[str, ...] = NETS
    images: int = 300
    version: int | None = None


def quantize(config: QuantizeConfig) -> Verdict:
    """Writes models_store/precisions/<version>, whole or not at all.

    Raises:
        FileExistsError: if the version exists.
        ValueError: if an option is out of range; a net or a fusion is missing; a net was not
            trained on this split; NNCF is not installed; or a folder shares an image with `data`.
        OSError: if a database cannot be read, or the version cannot be written.
    """
    require_at_least(asdict(config), images=1)
    target = target_folder(config.store, PRECISIONS, config.version)
    _require_nncf()
    # Imported here, so that --help does not load OpenVINO.
    from training.versions.gate import Gate, enrolled_part, trained_part
    from training.versions.quantize import write_precisions

    split = load_split(config)
    nets = open_highest_of_split(config.store, config.nets, split)
    strangers = load_strangers(config.strangers, split, config)
    enrolled = choose_strangers(config.enrolled, split, config) if config.enrolled else []
    parts = [trained_part(nets, split.test, strangers)]
    parts += [enrolled_part(nets, palms) for palms in enrolled]
    gate = Gate(config.store, nets, parts)
    calibration = _spread(split.train, config.images)
    measured = write_precisions(target, nets, calibration, config.data.name, gate)
    print(as_markdown(measured))
    passed = Counter(one.precision for one in measured if one.passed)
    sets = len(measured) // 3
    rates = ", ".join(f"{name} {passed[name]}" for name in ("f32", "bf16", "int8"))
    return Verdict(target, f"sets of nets that passed the gate, of {sets}: {rates}")


def as_markdown(measured: list[Measured]) -> str:
    """Returns the gate's results as a table."""
    lines = [
        "| nets | precision | least correlation | equal decisions | false non-matches (TensorFlow) "
        "| false matches (TensorFlow) | passed |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in measured:
        equal = "; ".join(f"{t.equal} of {t.probes}" for t in one.trials)
        missed = "; ".join(
            f"{t.false_non_matches} ({t.false_non_matches_of_tensorflow})" for t in one.trials
        )
        confused = "; ".join(
            f"{t.false_matches} ({t.false_matches_of_tensorflow})" for t in one.trials
        )
        lines.append(
            f"| {' + '.join(one.nets)} | {one.precision} | {one.least_correlation:.5f} | {equal} "
            f"| {missed} | {confused} | {'yes' if one.passed else 'no'} |"
        )
    parts = "\n".join(f"{i}. {t.part}" for i, t in enumerate(measured[0].trials, start=1))
    return "\n".join([parts, "", *lines])


def _require_nncf() -> None:
    if find_spec("nncf") is None:  # which imports OpenVINO: not here, but without its telemetry
        raise ValueError("NNCF is not installed: install the project's extra `training`")


def _spread(palms: Palms, count: int) -> Palms:
    """Returns so many images, spread evenly over all."""
    chosen = np.zeros(len(palms), bool)
    chosen[np.linspace(0, len(palms) - 1, min(count, len(palms))).round().astype(int)] = True
    return palms.select(chosen)
