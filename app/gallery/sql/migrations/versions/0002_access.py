"""API keys, a number and a time for every template, and repeated requests."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String, text

revision = "0002"
down_revision = "0001"

NUMBER = BigInteger().with_variant(Integer(), "sqlite")

# The maps of one image, by all nets, were stored in the images' order.
NUMBER_TEMPLATES = """
WITH ranked AS (
    SELECT map_id, subject_id, row_number() OVER (
        PARTITION BY subject_id, net, template_id ORDER BY map_id
    ) AS place
    FROM maps
), numbered AS (
    SELECT map_id, dense_rank() OVER (ORDER BY subject_id, place) - 1 AS rank FROM ranked
)
UPDATE maps SET number = (SELECT next_number FROM gallery) + numbered.rank
FROM numbered WHERE numbered.map_id = maps.map_id
"""
COUNT_ON = """
UPDATE gallery SET next_number = 1 + (SELECT max(number) FROM maps)
WHERE EXISTS (SELECT 1 FROM maps)
"""


def upgrade() -> None:
    """Adds the tables and columns, and numbers the templates that are stored."""
    op.create_table(
        "keys",
        Column("key_id", String, primary_key=True),
        Column("name", String, nullable=False),
        Column("scopes", String, nullable=False),
        Column("created_at", String, nullable=False),
        Column("expires_at", String),
        Column("digest", LargeBinary, nullable=False),
    )
    op.create_table(
        "requests",
        Column("digest", LargeBinary, primary_key=True),
        Column("content", LargeBinary, nullable=False),
        Column("done_at", String, nullable=False),
    )
    op.create_index("requests_by_time", "requests", ["done_at"])
    op.add_column("maps", Column("number", NUMBER, nullable=False, server_default="0"))
    op.add_column("maps", Column("added_at", String))
    op.drop_index("maps_by_subject", "maps")
    columns = ["subject_id", "net", "template_id", "number", "capture", "added_at"]
    op.create_index("maps_by_subject", "maps", columns)
    connection = op.get_bind()
    connection.execute(text(NUMBER_TEMPLATES))
    connection.execute(text(COUNT_ON))
