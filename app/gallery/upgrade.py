"""Upgrades a gallery of the schema version before."""

import logging

from sqlalchemy import Connection, insert, inspect, text

from app.gallery.schema import GALLERY, METADATA, SCHEMA_VERSION, SUBJECTS

logger = logging.getLogger(__name__)

UPGRADED_VERSION = 1

STATEMENTS = (
    "CREATE TABLE former_subjects AS SELECT * FROM subjects",
    "DROP TABLE templates",  # its pages are overwritten, see secure_delete
    "DROP TABLE subjects",
    "DROP TABLE gallery",
)


def upgrade(connection: Connection) -> None:
    """Upgrades the gallery, within the caller's transaction; a gallery of today stays as it is.

    Version 1 stored embeddings, which cannot be compared with maps: they are erased. Every subject
    gets a number and must be enrolled again, except the trained ones.
    """
    if not inspect(connection).has_table(GALLERY.name):
        return
    version, revision = connection.execute(
        text("SELECT schema_version, revision FROM gallery")
    ).one()
    if version != UPGRADED_VERSION:
        return
    for statement in STATEMENTS:
        connection.execute(text(statement))
    METADATA.create_all(connection)
    connection.execute(
        text(
            "INSERT INTO subjects (subject_id, name, hand, origin, created_at, number, changed) "
            "SELECT subject_id, name, hand, origin, created_at, "
            "row_number() OVER (ORDER BY subject_id), :changed FROM former_subjects"
        ),
        {"changed": revision + 1},
    )
    connection.execute(text("DROP TABLE former_subjects"))
    logger.warning(
        "the gallery is upgraded to schema %d: embeddings of the former release are erased, so "
        "every enrolled subject must be enrolled again; the former release needs its backup",
        SCHEMA_VERSION,
    )
    (count,) = connection.execute(text(f"SELECT count(*) FROM {SUBJECTS.name}")).one()
    connection.execute(
        insert(GALLERY),
        {
            "schema_version": SCHEMA_VERSION,
            "revision": revision + 1,
            "next_number": count + 1,
        },
    )
