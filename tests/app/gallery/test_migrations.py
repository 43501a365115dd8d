"""The schema that the migrations make."""

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from app.gallery.sql.schema import METADATA, SUBJECT_KEYS
from tests.app.gallery.conftest import BOTH_STORES, Open

pytestmark = BOTH_STORES


def test_the_migrations_make_the_tables_of_the_schema(
    open_gallery: Open, url: str, store: str
) -> None:
    open_gallery()
    tables = [METADATA, *([SUBJECT_KEYS.metadata] if store == "postgresql" else [])]
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    try:
        with engine.connect() as connection:
            differences = compare_metadata(MigrationContext.configure(connection), tables)
    finally:
        engine.dispose()
    assert differences == []
