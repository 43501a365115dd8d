"""Measures a backup and its restore: time, size, and the memory of the commands.

    python -m benchmarks.backup [--subjects 20000] [--postgresql] [--json PATH]

Fills a gallery in a temporary folder with random maps of three nets, three images a subject, which
takes about 30 ms and 115 KB a subject. Backups need as much room again, and so does a restore.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

from tqdm import tqdm

from app.matching.calibration import Calibration, Case, Threshold
from app.matching.templates import NetKey
from benchmarks.gallery import NETS, RandomNet, enroll, open_temporary
from benchmarks.machine import as_sentence, describe_machine
from benchmarks.postgresql import run_postgresql
from training.report.files import write_text


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures a backup and its restore.")
    parser.add_argument("--subjects", type=int, default=20_000)
    parser.add_argument("--postgresql", action="store_true", help="restore into PostgreSQL, too")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix="palm-backup-") as folder:
        fill(folder, options.subjects)
        rows = measure(Path(folder), options.postgresql)
    report = {"machine": machine, "subjects": options.subjects, "commands": rows}
    print(as_markdown(report))
    if options.json:
        write_text(options.json, json.dumps(report, indent=1) + "\n")


def fill(folder: str, subjects: int) -> None:
    """Enrolls so many subjects."""
    case = Case(False, 1, 1, 0.05, (Threshold(0.3, 1e-5),))
    nets = [RandomNet(NetKey(name, 1), Calibration((case,))) for name in NETS]
    with closing(open_temporary(folder)) as gallery:
        for number in tqdm(range(subjects), "subjects", mininterval=10):
            enroll(gallery, nets, number)


def measure(folder: Path, postgresql: bool) -> dict[str, dict[str, float]]:
    """Returns the figures of each command."""
    file = folder / "a.palm"
    url = f"sqlite:///{folder}/gallery.db"
    rows = {
        "none (`keys list`)": run(folder, url, "keys", "list"),
        "backup, SQLite": run(folder, url, "backup", str(file)),
    }
    rows["backup, SQLite"]["file MB"] = round(file.stat().st_size / 1e6)
    rows["restore --replace, SQLite"] = run(folder, url, "restore", str(file), "--replace")
    with run_postgresql() if postgresql else nullcontext() as server:
        if server is not None:
            rows["restore, PostgreSQL"] = run(folder, server.url, "restore", str(file))
            again = folder / "b.palm"
            rows["backup, PostgreSQL"] = run(folder, server.url, "backup", str(again))
            rows["backup, PostgreSQL"]["file MB"] = round(again.stat().st_size / 1e6)
    return rows


def run(folder: Path, url: str, *command: str) -> dict[str, float]:
    """Runs a command of the service; returns its time and its largest memory."""
    environment = {
        **os.environ,
        "PALM_GALLERY_URL": url,
        "PALM_MASTER_KEY_FILE": str(folder / "master.key"),
        "PALM_AUDIT_FILE": str(folder / "audit.jsonl"),
    }
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "app", *command], env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return {
        "s": round(time.perf_counter() - start, 1),
        "largest memory MB": round(usage.ru_maxrss / 1024),
    }


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as a table, one row for each command."""
    lines = [
        f"{report['subjects']:,} subjects. {as_sentence(report['machine'])}.",
        "",
        "| command | s | largest memory MB | file MB |",
        "|---|---|---|---|",
    ]
    for name, row in report["commands"].items():
        lines.append(
            f"| {name} | {row['s']} | {row['largest memory MB']} | {row.get('file MB', '')} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
