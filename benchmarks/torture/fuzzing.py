"""Sends what Schemathesis generates from the OpenAPI document: valid, invalid and mangled requests.

The settings of Schemathesis are in schemathesis.toml beside this file.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.access.keys import SCOPES
from benchmarks.server import start_server
from benchmarks.torture.outcome import Options, Row, counted
from benchmarks.torture.palms import draw, enroll
from benchmarks.torture.stores import place_of

CASES = 10_000
EXAMPLES = 700
"""Random cases for each operation, besides those that cover each constraint of the document."""
SUBJECTS = 3
SEED = "1"
REVOKE = "/v1/keys/{key_id}"
CONFIG = Path(__file__).with_name("schemathesis.toml")
PHASES = "examples,coverage,fuzzing"
PATIENCE_S = 900.0


def run(options: Options) -> Iterator[Row]:
    """Tests a running service with a key that has every scope."""
    with place_of("sqlite") as place:
        settings = place.settings | {"PALM_LOG_LEVEL": "WARNING"}
        with start_server(settings, place.log, until="/health/ready") as server:
            for number in range(SUBJECTS):
                enroll(server.http, f"subject-{number}", draw(number)).raise_for_status()
            wanted = {"name": "schemathesis", "scopes": list(SCOPES)}
            made = server.http.post("/v1/keys", json=wanted).raise_for_status().json()
            call = [
                *(f"{str(server.http.base_url).rstrip('/')}/openapi.json", "--header"),
                f"Authorization: Bearer {made['api_key']}",
            ]
            examples = str(options.sized(EXAMPLES))
            # Revoking keys comes last: what Schemathesis sends may name its own.
            others = generate([*call, "-n", examples, "--exclude-path", REVOKE], place.folder)
            revoking = generate([*call, "-n", examples, "--include-path", REVOKE], place.folder)
            alive = server.http.get("/health/live").is_success
    yield judge([others, revoking], options.sized(CASES), alive=alive)


def generate(options: list[str], folder: Path) -> dict[str, Any]:
    """Runs Schemathesis, whose findings go to standard error; returns its report."""
    report = folder / "report.json"
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), f"--config-file={CONFIG}", "run"),
        *(*options, "--phases", PHASES, "--seed", SEED, "--report-json-path", str(report)),
    ]
    subprocess.run(command, cwd=folder, stdout=sys.stderr, check=False, timeout=PATIENCE_S)
    return json.loads(report.read_text())


def judge(reports: list[dict[str, Any]], cases: int, *, alive: bool) -> Row:
    """Returns how many requests were sent, and what was wrong with the answers."""
    sent = sum(one["test_cases"]["generated"] for one in reports)
    operations = sum(one["operations"]["tested"] for one in reports)
    findings = Counter[str]()
    for one in reports:
        findings += Counter({kind["title"]: kind["count"] for kind in one["failures"]})
        findings["errors of Schemathesis"] += len(one["errors"])
        findings["runs that did not end"] += not one["complete"]
    return Row(
        "sqlite",
        f"Schemathesis {reports[0]['schemathesis_version']}: {sent:,} requests to {operations} "
        "operations, with a key that has every scope",
        f"{cases:,} requests or more; no 5xx; status, type, headers and body of each answer as "
        "documented; requests against the document refused; the service lives",
        f"findings: {counted(findings)}",
        alive and sent >= cases and not findings.total(),
    )
