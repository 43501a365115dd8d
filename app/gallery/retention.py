"""Until when subjects are kept: whose date has passed is in no answer, also before it is erased."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, or_, select

from app.gallery.sql.schema import SUBJECTS


def utc_now() -> datetime:
    """Returns the present time, UTC."""
    return datetime.now(UTC)


def as_stored(at: datetime) -> str:
    """Returns a time as it is stored: all have one length, so texts are in the order of times."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def is_retained(now: datetime) -> ColumnElement[bool]:
    """Returns the condition that a subject's date, if it has one, has not passed."""
    return or_(SUBJECTS.c.retain_until.is_(None), SUBJECTS.c.retain_until > as_stored(now))


def has_expired(row: RowMapping, now: datetime) -> bool:
    """Tells whether the date of the subject in a row of `SUBJECTS` has passed."""
    until: Any = row["retain_until"]
    return until is not None and until <= as_stored(now)


def read_expired(connection: Connection, now: datetime, limit: int) -> list[str]:
    """Returns the ids of subjects whose date has passed, the earliest first."""
    query = (
        select(SUBJECTS.c.subject_id)
        .where(SUBJECTS.c.retain_until <= as_stored(now))
        .order_by(SUBJECTS.c.retain_until, SUBJECTS.c.subject_id)
    )
    return list(connection.scalars(query.limit(limit)))
