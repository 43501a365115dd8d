"""Encryption at rest and receipts of erasures.

`app.gallery.encryption.reencryption` then encrypts the rows.
"""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String

revision = "0003"
down_revision = "0002"

NUMBER = BigInteger().with_variant(Integer(), "sqlite")


def upgrade() -> None:
    """Adds the tables and columns."""
    op.add_column("gallery", Column("master", String))
    op.add_column("gallery", Column("leftover", String))
    op.create_table(
        "erasures",
        Column("erasure_id", String, primary_key=True),
        Column("pseudonym", String, nullable=False),
        Column("erased", String, nullable=False),
        Column("erased_at", String, nullable=False),
        Column("revision", NUMBER, nullable=False),
        Column("number", NUMBER, nullable=False),
        Column("mark", String, nullable=False),
        Column("database", String, nullable=False),
        Column("log", String, nullable=False),
    )
    op.create_index("erasures_by_state", "erasures", ["database", "log"])
    op.create_table(
        "secrets",
        Column("name", String, primary_key=True),
        Column("encrypted", LargeBinary, nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps this table in another file
        op.create_table(
            "subject_keys",
            Column("number", NUMBER, primary_key=True, autoincrement=False),
            Column("wrapped", LargeBinary, nullable=False),
        )
