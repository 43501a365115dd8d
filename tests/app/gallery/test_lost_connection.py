"""PostgreSQL: at whatever step a connection is lost, the caller learns just that."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from app.gallery.errors import GalleryUnreachable, SubjectExists, SubjectUnknown
from app.gallery.gallery import Gallery
from tests.app.gallery.conftest import VGG16, Open, enroll, vein_maps
from tests.app.gallery.test_mean_map import assert_equal, sum_over


@pytest.fixture
def store() -> str:
    return "postgresql"


class LostAt:
    """Loses the connection at one of the steps that a database takes: statements and ends.

    Attributes:
        steps: the steps so far.
    """

    def __init__(self, number: int) -> None:
        self.steps: list[str] = []
        self._number = number

    @property
    def happened(self) -> bool:
        return len(self.steps) > self._number

    def take(self, step: str, connection: Connection) -> None:
        self.steps.append(step)
        if len(self.steps) - 1 == self._number:
            raw: Any = connection.connection.driver_connection
            # As a killed server does it, and unlike pg_terminate_backend: without a last word, so
            # that the driver knows at once that the connection is lost.
            with socket.socket(fileno=os.dup(raw.fileno())) as wire:
                wire.shutdown(socket.SHUT_RDWR)


@contextmanager
def losing(lost: LostAt) -> Iterator[None]:
    def statement(connection: Connection, _: object, text: str, *__: object) -> None:
        lost.take(text, connection)

    def commit(connection: Connection) -> None:
        lost.take("commit", connection)

    def rollback(connection: Connection) -> None:
        lost.take("rollback", connection)

    listeners = {"before_cursor_execute": statement, "commit": commit, "rollback": rollback}
    for name, listener in listeners.items():
        event.listen(Engine, name, listener)
    yield
    for name, listener in listeners.items():
        event.remove(Engine, name, listener)


def prepare_erasure(gallery: Gallery) -> None:
    with suppress(SubjectExists):
        enroll(gallery, "ada", seed=1)


def prepare_enrolment(gallery: Gallery) -> None:
    with suppress(SubjectUnknown):
        gallery.delete("ada")


ACTS: dict[str, tuple[Callable[[Gallery], None], Callable[[Gallery], object]]] = {
    "erasure": (prepare_erasure, lambda gallery: gallery.delete("ada")),
    "enrolment": (prepare_enrolment, lambda gallery: enroll(gallery, "ada", seed=1)),
}


@pytest.mark.parametrize(("prepare", "act"), ACTS.values(), ids=ACTS)
def test_a_connection_may_be_lost_at_any_step(
    open_gallery: Open,
    prepare: Callable[[Gallery], None],
    act: Callable[[Gallery], object],
) -> None:
    gallery = open_gallery()
    enroll(gallery, "bob", seed=2)
    lost = LostAt(0)
    for number in count():
        prepare(gallery)
        lost = LostAt(number)
        with losing(lost):
            try:
                act(gallery)
            except GalleryUnreachable:
                pass
            except Exception as error:
                raise AssertionError(f"lost at {lost.steps[number]!r}: {error!r}") from error
        if not lost.happened:
            break
    assert len(lost.steps) > 20
    known = {"ada": 1, "bob": 2}
    left = {one.subject_id for one in gallery.subjects(after=None, limit=9)}
    expected = sum_over(VGG16, {one: vein_maps(2, known[one]) for one in left})
    assert_equal(gallery.sums_by_camera([VGG16])[""][0], expected)
