"""Compares engines and precisions: speed, separate and together, maps and decisions.

python -m benchmarks.engines --data DIR [--speed-only] [--rounds 40] [--json PATH]

Every round runs every variant once, so that what else the machine does slows all of them alike.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.matching.maps import Floats
from app.nets.openvino_engine import OpenvinoNets, describe_processor
from app.nets.precision_manifest import QUANTISED, Precision, find_precisions
from app.nets.tensorflow_engine import TensorflowNets
from benchmarks.machine import as_sentence, describe_machine
from training.database.palms import DataOptions
from training.database.split import Split, load_split
from training.nets.recipe import NETS
from training.report.files import write_text
from training.versions.gate import Gate, trained_part
from training.versions.read import Version, open_highest_of_split

BATCHES = (1, 32)

Images = NDArray[np.uint8]
Run = Callable[[Images], Sequence[tuple[Floats, Floats]]]
Variants = dict[tuple[str, str], Run]
"""Nets to run, by engine or precision, and by way."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Compares engines and precisions.")
    parser.add_argument(
        "--data", type=Path, required=True, help="the database that the nets were trained on"
    )
    parser.add_argument("--models", type=Path, default=Path("models_store"))
    parser.add_argument("--nets", nargs="+", default=NETS, choices=NETS)
    parser.add_argument("--rounds", type=int, default=40, help="times that each variant is timed")
    parser.add_argument("--speed-only", action="store_true", help="compares no maps, no decisions")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    split = load_split(DataOptions(data=arguments.data))
    nets = open_highest_of_split(arguments.models, arguments.nets, split)
    report: dict[str, Any] = {"machine": describe_machine(), "nets": [str(n.key) for n in nets]}
    variants = load_variants(arguments.models, nets)
    images = np.repeat(split.test.images(slice(0, max(BATCHES)))[..., None], 3, axis=-1)
    report["ms"] = time_variants(variants, images, arguments.rounds)
    if not arguments.speed_only:
        report["decisions"] = compare_decisions(arguments.models, nets, split, variants)
    print(as_markdown(report))
    if arguments.json:
        write_text(arguments.json, json.dumps(report, indent=1) + "\n")


def load_variants(store: Path, nets: Sequence[Version]) -> Variants:
    """Returns every engine and precision of the nets, net after net and together."""
    folders = {net.key.net: net.folder for net in nets}
    variants: Variants = {("TensorFlow", "separate"): TensorflowNets(folders).maps}
    found = find_precisions(store, [net.manifest for net in nets])
    quantised = found[0] / QUANTISED if found else None
    precisions: list[Precision] = ["f32", "bf16", *(["int8"] if quantised else [])]
    for precision in precisions:
        source = quantised if precision == "int8" else None
        single = [OpenvinoNets({k: v}, precision, source).maps for k, v in folders.items()]
        variants[precision, "separate"] = _one_after_another(single)
        variants[precision, "together"] = OpenvinoNets(folders, precision, source).maps
    return variants


def _one_after_another(single: Sequence[Run]) -> Run:
    return lambda images: [outputs for run in single for outputs in run(images)]


def time_variants(
    variants: Variants, images: Images, rounds: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Returns ms for each image, p50 and least, by variant and batch size."""
    times: dict[tuple[Any, int], list[float]] = {}
    for round_ in tqdm(range(rounds + 1), "speed", unit="round"):
        for key, run in variants.items():
            # A tenth of the rounds is enough for what takes 32 times as long.
            for batch in BATCHES if round_ == 0 or round_ % 10 == 1 else BATCHES[:1]:
                start = time.perf_counter()
                run(images[:batch])
                if round_:  # the first one compiles
                    took = (time.perf_counter() - start) * 1e3 / batch
                    times.setdefault((key, batch), []).append(took)
    ms: dict[str, dict[str, dict[str, float]]] = {}
    for (key, batch), found in times.items():
        ms.setdefault(" ".join(key), {})[str(batch)] = {
            "p50": round(float(np.median(found)), 3),
            "least": round(min(found), 3),
        }
    return ms


def compare_decisions(
    store: Path, nets: Sequence[Version], split: Split, variants: Variants
) -> dict[str, dict[str, Any]]:
    """Returns the gate's counts of all nets fused, on the test part, by precision."""
    gate = Gate(store, nets, [trained_part(nets, split.test, [])])
    processor, _ = describe_processor()
    found: dict[str, dict[str, Any]] = {}
    for (name, way), run in variants.items():
        if way == "together":
            precision: Any = name
            everything = gate.measure(precision, run, processor)[-1]
            found[name] = everything.model_dump(mode="json", include={"least_correlation"})
            found[name] |= everything.trials[0].model_dump(mode="json")
    return found


def as_markdown(report: Mapping[str, Any]) -> str:
    """Returns the figures as tables; ratios are of the least times at batch 1."""
    ms = report["ms"]
    engine, f32 = (ms[name]["1"]["least"] for name in ("TensorFlow separate", "f32 separate"))
    batches = " | ".join(f"batch {b}: p50, least" for b in BATCHES)
    lines = [
        f"{', '.join(report['nets'])}; one view; ms an image. {as_sentence(report['machine'])}.",
        "",
        f"| | {batches} | ratio to f32 separate | ratio to TensorFlow |",
        "|---" * (3 + len(BATCHES)) + "|",
    ]
    for name, by_batch in ms.items():
        times = [f"{by_batch[str(b)]['p50']:.2f}, {by_batch[str(b)]['least']:.2f}" for b in BATCHES]
        least = by_batch["1"]["least"]
        lines.append(f"| {name} | {' | '.join(times)} | {least / f32:.2f} | {least / engine:.2f} |")
    if "int8 together" in ms:
        int8, whole = (ms[f"{p} together"]["1"] for p in ("int8", "f32"))
        lines += [
            "",
            f"int8 / f32, together, batch 1: {int8['least'] / whole['least']:.2f} of the least "
            f"times, {int8['p50'] / whole['p50']:.2f} of the medians.",
        ]
    if decisions := report.get("decisions"):
        lines += [
            "",
            "| precision | decisions as TensorFlow's | false non-matches (TensorFlow) "
            "| least correlation |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {name} | {one['equal']:,} of {one['probes']:,} | {one['false_non_matches']} "
            f"({one['false_non_matches_of_tensorflow']}) | {one['least_correlation']:.5f} |"
            for name, one in decisions.items()
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
