"""Kills the service and its database in the middle of changes, and counts what is lost.

Clients enroll and erase drawn palms. Again and again the service, or the database, is killed
without warning. After each kill everything that was acknowledged must hold, and nothing may be half
done.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from http.client import SERVICE_UNAVAILABLE
from threading import Event, Lock
from typing import Any

import httpx
from tqdm import tqdm

from benchmarks.server import start_server
from benchmarks.torture.outcome import Options, Row, counted
from benchmarks.torture.palms import IMAGES, SEED, draw, enroll, identify
from benchmarks.torture.stores import Place, place_of

KILLS = 20
CHANGES = 1000
CLIENTS = 8
NETS = 3
PALMS = 60  # drawn; they are enrolled under many ids, by force=true
PATIENCE_S = 15.0

Page = dict[str, Any]


@dataclass
class Ledger:
    """What clients asked for, and what was acknowledged.

    Attributes:
        enrolled: ids whose enrolment was acknowledged, and whose erasure was not asked for.
        erased: ids whose erasure was acknowledged.
        open: ids whose last request was not answered.
        done: number of acknowledged changes.
        answers: number of answers by status that are no success.
    """

    enrolled: set[str] = field(default_factory=set)
    erased: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)
    done: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    _next: int = 0
    _lock: Lock = field(default_factory=Lock)

    def choose(self, rng: random.Random) -> tuple[str, str]:
        """Returns a change to ask for: "enroll" or "erase", and whom."""
        with self._lock:
            if len(self.enrolled) > 10 and rng.random() < 0.4:
                subject_id = rng.choice(sorted(self.enrolled))
                self.enrolled.remove(subject_id)
                change = "erase"
            else:
                subject_id, change = f"t{self._next:06}", "enroll"
                self._next += 1
            self.open.add(subject_id)
            return change, subject_id

    def acknowledge(self, change: str, subject_id: str) -> None:
        """Records that a change was answered with success."""
        with self._lock:
            self.open.remove(subject_id)
            (self.enrolled if change == "enroll" else self.erased).add(subject_id)
            self.done += 1

    def settle(self, found: set[str]) -> None:
        """Takes what is stored as the outcome of the changes that were not answered."""
        self.enrolled |= self.open & found
        self.erased |= self.open - found
        self.open.clear()


def run(options: Options) -> Iterator[Row]:
    """Kills the service on each store; on PostgreSQL every other time the database."""
    files = [draw(number) for number in range(options.sized(PALMS))]
    for store in options.stores:
        with place_of(store) as place:
            yield torment(place, store, files, options)


def torment(place: Place, store: str, files: list[list[bytes]], options: Options) -> Row:
    """Kills the service, or its database, again and again."""
    kills, changes = options.sized(KILLS), options.sized(CHANGES)
    settings = place.settings | {"PALM_MAX_CONCURRENT": "4", "PALM_QUEUE_LENGTH": str(CLIENTS)}
    ledger, wrong = Ledger(), Counter[str]()
    for kill in tqdm(range(kills), f"kills, {store}"):
        target = changes * (kill + 1) // kills
        with start_server(settings, place.log, until="/health/ready") as server:
            http = server.http
            wrong += judge(http, ledger)
            database = place.database if kill % 2 else None
            stop = partial(database.stop, "immediate") if database else server.process.kill
            ask(str(http.base_url), ledger, files, target, stop)
            if database:
                database.start()
                wait_until_back(http)
                wrong += judge(http, ledger)  # the service catches up by itself
            server.process.kill()
    with start_server(settings, place.log, until="/health/ready") as server:
        wrong += judge(server.http, ledger)
        wrong += recognise(server.http, ledger, files)
    unclean = {status: n for status, n in ledger.answers.items() if status != SERVICE_UNAVAILABLE}
    killed = "SIGKILL, every other time of PostgreSQL" if place.database else "SIGKILL"
    return Row(
        store,
        f"{kills} kills ({killed}) during {ledger.done:,} acknowledged enrolments and erasures by "
        f"{CLIENTS} clients",
        "nothing lost, resurrected or half done; every palm found; no answer but success and 503",
        f"wrong: {counted(wrong)}; other answers: {counted(ledger.answers)}",
        not wrong.total() and not unclean,
    )


def ask(
    url: str,
    ledger: Ledger,
    files: list[list[bytes]],
    target: int,
    kill: Callable[[], None],
) -> None:
    """Lets clients ask for changes until so many are done in all, and kills amidst them."""
    over = Event()

    def client(number: int) -> None:
        rng = random.Random(f"{SEED} {target} {number}")
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as http:
            while not over.is_set():
                change, subject_id = ledger.choose(rng)
                try:
                    answer = send(http, change, subject_id, files)
                except httpx.TransportError:
                    return
                if answer.is_success:
                    ledger.acknowledge(change, subject_id)
                else:
                    ledger.answers[answer.status_code] += 1
                if ledger.done >= target:
                    over.set()

    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(client, number) for number in range(CLIENTS)]
        over.wait(timeout=600)
        kill()
        for one in running:
            one.result()


def send(
    http: httpx.Client, change: str, subject_id: str, files: list[list[bytes]]
) -> httpx.Response:
    """Asks for one change."""
    if change == "erase":
        return http.delete(f"/v1/subjects/{subject_id}")
    return enroll(http, subject_id, files[palm_of(subject_id, files)])


def palm_of(subject_id: str, files: list[list[bytes]]) -> int:
    """Returns which drawn palm is enrolled under an id."""
    return int(subject_id[1:]) % len(files)


def wait_until_back(http: httpx.Client) -> None:
    """Waits until the service has found its database again.

    Raises:
        TimeoutError: if it does not within `PATIENCE_S`.
    """
    end = time.monotonic() + PATIENCE_S
    while not http.get("/v1/subjects", params={"limit": 1}).is_success:
        if time.monotonic() > end:
            raise TimeoutError(f"the service does not find its database within {PATIENCE_S:g} s")
        time.sleep(0.1)


def judge(http: httpx.Client, ledger: Ledger) -> Counter[str]:
    """Compares the gallery with what was acknowledged."""
    found: dict[str, Page] = {}
    after: str | None = ""
    while after is not None:
        page = http.get("/v1/subjects", params={"after": after, "limit": 1000}).raise_for_status()
        found |= {one["subject_id"]: one for one in page.json()["subjects"]}
        after = page.json()["next"]
    whole = [IMAGES] * NETS
    counts = [sorted(one["template_counts"].values()) for one in found.values()]
    wrong = Counter(
        {
            "lost": len(ledger.enrolled - found.keys()),
            "resurrected": len(ledger.erased & found.keys()),
            "half done": sum(one != whole for one in counts),
        }
    )
    ledger.settle(set(found))
    return wrong


def recognise(http: httpx.Client, ledger: Ledger, files: list[list[bytes]]) -> Counter[str]:
    """Counts palms whose best candidate is not a subject under which they are enrolled."""
    palms = {palm_of(one, files) for one in ledger.enrolled}
    wrong = 0
    for palm in palms:
        answer = identify(http, files[palm][0]).raise_for_status().json()
        wrong += palm_of(answer["candidates"][0]["subject_id"], files) != palm
    return Counter({"not found": wrong})
