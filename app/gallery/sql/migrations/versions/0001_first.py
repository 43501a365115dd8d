"""The tables of the release that introduced Alembic; adopts and upgrades former galleries."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

from app.gallery.sql.migrations.former import adopt, find_version, make_room

revision = "0001"
down_revision = None

ID = String().with_variant(String(collation="C"), "postgresql")
NUMBER = BigInteger().with_variant(Integer(), "sqlite")

# Not those of app.gallery.sql.schema, to which later revisions add.
TABLES = MetaData()
Table(
    "gallery",
    TABLES,
    Column("schema_version", Integer, nullable=False),
    Column("revision", NUMBER, nullable=False),
    Column("next_number", NUMBER, nullable=False),
)
Table(
    "subjects",
    TABLES,
    Column("subject_id", ID, primary_key=True),
    Column("name", String),
    Column("hand", String),
    Column("origin", String, nullable=False),
    Column("created_at", String, nullable=False),
    Column("number", NUMBER, nullable=False),
    Column("changed", NUMBER, nullable=False),
    Index("subjects_by_number", "number", unique=True),
    Index("subjects_by_change", "changed", "number"),
)
Table(
    "maps",
    TABLES,
    Column("map_id", NUMBER, primary_key=True),
    Column("subject_id", ID, ForeignKey("subjects.subject_id", ondelete="CASCADE"), nullable=False),
    Column("net", String, nullable=False),
    Column("template_id", String, nullable=False),
    Column("map", LargeBinary, nullable=False),
    Column("capture", String),
    Index("maps_by_subject", "subject_id", "net", "template_id", "capture"),
    sqlite_autoincrement=True,
)
Table(
    "map_sums",
    TABLES,
    Column("net", String, primary_key=True),
    Column("template_id", String, primary_key=True),
    Column("side", Integer, nullable=False),
    Column("channels", Integer, nullable=False),
    Column("subjects", Integer, nullable=False),
    Column("sums", LargeBinary, nullable=False),
)
Table(
    "erased",
    TABLES,
    Column("subject_id", ID, primary_key=True),
)
Table(
    "removed",
    TABLES,
    Column("number", NUMBER, primary_key=True, autoincrement=False),
    Column("revision", NUMBER, nullable=False, index=True),
)
Table(
    "site",
    TABLES,
    Column("report", String, nullable=False),
)


def upgrade() -> None:
    """Creates the tables that are missing, and keeps a former gallery's subjects."""
    connection = op.get_bind()
    version = find_version(connection)
    make_room(connection, version)
    TABLES.create_all(connection)
    adopt(connection, version)
