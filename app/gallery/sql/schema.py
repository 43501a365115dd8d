"""The tables of a gallery in an SQL database."""

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

SCHEMA_VERSION = 5
"""Former releases refuse other versions. From 5 on, Alembic's own table holds the revision."""

ID = String().with_variant(String(collation="C"), "postgresql")
"""Text in the order of its bytes, which is SQLite's; PostgreSQL's would be that of a language."""

NUMBER = BigInteger().with_variant(Integer(), "sqlite")  # SQLite's integers have 64 bits

METADATA = MetaData()
GALLERY = Table(  # one row
    "gallery",
    METADATA,
    Column("schema_version", Integer, nullable=False),
    Column("revision", NUMBER, nullable=False),
    Column("next_number", NUMBER, nullable=False),
    Column("master", String),  # fingerprint of the master key; null before anything is encrypted
    Column("leftover", String),  # what a purge must still remove: see app.gallery.sql.erasures
    Column("generation", String),  # random, another one after each restore; null before the first
)
SUBJECTS = Table(
    "subjects",
    METADATA,
    Column("subject_id", ID, primary_key=True),
    Column(
        "name", String
    ),  # encrypted, see app.gallery.encryption.vault; so are map, sums, SECRETS
    Column("hand", String),
    Column("origin", String, nullable=False),
    Column("created_at", String, nullable=False),  # ISO 8601, UTC
    Column("number", NUMBER, nullable=False),  # never used again, unlike an id
    Column("changed", NUMBER, nullable=False),  # revision of the last change
    Column("collection", ID, nullable=False, server_default="default"),
    Column("details", String),  # encrypted JSON, see app.gallery.sql.fields
    Column("retain_until", String),  # ISO 8601, UTC, microseconds; null without end
    Index("subjects_by_number", "number", unique=True),
    Index("subjects_by_change", "changed", "number"),
    Index("subjects_by_collection", "collection", "subject_id"),
    Index("subjects_by_retention", "retain_until"),
)
MAPS = Table(
    "maps",
    METADATA,
    Column("map_id", NUMBER, primary_key=True),
    Column("subject_id", ID, ForeignKey("subjects.subject_id", ondelete="CASCADE"), nullable=False),
    Column("net", String, nullable=False),
    Column("template_id", String, nullable=False),
    Column("map", LargeBinary, nullable=False),
    Column("capture", String),  # null in galleries of schema 2: whatever was sent was enrolled
    Column("number", NUMBER, nullable=False, server_default="0"),  # of the image, for all its maps
    Column("added_at", String),  # ISO 8601, UTC; null if a former release stored it
    Column("camera", ID, nullable=False, server_default=""),  # "" if no name was given
    Column("transform", String),  # id of the key that transforms the map; null if none does
    # With columns that stand behind the map in a row: so reading them need not read the map.
    Index("maps_by_subject", "subject_id", "net", "template_id", "number", "capture", "added_at"),
    Index("maps_by_transform", "transform"),
    sqlite_autoincrement=True,
)
MAP_SUMS = Table(  # over the subjects of origin "enrolled"
    "map_sums",
    METADATA,
    Column("net", String, primary_key=True),
    Column("template_id", String, primary_key=True),
    Column("camera", ID, primary_key=True, server_default=""),
    Column("side", Integer, nullable=False),
    Column("channels", Integer, nullable=False),
    Column("subjects", Integer, nullable=False),
    Column("sums", LargeBinary, nullable=False),
)
ERASED = Table(  # trained identities whose templates must never be used again
    "erased",
    METADATA,
    Column("subject_id", ID, primary_key=True),
)
REMOVED = Table(  # erased subjects, for the other processes' indexes; nothing personal
    "removed",
    METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=False),
    Column("revision", NUMBER, nullable=False, index=True),
)
SITE = Table(  # a row for each camera for which the site was calibrated
    "site",
    METADATA,
    Column("camera", ID, primary_key=True, server_default=""),
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
    Column("digest", LargeBinary, nullable=False),  # see app.access.keys
    Column("collections", String),  # separated by spaces; null for all
)
REQUESTS = Table(  # enrolments that were done, so that none is done twice
    "requests",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),  # of the caller and its idempotency key
    Column("content", LargeBinary, nullable=False),  # digest of what was sent with it
    Column("done_at", String, nullable=False),  # ISO 8601, UTC
    Index("requests_by_time", "done_at"),
)
ERASURES = Table(  # receipts
    "erasures",
    METADATA,
    Column("erasure_id", String, primary_key=True),
    Column("pseudonym", String, nullable=False),  # of the subject's id
    Column("erased", String, nullable=False),  # "subject" or "template"
    Column("erased_at", String, nullable=False),  # ISO 8601, UTC
    Column("revision", NUMBER, nullable=False),  # of the erasure
    Column("number", NUMBER, nullable=False),  # of the subject, whose key is destroyed
    # Nonce of the wrapped key in hexadecimal digits, unlike the key's own: so whoever searches the
    # files for that nonce finds the key and not this row.
    Column("mark", String, nullable=False),
    Column("database", String, nullable=False),  # "done" or "pending"
    Column("log", String, nullable=False),  # likewise
    Index("erasures_by_state", "database", "log"),
)
SECRETS = Table(  # random keys that outlive the master key
    "secrets",
    METADATA,
    Column("name", String, primary_key=True),
    Column("encrypted", LargeBinary, nullable=False),
)

SUBJECT_KEYS = Table(  # in a database of its own if the gallery is a SQLite file
    "subject_keys",
    MetaData(),
    Column("number", NUMBER, primary_key=True, autoincrement=False),
    Column("wrapped", LargeBinary, nullable=False),
)
