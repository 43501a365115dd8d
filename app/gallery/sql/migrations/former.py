"""Adopts galleries of the releases before Alembic, which recorded a schema version themselves."""

import logging

from sqlalchemy import Connection, inspect, text

logger = logging.getLogger(__name__)

OF_EMBEDDINGS = 1
WITHOUT_CAPTURE = 2
WITHOUT_SCALES = 3
WITHOUT_ALEMBIC = 4
UPGRADABLE = (OF_EMBEDDINGS, WITHOUT_CAPTURE, WITHOUT_SCALES, WITHOUT_ALEMBIC)
ADOPTED = 5

# Of every version, before and after the tables of the first revision are created. Tables that are
# dropped are overwritten, see secure_delete.
BEFORE = {
    OF_EMBEDDINGS: (
        "CREATE TABLE former_subjects AS SELECT * FROM subjects",
        "CREATE TABLE former_gallery AS SELECT * FROM gallery",
        "DROP TABLE templates",
        "DROP TABLE subjects",
        "DROP TABLE gallery",
    ),
    WITHOUT_CAPTURE: (
        "ALTER TABLE maps ADD COLUMN capture VARCHAR",
        "DROP INDEX maps_by_subject",
        "CREATE INDEX maps_by_subject ON maps (subject_id, net, template_id, capture)",
    ),
}
AFTER = {
    OF_EMBEDDINGS: (
        "INSERT INTO gallery (schema_version, revision, next_number) SELECT 1, revision + 1, "
        "(SELECT count(*) + 1 FROM former_subjects) FROM former_gallery",
        "INSERT INTO subjects (subject_id, name, hand, origin, created_at, number, changed) "
        "SELECT subject_id, name, hand, origin, created_at, "
        "row_number() OVER (ORDER BY subject_id), (SELECT revision FROM gallery) "
        "FROM former_subjects",
        "DROP TABLE former_subjects",
        "DROP TABLE former_gallery",
    ),
}


def find_version(connection: Connection) -> int | None:
    """Returns the schema version of a gallery; None if the database is empty."""
    if not inspect(connection).has_table("gallery"):
        return None
    return connection.scalars(text("SELECT schema_version FROM gallery")).one()


def make_room(connection: Connection, version: int | None) -> None:
    """Sets aside what the tables of the first revision replace.

    Version 1 stored embeddings, which cannot be compared with maps: they are erased. Version 2 did
    not record how an image was captured. The maps of versions 2 and 3 have no scale; it is computed
    whenever they are read.
    """
    _execute(connection, BEFORE.get(version or 0, ()))


def adopt(connection: Connection, version: int | None) -> None:
    """Fills the tables; every subject of version 1 gets a number and must be enrolled again."""
    if version is None:
        return
    _execute(connection, AFTER.get(version, ()))
    connection.execute(text("UPDATE gallery SET schema_version = :now"), {"now": ADOPTED})
    erased = (
        "embeddings of the former release are erased, so every enrolled subject must be enrolled "
        "again; "
        if version == OF_EMBEDDINGS
        else ""
    )
    logger.warning(
        "the gallery is upgraded to schema %d: %sthe former release needs its backup",
        ADOPTED,
        erased,
    )


def _execute(connection: Connection, statements: tuple[str, ...]) -> None:
    for statement in statements:
        connection.execute(text(statement))
