"""Measures the search for candidates in the database (PALM_SEARCH=pgvector) and in memory.

    python -m benchmarks.pgvector [--maps 100000 1000000] [--subjects 2000] [--json PATH]

First, for each number of maps, fills a table of coarse maps with random bits of the shipped nets'
size, three for each subject, on a PostgreSQL server of its own, and searches with one image: as the
service does, by pgvector's operator; with PostgreSQL's own functions instead; and in memory. A
million maps take about a minute and 0.5 GB of the disk. Then enrolls random subjects, as
`benchmarks.gallery` does, and times whole searches and changes by either index.
"""

import argparse
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sqlalchemy import Connection, create_engine, event, make_url, text
from tqdm import tqdm

from app.gallery.collection import Within
from app.gallery.following import START
from app.gallery.index.comparison import coarse_similarity, count_candidates
from app.gallery.index.memory import GalleryIndex
from app.gallery.index.rows import Rows
from app.gallery.pgvector.coarse import Version, bits_of, transform_of, windows_of
from app.gallery.pgvector.index import DatabaseIndex
from app.gallery.pgvector.schema import (
    VERSIONS,
    analyze,
    create_version,
    partitions_of,
    prepare_schema,
    table_of,
)
from app.gallery.pgvector.search import asking, candidates_of
from app.gallery.pgvector.tables import CoarseGallery
from app.gallery.retention import utc_now
from app.gallery.sight import Sight
from app.gallery.sql.postgresql import open_postgresql
from app.master_key import MasterKeys
from app.matching.calibration import Calibration, Case, Threshold
from app.matching.templates import NetKey
from benchmarks.gallery import IMAGES, NETS, SHAPE, RandomNet, enroll, random_maps, time_ms
from benchmarks.machine import as_sentence, describe_machine
from benchmarks.postgresql import run_postgresql
from training.report.files import write_text

BITS = bits_of(SHAPE)
FILL = 20_000  # maps that are inserted at once


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the candidates in the database.")
    parser.add_argument("--maps", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--subjects", type=int, default=2000, help="enrolled by either index")
    parser.add_argument("--repeats", type=int, default=20, help="timed searches")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    report: dict[str, Any] = {"machine": describe_machine(), "maps": {}}
    for maps in sorted(arguments.maps):
        report["maps"][maps] = {
            **measure_tables(maps, arguments.repeats),
            "memory ms": measure_memory(maps, arguments.repeats),
        }
    if arguments.subjects:
        report["subjects"] = arguments.subjects
        report["whole"] = measure_whole(arguments.subjects, arguments.repeats)
    print(as_markdown(report))
    if arguments.json:
        write_text(arguments.json, json.dumps(report, indent=1) + "\n")


def measure_tables(maps: int, repeats: int) -> dict[str, float]:
    """Returns the figures of one table of random coarse maps."""
    version = Version(1, bytes(32), BITS, START, {}, 0)
    windows = windows_of(random_maps(1, seed=1), None, transform_of(version))
    with run_postgresql() as server, TemporaryDirectory() as folder:
        masters = MasterKeys(None, Path(folder) / "master.key")
        open_postgresql(server.url, masters).close()  # the gallery's tables
        engine = create_engine(make_url(server.url).set(drivername="postgresql+psycopg"))
        alone = engine.execution_options(isolation_level="AUTOCOMMIT")
        with alone.connect() as connection:
            prepare_schema(connection)
            count = create_version(connection, 1, BITS, maps // IMAGES)
            row = {"version": 1, "signature": "", "bits": BITS, "partitions": count, "means": b""}
            connection.execute(VERSIONS.insert(), {**row, **START._asdict()})
            fill_ms = time_ms(lambda: fill(connection, maps))
            subjects = "INSERT INTO subjects (subject_id, origin, created_at, number, changed, "
            subjects += "collection) SELECT i, 'enrolled', '', i, 1, i % 2 FROM "
            connection.execute(text(f"{subjects} generate_series(0, {maps // IMAGES}) i"))
            connection.execute(text("ANALYZE subjects"))
            analyze(connection, 1)
            connection.execute(text("CHECKPOINT"))
            size = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND "
            size += "relname LIKE 'coarse_1_%'"
            found: dict[str, float] = {
                "partitions": count,
                "bytes a map": round(float(connection.scalars(text(size)).one()) / maps),
                "insert ms a map": round(fill_ms / maps, 4),
            }
            connection.execute(text("SET enable_partitionwise_aggregate = on"))
            connection.execute(text("SET plan_cache_mode = force_custom_plan"))
            for workers in (0, 2):
                connection.execute(text(f"SET max_parallel_workers_per_gather = {workers}"))
                found[f"pgvector ms, {1 + workers} processes"] = median(
                    searching(connection, version, windows, maps), repeats
                )
            found["in a half of them ms, 3 processes"] = median(
                searching(connection, version, windows, maps, frozenset({"0"})), repeats
            )
            event.listen(connection, "before_cursor_execute", by_own_functions, retval=True)
            found["PostgreSQL's own ms, 3 processes"] = median(
                searching(connection, version, windows, maps), 3
            )
            event.remove(connection, "before_cursor_execute", by_own_functions)
            partition = partitions_of(connection, [7])[0]
            connection.execute(text(f"DELETE FROM {table_of(1)} WHERE number = 7"))
            found["erase: vacuum a partition ms"] = round(
                time_ms(lambda: connection.execute(text(f"VACUUM (FULL) {partition}"))), 1
            )
            keys = f"SELECT i, decode(repeat('ab', 60), 'hex') FROM generate_series(1, {maps}) i"
            connection.execute(text(f"INSERT INTO subject_keys {keys}"))
            found["erase: vacuum as many keys ms"] = round(
                time_ms(lambda: connection.execute(text("VACUUM (FULL) subject_keys"))), 1
            )
        engine.dispose()
    return found


def searching(
    connection: Connection,
    version: Version,
    windows: Sequence[Sequence[str]],
    maps: int,
    within: Within = None,
) -> Callable[[], object]:
    """Returns a search for the candidates among so many maps, or those in some collections."""
    with asking(version) as coarse:
        sight = Sight(within, utc_now)
        most = count_candidates(maps // IMAGES)
        query, values = candidates_of(coarse, BITS, windows, most, sight)
    return lambda: connection.execute(query, values).all()


def by_own_functions(
    _connection: object, _cursor: object, statement: str, values: object, *_: object
) -> tuple[str, object]:
    """Replaces pgvector's operator in a statement by PostgreSQL's own functions."""
    operator = r"bits <~> (CAST\(\S+ AS bit\(\d+\)\))"
    return re.sub(operator, r"bit_count(bits # \1)", statement), values


def fill(connection: Connection, maps: int) -> None:
    """Inserts random coarse maps; so many subjects need not be enrolled for that."""
    rng = np.random.default_rng(0)
    digits = rng.integers(0, 2, (FILL, BITS), np.uint8) + np.uint8(ord("0"))
    given = {"bits": [row.tobytes().decode() for row in digits], "images": IMAGES}
    connection.execute(
        text(
            "CREATE TEMPORARY TABLE drawn AS SELECT at, CAST(one AS bit(3136)) AS one "
            "FROM unnest(CAST(:bits AS text[])) WITH ORDINALITY AS new (one, at)"
        ),
        given,
    )
    query = text(  # the same bits with others of them inverted are as random
        f"INSERT INTO {table_of(1)} (number, place, share, mark, bits) SELECT i / :images, "
        "i % :images, 1, CAST('12345678' AS bytea), one # CAST(:inverted AS bit(3136)) "
        "FROM drawn, LATERAL (SELECT CAST(:first + at - 1 AS integer) AS i) AS numbered "
        "WHERE i < :maps"
    )
    for first in tqdm(range(0, maps, FILL), "maps"):
        inverted = (rng.integers(0, 2, BITS, np.uint8) + np.uint8(ord("0"))).tobytes().decode()
        connection.execute(
            query, {"inverted": inverted, "first": first, "maps": maps, "images": IMAGES}
        )


def measure_memory(maps: int, repeats: int) -> float:
    """Returns what the same search takes in memory, in one thread, in ms."""
    rng = np.random.default_rng(0)
    rows = Rows(SHAPE, coarse=True)
    rows.append(random_maps(1, seed=0), None, np.zeros(1, np.int32))
    one = rows.view()
    owners = (np.arange(maps) // IMAGES).astype(np.int32)
    many = type(one)(
        one.codes,
        one.scales,
        rng.integers(0, 256, (maps, one.coarse.shape[1]), np.uint8),
        np.ones(maps, np.float32),
        owners,
        np.zeros(maps, np.int16),
    )
    probe = random_maps(1, seed=1)
    return median(lambda: coarse_similarity(many, int(owners[-1]) + 1, probe, None), repeats)


def measure_whole(subjects: int, repeats: int) -> dict[str, dict[str, float]]:
    """Returns what whole searches and changes take by either index, in ms, for random subjects."""
    case = Case(False, 1, 1, 0.05, (Threshold(0.3, 1e-5),))
    nets = [RandomNet(NetKey(name, 1), Calibration((case,))) for name in NETS]
    probes = [random_maps(1, seed=i) for i in range(len(nets))]
    found: dict[str, dict[str, float]] = {}
    with run_postgresql() as server, TemporaryDirectory() as folder:
        gallery = open_postgresql(server.url, MasterKeys(None, Path(folder) / "master.key"))
        for number in tqdm(range(subjects), "subjects"):
            enroll(gallery, nets, number)
        for name, index in (
            ("memory", GalleryIndex(gallery, nets)),
            ("pgvector", database_index(gallery, nets)),
        ):
            start = time_ms(index.refresh)
            index.settle()
            found[name] = {
                "start s": round(start / 1e3, 1),
                "search": median(lambda index=index: index.search(probes), repeats),
                **measure_changes(gallery, nets, index, subjects + len(found) * 100, probes),
            }
            index.close()
        gallery.close()
    return found


def database_index(gallery: CoarseGallery, nets: list[RandomNet]) -> DatabaseIndex:
    return DatabaseIndex(gallery, gallery.coarse_store(), nets)


def measure_changes(
    gallery: CoarseGallery,
    nets: list[RandomNet],
    index: GalleryIndex | DatabaseIndex,
    first: int,
    probes: list[Any],
) -> dict[str, float]:
    """Returns what a search takes after an enrolment, and an erasure, in ms."""
    after: list[float] = []
    erase: list[float] = []
    for number in range(first, first + 10):
        enroll(gallery, nets, number)
        after.append(time_ms(lambda: index.search(probes)))
    for subject in gallery.subjects(after=None, limit=10):
        erase.append(time_ms(lambda subject=subject: gallery.delete(subject.subject_id)))
    return {
        "search after an enrolment": round(float(np.median(after)), 1),
        "erasure": round(float(np.median(erase)), 1),
    }


def median(act: Callable[[], object], repeats: int) -> float:
    """Returns the median of the times, in ms; the first is not counted."""
    act()
    return round(float(np.median([time_ms(act) for _ in range(repeats)])), 1)


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as tables."""
    lines = [f"{as_sentence(report['machine'])}.", ""]
    by_size = report["maps"]
    if by_size:
        names = list(next(iter(by_size.values())))
        lines += [f"| maps | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        for maps, figures in by_size.items():
            lines.append(f"| {maps:,} | {' | '.join(str(figures[name]) for name in names)} |")
    if "whole" in report:
        names = list(report["whole"]["memory"])
        lines += ["", f"{report['subjects']:,} subjects, ms but for the start:", ""]
        lines += [f"| index | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        for index, figures in report["whole"].items():
            lines.append(f"| {index} | {' | '.join(str(figures[name]) for name in names)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
