"""Measures a backup and its restore: time, size, and the memory of the commands.

    python -m benchmarks.backup [--subjects 20000] [--postgresql] [--json PATH]

Writes a backup of random maps of three nets, three images a subject, restores it into an empty
gallery, and goes on from there. All of it needs about 600 KB of the disk for each subject.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from tqdm import tqdm

from app.gallery.backup.carried import read_rows, write_row
from app.gallery.backup.sealing import SealedWriter, new_header
from app.gallery.encryption.template_keys import NAME, TemplateKey, TemplateKeys
from app.gallery.encryption.vault import SubjectKey
from app.gallery.sql.migrations import newest_revision
from app.gallery.sql.sqlite import open_sqlite
from app.master_key import MasterKeys
from benchmarks.machine import as_sentence, describe_machine
from benchmarks.postgresql import run_postgresql
from training.report.files import write_text

NETS = ("vgg16", "vgg19", "alexnet")
IMAGES = 3
MAP_BYTES = 28 * 28 * 16 + 28 * 28 // 8 + 12  # values, usable places, scales


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures a backup and its restore.")
    parser.add_argument("--subjects", type=int, default=20_000)
    parser.add_argument("--postgresql", action="store_true", help="restore into PostgreSQL, too")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix="palm-backup-") as folder:
        rows = measure(Path(folder), options.subjects, postgresql=options.postgresql)
    report = {"machine": machine, "subjects": options.subjects, "commands": rows}
    print(as_markdown(report))
    if options.json:
        write_text(options.json, json.dumps(report, indent=1) + "\n")


def draw(folder: Path, file: Path, subjects: int) -> None:
    """Writes a backup of so many subjects, under the master key in a folder."""
    empty, key = folder / "empty", bytes.fromhex((folder / "master.key").read_text())
    url = f"sqlite:///{empty}/gallery.db"
    rng, keys = np.random.default_rng(0), dict[str, TemplateKey]()
    with closing(open_sqlite(url, MasterKeys(None, folder / "master.key"))) as gallery:
        plain = io.BytesIO()
        gallery.backups.write(plain)
    plain.seek(0)
    with file.open("wb") as out:
        sealed = SealedWriter(out, key, new_header(key, newest_revision()))
        for table, row in read_rows(plain):
            if table == "end":
                for number in tqdm(range(1, subjects + 1), "subjects", mininterval=10):
                    for name, one in draw_subject(number, TemplateKeys(lambda: keys), rng):
                        write_row(cast(BinaryIO, sealed), name, one)
            elif table == "secrets" and row["name"].startswith(NAME):
                keys[row["name"].removeprefix(NAME)] = TemplateKey(row["encrypted"])
            elif table == "gallery":
                row["next_number"] = subjects * (IMAGES + 1) + 1
            write_row(cast(BinaryIO, sealed), table, row)
        sealed.finish()


def draw_subject(
    number: int, templates: TemplateKeys, rng: np.random.Generator
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the rows of one subject, whose maps the newest template key transforms."""
    subject_id, key, now = f"s{number:07}", rng.bytes(32), "2026-11-30T09:00:00+00:00"
    yield "subject_keys", {"number": number, "wrapped": key}
    yield (
        "subjects",
        {
            "subject_id": subject_id,
            "origin": "enrolled",
            "created_at": now,
            "number": number,
            "changed": 1,
        },
    )
    own = SubjectKey(subject_id, key, templates)
    for image in range(IMAGES):
        place = number * IMAGES + image
        for net in NETS:
            content = rng.bytes(MAP_BYTES)
            stored = own.encrypt_map(content, net, "0" * 16, place)
            yield (
                "maps",
                {
                    "map_id": 0,
                    "subject_id": subject_id,
                    "net": net,
                    "template_id": "0" * 16,
                    **stored,
                    "capture": "roi",
                    "number": place,
                    "added_at": now,
                },
            )


def measure(folder: Path, subjects: int, *, postgresql: bool) -> dict[str, dict[str, float]]:
    """Returns the figures of each command."""
    drawn, file = folder / "drawn.palm", folder / "a.palm"
    url = f"sqlite:///{folder}/gallery.db"
    rows = {"none (`keys list`)": run(folder, url, "keys", "list")}
    draw(folder, drawn, subjects)
    rows["restore, SQLite, empty"] = run(
        folder, f"sqlite:///{folder}/new.db", "restore", str(drawn), "--without-erasures"
    )
    url = f"sqlite:///{folder}/new.db"
    rows["backup, SQLite"] = run(folder, url, "backup", str(file))
    rows["backup, SQLite"]["file MB"] = round(file.stat().st_size / 1e6)
    rows["restore --replace, SQLite"] = run(folder, url, "restore", str(file), "--replace")
    with run_postgresql() if postgresql else nullcontext() as server:
        if server is not None:
            rows["restore, PostgreSQL, empty"] = run(folder, server.url, "restore", str(file))
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
