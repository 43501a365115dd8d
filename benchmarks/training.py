"""How fast the shipped recipe trains, beside the student's BatchNorm recipe in plain Keras `fit`.

python -m benchmarks.training --data DIR [--net vgg16] [--steps 24] [--json PATH]

Both see the same images, 32 at a time, in one run on one machine. The step of the shipped recipe
is also timed on one batch that lies ready: what `fit` takes beyond that is spent outside the net.
"""

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from benchmarks.machine import as_sentence, describe_machine
from training.ablation.paper import build_from_recipe
from training.commands.train import Phase, compile_phase
from training.database.palms import Palms, load_palms
from training.fit.augmentation import augment
from training.fit.batches import Batches, as_colour
from training.fit.checkpoint import Reseed
from training.fit.devices import choose_precision
from training.nets.build import NETS, scoring_model
from training.nets.recipe import PRESETS, Recipe

BATCH = 32
WARM_STEPS = 3


@dataclass(frozen=True, slots=True)
class Row:
    """One way of training: its recipe, its precision, and what its step took."""

    name: str
    recipe: Recipe
    precision: str


class StepTimes(keras.callbacks.Callback):
    """Seconds from one step's end to the next's, the warm ones left out."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Takes the time."""
        self.ends.append(time.perf_counter())

    def seconds(self) -> float:
        """Median step."""
        return float(np.median(np.diff(self.ends[WARM_STEPS:])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a database of palms")
    parser.add_argument("--net", choices=NETS, default="vgg16")
    parser.add_argument("--steps", type=int, default=24, help="timed steps of each row")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    palms = load_palms(arguments.data)
    machine = describe_machine()
    precision = choose_precision("auto")
    shipped = PRESETS["shipped"]
    student = replace(PRESETS["student"], augment="none")  # as posted, it reaches no image
    rows = [
        Row("student: BatchNorm, plain fit, no augmentation", student, "float32"),
        Row(f"student, {precision}", student, precision),
        Row("shipped recipe, float32", shipped, "float32"),
        Row(f"shipped recipe, {precision}", shipped, precision),
        # The mechanism alone: same input, same head, BatchNorm against weight standardisation.
        Row(
            "224 px, BatchNorm",
            replace(shipped, input="rescaled", normalization="batch"),
            precision,
        ),
        Row("224 px, weight standardisation", replace(shipped, input="rescaled"), precision),
    ]
    figures = [measure(row, arguments.net, palms, arguments.steps) for row in rows]
    report = {"machine": machine, "net": arguments.net, "batch": BATCH, "rows": figures}
    print(as_markdown(report))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def measure(row: Row, net: str, palms: Palms, steps: int) -> dict[str, Any]:
    """Times `fit`, and the bare step on a batch that lies ready."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(row.precision)
    scores = scoring_model(build_from_recipe(net, len(palms.identities), row.recipe))
    compile_phase(scores, Phase(0, 2, row.recipe.learning_rate, frozen=False), 100, row.recipe)
    count = BATCH * (steps + WARM_STEPS)
    times = StepTimes()
    if row.recipe.augment == "palm":
        some = palms.select(np.arange(len(palms)) < count)
        batches = Batches(some, BATCH, seed=1, augment=augment)
        scores.fit(batches, callbacks=[Reseed(1), times], shuffle=False, verbose=0)
    else:
        images, labels = as_colour(palms.images(slice(count))), palms.labels[:count]
        scores.fit(images, labels, batch_size=BATCH, callbacks=[times], verbose=0)
    bare = _bare_step(scores, palms, steps)
    return {
        "name": row.name,
        "step_ms": 1e3 * times.seconds(),
        "bare_step_ms": 1e3 * bare,
        "images_per_s": BATCH / times.seconds(),
    }


def _bare_step(scores: keras.Model, palms: Palms, steps: int) -> float:
    """Median seconds of a step on tensors that are there already."""
    images = keras.ops.convert_to_tensor(as_colour(palms.images(slice(BATCH))))
    labels = keras.ops.convert_to_tensor(palms.labels[:BATCH])
    seconds: list[float] = []
    for _ in range(steps):
        start = time.perf_counter()
        scores.train_on_batch(images, labels)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[WARM_STEPS:]))


def as_markdown(report: dict[str, Any]) -> str:
    """The figures as a table; ratios are to the first row."""
    first = report["rows"][0]["images_per_s"]
    lines = [
        f"{report['net']}, batch {report['batch']}, 224 px images. "
        f"{as_sentence(report['machine'])}.",
        "",
        "| | images/s | ratio | ms a step in fit | ms a step on a ready batch | outside the net |",
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
