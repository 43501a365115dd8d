"""The tables of a gallery in an SQL database."""

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

SCHEMA_VERSION = 5

METADATA = MetaData()
GALLERY = Table(  # one row
    "gallery",
    METADATA,
    Column("schema_version", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("next_number", Integer, nullable=False),
)
SUBJECTS = Table(
    "subjects",
    METADATA,
    Column("subject_id", String, primary_key=True),
    Column("name", String),
    Column("hand", String),
    Column("origin", String, nullable=False),
    Column("created_at", String, nullable=False),  # ISO 8601, UTC
    Column("number", Integer, nullable=False),  # never used again, unlike an id
    Column("changed", Integer, nullable=False),  # revision of the last change
    Index("subjects_by_number", "number", unique=True),
    Index("subjects_by_change", "changed", "number"),
)
MAPS = Table(
    "maps",
    METADATA,
    Column("map_id", Integer, primary_key=True),
    Column(
        "subject_id", String, ForeignKey("subjects.subject_id", ondelete="CASCADE"), nullable=False
    ),
    Column("net", String, nullable=False),
    Column("template_id", String, nullable=False),
    Column("map", LargeBinary, nullable=False),
    Column("capture", String),  # null in galleries of schema 2: whatever was sent was enrolled
    # With capture, which stands behind the map in a row: so reading it need not read the map.
    Index("maps_by_subject", "subject_id", "net", "template_id", "capture"),
    sqlite_autoincrement=True,
)
MAP_SUMS = Table(  # over the subjects of origin "enrolled"
    "map_sums",
    METADATA,
    Column("net", String, primary_key=True),
    Column("template_id", String, primary_key=True),
    Column("side", Integer, nullable=False),
    Column("channels", Integer, nullable=False),
    Column("subjects", Integer, nullable=False),
    Column("sums", LargeBinary, nullable=False),
)
ERASED = Table(  # trained identities whose templates must never be used again
    "erased",
    METADATA,
    Column("subject_id", String, primary_key=True),
)
REMOVED = Table(  # erased subjects, for the other processes' indexes; nothing personal
    "removed",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("revision", Integer, nullable=False, index=True),
)
SITE = Table(  # one row, if the site was calibrated
    "site",
    METADATA,
    Column("report", String, nullable=False),  # JSON
)
KEYS = Table(  # API keys
    "keys",
    METADATA,
    Column("key_id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("scopes", String, nullable=False),  # separated by spaces
    Column("created_at", String, nullable=False),  # ISO 8601, UTC
    Column("expires_at", String),  # likewise
    Column("digest", LargeBinary, nullable=False),  # see app.keys
)
