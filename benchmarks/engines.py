"""Compares OpenVINO with TensorFlow: embeddings, best identities and speed.

python -m benchmarks.engines --data DIR [--session s5] [--json PATH]
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.matching.maps import VeinMaps, join_maps
from app.nets.store import LoadedNet, load_nets
from app.palm.decode import ImageLimits, decode
from app.palm.roi import prepare
from app.settings import Settings
from benchmarks.machine import as_sentence, describe_machine
from training.report.files import write_text
from training.versions.compare import compare_trained

ENGINES = ("openvino", "tensorflow")
BATCHES = (1, 32)
TIMED_IMAGES = 256

Images = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description="Compares OpenVINO with TensorFlow.")
    parser.add_argument(
        "--data", type=Path, required=True, help="database of folders <identity>/<session>"
    )
    parser.add_argument("--session", default="s5", help="session to compare; s5 is the test's")
    parser.add_argument("--models", type=Path, default=Path("models_store"))
    parser.add_argument("--nets", nargs="+", default=Settings().nets)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    paths = sorted(arguments.data.glob(f"*/{arguments.session}/*.png"))
    if not paths:
        parser.error(
            f"{arguments.data} holds no <identity>/{arguments.session}/*.png: "
            "name the folder of the database, and a session in it"
        )
    machine = describe_machine()
    ours, theirs = (load_nets(arguments.models, arguments.nets, engine) for engine in ENGINES)
    rows = [compare(*pair, paths) for pair in zip(ours, theirs, strict=True)]
    report = {"machine": machine, "images": len(paths), "nets": rows}
    print(as_markdown(report))
    if arguments.json:
        write_text(arguments.json, json.dumps(report, indent=1) + "\n")


def compare(openvino: LoadedNet, tensorflow: LoadedNet, paths: list[Path]) -> dict[str, Any]:
    """Returns the agreement on all images, and each engine's speed at both batch sizes."""
    ours, theirs = (_map_all(net, paths) for net in (openvino, tensorflow))
    correlations = _correlations(ours, theirs)
    tops = [
        compare_trained(found, openvino.trained, str(openvino.key)).argmax(axis=1)
        for found in (ours, theirs)
    ]
    images = next(_in_batches(paths, TIMED_IMAGES, openvino.input_px))
    ms = {
        engine: {str(batch): _ms_per_image(net, images, batch) for batch in BATCHES}
        for engine, net in zip(ENGINES, (openvino, tensorflow), strict=True)
    }
    return {
        "net": str(openvino.key),
        "same_top1": int((tops[0] == tops[1]).sum()),
        "min_correlation": float(correlations.min()),
        "mean_correlation": float(correlations.mean()),
        "ms_per_image": ms,
    }


def _map_all(net: LoadedNet, paths: list[Path]) -> VeinMaps:
    count = -(-len(paths) // max(BATCHES))
    batches = tqdm(_in_batches(paths, max(BATCHES), net.input_px), str(net.key), count)
    return join_maps([net.maps(batch) for batch in batches])


def _correlations(ours: VeinMaps, theirs: VeinMaps) -> NDArray[np.floating]:
    """Returns the correlation of each image's two maps."""
    a, b = (maps.deviations.reshape(len(maps), -1) for maps in (ours, theirs))
    return (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


def _in_batches(paths: list[Path], size: int, side_px: int) -> Iterator[Images]:
    for start in range(0, len(paths), size):
        chunk = paths[start : start + size]
        yield np.stack([prepare(decode(p.read_bytes(), ImageLimits()), side_px) for p in chunk])


def _ms_per_image(net: LoadedNet, images: Images, batch: int) -> float:
    """Returns the median over batches; the first batch is not timed, because it compiles."""
    images = images[: max(batch, len(images) // batch * batch)]
    batches = np.split(images, range(batch, len(images), batch))
    net.maps(batches[0])
    times: list[float] = []
    for chunk in batches:
        start = time.perf_counter()
        net.maps(chunk)
        times.append((time.perf_counter() - start) * 1e3 / len(chunk))
    return round(float(np.median(times)), 3)


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as a table."""
    columns = [f"{engine}, batch {batch}" for engine in ENGINES for batch in BATCHES]
    lines = [
        f"{report['images']} images; ms per image. {as_sentence(report['machine'])}.",
        "",
        f"| net | same top-1 | correlation min | correlation mean | {' | '.join(columns)} |",
        "|---" * (4 + len(columns)) + "|",
    ]
    for row in report["nets"]:
        share = row["same_top1"] / report["images"]
        times = [f"{row['ms_per_image'][e][str(b)]:.2f}" for e in ENGINES for b in BATCHES]
        least, mean = row["min_correlation"], row["mean_correlation"]
        lines.append(
            f"| {row['net']} | {row['same_top1']}/{report['images']} ({share:.2%}) "
            f"| {least:.5f} | {mean:.6f} | {' | '.join(times)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
