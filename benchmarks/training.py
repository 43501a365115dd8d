"""Measures how fast the shipped recipe trains, and the student's BatchNorm recipe beside it.

    python -m benchmarks.training --data DIR [--net vgg16] [--steps 24] [--json PATH]

All recipes see the same images, 32 in a batch, in one run on one machine. Each is also timed on
one prepared batch: the difference is the time spent outside the net.
"""

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from benchmarks.machine import as_sentence, describe_machine
from training.ablation.paper import build_from_recipe
from training.database.palms import Palms, load_palms
from training.fit.augmentation import augment
from training.fit.batches import Batches, as_colour
from training.fit.devices import adam, choose_precision
from training.fit.loop import fit
from training.fit.plan import Plan, loss_of
from training.nets.build import scoring_model
from training.nets.recipe import NETS, PRESETS, Recipe
from training.report.files import write_text

BATCH = 32
WARM_STEPS = 3
"""Steps at the beginning that are not timed: the first of them compile."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: a recipe and a precision."""

    name: str
    recipe: Recipe
    precision: str


class StepTimes(keras.callbacks.Callback):
    """Measures the seconds between the ends of steps, after the warm-up."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Reads the clock."""
        self.ends.append(time.perf_counter())

    def seconds(self) -> float:
        """Returns the median step."""
        return float(np.median(np.diff(self.ends[WARM_STEPS:])))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures how fast the shipped recipe trains.")
    parser.add_argument("--data", type=Path, required=True, help="a database of palms")
    parser.add_argument("--net", choices=NETS, default="vgg16")
    parser.add_argument("--steps", type=int, default=24, help="timed steps of each recipe")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    palms = load_palms(arguments.data)
    machine = describe_machine()
    figures = [
        measure(row, arguments.net, palms, arguments.steps)
        for row in tqdm(_rows(choose_precision("auto")), "recipes")
    ]
    report = {"machine": machine, "net": arguments.net, "batch": BATCH, "rows": figures}
    print(as_markdown(report))
    if arguments.json:
        write_text(arguments.json, json.dumps(report, indent=1) + "\n")


def _rows(precision: str) -> list[Row]:
    shipped = PRESETS["shipped"]
    student = replace(PRESETS["student"], augment="none")
    rescaled = replace(shipped, input="rescaled")
    return [
        Row("student: BatchNorm, Keras's fit, no augmentation", student, "float32"),
        Row(f"student, {precision}", student, precision),
        Row("shipped recipe, float32", shipped, "float32"),
        Row(f"shipped recipe, {precision}", shipped, precision),
        # The normalization alone: same input, same head.
        Row(f"224 px, BatchNorm, {precision}", replace(rescaled, normalization="batch"), precision),
        *(
            Row(f"224 px, weight standardisation, {kind}", rescaled, kind)
            for kind in dict.fromkeys(("float32", "mixed_bfloat16", precision))
        ),
    ]


def measure(row: Row, net: str, palms: Palms, steps: int) -> dict[str, Any]:
    """Times the training loop, and the bare step on a prepared batch."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(row.precision)
    model: Any = scoring_model(build_from_recipe(net, len(palms.identities), row.recipe))
    loss, plan = loss_of(row.recipe), Plan.of(row.recipe, epochs=1)
    some = palms.select(np.arange(len(palms)) < BATCH * (steps + WARM_STEPS))
    times = StepTimes()
    if row.recipe.augment == "palm":
        fit(
            {net: model},
            lambda epoch: Batches(some, BATCH, seed=1, augment=augment, epoch=epoch),
            loss,
            plan,
            seed=1,
            accuracy=True,
            callbacks=[times],
        )
    else:
        optimizer = adam(plan.learning_rate, plan.clip_norm)
        model.compile(optimizer, loss, metrics=["accuracy"])
        images = as_colour(some.images())
        model.fit(images, some.labels, batch_size=BATCH, callbacks=[times], verbose=0)
    return {
        "name": row.name,
        "step_ms": 1e3 * times.seconds(),
        "bare_step_ms": 1e3 * _bare_step(model, palms, steps),
        "images_per_s": BATCH / times.seconds(),
    }


def _bare_step(model: Any, palms: Palms, steps: int) -> float:
    """Returns the median seconds of a step on tensors that are in memory."""
    images = keras.ops.convert_to_tensor(as_colour(palms.images(slice(BATCH))))
    labels = keras.ops.convert_to_tensor(palms.labels[:BATCH])
    seconds: list[float] = []
    for _ in range(steps):
        start = time.perf_counter()
        model.train_on_batch(images, labels)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[WARM_STEPS:]))


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as a table, with the ratio of each speed to the first row's."""
    first = report["rows"][0]["images_per_s"]
    lines = [
        f"{report['net']}, batch {report['batch']}, 224 px images. "
        f"{as_sentence(report['machine'])}.",
        "",
        "| | images/s | ratio | ms a step in fit | ms a step on a prepared batch "
        "| outside the net |",
        "|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        outside = 1 - row["bare_step_ms"] / row["step_ms"]
        lines.append(
            f"| {row['name']} | {row['images_per_s']:.1f} | {row['images_per_s'] / first:.2f} "
            f"| {row['step_ms']:.0f} | {row['bare_step_ms']:.0f} | {outside:.1%} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
