"""Runs the torture and prints one table of what was promised and what was measured.

    python -m benchmarks.torture [--part kills] [--store sqlite] [--scale 0.1] [--json PATH]

Without --part every part runs in turn: less than 30 minutes on two cores, ten of them under load.
The exit status is 1 if a promise was missed. Needs Linux.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.torture import clock, full_disk, fuzzing, hostile, kills, many, overload
from benchmarks.torture.outcome import Options, Row, as_markdown
from training.report.files import write_text

PARTS: dict[str, Callable[[Options], Iterator[Row]]] = {
    "kills": kills.run,
    "full-disk": full_disk.run,
    "clock": clock.run,
    "many": many.run,
    "schemathesis": fuzzing.run,
    "hostile": hostile.run,
    "overload": overload.run,
}
STORES = ("sqlite", "postgresql")


def main() -> int:
    parser = argparse.ArgumentParser(description="Tries to break what the service promises.")
    parser.add_argument("--part", choices=PARTS, action="append", help="run only this part")
    parser.add_argument("--store", choices=STORES, action="append", help="only on this store")
    parser.add_argument("--scale", type=float, default=1, help="share of the full sizes, to try")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    chosen = parser.parse_args()
    if not 0 < chosen.scale <= 1:
        parser.error(f"--scale must be above 0 and at most 1, not {chosen.scale:g}")
    machine = describe_machine()
    options = Options(chosen.store or STORES, chosen.scale)
    rows = {part: torment(part, options) for part in chosen.part or PARTS}
    print(as_markdown(machine, rows))
    if chosen.json:
        told = {part: [asdict(row) for row in of_part] for part, of_part in rows.items()}
        report = {"machine": machine, "scale": chosen.scale, "parts": told}
        write_text(chosen.json, json.dumps(report, indent=1) + "\n")
    return int(any(row.passed is False for of_part in rows.values() for row in of_part))


def torment(part: str, options: Options) -> list[Row]:
    """Runs a part; an error is a promise that was missed, and does not end the others."""
    started = time.perf_counter()
    print(f"{part}: begun", file=sys.stderr)
    rows: list[Row] = []
    try:
        rows.extend(PARTS[part](options))
    except Exception as error:  # whatever it is, the other parts tell more
        reason = " ".join(f"{type(error).__name__}: {error}".split())[-500:].replace("|", "/")
        rows.append(Row("", "", "the part runs to its end", reason, False))
    missed = sum(row.passed is False for row in rows)
    seconds = time.perf_counter() - started
    print(f"{part}: {len(rows)} rows, {missed} missed, {seconds:.0f} s", file=sys.stderr)
    return rows


if __name__ == "__main__":
    sys.exit(main())
