"""Reloads the nets of a service that clients keep busy.

    python -m benchmarks.reload

Needs a minute. The same nets are loaded again, as new ones would be; the answer of the reload comes
when every further request uses them.
"""

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.client import Load, ask, closed, form, post
from benchmarks.load import PALM
from benchmarks.machine import as_sentence, describe_machine
from benchmarks.server import Server, start_server

CLIENTS = 8
RELOADS = 3
SECONDS = 8.0
PAUSE_S = 1.0


def rss_mb(pid: int) -> float:
    """Returns the resident memory of a process, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [one for one in lines if one.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


def reload_under_load(server: Server, seconds: float) -> tuple[Load, list[float], float]:
    """Returns what the clients got, the seconds of each reload, and the largest memory in MB."""
    took: list[float] = []
    largest = [0.0]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            largest[0] = max(largest[0], rss_mb(server.process.pid))

    def reload() -> None:
        for _ in range(RELOADS):
            time.sleep(PAUSE_S)
            start = time.perf_counter()
            status, body = ask(server.port, post("/v1/models/reload", "application/json", b""))
            if status != 200:
                raise RuntimeError(f"the reload got {status}: {body.decode()}")
            took.append(time.perf_counter() - start)

    threads = [threading.Thread(target=watch), threading.Thread(target=reload)]
    for thread in threads:
        thread.start()
    request = form("/v1/identify", "images", PALM.read_bytes())
    load = closed(server.port, [request], CLIENTS, seconds, server.process.pid)
    threads[1].join()
    over.set()
    threads[0].join()
    return load, took, largest[0]


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.reload")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each load")
    chosen = parser.parse_args(arguments)
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        settings = {"PALM_GALLERY_URL": f"sqlite:///{folder}/gallery.db"}
        with start_server(settings, Path(folder) / "log", until="/health/ready") as server:
            request = form("/v1/identify", "images", PALM.read_bytes())
            pid = server.process.pid
            calm = closed(server.port, [request], CLIENTS, chosen.seconds, pid)
            before_mb = rss_mb(pid)
            load, took, largest_mb = reload_under_load(server, chosen.seconds)
            after_mb = rss_mb(pid)
    figures = {
        "requests": len(load.accepted),
        "failed": len(load.refused),
        "reload s": [round(one, 2) for one in took],
        "p99 ms without, with": [round(calm.percentile(99), 1), round(load.percentile(99), 1)],
        "RSS MB before, largest, after": [round(before_mb), round(largest_mb), round(after_mb)],
    }
    print(f"{CLIENTS} clients, {len(took)} reloads. {as_sentence(machine)}\n")
    print("| | measured | target |\n|---|---|---|")
    targets = {"failed": "0", "reload s": "at most 5"}
    for name, value in figures.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        print(f"| {name} | {shown} | {targets.get(name, '')} |")
    if chosen.json:
        chosen.json.write_text(json.dumps({"machine": machine, **figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
