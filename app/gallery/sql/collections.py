"""Collections in the database: which subjects are in them."""

from sqlalchemy import ColumnElement, Connection, func, select, true

from app.gallery.collection import CollectionSize, Within
from app.gallery.sql.schema import SUBJECTS


def is_within(within: Within) -> ColumnElement[bool]:
    """Returns the condition that a row of `SUBJECTS` is in one of some collections."""
    return true() if within is None else SUBJECTS.c.collection.in_(sorted(within))


def count_by_collection(
    connection: Connection, within: Within, seen: ColumnElement[bool]
) -> list[CollectionSize]:
    """Counts the subjects of each collection, in the order of the names.

    Args:
        connection: the transaction.
        within: collections to count, also empty ones; None for all that have subjects.
        seen: the condition that a row of `SUBJECTS` is counted.
    """
    query = (
        select(SUBJECTS.c.collection, func.count().label("subjects"))
        .where(seen)
        .group_by(SUBJECTS.c.collection)
    )
    counts = dict.fromkeys(within or (), 0)
    counts |= {row.collection: row.subjects for row in connection.execute(query)}
    return [CollectionSize(collection=name, subjects=n) for name, n in sorted(counts.items())]
