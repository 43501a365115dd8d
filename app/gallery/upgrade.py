"""Upgrades a gallery of an earlier schema version."""

import logging

from sqlalchemy import Connection, insert, inspect, text, update

from app.gallery.schema import GALLERY, MAPS, METADATA, SCHEMA_VERSION, SUBJECTS

logger = logging.getLogger(__name__)

OF_EMBEDDINGS = 1
WITHOUT_CAPTURE = 2
WITHOUT_SCALES = 3
WITHOUT_KEYS = 4
UPGRADABLE = (OF_EMBEDDINGS, WITHOUT_CAPTURE, WITHOUT_SCALES, WITHOUT_KEYS)

STATEMENTS = (
    "CREATE TABLE former_subjects AS SELECT * FROM subjects",
    "DROP TABLE templates",  # its pages are overwritten, see secure_delete
    "DROP TABLE subjects",
    "DROP TABLE gallery",
)


def upgrade(connection: Connection) -> None:
    """Upgrades the gallery, within the caller's transaction; a gallery of today stays as it is.

    Version 1 stored embeddings, which cannot be compared with maps: they are erased. Every subject
    gets a number and must be enrolled again, except the trained ones. Version 2 did not record how
    an image was captured. The maps of versions 2 and 3 have no scale; it is computed whenever they
    are read. Version 4 had no API keys; their table is created with all that are missing.
    """
    if not inspect(connection).has_table(GALLERY.name):
        return
    version, revision = connection.execute(
        text("SELECT schema_version, revision FROM gallery")
    ).one()
    if version == WITHOUT_CAPTURE:
        connection.execute(text(f"ALTER TABLE {MAPS.name} ADD COLUMN capture VARCHAR"))
        connection.execute(text("DROP INDEX maps_by_subject"))
        for index in MAPS.indexes:
            index.create(connection)
    if version in (WITHOUT_CAPTURE, WITHOUT_SCALES, WITHOUT_KEYS):
        connection.execute(update(GALLERY).values(schema_version=SCHEMA_VERSION))
        logger.warning(
            "the gallery is upgraded to schema %d; the former release needs its backup",
            SCHEMA_VERSION,
        )
    elif version == OF_EMBEDDINGS:
        _replace_embeddings(connection, revision)


def _replace_embeddings(connection: Connection, revision: int) -> None:
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
