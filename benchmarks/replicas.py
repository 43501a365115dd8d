"""Measures how soon one replica sees what another changed, on one PostgreSQL.

    python -m benchmarks.replicas [--subjects 50]

A palm is enrolled on one replica and identified on the other; then it is erased on the first, and
must be nobody's on the other. An API key that the first revokes must be refused by the other.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
from tqdm import tqdm

from benchmarks.machine import as_sentence, describe_machine
from benchmarks.postgresql import run_postgresql
from benchmarks.server import serve
from benchmarks.torture.palms import draw

LIMIT_S = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures how soon replicas agree.")
    parser.add_argument("--subjects", type=int, default=50)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    machine = describe_machine()
    with TemporaryDirectory() as folder, run_postgresql() as database:
        settings = {"PALM_GALLERY_URL": database.url, "PALM_TRAINED": "false"}
        logs = [Path(folder) / name for name in ("one.log", "other.log")]
        with (
            serve(settings, logs[0], until="/health/ready") as one,
            serve(settings, logs[1], until="/health/ready") as other,
        ):
            seconds = measure(one, other, options.subjects)
    report = {
        "machine": machine,
        "subjects": options.subjects,
        "seconds": {name: [float(np.median(s)), max(s)] for name, s in seconds.items()},
    }
    print(as_markdown(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def measure(one: httpx.Client, other: httpx.Client, subjects: int) -> dict[str, list[float]]:
    """Returns the time from each answer of one replica until the other agrees, in s."""
    seconds: dict[str, list[float]] = {"enrolled": [], "erased": [], "key revoked": []}
    for number in tqdm(range(subjects), "subjects"):
        subject_id, (image, again) = f"r{number}", draw(number)
        form = {"data": {"subject_id": subject_id, "force": "true"}, "files": {"images": image}}
        one.post("/v1/enroll", **form).raise_for_status()
        seconds["enrolled"].append(wait(lambda: best(other, again) == subject_id))  # noqa: B023
        one.delete(f"/v1/subjects/{subject_id}").raise_for_status()
        seconds["erased"].append(wait(lambda: best(other, again) != subject_id))  # noqa: B023
    seconds["key revoked"].append(revoke(one, other))
    return seconds


def best(http: httpx.Client, image: bytes) -> str | None:
    """Returns whom a replica identifies."""
    answer = http.post("/v1/identify", files={"images": image}).raise_for_status().json()
    return answer["identity"] and answer["identity"]["subject_id"]


def revoke(one: httpx.Client, other: httpx.Client) -> float:
    """Revokes a key on one replica; returns after how long the other refuses it, in s."""
    wanted = {"name": "replicas", "scopes": ["read", "admin"]}
    made = one.post("/v1/keys", json=wanted).raise_for_status().json()
    headers = {"Authorization": f"Bearer {made['api_key']}"}
    wait(lambda: other.get("/v1/keys", headers=headers).is_success)
    one.delete(f"/v1/keys/{made['key_id']}", headers=headers).raise_for_status()
    return wait(lambda: other.get("/v1/keys", headers=headers).status_code == 401)


def wait(until: Callable[[], bool]) -> float:
    """Asks again and again; returns the seconds until the last question was asked."""
    started = time.perf_counter()
    while True:
        asked = time.perf_counter() - started
        if until():
            return asked
        if asked > LIMIT_S:
            raise TimeoutError(f"the replicas do not agree within {LIMIT_S:g} s")


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as a table."""
    lines = [
        f"{as_sentence(report['machine'])}; two replicas; {report['subjects']} subjects.",
        "",
        "| change on one replica | the other agrees after, s: median | longest |",
        "|---|---|---|",
    ]
    for name, (median, longest) in report["seconds"].items():
        lines.append(f"| {name} | {median:.3f} | {longest:.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
