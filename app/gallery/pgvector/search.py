"""Searches coarse maps in PostgreSQL, among the subjects that a caller sees."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    TableClause,
    and_,
    column,
    func,
    not_,
    select,
    table,
    text,
)
from sqlalchemy.exc import DBAPIError

from app.gallery.pgvector.coarse import Replaced, Version
from app.gallery.pgvector.schema import VERSIONS, table_of
from app.gallery.sight import Sight
from app.gallery.sql.schema import SUBJECTS

UNDEFINED_TABLE = "42P01"


@contextmanager
def asking(version: Version) -> Generator[TableClause]:
    """Gives the table of a version.

    Raises:
        Replaced: if a query finds that the version is gone.
    """
    try:
        yield table(table_of(version.number), column("number"), column("place"))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == UNDEFINED_TABLE:
            raise Replaced from error
        raise


def candidates_of(
    coarse: TableClause, bits: int, windows: Sequence[Sequence[str]], most: int, sight: Sight
) -> tuple[Select[Any, Any], dict[str, str]]:
    """Returns the query for the subjects that are most alike, and its values.

    It is `app.gallery.index.comparison.coarse_similarity` in SQL: of each image the best template
    at the best shift, and the mean over images.

    Args:
        coarse: the version's table.
        bits: bits of a coarse map.
        windows: see `windows_of`.
        most: number of subjects.
        sight: which subjects are seen.
    """
    values: dict[str, str] = {}
    images: list[str] = []
    for i, of_image in enumerate(windows):
        names = [f"w{i}_{shift}" for shift in range(len(of_image))]
        values |= dict(zip(names, of_image, strict=True))
        differing = ", ".join(f"bits <~> CAST(:{name} AS bit({bits}))" for name in names)
        images.append(f"max((1 - least({differing}) * {2 / bits!r}) / sqrt(share))")
    query = (
        select(coarse.c.number, text(f"{' + '.join(images)} AS similarity"))
        .where(_is_seen(coarse, sight))
        .group_by(coarse.c.number)
        .order_by(text("similarity DESC"))
        .limit(most)
    )
    return query, values


def count_seen(connection: Connection, coarse: TableClause, version: int, sight: Sight) -> int:
    """Returns how many subjects in a version are seen."""
    if sight.within is not None:
        return _count(connection, coarse, _is_seen(coarse, sight))
    known = select(VERSIONS.c.subjects).where(VERSIONS.c.version == version)
    subjects = connection.scalars(known).one_or_none()
    if subjects is None:
        raise Replaced
    return subjects - _count(connection, coarse, not_(_is_seen(coarse, sight)))


def count_others(connection: Connection, coarse: TableClause, version: int, sight: Sight) -> int:
    """Returns how many enrolled subjects that are seen are not in a version."""
    seen = sight.condition()
    enrolled = select(func.count()).select_from(SUBJECTS)
    enrolled = enrolled.where(SUBJECTS.c.origin == "enrolled", seen)
    trained = select(SUBJECTS.c.number).where(SUBJECTS.c.origin == "trained", seen)  # only some
    searchable = count_seen(connection, coarse, version, sight)
    searchable -= _count(connection, coarse, coarse.c.number.in_(trained))
    return connection.scalars(enrolled).one() - searchable


def _is_seen(coarse: TableClause, sight: Sight) -> ColumnElement[bool]:
    """Returns the condition that a coarse map is of a subject that is seen."""
    seen = sight.condition()
    if sight.within is not None:
        return coarse.c.number.in_(select(SUBJECTS.c.number).where(seen))
    # Only those whose retention date has passed are not, for a minute. A join with all others would
    # keep PostgreSQL from grouping each partition for itself.
    return coarse.c.number.not_in(select(SUBJECTS.c.number).where(not_(seen)))


def _count(connection: Connection, coarse: TableClause, which: ColumnElement[bool]) -> int:
    """Counts the subjects in a version for which a condition holds."""
    first = coarse.c.place == 0
    return connection.scalars(
        select(func.count()).select_from(coarse).where(and_(first, which))
    ).one()
