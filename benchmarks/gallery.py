"""Measures the gallery and its index: memory, start, searches, and what each change takes.

    python -m benchmarks.gallery [--subjects 160 2000] [--repeats 100] [--json PATH]

Fills a gallery in a temporary folder with random maps of three nets, three images a subject.
Enrolling takes about 30 ms a subject, and a subject 115 KB on the disk. Changes are timed without
the nets: storing three images of a new subject, setting a name, erasing a subject.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from app.ensemble import TrainedTemplates
from app.gallery.gallery import Gallery
from app.gallery.index.memory import GalleryIndex
from app.gallery.sql.gallery import SqlGallery
from app.gallery.sql.sqlite import open_sqlite
from app.master_key import MasterKeys
from app.matching.calibration import Calibration, Case, Threshold
from app.matching.maps import MapShape, VeinMaps
from app.matching.scores import Cohort
from app.matching.templates import MapFormat, NetKey
from benchmarks.machine import as_sentence, describe_machine
from training.report.files import write_text

SHAPE = MapShape(28, 16)
NETS = ("vgg16", "vgg19", "alexnet")
IMAGES = 3


@dataclass(frozen=True)
class RandomNet:
    """What the index reads of a net; it knows one identity, which no gallery has."""

    key: NetKey
    calibration: Calibration
    identities: tuple[str, ...] = ("trained",)
    input_px: int = 112

    @property
    def format(self) -> MapFormat:
        """The maps' format."""
        return MapFormat(self.key.net, "0" * 16, SHAPE)

    @property
    def trained(self) -> TrainedTemplates:
        """One template of the identity."""
        return TrainedTemplates(np.zeros(1, np.int32), random_maps(1, seed=0))

    @property
    def cohort(self) -> Cohort:
        """Too few palms: scores are similarities."""
        return Cohort.of(self.trained)

    @property
    def test_pairs(self) -> VeinMaps:
        """No pairs: every mean map is used."""
        return VeinMaps.empty(SHAPE)

    def maps(self, images: Any) -> VeinMaps:
        """Returns random maps."""
        return random_maps(len(images), seed=0)


def random_maps(count: int, seed: int) -> VeinMaps:
    side, channels = SHAPE
    values = np.random.default_rng(seed).integers(-40, 41, (count, side, side, channels), np.int8)
    return VeinMaps(values, np.ones((count, side, side), bool))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the gallery's index.")
    parser.add_argument("--subjects", type=int, nargs="+", default=[160, 2000])
    parser.add_argument("--repeats", type=int, default=100, help="timed searches")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    sizes = {size: measure(size, arguments.repeats) for size in sorted(arguments.subjects)}
    report = {"machine": describe_machine(), "repeats": arguments.repeats, "subjects": sizes}
    print(as_markdown(report))
    if arguments.json:
        write_text(arguments.json, json.dumps(report, indent=1) + "\n")


def measure(subjects: int, repeats: int) -> dict[str, float]:
    """Returns the figures for one size of the gallery."""
    case = Case(False, 1, 1, 0.05, (Threshold(0.3, 1e-5),))
    nets = [RandomNet(NetKey(name, 1), Calibration((case,))) for name in NETS]
    probes = [random_maps(1, seed=3 * (subjects // 2) + i) for i in range(len(nets))]
    with tempfile.TemporaryDirectory() as folder:
        gallery = open_temporary(folder)
        for number in tqdm(range(subjects), "subjects"):
            enroll(gallery, nets, number)
        index = GalleryIndex(gallery, nets)
        load_ms = time_ms(index.refresh)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        searches = [time_ms(lambda: index.search(probes)) for _ in range(repeats)]
        after: list[float] = []
        for number in range(subjects, subjects + 10):
            enroll(gallery, nets, number)
            after.append(time_ms(lambda: index.search(probes)))
        changes = measure_changes(gallery, nets, subjects, repeats)
        index.close()
        gallery.close()
        open_ms = time_ms(lambda: open_temporary(folder).close())
    return {
        "open s": round(open_ms / 1e3, 2),
        "start s": round(load_ms / 1e3, 2),
        "largest memory MB": round(memory),
        "search ms p50": round(float(np.median(searches)), 2),
        "search ms p95": round(float(np.quantile(searches, 0.95)), 2),
        "search after an enrolment ms p50": round(float(np.median(after)), 2),
        **changes,
    }


def open_temporary(folder: str) -> SqlGallery:
    """Opens a gallery in a folder, with its master key."""
    path = Path(folder)
    return open_sqlite(f"sqlite:///{path}/gallery.db", MasterKeys(None, path / "master.key"))


def measure_changes(
    gallery: Gallery, nets: list[RandomNet], subjects: int, repeats: int
) -> dict[str, float]:
    """Returns how long each kind of change takes, in ms."""
    new = range(subjects + 10, subjects + 10 + repeats)
    every = max(subjects // repeats, 1)
    ids = [f"s{number:07}" for number in range(0, subjects, every)][:repeats]
    templates = [templates_of(nets, number) for number in new]
    times = {
        "enroll": [
            time_ms(lambda n=n, of=of: store(gallery, n, of))
            for n, of in zip(new, templates, strict=True)
        ],
        "PATCH": [time_ms(lambda one=one: gallery.update(one, {"name": one})) for one in ids],
        "DELETE": [time_ms(lambda one=one: gallery.delete(one)) for one in ids],
    }
    return {
        f"{kind} ms p{round(100 * q)}": round(float(np.quantile(of, q)), 1)
        for kind, of in times.items()
        for q in (0.5, 0.99)
    }


def templates_of(nets: list[RandomNet], number: int) -> dict[MapFormat, VeinMaps]:
    return {net.format: random_maps(IMAGES, 3 * number + i) for i, net in enumerate(nets)}


def enroll(gallery: Gallery, nets: list[RandomNet], number: int) -> None:
    store(gallery, number, templates_of(nets, number))


def store(gallery: Gallery, number: int, templates: dict[MapFormat, VeinMaps]) -> None:
    gallery.enroll(f"s{number:07}", None, None, templates, add=False)


def time_ms(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as a table, one row for each size."""
    names = list(next(iter(report["subjects"].values())))
    lines = [
        f"{len(NETS)} nets, {IMAGES} images a subject, probes of one image; "
        f"{report['repeats']} searches, one after another.",
        f"{as_sentence(report['machine'])}.",
        "",
        f"| subjects | {' | '.join(names)} |",
        f"|{'---|' * (len(names) + 1)}",
    ]
    for subjects, row in report["subjects"].items():
        lines.append(f"| {subjects:,} | {' | '.join(str(row[name]) for name in names)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
