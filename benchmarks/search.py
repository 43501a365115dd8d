"""Measures the search of galleries of up to a million subjects, in memory.

    python -m benchmarks.search [--subjects 1000 10000 100000 1000000] [--repeats 20] [--json PATH]

Speed only: docs/scaling.md tells which false positive identification rate the nets can hold. Writes
random coarse maps straight into the index's arrays, three images a subject. The full maps are all
zeros, which the system keeps in no memory until they are compared: 16 KB a subject would be 16 GB.

Each size is compared with

- reading the coarse maps once, at the bandwidth that all cores reach together in this run. A search
  cannot take less, unless the maps stay in the processor's cache;
- NumPy's bitwise_count, in parts that stay in the cache, in one thread;
- `IndexBinaryFlat` of FAISS on all cores, if `faiss-cpu` is installed. It has no shifts: each is a
  query of its own, for as many rows as three for each candidate.

Both peers must propose the same subjects, up to ties.
"""

import argparse
import importlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.gallery.index.cameras import Cameras
from app.gallery.index.comparison import CANDIDATES, coarse_similarity, search_all
from app.gallery.index.means import Means
from app.gallery.index.rows import RowsView
from app.gallery.index.view import View
from app.gallery.subject import Subject
from app.matching.maps import Signs
from app.matching.similarity import COARSE_SHIFT, Codes, probe_codes
from benchmarks.gallery import IMAGES, NETS, SHAPE, random_maps, time_ms
from benchmarks.machine import as_sentence, describe_machine
from training.report.files import write_text

COARSE_BYTES = 400  # 16 channels of 14 x 14 bits, each filled up to a byte
PART = 512  # rows that NumPy compares at once: 200 KB

Bytes = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures searches of large galleries.")
    parser.add_argument(
        "--subjects", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000]
    )
    parser.add_argument("--repeats", type=int, default=20, help="timed searches")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    machine, bandwidth = describe_machine(), measure_bandwidth()
    report = {
        "machine": machine,
        "repeats": arguments.repeats,
        "bandwidth GB/s": round(bandwidth / 1e9, 1),
        "faiss": version_of_faiss(),
        "subjects": {
            size: measure(size, arguments.repeats, bandwidth) for size in sorted(arguments.subjects)
        },
    }
    print(as_markdown(report))
    if arguments.json:
        write_text(arguments.json, json.dumps(report, indent=1) + "\n")


def measure_bandwidth() -> float:
    """Returns how many bytes a second all cores together read from memory, at best."""
    words = np.ones(2**27, np.uint64)  # 1 GB
    cores = len(os.sched_getaffinity(0))
    parts = np.array_split(words, 64 * cores)
    with ThreadPoolExecutor(cores) as pool:
        times = [time_ms(lambda: list(pool.map(np.max, parts))) for _ in range(5)]
    return 1e3 * words.nbytes / min(times)


def measure(subjects: int, repeats: int, bandwidth: float) -> dict[str, Any]:
    """Returns the figures for one size of the gallery."""
    view, probes = make_view(subjects), [random_maps(1, seed) for seed in range(len(NETS))]
    rows, probe = view.rows[0], probes[0]
    windows = probe_codes(Signs.coarse(probe), COARSE_SHIFT).bits
    times = [time_ms(lambda: search_all(view, probes, 0)) for _ in range(1 + repeats)][1:]
    scans = [time_ms(lambda: coarse_similarity(rows, subjects, probe, None)) for _ in range(5)]
    best = propose(coarse_similarity(rows, subjects, probe, None))
    read_ms = 1e3 * rows.coarse.nbytes / bandwidth
    by_numpy: list[NDArray[np.int64]] = []
    figures: dict[str, Any] = {
        "index MB": round(bytes_of(view) / 1e6),
        "read once ms": round(read_ms, 3),
        "search ms p50": round(float(np.median(times)), 2),
        "search ms p95": round(float(np.quantile(times, 0.95)), 2),
        "coarse maps ms p50": round(float(np.median(scans)), 2),
        "search / read once": round(float(np.median(times)) / read_ms, 2),
        "NumPy ms": round(time_ms(lambda: by_numpy.append(scan_by_numpy(rows.coarse, windows))), 1),
    }
    require_same(best, by_numpy[0], "NumPy")
    if version_of_faiss():
        figures |= measure_faiss(rows.coarse, windows, best)
    return figures


def make_view(subjects: int) -> View:
    """Returns a view of subjects with random coarse maps of the first net."""
    count = subjects * IMAGES
    random = np.random.default_rng(0)
    coarse = np.empty((count, COARSE_BYTES), np.uint8)
    for first in range(0, count, 100_000):
        some = coarse[first : first + 100_000]
        some[:] = np.frombuffer(random.bytes(some.size), np.uint8).reshape(some.shape)
        some[:, 24::25] &= 0xF0  # what fills up each channel's last byte
    one = Subject(
        subject_id="s",
        name=None,
        hand=None,
        origin="enrolled",
        collection="default",
        created_at=datetime.now(UTC),
        template_counts={},
        captures=[],
    )
    return View(
        revision=1,
        rows=tuple(
            make_rows(coarse if net == 0 else np.empty((count, 0), np.uint8))
            for net in range(len(NETS))
        ),
        means=Cameras(Means((None,) * len(NETS), 0, 0, 0)),
        subjects=(one,) * subjects,
        counts=np.full(subjects, IMAGES, np.int32),
        collections=np.zeros(subjects, np.int32),
        collection_numbers={},
        slots={},
        erased=set(),
        damage=None,
        expires=None,
    )


def make_rows(coarse: Bytes) -> RowsView:
    """Returns the rows of one net; their full maps are zeros."""
    count, places = len(coarse), SHAPE.side**2 // 8
    return RowsView(
        codes=Codes(
            np.zeros((count, SHAPE.channels * places), np.uint8),
            np.zeros((count, places), np.uint8),
            np.ones(count, np.bool_),
        ),
        scales=np.tile(np.array([0, 1, 0], np.float32), (count, 1)),
        coarse=coarse,
        coarse_share=np.ones(count, np.float32),
        owners=np.repeat(np.arange(count // IMAGES, dtype=np.int32), IMAGES),
        cameras=np.zeros(count, np.int16),
    )


def bytes_of(view: View) -> int:
    """Returns the size of all arrays of a view's rows."""
    return sum(
        array.nbytes
        for rows in view.rows
        for array in (
            *(rows.codes.bits, rows.codes.places, rows.codes.whole, rows.scales),
            *(rows.coarse, rows.coarse_share, rows.owners, rows.cameras),
        )
    )


def propose(similar: NDArray[np.floating]) -> NDArray[np.float64]:
    """Returns the similarities of the candidates, the best first."""
    return np.sort(similar.astype(np.float64))[::-1][:CANDIDATES]


def scan_by_numpy(coarse: Bytes, windows: Bytes) -> NDArray[np.int64]:
    """Returns each subject's least number of differing bits."""
    words, probe = coarse.view(np.uint64), windows.view(np.uint64)
    nearest = np.empty(len(words), np.int64)
    for first in range(0, len(words), PART):
        part = words[first : first + PART]
        by_shift = [np.bitwise_count(part ^ one).sum(axis=1, dtype=np.uint16) for one in probe]
        nearest[first : first + PART] = np.min(by_shift, axis=0)
    return nearest.reshape(-1, IMAGES).min(axis=1)


def measure_faiss(coarse: Bytes, windows: Bytes, best: NDArray[np.float64]) -> dict[str, float]:
    """Returns the time of FAISS, after a comparison of what it proposes."""
    index = importlib.import_module("faiss").IndexBinaryFlat(8 * coarse.shape[1])
    index.add(coarse)
    # Of rows that are nearer at a shift, a candidate has two of its own, and each better one three.
    most = min(CANDIDATES * IMAGES, len(coarse))
    times = [time_ms(lambda: index.search(windows, most)) for _ in range(3)]
    distances, rows = index.search(windows, most)
    nearest = np.full(len(coarse) // IMAGES, 8 * coarse.shape[1], np.int64)
    np.minimum.at(nearest, rows.ravel() // IMAGES, distances.ravel())
    require_same(best, nearest, "FAISS")
    return {"FAISS ms": round(float(np.median(times)), 1)}


def require_same(best: NDArray[np.float64], nearest: NDArray[np.int64], peer: str) -> None:
    """Checks that a peer's nearest subjects are as near as the candidates.

    Raises:
        RuntimeError: if they are not.
    """
    bits = (SHAPE.side // 2) ** 2 * SHAPE.channels
    others = propose(1 - nearest * 2 / bits)
    if not np.allclose(best, others, atol=1e-6):
        raise RuntimeError(f"{peer} proposes other subjects than the service")


def version_of_faiss() -> str | None:
    """Returns the version of FAISS; None if it is not installed."""
    try:
        return str(importlib.import_module("faiss").__version__)
    except ImportError:
        return None


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as a table, one row for each size."""
    names = list(next(iter(report["subjects"].values())))
    faiss = report["faiss"]
    lines = [
        f"{IMAGES} images a subject, {len(NETS)} nets, probes of one image; {report['repeats']} "
        "searches, one after another.",
        f"{as_sentence(report['machine'])}; {report['bandwidth GB/s']} GB/s by all cores.",
        f"FAISS {faiss}." if faiss else "FAISS is not installed: skipped.",
        "",
        f"| subjects | {' | '.join(names)} |",
        f"|{'---|' * (len(names) + 1)}",
    ]
    for subjects, row in report["subjects"].items():
        lines.append(f"| {subjects:,} | {' | '.join(str(row[name]) for name in names)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
