"""Measures what hostile clients do to the service, and to those who ask for /health/live meanwhile.

    python -m benchmarks.hostile [--seconds 6] [--only WORDS] [--json PATH]

Each kind of client attacks a service of its own, from a process of its own. Needs Linux, for the
peak memory.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.attacks import ATTACKS
from benchmarks.machine import as_sentence, describe_machine
from benchmarks.server import start_server
from training.report.files import write_text

OPEN_FILES = 256
PROBE_EVERY_S = 0.02
PROBE_TIMEOUT_S = 5.0
HEALTH_MS = 100.0
"""Most that 99 of 100 requests for /health/live should take."""
SETTINGS = {"PALM_CLIENT_TIMEOUT_S": "2", "PALM_BODY_TIMEOUT_S": "4"}
"""Short deadlines, so that a few seconds show them."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what hostile clients do.")
    parser.add_argument("--seconds", type=float, default=6, help="length of each attack")
    parser.add_argument("--only", default="", help="words in the names of the attacks to run")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    machine = describe_machine()
    names = [name for name in ATTACKS if arguments.only in name]
    rows = [measure(name, arguments.seconds) for name in names]
    report = {"machine": machine, "seconds": arguments.seconds, "rows": rows}
    print(as_markdown(report))
    if arguments.json:
        write_text(arguments.json, json.dumps(report, indent=1) + "\n")


def measure(name: str, seconds: float) -> dict[str, Any]:
    """Attacks a new service and returns the answers, the health's latencies and the memory."""
    with (
        TemporaryDirectory() as folder,
        ProcessPoolExecutor(1) as pool,
        start_server(
            settings=SETTINGS,
            log=Path(folder, "log"),
            until="/health/ready",
            open_files=OPEN_FILES,
        ) as server,
    ):
        idle_mb = peak_mb(server.process.pid)
        attack = pool.submit(run, name, server.port, seconds)
        delays_ms, failures = probe(server.port, attack.done)
        p50, p99 = np.percentile(delays_ms, [50, 99]).tolist() if delays_ms else (np.nan, np.nan)
        return {
            "kind": name,
            "answers": attack.result(),
            "probes": len(delays_ms),
            "failures": failures,
            "p50_ms": round(p50, 1),
            "p99_ms": round(p99, 1),
            "rise_mb": round(peak_mb(server.process.pid) - idle_mb),
        }


def run(name: str, port: int, seconds: float) -> dict[str, int]:
    """Runs one attack and counts its outcomes; executed in the attacker's process."""
    outcomes = asyncio.run(ATTACKS[name](port, seconds))
    return dict(Counter(outcomes).most_common())


def probe(port: int, is_over: Callable[[], bool]) -> tuple[list[float], int]:
    """Asks for /health/live on new connections until the attack is over.

    Returns:
        The milliseconds that each answer took, and the number of requests without a 200.
    """
    delays_ms: list[float] = []
    failures = 0
    while not is_over():
        start = time.perf_counter()
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=PROBE_TIMEOUT_S)
            connection.request("GET", "/health/live")
            failures += connection.getresponse().status != HTTPStatus.OK
            connection.close()
        except (OSError, HTTPException):
            failures += 1
        delays_ms.append((time.perf_counter() - start) * 1e3)
        time.sleep(PROBE_EVERY_S)
    return delays_ms, failures


def peak_mb(pid: int) -> float:
    """Returns the peak resident memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as a table."""
    lines = [
        f"{report['seconds']:g} s of each attack on a service that may open {OPEN_FILES} files. "
        f"{as_sentence(report['machine'])}.",
        "",
        "| client | outcome | health: asked, failed | p50, p99 ms | MiB more |",
        "|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        answers = ", ".join(f"{number} {outcome}" for outcome, number in row["answers"].items())
        lines.append(
            f"| {row['kind']} | {answers} | {row['probes']}, {row['failures']} "
            f"| {row['p50_ms']:.1f}, {row['p99_ms']:.1f} | {row['rise_mb']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
