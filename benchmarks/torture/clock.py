"""Moves the service's clock by hours and days between requests, forwards and backwards.

No answer may be an internal error, nothing may be lost, and the logs and receipts must stay intact.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import run as execute

import httpx
from tqdm import tqdm

from app.access.keys import SCOPES
from benchmarks.server import environment, start_server
from benchmarks.torture.outcome import Options, Row, counted
from benchmarks.torture.palms import draw, enroll, identify
from benchmarks.torture.stores import Place, place_of

HOUR_S = 3600.0
PLACES_H = (0, 3, -2, 30, 5, -50, 24 * 400, 0.02, 0)
"""Hours by which the clock is ahead, one after the other."""
KEY_H = 24
"""Hours after which the API key expires."""
RATE = 40  # requests a minute, more than are sent at any place of the clock
COMMAND = [sys.executable, "-m", "benchmarks.torture.moved_clock"]


class MovedService:
    """A service whose clock is moved, and what was found wrong with it."""

    def __init__(self, http: httpx.Client, clock: Path, files: list[bytes]) -> None:
        self.http = http
        self.files = files
        self.wrong = Counter[str]()
        self.answers = Counter[int]()
        self._clock = clock

    def move(self, hours: float) -> None:
        """Sets by how much the clock is ahead."""
        self._clock.with_suffix(".new").write_text(str(hours * HOUR_S))
        self._clock.with_suffix(".new").replace(self._clock)

    def ask(self, answer: httpx.Response) -> httpx.Response:
        """Counts an answer."""
        self.answers[answer.status_code] += 1
        self.wrong["5xx"] += answer.is_server_error
        return answer


def run(options: Options) -> Iterator[Row]:
    """Moves the clock above each store."""
    files = draw(0)
    for store in options.stores:
        with place_of(store) as place:
            yield move_clock(place, store, files)


def move_clock(place: Place, store: str, files: list[bytes]) -> Row:
    """Asks for changes at every place of the clock, and checks the logs and receipts at the end."""
    clock = place.folder / "clock"
    clock.write_text("0")
    settings = place.settings | {"MOVED_CLOCK": str(clock), "PALM_RATE_LIMIT": f"{RATE}/minute"}
    with start_server(settings, place.log, until="/health/ready", command=COMMAND) as server:
        service = MovedService(server.http, clock, files)
        headers, endless = make_keys(server.http)
        kept: list[str] = []
        for step, hours in enumerate(tqdm(PLACES_H, f"clock, {store}")):
            service.move(hours)
            check_keys(service, headers, endless, hours)
            server.http.headers = endless
            kept.append(change(service, step))
        check_limit(service)
        service.wrong["lost"] += sum(
            not service.ask(server.http.get(f"/v1/subjects/{one}")).is_success for one in kept
        )
    for command in (["audit", "verify"], ["erasures", "verify"]):
        if command[0] == "erasures" and place.database:
            continue  # needs a superuser's search of the log, which a test makes
        done = execute(
            [sys.executable, "-m", "app", *command],
            cwd=place.folder,
            env=environment(place.settings),
            capture_output=True,
            check=False,
        )
        service.wrong[f"{' '.join(command)} finds something"] += done.returncode != 0
    return Row(
        store,
        f"the clock at {len(PLACES_H)} places, up to 400 days ahead and 50 hours behind; "
        f"{sum(service.answers.values())} requests",
        "no 5xx; nothing lost or done twice; exactly the expired key refused; nobody over a rate "
        "limit once the clock is set back; `audit verify` and `erasures verify` find nothing",
        f"wrong: {counted(service.wrong)}",
        not service.wrong.total(),
    )


def make_keys(http: httpx.Client) -> tuple[httpx.Headers, httpx.Headers]:
    """Makes a key that expires after `KEY_H` and one that does not; returns their headers."""
    expires = datetime.now(UTC) + timedelta(hours=KEY_H)
    endless = {"name": "endless", "scopes": list(SCOPES)}
    ends = {**endless, "name": "ends", "expires_at": expires.isoformat()}
    made = http.post("/v1/keys", json=endless).raise_for_status().json()
    kept = httpx.Headers({"Authorization": f"Bearer {made['api_key']}"})
    made = http.post("/v1/keys", json=ends, headers=kept).raise_for_status().json()
    return httpx.Headers({"Authorization": f"Bearer {made['api_key']}"}), kept


def check_keys(
    service: MovedService, ending: httpx.Headers, endless: httpx.Headers, hours: float
) -> None:
    """Checks that a key is refused exactly while the clock is past its end."""
    answer = service.ask(service.http.get("/v1/models", headers=ending))
    expected = httpx.codes.UNAUTHORIZED if hours > KEY_H else httpx.codes.OK
    service.wrong["expired key"] += answer.status_code != expected
    answer = service.ask(service.http.get("/v1/models", headers=endless))
    service.wrong["valid key"] += not answer.is_success


def change(service: MovedService, step: int) -> str:
    """Makes each kind of change; returns a subject that must stay."""
    http, kept, gone = service.http, f"kept{step}", f"gone{step}"
    for subject_id in (kept, gone):
        twice = [
            service.ask(
                enroll(http, subject_id, service.files, once=f"key-of-subject-{subject_id}")
            )
            for _ in range(2)
        ]
        service.wrong["not repeated"] += not all(one.is_success for one in twice)
        counts = service.ask(http.get(f"/v1/subjects/{subject_id}")).json()["template_counts"]
        service.wrong["done twice"] += set(counts.values()) != {len(service.files)}
    if step:  # the clock has moved since
        answer = enroll(
            http, f"kept{step - 1}", service.files, once=f"key-of-subject-kept{step - 1}"
        )
        service.wrong["5xx"] += answer.is_server_error
    service.ask(identify(http, service.files[0]))
    renamed = service.ask(http.patch(f"/v1/subjects/{kept}", json={"name": kept}))
    service.wrong["refused"] += not renamed.is_success
    receipt = service.ask(http.delete(f"/v1/subjects/{gone}")).raise_for_status().json()
    shown = service.ask(http.get(f"/v1/erasures/{receipt['erasure_id']}")).raise_for_status()
    service.wrong["receipt"] += shown.json()["database"] != "done"
    return kept


def check_limit(service: MovedService) -> None:
    """Checks that a clock that is set back keeps no caller over its limit."""
    service.move(5)
    statuses = {service.http.get("/v1/models").status_code for _ in range(RATE + 1)}
    service.wrong["no limit"] += httpx.codes.TOO_MANY_REQUESTS not in statuses
    service.move(-5)
    service.wrong["still over the limit"] += not service.http.get("/v1/models").is_success
