"""Kills the service and its database in the middle of changes, and counts what is lost.

    python -m benchmarks.torture [--store sqlite] [--kills 20] [--changes 1000] [--clients 8]

Clients enroll and erase drawn palms. Again and again the service, or the database, is killed
without warning. After each kill everything that was acknowledged must hold, and nothing may be half
done.
"""

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Lock
from typing import Any

import cv2
import httpx
from tqdm import tqdm

from benchmarks.machine import as_sentence, describe_machine
from benchmarks.postgresql import PostgresqlServer, run_postgresql
from benchmarks.server import start_server
from training.report.files import write_text
from training.synthetic.palms import photograph
from training.synthetic.styles import TRAINING

IMAGES = 2  # of each subject
NETS = 3
PALMS = 60  # drawn; they are enrolled under many ids, by force=true
SEED = 3_000_017
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


def main() -> None:
    parser = argparse.ArgumentParser(description="Kills the service, and counts what is lost.")
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--kills", type=int, default=20, help="times that the service is killed")
    parser.add_argument("--changes", type=int, default=1000, help="acknowledged changes in all")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    machine = describe_machine()
    files = [draw(number) for number in range(PALMS)]
    with TemporaryDirectory(prefix="palm-torture-") as folder, store_of(options.store) as store:
        url = store.url if store else f"sqlite:///{folder}/gallery.db"
        settings = {"PALM_GALLERY_URL": url, "PALM_TRAINED": "false", "PALM_MAX_CONCURRENT": "4"}
        report = torment(Path(folder), settings, files, options, store)
    report |= {"machine": machine, "store": options.store, "clients": options.clients}
    print(as_markdown(report))
    if options.json:
        write_text(options.json, json.dumps(report, indent=1) + "\n")


@contextmanager
def store_of(name: str) -> Iterator[PostgresqlServer | None]:
    """Starts the database; None for a SQLite file."""
    if name == "sqlite":
        yield None
        return
    with run_postgresql() as server:
        yield server


def draw(number: int) -> list[bytes]:
    """Returns the files of one drawn palm."""
    shots = photograph(number, seed=SEED, style=TRAINING, sessions=1, shots=IMAGES)[0]
    return [cv2.imencode(".png", shot)[1].tobytes() for shot in shots]


def torment(
    folder: Path,
    settings: dict[str, str],
    files: list[list[bytes]],
    options: argparse.Namespace,
    store: PostgresqlServer | None,
) -> dict[str, Any]:
    """Kills the service again and again; on PostgreSQL every other time the database."""
    ledger, wrong, starts = Ledger(), Counter[str](), list[float]()
    for kill in tqdm(range(options.kills), "kills"):
        target = options.changes * (kill + 1) // options.kills
        started = time.perf_counter()
        with start_server(settings, folder / "log", until="/health/ready") as server:
            http = server.http
            starts.append(time.perf_counter() - started)
            wrong += judge(http, ledger)
            database = store if kill % 2 else None
            stop = partial(database.stop, "immediate") if database else server.process.kill
            ask(str(http.base_url), ledger, files, target, options.clients, stop)
            if database:
                database.start()
                wait_until_back(http)
                wrong += judge(http, ledger)  # the service catches up by itself
            server.process.kill()
    with start_server(settings, folder / "log", until="/health/ready") as server:
        wrong += judge(server.http, ledger)
        wrong += recognise(server.http, ledger, files)
    return {
        "changes": ledger.done,
        "kills": options.kills,
        "wrong": {name: wrong[name] for name in ("lost", "resurrected", "half done", "unknown")},
        "other answers": {str(status): count for status, count in sorted(ledger.answers.items())},
        "start_s": max(starts),
    }


def ask(
    url: str,
    ledger: Ledger,
    files: list[list[bytes]],
    target: int,
    clients: int,
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

    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(client, number) for number in range(clients)]
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
    own = files[palm_of(subject_id)]
    return http.post(
        "/v1/enroll",
        data={"subject_id": subject_id, "force": "true"},
        files=[("images", ("palm.png", file, "image/png")) for file in own],
    )


def palm_of(subject_id: str) -> int:
    """Returns which drawn palm is enrolled under an id."""
    return int(subject_id[1:]) % PALMS


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
    palms = {palm_of(one) for one in ledger.enrolled}
    wrong = 0
    for palm in palms:
        images = [("images", ("palm.png", files[palm][0], "image/png"))]
        answer = http.post("/v1/identify", files=images).raise_for_status().json()
        wrong += palm_of(answer["candidates"][0]["subject_id"]) != palm
    return Counter({"unknown": wrong})


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the figures as a table."""
    wrong = report["wrong"]
    others = ", ".join(f"{n} x {status}" for status, n in report["other answers"].items())
    return "\n".join(
        [
            f"{as_sentence(report['machine'])}; {report['clients']} clients.",
            "",
            "| store | kills | acknowledged changes | lost | resurrected | half done "
            "| palms not found | other answers | longest start |",
            "|---|---|---|---|---|---|---|---|---|",
            f"| {report['store']} | {report['kills']} | {report['changes']:,} | {wrong['lost']} "
            f"| {wrong['resurrected']} | {wrong['half done']} | {wrong['unknown']} "
            f"| {others or 'none'} | {report['start_s']:.1f} s |",
        ]
    )


if __name__ == "__main__":
    main()
