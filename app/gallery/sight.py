"""Which subjects a caller sees: those of its collections whose retention date has not passed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, RowMapping, and_

from app.gallery.collection import Within, narrowed
from app.gallery.errors import SubjectUnknown
from app.gallery.retention import has_expired, is_retained
from app.gallery.sql.collections import is_within
from app.gallery.sql.subjects import read_row


@dataclass(frozen=True, slots=True)
class Sight:
    """Which subjects a caller sees.

    Attributes:
        within: those of these collections; None for all.
        now: returns the present time, by which retention dates pass.
    """

    within: Within
    now: Callable[[], datetime]

    def narrowed(self, further: Within) -> "Sight":
        """Returns the sight that is limited to further collections, too."""
        return replace(self, within=narrowed(self.within, further))

    def covers(self, row: RowMapping) -> bool:
        """Tells whether the subject in a row of `SUBJECTS` is in these collections."""
        return self.within is None or row["collection"] in self.within

    def condition(self) -> ColumnElement[bool]:
        """Returns the condition that a row of `SUBJECTS` is seen."""
        return and_(is_within(self.within), is_retained(self.now()))

    def read_row(self, connection: Connection, subject_id: str) -> RowMapping:
        """Reads the row of one subject, with its name encrypted.

        Raises:
            SubjectUnknown: if no subject of that id is seen.
        """
        row = read_row(connection, subject_id)
        if not self.covers(row) or has_expired(row, self.now()):
            raise SubjectUnknown(subject_id)
        return row
