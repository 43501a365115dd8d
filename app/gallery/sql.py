"""The gallery in any SQL database; what one database needs is in its own module."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    RowMapping,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from app.gallery.gallery import (
    GalleryUnusable,
    Hand,
    Origin,
    Subject,
    SubjectExists,
    SubjectUnknown,
    Templates,
)
from app.matching.templates import NetKey

SCHEMA_VERSION = 1
STORED_DTYPE = np.dtype("<f4")  # fixed, because a database can be moved to another machine

METADATA = MetaData()
GALLERY = Table(  # one row
    "gallery",
    METADATA,
    Column("schema_version", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
)
SUBJECTS = Table(
    "subjects",
    METADATA,
    Column("subject_id", String, primary_key=True),
    Column("name", String),
    Column("hand", String),
    Column("origin", String, nullable=False),
    Column("created_at", String, nullable=False),  # ISO 8601, UTC
)
TEMPLATES = Table(
    "templates",
    METADATA,
    Column("template_id", Integer, primary_key=True),
    Column(
        "subject_id", String, ForeignKey("subjects.subject_id", ondelete="CASCADE"), nullable=False
    ),
    Column("net", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Index("templates_by_subject", "subject_id"),
)
ERASED = Table(  # trained identities whose prototypes must never be used again
    "erased",
    METADATA,
    Column("subject_id", String, primary_key=True),
)


class SqlGallery:
    """A `Gallery` in a database whose tables exist."""

    def __init__(self, engine: Engine, *, purge: Callable[[], None]) -> None:
        """Creates the gallery; `close` disposes of the engine.

        Args:
            engine: a database with `METADATA`'s tables, which enforces foreign keys.
            purge: called after each committed erasure; removes what is left of deleted rows.
        """
        self._engine = engine
        self._purge = purge

    def revision(self) -> int:
        """See `Gallery.revision`."""
        with self._reading() as connection:
            return connection.scalars(select(GALLERY.c.revision)).one()

    def seed_trained(self, subject_ids: Sequence[str]) -> None:
        """See `Gallery.seed_trained`."""
        query = select(SUBJECTS.c.subject_id, SUBJECTS.c.origin)
        with self._writing() as connection:
            erased = set(connection.scalars(select(ERASED.c.subject_id)))
            origins = {row.subject_id: row.origin for row in connection.execute(query)}
            wanted = set(subject_ids) - erased
            missing = wanted - origins.keys()
            taken = {subject_id for subject_id in wanted if origins.get(subject_id) == "enrolled"}
            _insert(connection, SUBJECTS, [_new_subject(i, None, None, "trained") for i in missing])
            _insert(connection, ERASED, [{"subject_id": subject_id} for subject_id in taken])
            if not (missing or taken):  # else every process would load the gallery again
                connection.rollback()

    def trained(self) -> frozenset[str]:
        """See `Gallery.trained`."""
        query = select(SUBJECTS.c.subject_id).where(SUBJECTS.c.origin == "trained")
        with self._reading() as connection:
            return frozenset(connection.scalars(query))

    def enroll(
        self,
        subject_id: str,
        name: str | None,
        hand: Hand | None,
        templates: Mapping[NetKey, NDArray[np.float32]],
        *,
        add: bool,
    ) -> Subject:
        """See `Gallery.enroll`."""
        with self._writing() as connection:
            if not _exists(connection, subject_id):
                new = _new_subject(subject_id, name, hand, "enrolled")
                _insert(connection, SUBJECTS, [new])
            elif add:
                given = {"name": name, "hand": hand}
                _change(connection, subject_id, {k: v for k, v in given.items() if v is not None})
            else:
                raise SubjectExists(subject_id)
            _insert(connection, TEMPLATES, _template_rows(subject_id, templates))
            return _read_subject(connection, subject_id)

    def subject(self, subject_id: str) -> Subject:
        """See `Gallery.subject`."""
        with self._reading() as connection:
            return _read_subject(connection, subject_id)

    def subjects(self, *, after: str | None, limit: int) -> list[Subject]:
        """See `Gallery.subjects`."""
        query = select(SUBJECTS).order_by(SUBJECTS.c.subject_id).limit(limit)
        if after is not None:
            query = query.where(SUBJECTS.c.subject_id > after)
        with self._reading() as connection:
            rows = connection.execute(query).mappings().all()
            counts = _template_counts(connection, [row["subject_id"] for row in rows])
        return [_subject(row, counts[row["subject_id"]]) for row in rows]

    def update(self, subject_id: str, changes: Mapping[str, str | None]) -> Subject:
        """See `Gallery.update`."""
        if unknown := changes.keys() - {"name", "hand"}:
            raise ValueError(f"only name and hand can be changed, not {sorted(unknown)}")
        with self._writing() as connection:
            _change(connection, subject_id, changes)
            return _read_subject(connection, subject_id)

    def delete(self, subject_id: str) -> None:
        """See `Gallery.delete`."""
        with self._writing() as connection:
            subject = _read_subject(connection, subject_id)
            connection.execute(delete(SUBJECTS).where(SUBJECTS.c.subject_id == subject_id))
            if subject.origin == "trained":
                _insert(connection, ERASED, [{"subject_id": subject_id}])
        self._purge()

    def templates(self, key: NetKey) -> Templates:
        """See `Gallery.templates`."""
        query = (
            select(TEMPLATES.c.subject_id, TEMPLATES.c.vector)
            .where(TEMPLATES.c.net == key.net, TEMPLATES.c.version == key.version)
            .order_by(TEMPLATES.c.template_id)
        )
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return Templates(
            tuple(row.subject_id for row in rows), tuple(_read_vector(row.vector) for row in rows)
        )

    def close(self) -> None:
        """See `Gallery.close`."""
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Generator[Connection]:
        """Opens a transaction, in which all reads see one revision."""
        with named_failures(self._engine), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Generator[Connection]:
        """Opens a transaction and increments the revision.

        Writers wait for each other at this first statement. So what a writer reads afterwards
        cannot change before it writes.
        """
        with self._reading() as connection:
            connection.execute(update(GALLERY).values(revision=GALLERY.c.revision + 1))
            yield connection


@contextmanager
def named_failures(engine: Engine) -> Generator[None]:
    """Turns the database driver's errors into a `GalleryUnusable` that names the store."""
    try:
        yield
    except (DBAPIError, engine.dialect.loaded_dbapi.Error) as error:
        # A raw cursor raises the driver's error.
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise GalleryUnusable(
            f"gallery {engine.url} failed: {reason}; check that it can be written, that no other "
            "program locks it and that the disk has room"
        ) from error


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _exists(connection: Connection, subject_id: str) -> bool:
    query = select(SUBJECTS.c.subject_id).where(SUBJECTS.c.subject_id == subject_id)
    return connection.execute(query).first() is not None


def _change(connection: Connection, subject_id: str, changes: Mapping[str, str | None]) -> None:
    if changes:
        row = SUBJECTS.c.subject_id == subject_id
        connection.execute(update(SUBJECTS).where(row).values(dict(changes)))


def _new_subject(
    subject_id: str, name: str | None, hand: Hand | None, origin: Origin
) -> dict[str, str | None]:
    return {
        "subject_id": subject_id,
        "name": name,
        "hand": hand,
        "origin": origin,
        "created_at": datetime.now(UTC).isoformat(),
    }


def _template_rows(
    subject_id: str, templates: Mapping[NetKey, NDArray[np.float32]]
) -> list[dict[str, Any]]:
    return [
        {
            "subject_id": subject_id,
            "net": key.net,
            "version": key.version,
            "vector": vector.astype(STORED_DTYPE).tobytes(),
        }
        for key, vectors in templates.items()
        for vector in vectors
    ]


def _read_subject(connection: Connection, subject_id: str) -> Subject:
    query = select(SUBJECTS).where(SUBJECTS.c.subject_id == subject_id)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise SubjectUnknown(subject_id)
    return _subject(row, _template_counts(connection, [subject_id])[subject_id])


def _read_vector(blob: bytes) -> NDArray[np.float32]:
    whole = len(blob) // STORED_DTYPE.itemsize * STORED_DTYPE.itemsize  # less, if damaged
    return np.frombuffer(blob[:whole], STORED_DTYPE).astype(np.float32)


def _template_counts(
    connection: Connection, subject_ids: Sequence[str]
) -> dict[str, dict[str, int]]:
    columns = (TEMPLATES.c.subject_id, TEMPLATES.c.net, TEMPLATES.c.version)
    query = (
        select(*columns, func.count().label("templates"))
        .where(TEMPLATES.c.subject_id.in_(subject_ids))
        .group_by(*columns)
    )
    counts: dict[str, dict[str, int]] = {subject_id: {} for subject_id in subject_ids}
    for row in connection.execute(query):
        counts[row.subject_id][str(NetKey(row.net, row.version))] = row.templates
    return counts


def _subject(row: RowMapping, template_counts: dict[str, int]) -> Subject:
    return Subject(
        subject_id=row["subject_id"],
        name=row["name"],
        hand=row["hand"],
        origin=row["origin"],
        created_at=datetime.fromisoformat(row["created_at"]),
        template_counts=template_counts,
    )
