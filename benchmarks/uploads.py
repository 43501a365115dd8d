"""Measures the most time and memory that one upload takes, over damaged and hostile files.

    python -m benchmarks.uploads [--files 1000] [--seed 0] [--json PATH]

Each file is decoded, and what it shows is searched, cut and measured as a photograph of a hand. The
landmark net itself takes the same for every image; here its answer is constant, because a compiled
net does not survive the fork of its process. Needs Linux and glibc, for the peak memory.
"""

import argparse
import ctypes
import json
import multiprocessing
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.palm.decode import ImageLimits
from app.palm.errors import PalmImageError
from app.palm.finder import Finder
from app.palm.landmarks import DIRECTIONS, KINDS
from app.palm.reader import PalmReader
from app.palm.square import BELOW, SIDE
from app.palm.views import CLOSE_BELOW, CLOSE_SIDE
from benchmarks.amplifiers import AMPLIFIERS
from benchmarks.machine import as_sentence, describe_machine
from training.report.files import write_text

TARGET_S, TARGET_MB = 0.5, 256
SEEDS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("PNG", "L", {}),
    ("PNG", "I;16", {}),
    ("PNG", "RGB", {}),
    ("JPEG", "L", {}),
    ("JPEG", "RGB", {"progressive": True}),
    ("BMP", "L", {}),
    ("BMP", "RGB", {}),
    ("TIFF", "L", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF", "RGB", {"compression": "tiff_adobe_deflate"}),
    ("TIFF", "L", {"compression": "packbits"}),
    ("WEBP", "RGB", {}),
    ("WEBP", "RGB", {"lossless": True}),
)
"""Format, mode and options of the valid files that are damaged."""


VIEW_PX, STRIDE_PX = 160, 4
LANDMARKS = np.array(
    [(-0.5, 0), (0, 0), (0.5, 0), (0, BELOW + SIDE / 2)],
)
"""x and y from the line of the gaps, in distances of the outer ones."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the worst upload.")
    parser.add_argument("--files", type=int, default=1000, help="files to read")
    parser.add_argument("--seed", type=int, default=0, help="seed of the damage")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    machine = describe_machine()
    rows = measure(arguments.files, arguments.seed)
    report = {"machine": machine, "files": arguments.files, "rows": summarize(rows)}
    print(as_markdown(report))
    if arguments.json:
        write_text(arguments.json, json.dumps(report, indent=1) + "\n")


def measure(files: int, seed: int) -> list[dict[str, Any]]:
    """Reads every file in a process of its own.

    The child is forked from a process that has read nothing large, so that the rise of its peak
    resident memory is what the file takes.
    """
    context = multiprocessing.get_context("fork")
    rows: list[dict[str, Any]] = []
    for kind, name, data in _corpus(files, seed):
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_read, args=(data, sender))
        child.start()
        sender.close()
        try:
            rows.append({"kind": kind, "name": name, "bytes": len(data), **receiver.recv()})
        except EOFError as error:
            raise RuntimeError(f"reading {kind} {name} ended its process") from error
        child.join()
    return rows


def _corpus(files: int, seed: int) -> Iterator[tuple[str, str, bytes]]:
    """Yields the container, a name and the bytes of each file."""
    for name, build in AMPLIFIERS.items():
        yield name.split()[0], name, build()
    rng = np.random.default_rng(seed)
    originals = [(kind, _encode(kind, mode, options)) for kind, mode, options in SEEDS]
    for number in range(files - len(AMPLIFIERS)):
        kind, original = originals[number % len(originals)]
        data = bytearray(original)
        places = rng.integers(
            0, min(len(data), int(rng.choice((64, 400, 2**20)))), rng.integers(1, 7)
        )
        for place in places:
            data[place] = int(rng.choice((0, 1, 0x7F, 0x80, 0xFF, 0x5A)))
        yield kind, f"damaged {number}", bytes(data)


def _encode(file_format: str, mode: str, options: dict[str, Any]) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 16)
    file = BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def _answer_at_once(views: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Answers that a view shows a hand where the finder's closer views have it."""
    grid = VIEW_PX // STRIDE_PX
    places = (np.arange(grid) + 0.5) / grid
    middle = np.array([0.5, 0.5 - CLOSE_BELOW / CLOSE_SIDE])
    x, y = (middle + LANDMARKS / CLOSE_SIDE).T
    apart = (places[None, :, None] - x) ** 2 + (places[:, None, None] - y) ** 2
    count = len(views)
    return {
        "landmarks": np.repeat(-apart[None] * grid**2 / 2, count, axis=0).astype(np.float32),
        "skin": np.ones((count, grid, grid), np.float32),
        "kind": np.repeat(np.eye(1, len(KINDS), dtype=np.float32), count, axis=0),
        "left": np.ones(count, np.float32),
        "direction": np.repeat(np.eye(1, len(DIRECTIONS), dtype=np.float32), count, axis=0),
    }


def _read(data: bytes, sender: Any) -> None:
    """Sends the processor time, the rise of the peak resident memory, and the answer."""
    finder = Finder(_answer_at_once, VIEW_PX, 0.5)
    reader = PalmReader(finder, limits=ImageLimits(), mode="auto")
    ctypes.CDLL(None).malloc_trim(0)  # so that memory freed before the fork does not hide the rise
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _peak_mb()
    start = time.process_time()
    try:
        reader.read(data, 224)
        answer = "read"
    except PalmImageError as error:
        answer = f"{type(error).__name__}: {error}"
    seconds = time.process_time() - start
    sender.send({"cpu_s": seconds, "peak_mb": _peak_mb() - before, "answer": answer})


def _peak_mb() -> float:
    """Returns the peak resident memory of this process in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def summarize(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns for each container the number of files, and the worst by time and by memory."""
    table: list[dict[str, Any]] = []
    for kind in sorted({row["kind"] for row in rows}):
        own = [row for row in rows if row["kind"] == kind]
        slowest = max(own, key=lambda row: row["cpu_s"])
        largest = max(own, key=lambda row: row["peak_mb"])
        table.append(
            {
                "kind": kind,
                "files": len(own),
                "read": sum(row["answer"] == "read" for row in own),
                "cpu_s": round(slowest["cpu_s"], 3),
                "slowest": slowest["name"],
                "peak_mb": round(largest["peak_mb"], 1),
                "largest": largest["name"],
            }
        )
    return table


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as a table."""
    lines = [
        f"{report['files']} files; the targets are {TARGET_S} s and {TARGET_MB} MiB. "
        f"{as_sentence(report['machine'])}.",
        "",
        "| container | files | read | worst CPU seconds | file | worst MiB | file |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        lines.append(
            f"| {row['kind']} | {row['files']} | {row['read']} | {row['cpu_s']:.3f} "
            f"| {row['slowest']} | {row['peak_mb']:.1f} | {row['largest']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
