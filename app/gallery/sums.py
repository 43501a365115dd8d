"""The sums of maps in the database: each enrolled subject has one share in each."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import attrgetter

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select

from app.gallery.errors import GalleryUnusable
from app.gallery.schema import MAP_SUMS, MAPS, SUBJECTS
from app.matching.maps import MapShape, VeinMaps
from app.matching.mean_map import MapSum
from app.matching.templates import MapFormat

Shares = Mapping[MapFormat, MapSum | None]


def read_sum(connection: Connection, of: MapFormat) -> MapSum:
    """Reads the sum of a format; nobody's if no map of that format was ever enrolled.

    Raises:
        GalleryUnusable: if the sum is damaged.
    """
    columns = (MAP_SUMS.c.sums, MAP_SUMS.c.subjects)
    row = connection.execute(select(*columns).where(_is_of(of))).first()
    if row is None:
        return MapSum.empty(of.shape)
    try:
        return MapSum.from_bytes(row.sums, row.subjects, of.shape)
    except ValueError as error:
        raise GalleryUnusable(
            f"the gallery is damaged: the sum of the maps of {of}: {error}; restore a backup"
        ) from error


def read_shares(connection: Connection, subject_id: str, formats: Iterable[MapFormat]) -> Shares:
    """Reads what a subject contributes to the sum of each format; None where a map is damaged."""
    shares: dict[MapFormat, MapSum | None] = {}
    for of in formats:
        query = select(MAPS.c.map).where(
            MAPS.c.subject_id == subject_id,
            MAPS.c.net == of.net,
            MAPS.c.template_id == of.template_id,
        )
        shares[of] = _share(connection.scalars(query.order_by(MAPS.c.map_id)), of.shape)
    return shares


def summed_formats(connection: Connection) -> list[MapFormat]:
    """Returns the formats that have a sum."""
    columns = (MAP_SUMS.c.net, MAP_SUMS.c.template_id, MAP_SUMS.c.side, MAP_SUMS.c.channels)
    return [
        MapFormat(row.net, row.template_id, MapShape(row.side, row.channels))
        for row in connection.execute(select(*columns))
    ]


def replace_shares(connection: Connection, before: Shares, after: Shares) -> None:
    """Replaces a subject's shares in the sums; both have the same formats.

    A sum is computed again from all maps if it is damaged, or if one of the subject's maps is.
    """
    for of, old in before.items():
        new = after[of]
        total = _read_intact_sum(connection, of)
        if old is None or new is None or total is None:
            _write_sum(connection, of, _recompute(connection, of))
        elif old.subjects or new.subjects:
            _write_sum(connection, of, total - old + new)


def _read_intact_sum(connection: Connection, of: MapFormat) -> MapSum | None:
    """Reads the sum of a format; None if it is damaged."""
    try:
        return read_sum(connection, of)
    except GalleryUnusable:
        return None


def _share(stored: Iterable[bytes], shape: MapShape) -> MapSum | None:
    """Returns the share of a subject with these maps; None if one has a wrong size."""
    maps = list(stored)
    if not all(shape.may_be_stored(len(one)) for one in maps):
        return None
    return MapSum.of(VeinMaps.from_bytes(maps, shape)) if maps else MapSum.empty(shape)


def _recompute(connection: Connection, of: MapFormat) -> MapSum:
    """Computes a sum from the maps of all enrolled subjects without damaged ones."""
    query = (
        select(MAPS.c.subject_id, MAPS.c.map)
        .join(SUBJECTS, SUBJECTS.c.subject_id == MAPS.c.subject_id)
        .where(
            MAPS.c.net == of.net,
            MAPS.c.template_id == of.template_id,
            SUBJECTS.c.origin == "enrolled",
        )
        .order_by(MAPS.c.subject_id, MAPS.c.map_id)
    )
    total = MapSum.empty(of.shape)
    rows = connection.execute(query.execution_options(yield_per=100))
    for _, own in groupby(rows, attrgetter("subject_id")):
        total += _share((row.map for row in own), of.shape) or MapSum.empty(of.shape)
    return total


def _write_sum(connection: Connection, of: MapFormat, total: MapSum) -> None:
    if total.subjects <= 0:  # rounding must leave nothing of the last subject
        total = MapSum.empty(of.shape)
    connection.execute(delete(MAP_SUMS).where(_is_of(of)))
    connection.execute(
        insert(MAP_SUMS),
        {
            "net": of.net,
            "template_id": of.template_id,
            **of.shape._asdict(),
            "subjects": total.subjects,
            "sums": total.to_bytes(),
        },
    )


def _is_of(of: MapFormat) -> ColumnElement[bool]:
    return and_(MAP_SUMS.c.net == of.net, MAP_SUMS.c.template_id == of.template_id)
