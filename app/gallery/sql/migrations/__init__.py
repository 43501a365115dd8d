"""Brings a database to the schema of this release; Alembic records its revision.

To change the schema, change `app.gallery.sql.schema` and add one file to `versions/` that makes the
same change, for example `0002_keys.py`:

    revision = "0002"
    down_revision = "0001"

    def upgrade() -> None:
        op.create_table("keys", ...)

A test proves that the files together make the tables of `app.gallery.sql.schema`.
"""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, inspect, select

from app.gallery.errors import GalleryUnusable
from app.gallery.sql.migrations.former import UPGRADABLE
from app.gallery.sql.schema import GALLERY, SCHEMA_VERSION


def check_schema(connection: Connection, name: str, advice: str) -> None:
    """Refuses a database that is neither empty nor a gallery that this release can open.

    Args:
        connection: a transaction; only reads.
        name: what the message calls the database.
        advice: what the message says to do.

    Raises:
        GalleryUnusable: if the database belongs to another application or to a newer release.
    """
    tables = inspect(connection).get_table_names()
    if not tables:
        return
    version = (
        connection.scalars(select(GALLERY.c.schema_version)).first()
        if GALLERY.name in tables
        else None
    )
    if version is None:
        raise GalleryUnusable(f"{name} is not a gallery, it has the tables {tables}; {advice}")
    if version not in (*UPGRADABLE, SCHEMA_VERSION):
        raise GalleryUnusable(
            f"gallery {name} has schema version {version}, not {SCHEMA_VERSION}; {advice}"
        )
    known = {script.revision for script in _scripts().walk_revisions()}
    found = MigrationContext.configure(connection).get_current_heads()
    if unknown := set(found) - known:
        raise GalleryUnusable(
            f"gallery {name} has schema revision {', '.join(sorted(unknown))} of a newer release; "
            f"start that release, or {advice}"
        )


def migrate(connection: Connection) -> None:
    """Creates or upgrades the tables in the caller's transaction, so a crash leaves none of it."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    if connection.execute(select(GALLERY)).first() is None:
        first = {"schema_version": SCHEMA_VERSION, "revision": 0, "next_number": 1}
        connection.execute(insert(GALLERY), first)


def newest_revision() -> str:
    """Returns the revision of this release's tables."""
    return str(_scripts().get_current_head())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "app.gallery.sql:migrations")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
