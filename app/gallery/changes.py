"""Reads from the database what has changed since a revision."""

from collections.abc import Sequence
from operator import itemgetter

import numpy as np
from sqlalchemy import Connection, func, select, tuple_

from app.gallery.gallery import Changes, Position, StoredMaps
from app.gallery.schema import GALLERY, MAP_SUMS, MAPS, REMOVED, SUBJECTS
from app.gallery.subjects import read_subjects
from app.matching.templates import MapFormat

_LAST_NUMBER = 2**63 - 1


def read_changes(
    connection: Connection, after: Position, formats: Sequence[MapFormat], limit: int
) -> Changes:
    """See `Gallery.changes`; the connection's transaction sees one revision."""
    revision = connection.scalars(select(GALLERY.c.revision)).one()
    order = (SUBJECTS.c.changed, SUBJECTS.c.number)
    page = select(SUBJECTS).where(tuple_(*order) > tuple_(*after)).order_by(*order).limit(limit)
    places = [tuple(row) for row in connection.execute(page.with_only_columns(*order))]
    subjects = read_subjects(connection, page)
    complete = len(places) < limit
    numbers = tuple(number for _, number in places)
    gone = select(REMOVED.c.number).where(REMOVED.c.revision > after.revision)
    return Changes(
        subjects=tuple(subjects),
        numbers=numbers,
        maps=tuple(_read_maps(connection, numbers, one) for one in formats),
        removed=tuple(connection.scalars(gone)),
        summed=min((_count_summed(connection, one) for one in formats), default=0),
        position=Position(revision, _LAST_NUMBER) if complete else Position(*places[-1]),
        complete=complete,
    )


def _read_maps(connection: Connection, numbers: Sequence[int], of: MapFormat) -> StoredMaps:
    """Reads the maps of one format of some subjects."""
    index = {number: i for i, number in enumerate(numbers)}
    query = (
        select(SUBJECTS.c.number, MAPS.c.map)
        .join(MAPS, MAPS.c.subject_id == SUBJECTS.c.subject_id)
        .where(
            SUBJECTS.c.number.in_(numbers),
            MAPS.c.net == of.net,
            MAPS.c.template_id == of.template_id,
        )
        .order_by(MAPS.c.map_id)
    )
    rows = [(index[row.number], row.map) for row in connection.execute(query)]
    rows.sort(key=itemgetter(0))  # stable
    owners = np.array([owner for owner, _ in rows], np.int64)
    return StoredMaps(owners, tuple(stored for _, stored in rows))


def _count_summed(connection: Connection, of: MapFormat) -> int:
    """Returns the number of subjects in the sum of a format."""
    query = select(func.coalesce(func.max(MAP_SUMS.c.subjects), 0)).where(
        MAP_SUMS.c.net == of.net, MAP_SUMS.c.template_id == of.template_id
    )
    return connection.scalars(query).one()
