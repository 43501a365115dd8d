"""Reads from the database what has changed since a revision."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import itemgetter

import numpy as np
from sqlalchemy import Connection, RowMapping, select, tuple_

from app.gallery.following import LAST_NUMBER, Changes, Position, StoredMaps
from app.gallery.schema import GALLERY, MAP_SUMS, MAPS, REMOVED, SUBJECTS
from app.gallery.subjects import as_subjects
from app.gallery.vault import SubjectKey, Vault
from app.matching.templates import MapFormat


def read_changes(
    connection: Connection,
    vault: Vault,
    after: Position,
    formats: Sequence[MapFormat],
    limit: int,
) -> Changes:
    """See `Gallery.changes`; the connection's transaction sees one revision."""
    revision = connection.scalars(select(GALLERY.c.revision)).one()
    order = (SUBJECTS.c.changed, SUBJECTS.c.number)
    page = select(SUBJECTS).where(tuple_(*order) > tuple_(*after)).order_by(*order).limit(limit)
    rows = connection.execute(page).mappings().all()
    complete = len(rows) < limit
    gone = select(REMOVED.c.number).where(REMOVED.c.revision > after.revision)
    position = (
        Position(revision, LAST_NUMBER)
        if complete
        else Position(rows[-1]["changed"], rows[-1]["number"])
    )
    found = _read_rows(connection, vault, rows, formats, position)
    return replace(found, removed=tuple(connection.scalars(gone)), complete=complete)


def read_some(
    connection: Connection, vault: Vault, numbers: Sequence[int], formats: Sequence[MapFormat]
) -> Changes:
    """Reads the subjects of some numbers as if they had changed, in the order of their numbers.

    Args:
        connection: see `read_changes`.
        vault: the gallery's vault.
        numbers: the numbers; those that no subject has any more are left out.
        formats: formats of the maps to read.
    """
    revision = connection.scalars(select(GALLERY.c.revision)).one()
    query = select(SUBJECTS).where(SUBJECTS.c.number.in_(numbers)).order_by(SUBJECTS.c.number)
    rows = connection.execute(query).mappings().all()
    return _read_rows(connection, vault, rows, formats, Position(revision, LAST_NUMBER))


def _read_rows(
    connection: Connection,
    vault: Vault,
    rows: Sequence[RowMapping],
    formats: Sequence[MapFormat],
    position: Position,
) -> Changes:
    """Reads the subjects in some rows of `SUBJECTS`, with their maps."""
    keys = vault.keys_of(connection, {row["number"]: row["subject_id"] for row in rows})
    kept = [row for row in rows if row["number"] in keys]  # the others were erased meanwhile
    numbers = tuple(row["number"] for row in kept)
    return Changes(
        subjects=tuple(as_subjects(connection, kept, keys)),
        numbers=numbers,
        maps=tuple(_read_maps(connection, numbers, keys, one) for one in formats),
        removed=(),
        summed=_count_summed(connection, formats),
        position=position,
        complete=True,
    )


def _read_maps(
    connection: Connection,
    numbers: Sequence[int],
    keys: Mapping[int, SubjectKey],
    of: MapFormat,
) -> StoredMaps:
    """Reads the maps of one format of some subjects."""
    index = {number: i for i, number in enumerate(numbers)}
    query = (
        select(SUBJECTS.c.number, MAPS.c.map, MAPS.c.number.label("image"))
        .join(MAPS, MAPS.c.subject_id == SUBJECTS.c.subject_id)
        .where(
            SUBJECTS.c.number.in_(numbers),
            MAPS.c.net == of.net,
            MAPS.c.template_id == of.template_id,
        )
        .order_by(MAPS.c.map_id)
    )
    rows = [
        (
            index[row.number],
            keys[row.number].decrypt_map(row.map, of.net, of.template_id, row.image),
        )
        for row in connection.execute(query)
    ]
    rows.sort(key=itemgetter(0))  # stable
    owners = np.array([owner for owner, _ in rows], np.int64)
    return StoredMaps(owners, tuple(stored for _, stored in rows))


def _count_summed(connection: Connection, formats: Sequence[MapFormat]) -> int:
    """Returns the least number of subjects in the sums of some formats."""
    keys = [(one.net, one.template_id) for one in formats]
    own = tuple_(MAP_SUMS.c.net, MAP_SUMS.c.template_id).in_(keys)
    found = connection.scalars(select(MAP_SUMS.c.subjects).where(own)).all()
    return min(found, default=0) if len(found) == len(formats) else 0
