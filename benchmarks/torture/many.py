"""Writes 100,000 subjects straight into SQLite, 20,000 into PostgreSQL, and measures the service.

Each has one image: random templates of the shipped nets' formats, encrypted as an enrolment's are.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import count, islice
from shutil import disk_usage

import httpx
import numpy as np
from sqlalchemy import Connection, insert, select
from tqdm import tqdm

from app.gallery.encryption.vault import Vault
from app.gallery.index.cameras import UNNAMED
from app.gallery.sql.gallery import SqlGallery
from app.gallery.sql.numbers import take_numbers
from app.gallery.sql.schema import MAPS, SUBJECTS
from app.gallery.sql.seeding import insert_subjects
from app.gallery.sql.sums import Summed, replace_shares
from app.master_key import MasterKeys
from app.matching.maps import VeinMaps
from app.matching.mean_map import MapSum
from app.matching.templates import MapFormat
from app.nets.store import LoadedNet, load_nets
from app.settings import Settings
from app.wiring import GALLERIES
from benchmarks.hostile import peak_mb
from benchmarks.server import start_server
from benchmarks.torture.outcome import Options, Row, skipped
from benchmarks.torture.palms import draw, enroll, identify
from benchmarks.torture.stores import Place, place_of

SIZES = {"sqlite": 100_000, "postgresql": 20_000}
"""Subjects. As many on PostgreSQL, too, would take the torture beyond 30 minutes."""
BATCH = 500  # subjects
CHANGES = 100
FILE_BYTES = 45_000
"""Room that a subject takes, and its log before a checkpoint."""
CHANGE_MS = 100.0
"""Most that 99 of 100 changes may take beyond the nets, among 20,000 subjects."""
START_TIMEOUT_S = 600.0


def run(options: Options) -> Iterator[Row]:
    """Fills each store, and measures the service on it."""
    for store in options.stores:
        subjects = options.sized(SIZES[store])
        with place_of(store) as place:
            room = disk_usage(place.folder).free
            if room < 2 * subjects * FILE_BYTES:
                reason = f"{room / 1e9:.0f} GB are free on the disk of {place.folder.parent}"
                yield skipped(store, f"{subjects:,} subjects", reason)
                continue
            yield from measure(place, store, subjects, options.sized(CHANGES))


def measure(place: Place, store: str, subjects: int, changes: int) -> list[Row]:
    """Returns what writing, starting, identifying and changing take."""
    started = time.perf_counter()
    fill(place, store, subjects)
    written_s = time.perf_counter() - started
    started = time.perf_counter()
    with start_server(
        place.settings, place.log, until="/health/ready", timeout_s=START_TIMEOUT_S
    ) as server:
        start_s = time.perf_counter() - started
        http = server.http
        found = http.get("/health/ready").json()["subjects"]
        files = list(islice(filter(partial(is_accepted, http), map(draw, count())), changes))
        nets = timed([lambda one=one: identify(http, one[0]) for one in files])
        times, right = change_all(http, files)
        memory = peak_mb(server.process.pid)
    beyond = {kind: quantiles(ms) for kind, ms in times.items()}
    told = "; ".join(f"{kind} p50 {a:.0f} ms, p99 {b:.0f} ms" for kind, (a, b) in beyond.items())
    a, b = quantiles(nets)
    done = f"{subjects:,} subjects of one image, written in {written_s:.0f} s"
    return [
        Row(
            store,
            done,
            "the service finds all of them, and palms that are enrolled then",
            f"{found:,} found; {right} of {changes} enrolled palms identified; ready after "
            f"{start_s:.0f} s; {memory:,.0f} MiB at most; identify p50 {a:.0f} ms, p99 {b:.0f} ms",
            found == subjects and right == changes,
        ),
        Row(
            store,
            f"{changes} changes of each kind there, one after another",
            f"p99 of each within {CHANGE_MS:g} ms beyond decoder, finder and nets",
            f"{told} (of an enrolment beyond an identification of as many images)",
            all(b <= CHANGE_MS for _, b in beyond.values()),
        ),
    ]


def fill(place: Place, store: str, subjects: int) -> None:
    """Writes subjects with random templates, in one transaction."""
    masters = MasterKeys(None, place.folder / "data" / "master.key")
    settings = Settings()
    nets = load_nets(settings.models_dir, settings.nets, "openvino")
    gallery = GALLERIES[store](place.url, masters)
    assert isinstance(gallery, SqlGallery)
    with gallery._writing() as (connection, revision):
        for first in tqdm(range(0, subjects, BATCH), f"subjects, {store}"):
            ids = [f"m{n:06}" for n in range(first, min(first + BATCH, subjects))]
            insert_subjects(connection, gallery._vault, revision, ids, "enrolled")
            templates = {net.format: random_maps(net, len(ids), first) for net in nets}
            write_templates(connection, gallery._vault, ids, templates)
    gallery.close()


def random_maps(net: LoadedNet, count: int, seed: int) -> VeinMaps:
    """Returns maps with the scale of the first of them."""
    side, channels = net.format.shape
    rng = np.random.default_rng([seed, net.format.net.encode()[-1]])
    values = rng.integers(-40, 41, (count, side, side, channels), np.int8)
    maps = VeinMaps(values, np.ones((count, side, side), bool))
    scale = net.cohort.scaled(maps[:1]).scales
    return VeinMaps(maps.values, maps.usable, np.repeat(scale, count, axis=0))


def write_templates(
    connection: Connection, vault: Vault, ids: list[str], templates: dict[MapFormat, VeinMaps]
) -> None:
    """Writes one template of each net for each of the subjects, and adds them to the sums."""
    now = datetime.now(UTC).isoformat()
    numbers = dict(
        connection.execute(
            select(SUBJECTS.c.number, SUBJECTS.c.subject_id).where(SUBJECTS.c.subject_id.in_(ids))
        )
        .tuples()
        .all()
    )
    keys = vault.keys_of(connection, numbers)
    image = take_numbers(connection, len(ids))
    stored = {of: maps.to_bytes() for of, maps in templates.items()}
    rows = [
        {
            "subject_id": subject_id,
            "net": of.net,
            "template_id": of.template_id,
            **keys[number].encrypt_map(maps[place], of.net, of.template_id, image + place),
            "capture": "roi",
            "number": image + place,
            "added_at": now,
        }
        for place, (number, subject_id) in enumerate(numbers.items())
        for of, maps in stored.items()
    ]
    connection.execute(insert(MAPS), rows)
    after = {Summed(of, UNNAMED): sum_of(maps) for of, maps in templates.items()}
    replace_shares(connection, vault, {}, after)


def sum_of(maps: VeinMaps) -> MapSum:
    """Returns the sum over subjects of one map each."""
    each = maps.deviations
    squares = np.square(each).mean(axis=(1, 2), dtype=np.float64).sum(axis=0)
    return MapSum(each.sum(axis=0, dtype=np.float64), squares, len(maps))


def change_all(http: httpx.Client, files: list[list[bytes]]) -> tuple[dict[str, list[float]], int]:
    """Enrolls, renames, identifies and erases palms.

    Returns:
        The times of each kind of change in ms, of an enrolment beyond an identification with the
        same images; and how many of the palms were identified.
    """
    images = [[("images", ("palm.png", file, "image/png")) for file in palm] for palm in files]
    alone = timed([lambda i=i: http.post("/v1/identify", files=i) for i in images])
    ids = [f"new-{number}" for number in range(len(files))]
    pairs = list(zip(ids, files, strict=True))
    enrolled = timed([lambda p=p: enroll(http, *p) for p in pairs])
    right = sum(is_identified(http, subject_id, palm[0]) for subject_id, palm in pairs)
    own = [f"/v1/subjects/{subject_id}" for subject_id in ids]
    times = {
        "enroll": [max(a - b, 0.0) for a, b in zip(enrolled, alone, strict=True)],
        "PATCH": timed([lambda path=path: http.patch(path, json={"name": "x"}) for path in own]),
        "DELETE": timed([lambda path=path: http.delete(path) for path in own]),
    }
    return times, right


def is_accepted(http: httpx.Client, palm: list[bytes]) -> bool:
    """Tells whether a palm's images are good enough; some drawn ones are not."""
    if not enroll(http, "tried", palm).is_success:
        return False
    http.delete("/v1/subjects/tried").raise_for_status()
    return True


def is_identified(http: httpx.Client, subject_id: str, file: bytes) -> bool:
    """Tells whether a palm's best candidate is its subject."""
    candidates = identify(http, file).raise_for_status().json()["candidates"]
    return bool(candidates) and candidates[0]["subject_id"] == subject_id


def timed(requests: Sequence[Callable[[], httpx.Response]]) -> list[float]:
    """Sends requests one after another, which must succeed; returns the ms that each took."""
    times: list[float] = []
    for request in requests:
        started = time.perf_counter()
        request().raise_for_status()
        times.append((time.perf_counter() - started) * 1e3)
    return times


def quantiles(times: list[float]) -> tuple[float, float]:
    """Returns p50 and p99."""
    p50, p99 = np.percentile(times, [50, 99]).tolist()
    return p50, p99
