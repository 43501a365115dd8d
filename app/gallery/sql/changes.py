"""Reads from the database what has changed since a revision."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
from sqlalchemy import Connection, RowMapping, func, select, tuple_

from app.gallery.encryption.vault import SubjectKey, Vault
from app.gallery.following import LAST_NUMBER, Changes, Position, StoredMaps
from app.gallery.retention import has_expired
from app.gallery.sql.schema import GALLERY, MAP_SUMS, MAPS, REMOVED, SUBJECTS
from app.gallery.sql.subjects import as_subjects
from app.matching.templates import MapFormat


def read_changes(
    connection: Connection,
    vault: Vault,
    after: Position,
    formats: Sequence[MapFormat],
    limit: int,
    now: datetime,
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
    found = _read_rows(connection, vault, rows, formats, position, now)
    return replace(found, removed=tuple(connection.scalars(gone)), complete=complete)


def read_some(
    connection: Connection,
    vault: Vault,
    numbers: Sequence[int],
    formats: Sequence[MapFormat],
    now: datetime,
) -> Changes:
    """Reads the subjects of some numbers as if they had changed, in the order of their numbers.

    Args:
        connection: see `read_changes`.
        vault: the gallery's vault.
        numbers: the numbers; those that no subject has any more are left out.
        formats: formats of the maps to read.
        now: the present time; whose retention date has passed is left out, too.
    """
    revision = connection.scalars(select(GALLERY.c.revision)).one()
    query = select(SUBJECTS).where(SUBJECTS.c.number.in_(numbers)).order_by(SUBJECTS.c.number)
    rows = connection.execute(query).mappings().all()
    return _read_rows(connection, vault, rows, formats, Position(revision, LAST_NUMBER), now)


def _read_rows(
    connection: Connection,
    vault: Vault,
    rows: Sequence[RowMapping],
    formats: Sequence[MapFormat],
    position: Position,
    now: datetime,
) -> Changes:
    """Reads the subjects in some rows of `SUBJECTS`, with their maps."""
    keys = vault.keys_of(connection, {row["number"]: row["subject_id"] for row in rows})
    # The others were erased meanwhile, or will be in a minute.
    kept = [row for row in rows if row["number"] in keys and not has_expired(row, now)]
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
        select(
            SUBJECTS.c.number,
            MAPS.c.map,
            MAPS.c.number.label("image"),
            MAPS.c.transform,
            MAPS.c.camera,
            MAPS.c.map_id,
        )
        .join(MAPS, MAPS.c.subject_id == SUBJECTS.c.subject_id)
        .where(
            SUBJECTS.c.number.in_(numbers),
            MAPS.c.net == of.net,
            MAPS.c.template_id == of.template_id,
        )
    )
    # Sorted here: a database would sort copies of the maps.
    rows = sorted(connection.execute(query), key=lambda row: (index[row.number], row.map_id))
    return StoredMaps(
        np.array([index[row.number] for row in rows], np.int64),
        tuple(
            keys[row.number].decrypt_map(row.map, of.net, of.template_id, row.image, row.transform)
            for row in rows
        ),
        tuple(row.camera for row in rows),
    )


def _count_summed(connection: Connection, formats: Sequence[MapFormat]) -> dict[str, int]:
    """Returns by camera the least number of subjects in the sums of some formats, if not 0."""
    keys = [(one.net, one.template_id) for one in formats]
    own = tuple_(MAP_SUMS.c.net, MAP_SUMS.c.template_id).in_(keys)
    least = select(MAP_SUMS.c.camera, func.min(MAP_SUMS.c.subjects).label("subjects"))
    complete = least.where(own).group_by(MAP_SUMS.c.camera).having(func.count() == len(formats))
    return {row.camera: row.subjects for row in connection.execute(complete)}
