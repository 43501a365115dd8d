"""The coarse maps in PostgreSQL, which pgvector compares; see `app.gallery.pgvector.coarse`.

Each version has a table of its own, which is removed as a whole. Its rows are spread over
partitions, so that few bytes must be written anew to remove those of an erased subject. A trigger
removes the rows together with the subject's own, whichever process erases it. The table of
versions is no part of the gallery's schema: it is created when `PALM_SEARCH=pgvector` first asks.
"""

import json
import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    ScalarSelect,
    Select,
    func,
    insert,
    select,
    text,
    update,
)

from app.audit.pseudonyms import Pseudonyms
from app.gallery.collection import Within
from app.gallery.encryption.cipher import Cipher, derive_key
from app.gallery.encryption.reencryption import add_secret, read_secret
from app.gallery.encryption.vault import Vault
from app.gallery.errors import GalleryUnusable, SubjectUnknown
from app.gallery.following import START, Changes, Position
from app.gallery.pgvector.coarse import CoarseRows, Replaced, Version
from app.gallery.pgvector.schema import (
    SECRET,
    VERSIONS,
    analyze,
    coarse_mark,
    create_version,
    drop_version,
    insert_rows,
    prepare_schema,
)
from app.gallery.pgvector.search import asking, candidates_of, count_others, count_seen
from app.gallery.sight import Sight
from app.gallery.sql.changes import read_some
from app.gallery.sql.failures import named_failures
from app.gallery.sql.gallery import SqlGallery
from app.gallery.sql.numbers import take_numbers
from app.gallery.sql.schema import GALLERY
from app.master_key import MasterKeyUnusable
from app.matching.templates import MapFormat

logger = logging.getLogger(__name__)

BUILDING = 0x70616C6E  # of an advisory lock
DROP_TIMEOUT_S = 1  # how long the removal of a version waits for searches, and all others for it


class CoarseTables:
    """A `CoarseStore` in a gallery's database."""

    def __init__(
        self,
        engine: Engine,
        reading: Callable[[], AbstractContextManager[Connection]],
        vault: Vault,
        pseudonyms: Pseudonyms,
        sight: Sight,
    ) -> None:
        """Creates the access; `prepare` must be called before anything else.

        Args:
            engine: the gallery's database.
            reading: opens a transaction that only reads, and in which all reads see one revision.
            vault: the gallery's vault.
            pseudonyms: of the gallery; they mark the rows.
            sight: which subjects are seen.
        """
        self._engine = engine
        self._reading = reading
        self._vault = vault
        self._pseudonyms = pseudonyms
        self._sight = sight

    def prepare(self) -> None:
        """Creates the extension, the table of versions and the trigger, unless they exist.

        Raises:
            GalleryUnusable: if the database has no pgvector that can be used.
        """
        with named_failures(self._engine), self._engine.begin() as connection:
            self._lock(connection)
            prepare_schema(connection)

    def current(self, signature: str) -> Version | None:
        """See `CoarseStore.current`. A gallery that was restored since has no version."""
        own = (VERSIONS.c.signature == signature, VERSIONS.c.complete)
        query = _select().where(*own, VERSIONS.c.revision <= GALLERY.c.revision)
        newest = query.order_by(VERSIONS.c.version.desc()).limit(1)
        with self._reading() as connection:
            row = connection.execute(newest).mappings().first()
            return None if row is None else self._version(connection, row)

    def means(self, version: Version) -> bytes:
        """See `CoarseStore.means`."""
        query = select(VERSIONS.c.means).where(VERSIONS.c.version == version.number)
        with self._reading() as connection:
            stored = connection.scalars(query).one_or_none()
        if stored is None:
            raise Replaced
        return _cipher(version.key).decrypt(stored, version.number)

    @contextmanager
    def building(self) -> Generator[bool]:
        """See `CoarseStore.building`. The lock ends with the connection if this process does."""
        lock = {"key": BUILDING}
        alone = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        with named_failures(self._engine), alone.connect() as connection:
            got = connection.scalars(text("SELECT pg_try_advisory_lock(:key)"), lock).one()
            try:
                yield got
            finally:
                if got and not connection.invalidated:
                    connection.execute(text("SELECT pg_advisory_unlock(:key)"), lock)

    def begin(self, signature: str, bits: int, means: bytes, subjects: int) -> Version:
        """See `CoarseStore.begin`."""
        with named_failures(self._engine), self._engine.begin() as connection:
            self._lock(connection)
            _drop(connection, VERSIONS.c.version != _newest())
            number = take_numbers(connection, 1)  # no version has it again
            key = add_secret(connection, self._vault, f"{SECRET}{number}")
            row = {
                "version": number,
                "signature": signature,
                "bits": bits,
                "partitions": create_version(connection, number, bits, subjects),
                "means": _cipher(key).encrypt(means, number),
                **START._asdict(),
            }
            connection.execute(insert(VERSIONS), row)
            return Version(number, key, bits, START, {}, 0)

    def append(self, version: Version, changes: Changes, rows: CoarseRows) -> Version:
        """See `CoarseStore.append`."""
        with named_failures(self._engine), self._engine.begin() as connection:
            self._lock(connection)  # no subject is erased meanwhile
            now = self._read(connection, version.number)
            if now.position != version.position:
                return now
            added = insert_rows(connection, version, rows, self._marks(rows)) if rows.numbers else 0
            own = VERSIONS.c.version == version.number
            values = {
                "subjects": VERSIONS.c.subjects + added,
                "summed": json.dumps(changes.summed),
                **changes.position._asdict(),
            }
            connection.execute(update(VERSIONS).where(own).values(values))
            return self._read(connection, version.number)

    def renew(self, version: Version, means: bytes) -> None:
        """See `CoarseStore.renew`."""
        own = VERSIONS.c.version == version.number
        stored = _cipher(version.key).encrypt(means, version.number)
        values = {"means": stored, "renewed": VERSIONS.c.renewed + 1}
        with named_failures(self._engine), self._engine.begin() as connection:
            connection.execute(update(VERSIONS).where(own).values(values))

    def complete(self, version: Version) -> None:
        """See `CoarseStore.complete`."""
        own = VERSIONS.c.version == version.number
        with named_failures(self._engine), self._engine.begin() as connection:
            analyze(connection, version.number)
            connection.execute(update(VERSIONS).where(own).values(complete=True))
        try:
            with named_failures(self._engine), self._engine.begin() as connection:
                self._lock(connection)
                _drop(connection, ~own)
        except GalleryUnusable as error:  # the next version tries again
            logger.warning("former coarse maps could not be removed: %s", error)

    def propose(
        self, version: Version, windows: Sequence[Sequence[str]], most: int, within: Within
    ) -> tuple[int, ...]:
        """See `CoarseStore.propose`."""
        sight = self._sight.narrowed(within)
        with self._reading() as connection, asking(version) as coarse:
            query, values = candidates_of(coarse, version.bits, windows, most, sight)
            # Each partition is then scanned and grouped by one process, and only the best of each
            # process are sorted. A generic plan would convert the bits anew for every row.
            connection.execute(text("SET LOCAL enable_partitionwise_aggregate = on"))
            connection.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))
            return tuple(row.number for row in connection.execute(query, values))

    def count(self, version: Version, within: Within) -> int:
        """See `CoarseStore.count`."""
        with self._reading() as connection, asking(version) as coarse:
            return count_seen(connection, coarse, version.number, self._sight.narrowed(within))

    def count_others(self, version: Version) -> int:
        """See `CoarseStore.count_others`."""
        with self._reading() as connection, asking(version) as coarse:
            return count_others(connection, coarse, version.number, self._sight)

    def read(self, numbers: Sequence[int], formats: Sequence[MapFormat]) -> Changes:
        """See `CoarseStore.read`."""
        with self._reading() as connection:
            return read_some(connection, self._vault, numbers, formats, self._sight.now())

    def number_of(self, subject_id: str, within: Within) -> int | None:
        """See `CoarseStore.number_of`."""
        with self._reading() as connection, suppress(SubjectUnknown):
            return self._sight.narrowed(within).read_row(connection, subject_id)["number"]
        return None

    def _lock(self, connection: Connection) -> None:
        """Waits for the gallery's writers, keeps others out and finds the master key in use."""
        fingerprint = connection.scalars(select(GALLERY.c.master).with_for_update()).one()
        try:
            self._vault.use(fingerprint)
        except MasterKeyUnusable as error:
            raise GalleryUnusable(str(error)) from error

    def _read(self, connection: Connection, number: int) -> Version:
        query = _select().where(VERSIONS.c.version == number)
        row = connection.execute(query).mappings().first()
        if row is None:
            raise Replaced
        return self._version(connection, row)

    def _version(self, connection: Connection, row: RowMapping) -> Version:
        key = read_secret(connection, self._vault, f"{SECRET}{row['version']}")
        position = Position(row["revision"], row["number"])
        summed = json.loads(row["summed"])
        return Version(row["version"], key, row["bits"], position, summed, row["renewed"])

    def _marks(self, rows: CoarseRows) -> list[bytes]:
        marks = {number: coarse_mark(self._pseudonyms, number) for number in set(rows.numbers)}
        return [bytes.fromhex(marks[number]) for number in rows.numbers]


def _select() -> Select[Any]:
    """Returns the query for versions without their means, which are large."""
    return select(*(column for column in VERSIONS.c if column is not VERSIONS.c.means))


def _newest() -> ScalarSelect[int]:
    """Returns the query for the newest complete version; 0 if there is none."""
    newest = func.coalesce(func.max(VERSIONS.c.version), 0)
    return select(newest).where(VERSIONS.c.complete).scalar_subquery()


def _drop(connection: Connection, which: ColumnElement[bool]) -> None:
    """Removes some versions; searches that use them keep it waiting for a moment only."""
    connection.execute(text(f"SET LOCAL lock_timeout = {int(DROP_TIMEOUT_S * 1000)}"))
    for number in connection.scalars(select(VERSIONS.c.version).where(which)).all():
        drop_version(connection, number)


def _cipher(key: bytes) -> Cipher:
    """Returns the cipher of a version's means."""
    return Cipher(derive_key(key, "means"))


class CoarseGallery(SqlGallery):
    """A gallery in PostgreSQL, which can also be searched there."""

    def coarse_store(self) -> CoarseTables:
        """Returns the gallery's coarse maps, ready to be used.

        Raises:
            GalleryUnusable: if the database has no pgvector that can be used.
        """
        pseudonyms = Pseudonyms(self.secrets.pseudonyms)
        store = CoarseTables(self._engine, self._reading, self._vault, pseudonyms, self._sight)
        store.prepare()
        return store
