"""Measures one identification over HTTP, and the bare nets on the same images.

    python -m benchmarks.identify [--images samples] [--repeats 200] [--json PATH]

Starts the service as `make run` does, with a gallery of its own. The bare nets are the compiled
nets alone, in the precision of the service, on pixels that are already decoded. Both are measured
in turns in one run, so that other load on the machine slows both. Square crops that nobody matches
are compared in other directions, too, so palms with a match and palms without one are told apart.
The client is the standard library's, with a form that is ready: it shares the service's cores.
"""

import argparse
import itertools
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.ensemble import Ensemble
from app.nets.precision import PrecisionChoice
from app.nets.store import load_ensemble
from app.palm.decode import ImageLimits, decode
from app.palm.roi import prepare
from app.settings import Settings
from benchmarks.machine import as_sentence, describe_machine
from benchmarks.server import start_server
from training.report.files import write_text

WARM_UP_ROUNDS = 20
STAGES = ("decode", "find", "nets", "search", "total")
ROWS = ("bare nets", *STAGES, "wall")
MOST_BEYOND_MS = 4.0
"""Target: what the client waits beyond the bare nets, median, for a palm that is identified."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures one identification over HTTP.")
    parser.add_argument(
        "--images",
        type=Path,
        default=Path("samples"),
        help="folder of PNG files, with its subfolders; the samples have 128 px",
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
    settings = {"PALM_MODELS_DIR": str(models.resolve()), "PALM_NETS": ",".join(nets)}
    samples: dict[str, list[dict[str, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        settings["PALM_GALLERY_URL"] = f"sqlite:///{folder}/gallery.db"
        settings["PALM_LOG_LEVEL"] = "WARNING"
        with (
            start_server(settings, Path(folder) / "log", until="/health/ready") as server,
            closing(HTTPConnection("127.0.0.1", server.port)) as connection,
        ):
            precision = server.http.get("/v1/models").raise_for_status().json()["precision"]
            bare = load_ensemble(models, nets, "openvino", PrecisionChoice(precision))
            images = [prepare(decode(file, ImageLimits()), bare.input_px) for file in files]
            pixels = [image[np.newaxis] for image in images]
            forms = [_form_of(file) for file in files]
            turns = itertools.islice(
                itertools.cycle(zip(forms, pixels, strict=True)),
                WARM_UP_ROUNDS + repeats,
            )
            bar = tqdm(turns, "requests", WARM_UP_ROUNDS + repeats)
            for turn, (form, image) in enumerate(bar):
                decision, timings = _time_request(connection, form)
                timings["bare nets"] = _time_nets(bare, image)
                if turn >= WARM_UP_ROUNDS:
                    samples[decision].append(timings)
    return {
        "nets": [str(net.key) for net in bare.nets],
        "precision": precision,
        "subjects": len(bare.identities),
        "images": len(files),
        "repeats": repeats,
        "requests": {decision: len(timings) for decision, timings in samples.items()},
        "ms": {
            decision: {name: _percentiles([one[name] for one in timings]) for name in ROWS}
            for decision, timings in sorted(samples.items())
        },
    }


def _form_of(file: bytes) -> tuple[bytes, dict[str, str]]:
    """Returns the body and the headers of a form with one image."""
    form = httpx.Request("POST", "http://form", files={"images": ("palm.png", file, "image/png")})
    return form.read(), {"Content-Type": form.headers["Content-Type"]}


def _time_request(
    connection: HTTPConnection, form: tuple[bytes, dict[str, str]]
) -> tuple[str, dict[str, float]]:
    """Returns the decision and the time of each stage."""
    start = time.perf_counter()
    connection.request("POST", "/v1/identify", *form)
    answer = connection.getresponse()
    text = answer.read()
    wall = (time.perf_counter() - start) * 1e3
    if answer.status != 200:
        raise RuntimeError(f"the service answered {answer.status}: {text.decode()}")
    body = json.loads(text)
    timings = body["timings_ms"]
    return body["decision"], {**{stage: timings[stage] for stage in STAGES}, "wall": wall}


def _time_nets(nets: Ensemble, image: NDArray[np.uint8]) -> float:
    start = time.perf_counter()
    nets.maps(image)
    return (time.perf_counter() - start) * 1e3


def _percentiles(values: list[float]) -> dict[str, float]:
    p50, p95 = np.percentile(values, [50, 95])
    return {"p50": round(float(p50), 3), "p95": round(float(p95), 3)}


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as a table, with what each stage takes beyond the bare nets' median."""
    lines = [
        f"{', '.join(report['nets'])} in {report['precision']}; {report['subjects']} subjects; "
        f"{report['repeats']} requests "
        f"of one image, one after another.",
        f"{as_sentence(report['machine'])}.",
        "",
        "| ms | requests | "
        + " | ".join(f"{name}: p50, p95" for name in ROWS)
        + " | total beyond | wall beyond |",
        "|---|---|" + "---|" * (len(ROWS) + 2),
    ]
    for decision, rows in report["ms"].items():
        cells = [f"{rows[name]['p50']:.2f}, {rows[name]['p95']:.2f}" for name in ROWS]
        beyond, waited = (
            rows[name]["p50"] - rows["bare nets"]["p50"] for name in ("total", "wall")
        )
        lines.append(
            f"| {decision} | {report['requests'][decision]} | {' | '.join(cells)} | {beyond:.2f} "
            f"| {waited:.2f} |"
        )
    if "match" in report["ms"]:
        rows = report["ms"]["match"]
        waited = rows["wall"]["p50"] - rows["bare nets"]["p50"]
        lines += ["", "| | measured | target |", "|---|---|---|"]
        lines.append(
            f"| p50 over HTTP minus bare nets, a match, ms | {waited:.2f} "
            f"| at most {MOST_BEYOND_MS:g} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
