"""Collections, details and retention of subjects; cameras; the key that transforms a template."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String, text

revision = "0004"
down_revision = "0003"

ID = String().with_variant(String(collation="C"), "postgresql")
NUMBER = BigInteger().with_variant(Integer(), "sqlite")


def upgrade() -> None:
    """Adds the columns; sums and calibrations so far are those of cameras without a name."""
    op.add_column("gallery", Column("generation", String))
    op.add_column("subjects", Column("collection", ID, nullable=False, server_default="default"))
    op.add_column("subjects", Column("details", String))
    op.add_column("subjects", Column("retain_until", String))
    op.create_index("subjects_by_collection", "subjects", ["collection", "subject_id"])
    op.create_index("subjects_by_retention", "subjects", ["retain_until"])
    op.add_column("keys", Column("collections", String))
    op.add_column("maps", Column("camera", ID, nullable=False, server_default=""))
    op.add_column("maps", Column("transform", String))
    op.create_index("maps_by_transform", "maps", ["transform"])
    op.rename_table("map_sums", "former_sums")
    op.create_table(
        "map_sums",
        Column("net", String, primary_key=True),
        Column("template_id", String, primary_key=True),
        Column("camera", ID, primary_key=True, server_default=""),
        Column("side", Integer, nullable=False),
        Column("channels", Integer, nullable=False),
        Column("subjects", Integer, nullable=False),
        Column("sums", LargeBinary, nullable=False),
    )
    columns = "net, template_id, side, channels, subjects, sums"
    connection = op.get_bind()
    connection.execute(text(f"INSERT INTO map_sums ({columns}) SELECT {columns} FROM former_sums"))
    op.drop_table("former_sums")
    op.rename_table("site", "former_site")
    op.create_table(
        "site",
        Column("camera", ID, primary_key=True, server_default=""),
        Column("report", String, nullable=False),
    )
    connection.execute(text("INSERT INTO site (report) SELECT report FROM former_site"))
    op.drop_table("former_site")
    if connection.dialect.name == "postgresql":
        # Statistics would quote the keys of subjects who are erased later: ALTER TYPE removes them.
        connection.execute(
            text(
                "ALTER TABLE subject_keys ALTER COLUMN wrapped TYPE bytea, "
                "ALTER COLUMN wrapped SET STATISTICS 0"
            )
        )
