"""Compares the service with LitServe, BentoML and MLServer: one net, an image in, a label out.

    python -m benchmarks.peers --env-dir DIR [--seconds 4] [--only WORDS] [--json PATH]

All serve VGG16's SavedModel on this machine, one after another in one run, to the same client. The
peers run it by TensorFlow, in several settings that their documents describe; the best counts. Each
gets an environment in DIR at first, which needs the internet. The service also finds the palm,
measures its quality, compares its veins with 160 subjects and writes the audit log: its throughput
is compared all the same.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from app.settings import Settings
from benchmarks.client import ask, closed, form
from benchmarks.machine import as_sentence, describe_machine
from benchmarks.peers.peers import PEERS, PeerFailed, install, serve_peer
from benchmarks.server import REPOSITORY, start_server
from training.report.files import write_text

PALM = REPOSITORY / "samples" / "known" / "p001" / "01.png"
LABEL = b"p001"
MODEL = REPOSITORY / "models_store" / "vgg16" / "12"
CLIENTS = (1, 8, 32)
WARM_UP_S = 2.0
OURS = {
    "OpenVINO, float32": {"PALM_PRECISION": "f32"},
    "OpenVINO, as shipped": {},
    "TensorFlow": {"PALM_ENGINE": "tensorflow"},
}
TARGETS = {"OpenVINO, float32": 1.3, "OpenVINO, as shipped": 2.0}
"""Least throughput of ours, as a multiple of the best peer's."""

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description="Compares the service with its peers.")
    parser.add_argument(
        "--env-dir", type=Path, required=True, help="folder for the peers' environments: 3 GB"
    )
    parser.add_argument("--seconds", type=float, default=4, help="length of each load")
    parser.add_argument("--only", default="", help="words in a peer's name, or in 'ours'")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    report = {"machine": describe_machine(), "seconds": arguments.seconds}
    rows = list(measure_ours(arguments.seconds)) if arguments.only in "ours" else []
    for name in PEERS:
        if arguments.only in name:
            rows += measure_peer(name, arguments.env_dir, arguments.seconds)
    report["rows"] = rows
    print(as_markdown(report))
    if arguments.json:
        write_text(arguments.json, json.dumps(report, indent=1) + "\n")


def measure_ours(seconds: float) -> Iterator[Row]:
    """Measures the service with VGG16 alone."""
    request = form("/v1/identify", "images", PALM.read_bytes())
    for setting, variables in tqdm(OURS.items(), "ours"):
        known = {
            name: value
            for name, value in variables.items()
            if name.removeprefix("PALM_").lower() in Settings.model_fields
        }
        settings = {"PALM_NETS": "vgg16:12", **known}
        with (
            TemporaryDirectory() as folder,
            start_server(settings, Path(folder, "log"), until="/health/ready") as server,
        ):
            found = measure(server.port, server.process.pid, request, seconds)
        yield {"server": "ours", "setting": setting, **found}


def measure_peer(name: str, env_dir: Path, seconds: float) -> Iterator[Row]:
    """Measures a peer in each of its settings; a row without figures tells why there are none."""
    peer = PEERS[name]
    request = peer.request(PALM.read_bytes())
    try:
        programs = install(peer.package, env_dir)
    except PeerFailed as error:
        yield {"server": name, "setting": "", "failed": str(error)}
        return
    for setting in tqdm(peer.settings, name):
        row: Row = {"server": name, "setting": str(setting)}
        try:
            with serve_peer(peer, setting, programs, MODEL, request) as (port, pid):
                row |= measure(port, pid, request, seconds)
        except PeerFailed as error:
            row["failed"] = str(error)
        yield row


def measure(port: int, pid: int, request: bytes, seconds: float) -> Row:
    """Returns the throughput and the latency by number of clients, and core-ms of a request.

    Raises:
        PeerFailed: if the label is wrong.
    """
    status, body = ask(port, request)
    if LABEL not in body:
        raise PeerFailed(f"answered {status}, {body[:200]!r}, without {LABEL.decode()}")
    closed(port, [request], 8, WARM_UP_S, pid)
    loads = {n: closed(port, [request], n, seconds, pid) for n in CLIENTS}
    best = max(loads.values(), key=lambda load: load.rate)
    return {
        "loads": {
            str(n): {
                "rate": load.rate,
                "p50_ms": load.percentile(50),
                "p99_ms": load.percentile(99),
                "others": load.statuses,
            }
            for n, load in loads.items()
        },
        "rate": best.rate,
        "core_ms": 1e3 * best.cores_s / len(best.accepted),
        "client_core_ms": 1e3 * best.cpu_s / len(best.accepted),
    }


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as tables."""
    lines = [
        f"VGG16, {PALM.name} of {PALM.parent.name}; {report['seconds']:g} s of each load. "
        f"{as_sentence(report['machine'])}.",
        "",
        "| server | setting | "
        + " | ".join(f"{n} clients: /s, p50 ms" for n in CLIENTS)
        + " | core-ms: server, client |",
        "|---" * (3 + len(CLIENTS)) + "|",
    ]
    for row in report["rows"]:
        cells = [row["server"], row["setting"]]
        if "failed" in row:
            reason = " ".join(row["failed"].replace("|", "/").split())
            cells += [f"failed: {reason}", *[""] * len(CLIENTS)]
        else:
            cells += [f"{load['rate']:.1f}, {load['p50_ms']:.1f}" for load in row["loads"].values()]
            cells.append(f"{row['core_ms']:.1f}, {row['client_core_ms']:.2f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_compared(report["rows"])])


def _cell(load: dict[str, Any]) -> str:
    others = [f"{number} {status}" for status, number in load["others"].items()]
    return ", ".join([f"{load['rate']:.1f}", f"{load['p50_ms']:.1f}", *others])


def _compared(rows: list[Row]) -> list[str]:
    """Compares ours with the best peer."""
    peers = [row for row in rows if row["server"] != "ours" and "rate" in row]
    if not peers:
        return ["No peer ran."]
    best = max(peers, key=lambda row: row["rate"])
    lines = [
        f"| throughput, against {best['server']} ({best['setting']}) | ratio | target |",
        "|---|---|---|",
    ]
    for row in rows:
        if row["server"] == "ours":
            target = TARGETS.get(row["setting"])
            aim = f"at least {target:g}" if target else ""
            lines.append(f"| ours, {row['setting']} | {row['rate'] / best['rate']:.2f} | {aim} |")
    return lines


if __name__ == "__main__":
    main()
