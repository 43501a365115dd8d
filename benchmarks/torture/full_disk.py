"""Fills the disk before each write of each change, and looks for what is lost or half done.

The store, and on SQLite also the audit log and the master key, are on a disk that is filled except
for some pages. Each change is asked for again and again, each time with one page more, so that each
write once is the one that finds no room. Then room is made, and the service must go on by itself.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from tqdm import tqdm

from app.gallery.errors import GalleryUnusable
from app.gallery.sql.sqlite import open_sqlite
from app.master_key import MasterKeys
from benchmarks.postgresql import PostgresqlServer
from benchmarks.server import start_server
from benchmarks.torture.disk_changes import CHANGES, Bench, Change
from benchmarks.torture.former_gallery import write_former
from benchmarks.torture.outcome import Options, Row, counted, skipped
from benchmarks.torture.palms import draw
from benchmarks.torture.small_disk import PAGE, NoDisk, SmallDisk, small_disk
from benchmarks.torture.stores import Place

DISK_MIB = {"sqlite": 64, "postgresql": 400}
STEP = {"sqlite": 1, "postgresql": 2}
"""Pages of 4 KiB by which the room grows; PostgreSQL's own pages have 8 KiB."""
MOST_PAGES = 300
ENOUGH = 3
"""Changes in a row that find room; then more room shows nothing new."""
CLEAN = {httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.INSUFFICIENT_STORAGE}
FORMER_SUBJECTS = 50
PATIENCE_S = 20.0
PROMISE = (
    "success or 503; nothing acknowledged is lost, nothing half done; with room again the service "
    "goes on by itself"
)


def run(options: Options) -> Iterator[Row]:
    """Fills the disk under each store."""
    files = draw(0)
    for store in options.stores:
        try:
            with small_disk(DISK_MIB[store]) as disk, on_disk(store, disk) as place:
                yield start_without_room(place, store, disk, files)
                yield change_without_room(place, store, disk, files)
            if store == "sqlite":
                with small_disk(DISK_MIB[store]) as disk:
                    yield migrate_without_room(store, disk)
        except NoDisk as error:
            yield skipped(store, "full disk at each write", str(error))


@contextmanager
def on_disk(store: str, disk: SmallDisk) -> Iterator[Place]:
    """Puts a store on a disk; the service's log stays beside it."""
    with TemporaryDirectory(prefix="palm-torture-") as name:
        folder = Path(name)
        if store == "sqlite":
            yield Place(folder, f"sqlite:///{disk.folder}/gallery.db", None)
            return
        database = PostgresqlServer(disk.folder)
        try:
            yield Place(folder, database.url, database)
        finally:
            disk.empty()
            database.stop("immediate")


def settings_of(place: Place, disk: SmallDisk) -> dict[str, str]:
    """Returns the service's settings: all that it stores is on the disk."""
    return place.settings | {
        "PALM_AUDIT_FILE": str(disk.folder / "audit.jsonl"),
        "PALM_MASTER_KEY_FILE": str(disk.folder / "master.key"),
    }


def change_without_room(place: Place, store: str, disk: SmallDisk, files: list[bytes]) -> Row:
    """Asks for each change with ever more room."""
    answers, wrong, tries = Counter[int](), Counter[str](), Counter[str]()
    with start_server(settings_of(place, disk), place.log, until="/health/ready") as server:
        bench = Bench(server.http, files)
        for name, change in CHANGES.items():
            enough = 0
            bar = tqdm(range(0, MOST_PAGES, STEP[store]), f"full disk, {store}, {name}")
            for pages in bar:
                refused, found = try_change(bench, change, disk, pages, place.database)
                answers += refused
                wrong += found
                tries[name] += 1
                enough = 0 if refused else enough + 1
                if enough == ENOUGH:
                    break
            bar.close()
    unclean = sum(n for status, n in answers.items() if status not in CLEAN)
    return Row(
        store,
        f"{counted(tries)}, each with {STEP[store] * 4} KiB more room than the one before",
        PROMISE,
        f"wrong: {counted(wrong)}; other answers: {counted(answers)}",
        not wrong.total() and not unclean,
    )


def try_change(
    bench: Bench, change: Change, disk: SmallDisk, pages: int, database: PostgresqlServer | None
) -> tuple[Counter[int], Counter[str]]:
    """Asks for a change while the disk has so many pages; returns refusals, and what is wrong."""
    subject_id = f"p{time.monotonic_ns()}"
    answers, wrong = Counter[int](), Counter[str]()
    if change.before is not None:
        bench.enroll(subject_id).raise_for_status()
    disk.leave(pages)
    try:
        answer = change.ask(bench, subject_id)
    except httpx.HTTPStatusError as error:  # of what it reads first
        answer = error.response
    finally:
        disk.empty()
    if not answer.is_success:
        answers[answer.status_code] += 1
    wrong["not recovered"] += not wait_until_back(bench.http, database)
    found = bench.look(subject_id)
    may_be = {change.after} if answer.is_success else {change.before, change.after}
    wrong["lost or half done"] += found not in may_be
    if found == change.before:
        wrong["refused with room"] += not change.ask(bench, subject_id).is_success
        wrong["lost or half done"] += bench.look(subject_id) != change.after
    # This also empties SQLite's logs, so that the next change extends them again.
    bench.erase(subject_id)
    return answers, wrong


def wait_until_back(http: httpx.Client, database: PostgresqlServer | None) -> bool:
    """Waits until the service finds its store; starts a database that a full disk ended."""
    end = time.monotonic() + PATIENCE_S
    while not http.get("/v1/subjects", params={"limit": 1}).is_success:
        if time.monotonic() > end:
            return False
        if database is not None:
            database.start_again()
        time.sleep(0.1)
    return True


def start_without_room(place: Place, store: str, disk: SmallDisk, files: list[bytes]) -> Row:
    """Starts the service on a full disk, after it was killed.

    PostgreSQL itself may refuse a new connection without room. Then the service is not ready, and
    is started again with room.
    """
    settings, wrong = settings_of(place, disk), Counter[str]()
    with start_server(settings, place.log, until="/health/ready") as server:
        Bench(server.http, files).enroll("kept").raise_for_status()
        server.process.kill()
    disk.leave(0)
    try:
        with start_server(settings, place.log, until="/health/live") as server:
            is_ready = server.http.get("/health/ready").is_success
            status = server.http.get("/v1/subjects/kept").status_code
            wrong["other answers"] += status not in {httpx.codes.OK, *CLEAN}
            disk.empty()
            wrong["not recovered"] += is_ready and not is_whole(server.http, place, files, "new")
    finally:
        disk.empty()
    with start_server(settings, place.log, until="/health/ready") as server:
        wrong["lost"] += not is_whole(server.http, place, files, "newer")
    wrong["not ready"] += not is_ready and store == "sqlite"
    return Row(
        store,
        "kill, and start on a disk without any room",
        "the service starts, on SQLite ready at once; with room it goes on, nothing is lost",
        f"{'ready' if is_ready else 'not ready'} at once; wrong: {counted(wrong)}",
        not wrong.total(),
    )


def is_whole(http: httpx.Client, place: Place, files: list[bytes], subject_id: str) -> bool:
    """Tells whether the first subject is there, and another can be enrolled."""
    bench = Bench(http, files)
    back = wait_until_back(http, place.database)
    return back and bench.look("kept") is not None and bench.enroll(subject_id).is_success


def migrate_without_room(store: str, disk: SmallDisk) -> Row:
    """Opens a former release's gallery with ever more room, and then with all the room."""
    wrong, upgraded = Counter[str](), 0
    gallery, url = disk.folder / "gallery.db", f"sqlite:///{disk.folder}/gallery.db"
    write_former(gallery, FORMER_SUBJECTS)
    former = gallery.read_bytes()
    size = len(former) // PAGE
    # The log takes what changes, and writing the file anew takes two copies.
    rooms = [*range(20), *range(20, 4 * size, max(size // 8, 1))]
    for pages in tqdm(rooms, f"full disk, {store}, upgrade"):
        for file in disk.folder.iterdir():
            file.unlink()
        gallery.write_bytes(former)
        disk.leave(pages)
        masters = MasterKeys("11" * 32, disk.folder / "master.key")
        try:
            open_sqlite(url, masters).close()
            upgraded += 1
        except GalleryUnusable:
            pass  # what a start without room logs
        disk.empty()
        try:
            opened = open_sqlite(url, masters)
            found = opened.subjects(after=None, limit=2 * FORMER_SUBJECTS)
            wrong["lost"] += [one.name for one in found] != [one.subject_id for one in found]
            wrong["lost"] += len(found) != FORMER_SUBJECTS
            opened.close()
        except GalleryUnusable:
            wrong["not opened with room"] += 1
    return Row(
        store,
        f"a former release's gallery of {FORMER_SUBJECTS} subjects is opened {len(rooms)} times, "
        "each time with more room, and then again with all the room",
        "the gallery is upgraded or untouched; with room it opens, nothing is lost",
        f"upgraded at once {upgraded} times; wrong: {counted(wrong)}",
        not wrong.total(),
    )
