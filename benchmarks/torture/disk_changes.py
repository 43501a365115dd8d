"""The changes that are tried without room, and what may stand in the store afterwards."""

from collections.abc import Callable
from typing import NamedTuple

import httpx

from benchmarks.torture.palms import IMAGES, enroll

NAME = "a name that is as long as names of people are"


class Bench(NamedTuple):
    """A service, and images of one palm."""

    http: httpx.Client
    files: list[bytes]

    def enroll(self, subject_id: str) -> httpx.Response:
        """Enrolls the palm; done once, however often it is asked for."""
        return enroll(self.http, subject_id, self.files, once=f"key-of-subject-{subject_id}")

    def rename(self, subject_id: str) -> httpx.Response:
        """Sets a name."""
        return self.http.patch(f"/v1/subjects/{subject_id}", json={"name": NAME})

    def erase(self, subject_id: str) -> httpx.Response:
        """Erases the subject."""
        return self.http.delete(f"/v1/subjects/{subject_id}")

    def erase_template(self, subject_id: str) -> httpx.Response:
        """Erases the first template of the subject."""
        listed = self.http.get(f"/v1/subjects/{subject_id}/templates").raise_for_status()
        number = listed.json()["templates"][0]["number"]
        return self.http.delete(f"/v1/subjects/{subject_id}/templates/{number}")

    def look(self, subject_id: str) -> tuple[int, str | None] | None:
        """Returns the subject's number of images and its name; None if it is not stored.

        Raises:
            ValueError: if the nets have different numbers of its images.
        """
        answer = self.http.get(f"/v1/subjects/{subject_id}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        found = answer.raise_for_status().json()
        if len(counts := set(found["template_counts"].values())) != 1:
            raise ValueError(f"half done: {found['template_counts']}")
        return counts.pop(), found["name"]


class Change(NamedTuple):
    """A change.

    Attributes:
        ask: asks for it, on a bench and for a subject.
        before: what `Bench.look` returns before it.
        after: what it returns once the change is done.
    """

    ask: Callable[[Bench, str], httpx.Response]
    before: tuple[int, str | None] | None
    after: tuple[int, str | None] | None


CHANGES = {
    "enrolment": Change(Bench.enroll, None, (IMAGES, None)),
    "PATCH": Change(Bench.rename, (IMAGES, None), (IMAGES, NAME)),
    "DELETE": Change(Bench.erase, (IMAGES, None), None),
    "DELETE of a template": Change(Bench.erase_template, (IMAGES, None), (IMAGES - 1, None)),
}
