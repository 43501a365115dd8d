"""Measures the service under load: many clients, arrivals beyond its capacity, its event loop.

    python -m benchmarks.load [--seconds 6] [--json PATH]

One square crop of 128 px in PNG, of a palm that is identified, among 160 subjects. The client is a
process of its own on the same cores; its processor time is shown beside the service's. Clients that
send one request after another meet the service's long queue; requests that arrive at random meet
the settings of `LATENCY`. First the processor time of every stage is measured alone: of decoder,
finder, nets and search one request after another in a process without HTTP, and of HTTP with an
answer that is ready.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np

import app.clock
from app.main import create_app
from app.settings import Settings
from benchmarks.client import Load, arriving, closed, form
from benchmarks.machine import as_sentence, describe_machine
from benchmarks.server import REPOSITORY, Server, start_server
from training.report.files import write_text

CLIENTS = (1, 2, 4, 8, 16, 32, 64, 128)
FULL = 32
"""Clients at which the throughput and the event loop are judged."""
RATES = (0.5, 1.0, 2.0)
"""Arrivals a second, as multiples of the capacity."""
STAGES = ("decode", "find", "nets", "search")
ALONE = 60  # requests with which the stages are measured
WARM_UP = 10
INSTRUMENTED = (sys.executable, "-m", "benchmarks.instrumented")
PALM = REPOSITORY / "samples" / "known" / "p001" / "01.png"

LATENCY = {"PALM_QUEUE_LENGTH": "1"}
"""Settings with which accepted requests stay fast at any load."""

LEAST_USE = 0.85
MOST_SLOWER = 3.0
REFUSED_MS = 50.0
LOOP_MS = 5.0
"""The targets."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the service under load.")
    parser.add_argument("--seconds", type=float, default=6, help="length of each load")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    report = {"machine": describe_machine(), "seconds": arguments.seconds}
    report |= measure(arguments.seconds)
    print(as_markdown(report))
    if arguments.json:
        write_text(arguments.json, json.dumps(report, indent=1) + "\n")


def measure(seconds: float) -> dict[str, Any]:
    """Returns the stages' core-ms, the loads, and the delays of the event loop in ms."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        core_ms = pool.submit(measure_stages).result()
    core_ms["HTTP"] = measure_http(seconds)
    request = [form("/v1/identify", "images", PALM.read_bytes())]
    with instrumented() as (server, delays_ms):
        pid = server.process.pid
        closed(server.port, request, 2, 2, pid)
        loops = {n: closed(server.port, request, n, seconds, pid) for n in CLIENTS}
    capacity = max(load.rate for load in loops.values())
    with instrumented(**LATENCY) as (server, _):
        pid = server.process.pid
        closed(server.port, request, 2, 2, pid)
        opened = {
            share: arriving(server.port, request, share * capacity, 1.5 * seconds, pid)
            for share in RATES
        }
    return {
        "core_ms": core_ms,
        "capacity": capacity,
        "closed": {str(n): _described(load) for n, load in loops.items()},
        "open": {str(share): _described(load) for share, load in opened.items()},
        "loop_ms": {str(n): _percentiles(delays_ms(loops[n])) for n in (1, FULL, max(CLIENTS))},
    }


def measure_stages() -> dict[str, float]:
    """Returns the processor time of each stage in ms, on any core; runs in a process alone."""
    app.clock.time = SimpleNamespace(perf_counter=time.process_time)
    palm = PALM.read_bytes()

    async def identify() -> list[Mapping[str, float]]:
        with TemporaryDirectory() as folder:
            os.chdir(folder)
            settings = Settings(models_dir=REPOSITORY / "models_store")
            service = create_app(settings)
            async with service.router.lifespan_context(service):
                identifier = service.state.service.identifier
                found = [identifier.identify([palm]) for _ in range(WARM_UP + ALONE)]
        return [one.timings_ms for one in found[WARM_UP:]]

    timings = asyncio.run(identify())
    return {stage: float(np.median([one[stage] for one in timings])) for stage in STAGES}


def measure_http(seconds: float) -> float:
    """Returns the processor time in ms of a request whose answer is ready."""
    request = [form("/v1/identify", "images", PALM.read_bytes())]
    with instrumented(BENCHMARK_CANNED=str(PALM)) as (server, _):
        closed(server.port, request, 1, 1, server.process.pid)
        load = closed(server.port, request, 1, seconds, server.process.pid)
    return 1e3 * load.cores_s / len(load.accepted)


@contextmanager
def instrumented(
    **variables: str,
) -> Generator[tuple[Server, Callable[[Load], list[float]]]]:
    """Starts the service with its instruments.

    Yields:
        The service, and a function that returns the delays of its event loop during a load, to be
        called after the service has stopped.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder, "loop.json")
        variables |= {"BENCHMARK_LOOP": str(file)}
        delays: list[tuple[float, float]] = []

        def during(load: Load) -> list[float]:
            return [ms for at, ms in delays if 0 <= at - load.began <= load.seconds]

        log = Path(folder, "log")
        with start_server(variables, log, until="/health/ready", command=INSTRUMENTED) as server:
            yield server, during
        delays += json.loads(file.read_text())


def _described(load: Load) -> dict[str, Any]:
    taken = asdict(load)
    del taken["times_ms"]
    refused = load.refused
    answers = max(len(load.accepted) + len(refused), 1)
    return taken | {
        "rate": load.rate,
        "accepted": len(load.accepted),
        "others": load.statuses,
        "p50_ms": load.percentile(50),
        "p99_ms": load.percentile(99),
        "refused_p99_ms": float(np.percentile(refused, 99)) if refused else None,
        "client_core_ms": 1e3 * load.cpu_s / answers,
        "client_cores": load.cpu_s / load.seconds,
        "service_cores": load.cores_s / load.seconds,
    }


def _percentiles(values: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(values, [50, 99]).tolist()
    return {"p50": p50, "p99": p99, "max": max(values)}


def judge(report: dict[str, Any]) -> dict[str, tuple[float | None, str]]:
    """Returns what was measured of each target, and the target."""
    cores, core_s = report["machine"]["cores"], sum(report["core_ms"].values()) / 1e3
    full, idle, twice = report["closed"][str(FULL)], report["closed"]["1"], report["open"]["2.0"]
    return {
        f"throughput with {FULL} clients / ({cores} / core-seconds of a request)": (
            full["rate"] / (cores / core_s),
            f"at least {LEAST_USE}",
        ),
        "the same, without the cores that the client took": (
            full["rate"] / ((cores - full["client_cores"]) / core_s),
            "",
        ),
        "p99 of accepted requests at twice the capacity / p99 of one client": (
            twice["p99_ms"] / idle["p99_ms"],
            f"at most {MOST_SLOWER:g}",
        ),
        "p99 of refusals at twice the capacity, ms": (
            twice["refused_p99_ms"],
            f"at most {REFUSED_MS:g}",
        ),
        f"p99 of the event loop's delay with {FULL} clients, ms": (
            report["loop_ms"][str(FULL)]["p99"],
            f"at most {LOOP_MS:g}",
        ),
    }


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as tables."""
    stages = report["core_ms"]
    lines = [
        f"{as_sentence(report['machine'])}; {report['seconds']:g} s of each load.",
        "",
        "| core-ms of a request, each measured alone | " + " | ".join(stages) + " | together |",
        "|---" * (len(stages) + 2) + "|",
        f"| | {' | '.join(f'{ms:.2f}' for ms in stages.values())} | {sum(stages.values()):.2f} |",
        "",
        "| load; ms | accepted /s | p50, p99 | others | p99 of others | cores: service, client |",
        "|---" * 6 + "|",
    ]
    rows = [(f"{n} clients", load) for n, load in report["closed"].items()]
    rows += [
        (f"arrivals at {share} times {report['capacity']:.0f}/s", load)
        for share, load in report["open"].items()
    ]
    for name, load in rows:
        others = ", ".join(f"{n} {status}" for status, n in load["others"].items()) or "none"
        late = load["refused_p99_ms"]
        lines.append(
            f"| {name} | {load['rate']:.1f} | {load['p50_ms']:.1f}, {load['p99_ms']:.1f} "
            f"| {others} | {'' if late is None else f'{late:.1f}'} "
            f"| {load['service_cores']:.2f}, {load['client_cores']:.2f} |"
        )
    lines += ["", "| event loop's delay, ms | p50 | p99 | largest |", "|---|---|---|---|"]
    for n, delay in report["loop_ms"].items():
        lines.append(
            f"| {n} clients | {delay['p50']:.2f} | {delay['p99']:.2f} | {delay['max']:.1f} |"
        )
    lines += ["", "| | measured | target |", "|---|---|---|"]
    for what, (value, target) in judge(report).items():
        lines.append(f"| {what} | {'none' if value is None else f'{value:.2f}'} | {target} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
