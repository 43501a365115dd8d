"""From the question's code to a net that learns, one change at a time.

Every cell trains one net with one recipe for a few epochs and writes down whether it learned and,
layer by layer, what went on inside. docs/why-vgg-does-not-learn.md is written from its output.
"""

import gc
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import keras
from tqdm import tqdm

from training.ablation.report import outcome_of, write_ablation
from training.database.palms import DataOptions
from training.database.split import Split, load_split
from training.fit.augmentation import augment
from training.fit.batches import Batches, Ordered
from training.fit.guard import Guard
from training.fit.layer_inspector import LayerInspector, spread_images
from training.fit.loop import fit
from training.fit.plan import Plan, loss_of
from training.nets.build import NETS, build_net, scoring_model
from training.nets.imagenet import DONORS, load_imagenet
from training.nets.recipe import PRESETS, Recipe


@dataclass(frozen=True, slots=True)
class Cell:
    """One recipe of the table.

    Attributes:
        name: of its folder.
        change: what it changes, in words.
        recipe: the whole of it.
        nets: for which it makes sense.
    """

    name: str
    change: str
    recipe: Recipe
    nets: tuple[str, ...] = NETS


_POSTED = PRESETS["as-posted"]
_WIRED = replace(_POSTED, wiring="connected", augment="none")  # rescaling alone
_EMBEDDING = replace(_WIRED, head="embedding")

CELLS = (
    Cell("as-posted", "the question's code", _POSTED),
    Cell("rescaling", "rescaling connected", _WIRED),
    Cell("augmentation", "augmentation connected, rescaling not",
         replace(_POSTED, wiring="connected", input="raw")),
    Cell("both", "both connected", replace(_POSTED, wiring="connected")),
    Cell("he", "rescaling, He initialisation", replace(_WIRED, init="he_normal")),
    Cell("warm-up", "rescaling, warm-up and cosine schedule, clipped gradients",
         replace(_WIRED, schedule="cosine", clip_norm=1.0)),
    Cell("posted-1e-4", "the question's code, Adam 1e-4", replace(_POSTED, learning_rate=1e-4)),
    Cell("rate-3e-4", "rescaling, Adam 3e-4", replace(_WIRED, learning_rate=3e-4)),
    Cell("rate-1e-4", "rescaling, Adam 1e-4", replace(_WIRED, learning_rate=1e-4)),
    Cell("he-1e-4", "rescaling, He, Adam 1e-4",
         replace(_WIRED, init="he_normal", learning_rate=1e-4)),
    Cell("bare", "AlexNet without its two BatchNorms, otherwise as posted",
         replace(_POSTED, normalization="bare"), ("alexnet",)),
    Cell("batch-raw", "the question's code, BatchNorm",
         replace(_POSTED, normalization="batch")),
    Cell("batch", "rescaling, BatchNorm", replace(_WIRED, normalization="batch")),
    Cell("batch-1e-4", "rescaling, BatchNorm, Adam 1e-4",
         replace(_WIRED, normalization="batch", learning_rate=1e-4)),
    Cell("weight", "rescaling, weight standardisation",
         replace(_WIRED, normalization="weight")),
    Cell("weight-1e-4", "rescaling, weight standardisation, Adam 1e-4",
         replace(_WIRED, normalization="weight", learning_rate=1e-4)),
    Cell("embedding", "rescaling, embedding head", _EMBEDDING),
    Cell("embedding-1e-4", "rescaling, embedding head, Adam 1e-4",
         replace(_EMBEDDING, learning_rate=1e-4)),
    Cell("embedding-batch", "rescaling, embedding head, BatchNorm",
         replace(_EMBEDDING, normalization="batch")),
    Cell("embedding-weight", "rescaling, embedding head, weight standardisation",
         replace(_EMBEDDING, normalization="weight")),
    Cell("shipped", "the shipped recipe", PRESETS["shipped"]),
    Cell("original", "the question's code, original filters", replace(_POSTED, filters="original")),
    Cell("original-weight", "original filters, rescaling, embedding head, weight standardisation",
         replace(_EMBEDDING, normalization="weight", filters="original"), ("vgg16",)),
    Cell("transfer", "original filters, ImageNet weights", PRESETS["transfer"], tuple(DONORS)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scale:
    """How large a cell's training is."""

    size_px: int
    identities: int | None
    epochs: int


SCALES = {"quick": Scale(48, 40, 8), "full": Scale(224, None, 6)}


@dataclass(frozen=True, slots=True, kw_only=True)
class AblateConfig(DataOptions):
    """What `python -m training ablate` does; --scale quick takes an hour or more on two cores.

    A cell that is done is not trained again. The split is the question's by default: whether a
    net learns at all is asked here, not whether it knows a palm on another day.

    Attributes:
        out: folder of the results: <scale>/<net>/<cell>-<seed>.json, table.md and the plots.
        scale: quick (48 px, 40 identities, 8 epochs) or full (224 px, all identities, 6 epochs).
        nets: names of the nets.
        cells: names of the cells; all by default.
        seeds: each cell is trained with each.
        epochs: instead of the scale's.
        weights_file: ImageNet weights for the cell `transfer`, which is left out without.
    """

    out: Path
    split: str = "seed"
    scale: Literal["quick", "full"] = "quick"
    nets: tuple[str, ...] = NETS
    cells: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (1,)
    epochs: int | None = None
    weights_file: Path | None = None


def ablate(config: AblateConfig) -> Path:
    """Trains the cells that are not done yet and writes the table and the plots.

    Returns:
        The path of the table.

    Raises:
        ValueError: if a net or a cell is unknown, or the data cannot be split.
    """
    todo = _plan(config)
    scale = SCALES[config.scale]
    epochs = config.epochs or scale.epochs
    split = _load(config, scale)
    folder = config.out / config.scale
    folder.mkdir(parents=True, exist_ok=True)
    for net, cell, seed in tqdm(todo, "cells", unit="cell"):
        target = folder / net / f"{cell.name}-{seed}.json"
        what = {"recipe": asdict(cell.recipe), "epochs": epochs, "dataset": split.train.sha256}
        if target.exists():
            _require_same(json.loads(target.read_text()), what, target)
            continue
        target.parent.mkdir(exist_ok=True)
        result = {**run_cell(net, cell, seed, split, epochs, config), **what}
        unfinished = target.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(result) + "\n")
        unfinished.replace(target)
        tqdm.write(f"{net} {cell.name} {seed}: {outcome_of(result)}")
    return write_ablation(folder, [cell.name for cell in CELLS])


def run_cell(
    net: str, cell: Cell, seed: int, split: Split, epochs: int, config: AblateConfig
) -> dict[str, Any]:
    """Trains one cell and says what became of it."""
    keras.backend.clear_session()
    gc.collect()
    keras.utils.set_random_seed(seed)
    recipe, train = cell.recipe, split.train
    scores = scoring_model(
        build_net(net, len(train.identities), recipe, input_px=SCALES[config.scale].size_px)
    )
    if recipe.weights == "imagenet":
        load_imagenet(scores, config.weights_file)
    change = augment if recipe.augment == "palm" else None
    loss = loss_of(recipe)
    probe = LayerInspector(scores, *spread_images(train), loss)
    guard, trace = Guard(probe, recipe, stop=False), Trace(probe)
    start = time.perf_counter()
    rows = fit(
        {net: scores},
        lambda epoch: Batches(train, 32, seed, augment=change, epoch=epoch),
        loss,
        Plan.of(recipe, epochs),
        seed=seed,
        metrics=["accuracy"],
        validation=Ordered(split.validation, 64),
        callbacks=[guard, trace],
    )
    names = ("accuracy", "loss", "val_accuracy", "val_loss")
    history = {name: [row[name] for row in rows] for name in names}
    seconds = (time.perf_counter() - start) / len(history["loss"])
    return {
        "net": net,
        "cell": cell.name,
        "change": cell.change,
        "seed": seed,
        "identities": len(train.identities),
        "training_images": len(train),
        "validation_images": len(split.validation),
        "seconds_per_epoch": round(seconds, 1),
        "guard": guard.findings,
        "history": history,
        "trace": trace.records,
    }


class Trace(keras.callbacks.Callback):
    """Looks inside before the first step, after 1, 2, 4, ... steps, and after every epoch.

    Attributes:
        records: `{"step": n, "layers": [...]}`, oldest first.
    """

    def __init__(self, probe: LayerInspector) -> None:
        """Creates the callback."""
        super().__init__()
        self.records: list[dict[str, Any]] = []
        self._probe = probe
        self._step = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Before the first step."""
        self._look()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """After steps that are powers of two, in the first epoch."""
        self._step += 1
        if len(self.records) <= self._step.bit_length() and self._step.bit_count() == 1:
            self._look()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """After every epoch; a net without any gradient twice in a row is not trained further."""
        before = self.signals
        self._look()
        if max(before[0].gradient, self.signals[0].gradient) == 0:
            self.model.stop_training = True

    def _look(self) -> None:
        _ = self.model  # on JAX, asking for it brings the weights up to date
        self.signals = self._probe.inspect()
        layers = [asdict(signal) for signal in self.signals]
        self.records.append({"step": self._step, "layers": layers})


def _require_same(done: dict[str, Any], asked: dict[str, Any], path: Path) -> None:
    """A table must not mix cells of other data or settings."""
    if other := [name for name, value in asked.items() if done.get(name) != value]:
        raise ValueError(
            f"{path} is of another {' and '.join(other)}: remove it, or choose another --out"
        )


def _plan(config: AblateConfig) -> list[tuple[str, Cell, int]]:
    """Every cell to train, net by net."""
    known = {cell.name: cell for cell in CELLS}
    for kind, asked, names in (("net", config.nets, NETS), ("cell", config.cells, tuple(known))):
        if unknown := [name for name in asked if name not in names]:
            raise ValueError(f"unknown {kind} {unknown[0]!r}: choose among {', '.join(names)}")
    chosen = [known[name] for name in config.cells or known]
    return [
        (net, cell, seed)
        for net in config.nets
        for cell in chosen
        for seed in config.seeds
        if net in cell.nets and (cell.recipe.weights == "none" or config.weights_file)
    ]


def _load(config: AblateConfig, scale: Scale) -> Split:
    """The database at the scale's size, cut down to its first identities."""
    if config.split == "identity":
        raise ValueError("--split identity has no accuracy to compare: choose seed or session")
    split = load_split(replace(config, size_px=scale.size_px))
    if scale.identities is None or scale.identities >= len(split.train.identities):
        return split
    few = [
        replace(
            part.select(part.labels < scale.identities),
            identities=part.identities[: scale.identities],
        )
        for part in (split.train, split.validation, split.test)
    ]
    return replace(split, train=few[0], validation=few[1], test=few[2])
