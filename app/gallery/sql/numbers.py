"""Numbers of subjects and templates; none is ever used twice."""

from sqlalchemy import Connection, select, update

from app.gallery.sql.schema import GALLERY


def take_numbers(connection: Connection, count: int) -> int:
    """Returns the first of so many new numbers, within a writer's transaction."""
    first = connection.scalars(select(GALLERY.c.next_number)).one()
    connection.execute(update(GALLERY).values(next_number=first + count))
    return first
