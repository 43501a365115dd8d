"""Trains the cells of the ablation: from the question's code to a net that learns."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from training.ablation.cells import CELLS, SCALES, Cell
from training.database.palms import DataOptions
from training.database.split import load_split
from training.fit.options import NetName, require_at_least
from training.fit.verdict import Verdict
from training.nets.recipe import NETS
from training.report.files import write_text


@dataclass(frozen=True, kw_only=True)
class AblateConfig(DataOptions):
    """Trains and compares nets that differ in one choice. On two cores it takes 1 to 2 h.

    A cell that is done is not trained again, so the same command resumes an ablation that was
    stopped. Images are split by seed, as in the question: the ablation shows whether a net learns,
    not whether it recognizes a palm in another session.

    Attributes:
        out: folder for <scale>/<net>/<cell>-<seed>.json, <scale>/table.md and the plots.
        split: how the images are split: seed (at random, as in the question) or session.
        scale: quick (48 px, 40 identities, 8 epochs) or full (224 px, all identities, 6 epochs).
        nets: nets to train.
        cells: cells to train, by their names in docs/why-vgg-does-not-learn.md; all if none is
            named.
        seeds: seeds; every cell is trained once with each.
        epochs: passes over the training images; 0 for the number of the scale.
        size_px: side of the images in px; 0 for the side of the scale.
        weights_file: file of ImageNet weights for the cell `transfer`, which is left out without
            it.
    """

    out: Path
    split: Literal["seed", "session"] = "seed"
    scale: Literal["quick", "full"] = "quick"
    nets: tuple[NetName, ...] = NETS
    cells: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (1,)
    epochs: int = 0
    size_px: int = 0
    weights_file: Path | None = None


def ablate(config: AblateConfig) -> Verdict:
    """Trains the cells that are not done yet, and writes the table and the plots.

    Raises:
        ValueError: if a net, a cell or a number is not valid, the data cannot be split, or `out`
            holds cells of other data or settings.
    """
    # Imported here, so that --help does not load TensorFlow.
    from training.ablation.report import read_outcome, write_ablation
    from training.ablation.run import first_identities, train_cell

    planned = _plan(config)
    scale = SCALES[config.scale]
    epochs = config.epochs or scale.epochs
    size_px = config.size_px or scale.size_px
    split = first_identities(load_split(replace(config, size_px=size_px)), scale.identities)
    folder = config.out / config.scale
    outcomes: Counter[str] = Counter()
    for net, cell, seed in tqdm(planned, "cells", unit="cell"):
        target = folder / net / f"{cell.name}-{seed}.json"
        settings = {
            "recipe": asdict(cell.recipe),
            "epochs": epochs,
            "size_px": size_px,
            "dataset": split.train.sha256,
        }
        if not target.exists():
            weights = config.weights_file
            result = train_cell(net, cell, seed, split, epochs=epochs, weights_file=weights)
            write_text(target, json.dumps({**result, **settings}) + "\n")
        outcome = read_outcome(_read_cell(target, settings))
        outcomes[outcome] += 1
        tqdm.write(f"{net} {cell.name} {seed}: {outcome}")
    table = write_ablation(folder, [cell.name for cell in CELLS])
    return Verdict(
        table,
        f"{outcomes['learned']} of {len(planned)} trained nets learned, {outcomes['stuck']} "
        f"stayed at chance and {outcomes['dead']} died.",
    )


def _plan(config: AblateConfig) -> list[tuple[str, Cell, int]]:
    """Returns the net, the cell and the seed of every training, net by net."""
    known = {cell.name: cell for cell in CELLS}
    for kind, asked, names in (("net", config.nets, NETS), ("cell", config.cells, tuple(known))):
        if unknown := [name for name in asked if name not in names]:
            raise ValueError(f"unknown {kind} {unknown[0]!r}: choose among {', '.join(names)}")
    require_at_least(asdict(config), epochs=0, size_px=0)
    if config.split not in ("seed", "session"):
        raise ValueError(
            f"--split {config.split} cannot be used here, because cells are compared by accuracy: "
            "choose seed or session"
        )
    planned = [
        (net, cell, seed)
        for net in config.nets
        for cell in (known[name] for name in config.cells or known)
        for seed in config.seeds
        if net in cell.nets and (cell.recipe.weights == "none" or config.weights_file)
    ]
    if not planned:
        raise ValueError(
            f"--cells {' '.join(config.cells)} --nets {' '.join(config.nets)} leaves nothing to "
            "train: bare is for alexnet, original-weight for vgg16, and transfer for vgg16 and "
            "vgg19 with --weights-file"
        )
    return planned


def _read_cell(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Reads a cell's file, and checks that it is of these data and settings."""
    result = json.loads(path.read_text())
    if other := [name for name, value in settings.items() if result.get(name) != value]:
        raise ValueError(
            f"{path} has another {' and '.join(other)}: remove it, or choose another --out"
        )
    return result
