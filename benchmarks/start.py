"""Measures the start of the service by stages, and its memory before and after requests.

    python -m benchmarks.start [--subjects 160 20000] [--requests 1000] [--json PATH]

160 subjects are the trained identities; the others get random templates of the shipped nets, three
images each. Filling a gallery of 20,000 takes about ten minutes and 2.3 GB of the disk, before
anything is measured; --folder keeps it for the next run. Every start is the second of its gallery
or a later one:

- by stages, in a process of its own: the imports, the nets, the finder, opening the gallery, and
  reading all templates into the index;
- as a whole: from the start of the process to the first 200 of /health/ready.

Then one square crop is identified over HTTP, one request after another. The resident memory of the
process is noted when it is ready, after every tenth of the requests, and at the end.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.machine import as_sentence, describe_machine
from benchmarks.server import REPOSITORY, Server, environment, start_server

TRAINED = 160
IMAGE = REPOSITORY / "samples" / "known" / "p001" / "01.png"
START_TIMEOUT_S = 900.0


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the start of the service.")
    parser.add_argument("--subjects", type=int, nargs="+", default=[TRAINED, 20_000])
    parser.add_argument("--requests", type=int, default=1000, help="identifications at each size")
    parser.add_argument("--image", type=Path, default=IMAGE, help="the image that is identified")
    parser.add_argument("--folder", type=Path, help="where to keep the galleries")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--stages", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stages:
        print(json.dumps(measure_stages()))
        return
    machine, image = describe_machine(), arguments.image.read_bytes()
    with ExitStack() as stack:
        folder = arguments.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sizes = {
            size: measure(folder / str(size), size, arguments.requests, image)
            for size in sorted(arguments.subjects)
        }
    report = {"machine": machine, "requests": arguments.requests, "subjects": sizes}
    print(as_markdown(report))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def measure(folder: Path, subjects: int, requests: int, image: bytes) -> dict[str, float]:
    """Returns the figures for one size of the gallery."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "PALM_GALLERY_URL": f"sqlite:///{folder.resolve()}/gallery.db",
        "PALM_MASTER_KEY_FILE": str(folder.resolve() / "master.key"),
        "PALM_AUDIT_FILE": str(folder.resolve() / "audit.jsonl"),
        "PALM_LOG_LEVEL": "WARNING",
    }
    with start(settings, folder):  # the first start
        pass
    fill(settings, subjects)
    command = [sys.executable, "-m", "benchmarks.start", "--stages"]
    staged = subprocess.run(
        command, env=environment(settings), cwd=folder, stdout=subprocess.PIPE, check=True
    )
    stages: dict[str, float] = json.loads(staged.stdout)
    began = time.perf_counter()
    with start(settings, folder) as server:
        ready_s = time.perf_counter() - began
        memory = [resident_mb(server)]
        for _ in range(10):
            for _ in range(requests // 10):
                answer = server.http.post("/v1/identify", files={"images": ("palm.png", image)})
                answer.raise_for_status()
            memory.append(resident_mb(server))
    return {
        **{f"{stage} s": round(seconds, 2) for stage, seconds in stages.items()},
        "ready s": round(ready_s, 2),
        "RSS MB when ready": memory[0],
        "after a tenth of the requests": memory[1],
        "after half": memory[5],
        "at the end": memory[-1],
    }


@contextmanager
def start(settings: dict[str, str], folder: Path) -> Iterator[Server]:
    """Starts the service, and yields it when it is ready."""
    with start_server(
        settings, folder / "log", until="/health/ready", timeout_s=START_TIMEOUT_S
    ) as server:
        yield server


def fill(settings: dict[str, str], subjects: int) -> None:
    """Enrolls random subjects until there are so many; those that are there already stay."""
    import numpy as np
    from tqdm import tqdm

    from app.matching.maps import VeinMaps
    from app.nets.store import load_ensemble
    from app.settings import Settings
    from app.wiring import open_gallery
    from benchmarks.gallery import IMAGES, random_maps

    of = Settings(
        gallery_url=settings["PALM_GALLERY_URL"],
        master_key_file=Path(settings["PALM_MASTER_KEY_FILE"]),
    )
    nets = load_ensemble(REPOSITORY / "models_store", of.nets, of.engine).nets
    with closing(open_gallery(of)) as gallery:
        known = sum(one.subjects for one in gallery.collections())
        for number in tqdm(range(known, subjects), "subjects"):
            templates = {}
            for place, net in enumerate(nets):
                maps = random_maps(IMAGES, len(nets) * number + place)
                scale = np.array([0, 0.02, net.cohort.mark], np.float32)  # else it is measured
                templates[net.format] = VeinMaps(
                    maps.values, maps.usable, np.tile(scale, (IMAGES, 1))
                )
            gallery.enroll(f"s{number:07}", None, None, templates, add=False)


def measure_stages() -> dict[str, float]:
    """Returns how long each stage takes in this process, in seconds."""
    laps: dict[str, float] = {}
    last = time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal last
        laps[stage], last = time.perf_counter() - last, time.perf_counter()

    import app.main
    from app.gallery.outage import Outage
    from app.maintenance import calibrated_at_site
    from app.settings import read_settings
    from app.wiring import make_inspector, open_gallery, start_identifier

    lap("imports")
    settings = read_settings()
    models, engine = settings.models_dir, settings.engine
    ensemble = app.main.load_ensemble(models, settings.nets, engine)
    lap("nets")
    inspector = make_inspector(settings, app.main.load_finder(models, engine))
    lap("finder")
    with closing(open_gallery(settings)) as gallery:
        lap("gallery")
        calibrated = calibrated_at_site(ensemble, gallery)
        identifier = start_identifier(settings, calibrated, gallery, inspector, Outage())
        identifier.describe_gallery()
        lap("index")
        identifier.close()
    return laps


def resident_mb(server: Server) -> float:
    """Returns the resident memory of a service's process."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    (kilobytes,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
    return round(int(kilobytes) / 1024)


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as a table, one row for each size."""
    names = list(next(iter(report["subjects"].values())))
    lines = [
        f"{report['requests']:,} requests at each size, one after another.",
        f"{as_sentence(report['machine'])}.",
        "",
        f"| subjects | {' | '.join(names)} |",
        f"|{'---|' * (len(names) + 1)}",
    ]
    for subjects, row in report["subjects"].items():
        lines.append(f"| {subjects:,} | {' | '.join(str(row[name]) for name in names)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
