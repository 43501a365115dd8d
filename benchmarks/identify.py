"""Measures one identification over HTTP, and the bare nets on the same images.

    python -m benchmarks.identify [--images samples] [--repeats 200] [--json PATH]

Starts the service as `make run` does, with a gallery of its own. The bare nets are the compiled
nets alone, one after another, on pixels that are already decoded. Both are measured
in turns in one run, so that other load on the machine slows both.
"""

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.nets.store import LoadedNet, load_nets
from app.palm.decode import ImageLimits, decode
from app.palm.roi import prepare
from app.settings import Settings
from benchmarks.machine import as_sentence, describe_machine
from benchmarks.server import serve
from training.report.files import write_text

WARM_UP_ROUNDS = 20
STAGES = ("decode", "find", "nets", "search", "total")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures one identification over HTTP.")
    parser.add_argument(
        "--images",
        type=Path,
        default=Path("samples"),
        help="folder of PNG files, with its subfolders",
    )
    parser.add_argument("--models", type=Path, default=Path("models_store"))
    parser.add_argument("--nets", nargs="+", default=Settings().nets)
    parser.add_argument("--repeats", type=int, default=200, help="timed requests")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    files = [path.read_bytes() for path in sorted(arguments.images.rglob("*.png"))]
    if not files:
        parser.error(f"{arguments.images} holds no PNG: name a folder of palms with --images")
    machine = describe_machine()
    figures = measure(files, arguments.models, arguments.nets, arguments.repeats)
    report = {"machine": machine, **figures}
    print(as_markdown(report))
    if arguments.json:
        write_text(arguments.json, json.dumps(report, indent=1) + "\n")


def measure(files: list[bytes], models: Path, nets: Sequence[str], repeats: int) -> dict[str, Any]:
    """Alternates one HTTP identification and one pass of the bare nets, over all files in turn."""
    bare = load_nets(models, nets, "openvino")
    images = [prepare(decode(file, ImageLimits()), bare[0].input_px) for file in files]
    pixels = [image[np.newaxis] for image in images]
    settings = {"PALM_MODELS_DIR": str(models.resolve()), "PALM_NETS": ",".join(nets)}
    samples: dict[str, list[float]] = {name: [] for name in ("bare nets", *STAGES, "wall")}
    with tempfile.TemporaryDirectory() as folder:
        settings["PALM_GALLERY_URL"] = f"sqlite:///{folder}/gallery.db"
        settings["PALM_LOG_LEVEL"] = "WARNING"
        with serve(settings, Path(folder) / "log", until="/health/ready") as http:
            subjects = len(bare[0].identities)
            turns = itertools.islice(
                itertools.cycle(zip(files, pixels, strict=True)),
                WARM_UP_ROUNDS + repeats,
            )
            bar = tqdm(turns, "requests", WARM_UP_ROUNDS + repeats)
            for turn, (file, image) in enumerate(bar):
                timings = {**_time_request(http, file), "bare nets": _time_nets(bare, image)}
                if turn >= WARM_UP_ROUNDS:
                    for name, value in timings.items():
                        samples[name].append(value)
    return {
        "nets": [str(net.key) for net in bare],
        "subjects": subjects,
        "images": len(files),
        "repeats": repeats,
        "ms": {name: _percentiles(values) for name, values in samples.items()},
    }


def _time_request(http: httpx.Client, file: bytes) -> dict[str, float]:
    start = time.perf_counter()
    answer = http.post("/v1/identify", files={"images": ("palm.png", file, "image/png")})
    wall = (time.perf_counter() - start) * 1e3
    answer.raise_for_status()
    timings = answer.json()["timings_ms"]
    return {**{stage: timings[stage] for stage in STAGES}, "wall": wall}


def _time_nets(nets: list[LoadedNet], image: NDArray[np.uint8]) -> float:
    start = time.perf_counter()
    for net in nets:
        net.maps(image)
    return (time.perf_counter() - start) * 1e3


def _percentiles(values: list[float]) -> dict[str, float]:
    p50, p95 = np.percentile(values, [50, 95])
    return {"p50": round(float(p50), 3), "p95": round(float(p95), 3)}


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as a table, with the ratio of each median to the bare nets' median."""
    bare = report["ms"]["bare nets"]["p50"]
    lines = [
        f"{', '.join(report['nets'])}; {report['subjects']} subjects; {report['repeats']} requests "
        f"of one image, one after another.",
        f"{as_sentence(report['machine'])}.",
        "",
        "| ms | p50 | p95 | p50 / bare nets |",
        "|---|---|---|---|",
    ]
    for name, row in report["ms"].items():
        label = name if name in ("bare nets", "wall") else f"service: {name}"
        lines.append(f"| {label} | {row['p50']:.2f} | {row['p95']:.2f} | {row['p50'] / bare:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
