"""The wrapped keys of the subjects: a small table, so that it can be written anew in no time."""

from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, bindparam, delete, insert, select, update

from app.gallery.sql.batches import batches
from app.gallery.sql.schema import SUBJECT_KEYS


class WrappedKeys:
    """The table of wrapped keys, in the gallery's database or in one of its own.

    In a database of its own, every change is committed at once: a key is stored before the subject
    that has it, and removed after it. So a subject whose key is missing is an erased one.
    """

    def __init__(self, own: Engine | None = None) -> None:
        """Creates the access.

        Args:
            own: the database of the table; None if it is in the gallery's.
        """
        self._own = own

    def add(self, connection: Connection, keys: Mapping[int, bytes]) -> None:
        """Stores wrapped keys by the subjects' numbers."""
        rows = [{"number": number, "wrapped": wrapped} for number, wrapped in keys.items()]
        with self._using(connection) as using:
            # An enrolment that was rolled back leaves a key, and its number is taken again.
            _delete(using, list(keys))
            if rows:
                using.execute(insert(SUBJECT_KEYS), rows)

    def read(self, connection: Connection, numbers: Collection[int]) -> dict[int, bytes]:
        """Returns the wrapped keys of the subjects that have one."""
        found: dict[int, bytes] = {}
        if numbers:
            with self._using(connection) as using:
                for some in batches(numbers):
                    query = select(SUBJECT_KEYS).where(SUBJECT_KEYS.c.number.in_(some))
                    found |= {row.number: row.wrapped for row in using.execute(query)}
        return found

    def read_all(self, connection: Connection) -> dict[int, bytes]:
        """Returns all wrapped keys, 60 bytes each, by the subjects' numbers."""
        with self._using(connection) as using:
            return {row.number: row.wrapped for row in using.execute(select(SUBJECT_KEYS))}

    def numbers(self, connection: Connection) -> set[int]:
        """Returns the numbers of all wrapped keys."""
        with self._using(connection) as using:
            return set(using.scalars(select(SUBJECT_KEYS.c.number)))

    def remove(self, connection: Connection, numbers: Collection[int]) -> None:
        """Removes wrapped keys; `Files.purge` removes their bytes."""
        if numbers:
            with self._using(connection) as using:
                _delete(using, numbers)

    def replace(
        self, connection: Connection, change: Callable[[int, bytes], bytes], master: str
    ) -> None:
        """Replaces every wrapped key by what `change` returns for its number and itself.

        Args:
            connection: the transaction.
            change: wraps a key anew.
            master: fingerprint of the master key that the keys are wrapped under afterwards.
        """
        with self._using(connection) as using:
            if self._own is not None:
                using.exec_driver_sql(f"PRAGMA user_version = {_mark_of(master)}")
            rows = [
                {"of": row.number, "wrapped": change(row.number, row.wrapped)}
                for row in using.execute(select(SUBJECT_KEYS)).all()
            ]
            own = SUBJECT_KEYS.c.number == bindparam("of")
            if rows:
                using.execute(update(SUBJECT_KEYS).where(own), rows)

    def are_under(self, masters: Iterable[str]) -> bool:
        """Tells whether the keys may be wrapped under a master key with one of these fingerprints.

        In the gallery's database they change together with the gallery's own fingerprint. In a
        database of their own, they are under another master key after a rotation that a crash
        interrupted: its mark remembers the last one.
        """
        if self._own is None:
            return True
        with self._own.begin() as own:
            mark = own.exec_driver_sql("PRAGMA user_version").scalar_one()
        return mark == 0 or mark in map(_mark_of, masters)  # 0: they were never wrapped anew

    def close(self) -> None:
        """Releases the database of the table's own."""
        if self._own is not None:
            self._own.dispose()

    @contextmanager
    def _using(self, connection: Connection) -> Generator[Connection]:
        if self._own is None:
            yield connection
        else:
            with self._own.begin() as own:
                yield own


def _mark_of(master: str) -> int:
    """Returns what stands in the header of the file of keys for a master key, never 0."""
    return 1 << 28 | int(master[:7], 16)


def _delete(connection: Connection, numbers: Collection[int]) -> None:
    for some in batches(numbers):
        connection.execute(delete(SUBJECT_KEYS).where(SUBJECT_KEYS.c.number.in_(some)))
