"""The tables of coarse maps in PostgreSQL: how they are made, filled and removed.

`coarse_<version>` has a row for each coarse map, in partitions by the subject's number.
"""

import re
from collections.abc import Collection, Sequence

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    select,
    text,
)
from sqlalchemy.exc import ProgrammingError

from app.audit.pseudonyms import Pseudonyms
from app.gallery.errors import GalleryUnusable
from app.gallery.pgvector.coarse import CoarseRows, Version
from app.gallery.sql.schema import NUMBER, SECRETS, SUBJECTS

EXTENSION = "vector"
OLDEST_PGVECTOR = (0, 7)  # the first that counts differing bits

SUBJECTS_PER_PARTITION = 10_000
"""With three images each, a partition then has 15 MB, which are written anew in 0.1 s."""
MAX_PARTITIONS = 256  # planning takes 0.1 ms for each

SECRET = "coarse "
"""Begins the name of a version's key in `SECRETS`."""

VERSIONS = Table(
    "coarse_versions",
    MetaData(),
    Column("version", NUMBER, primary_key=True, autoincrement=False),
    Column("signature", String, nullable=False),
    Column("bits", Integer, nullable=False),
    Column("partitions", Integer, nullable=False),
    Column("means", LargeBinary, nullable=False),  # encrypted under the version's key
    Column("renewed", Integer, nullable=False, server_default="0"),
    Column("revision", NUMBER, nullable=False),  # position in the gallery's changes
    Column("number", NUMBER, nullable=False),  # likewise
    Column("subjects", NUMBER, nullable=False, server_default="0"),
    Column("summed", String, nullable=False, server_default="{}"),  # JSON: numbers by camera
    Column("complete", Boolean, nullable=False, server_default="false"),
)

_FORGET = """
CREATE OR REPLACE FUNCTION forget_coarse() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  one bigint;
  rows bigint;
BEGIN
  IF TG_OP = 'UPDATE' AND NEW.number = OLD.number THEN RETURN NULL; END IF;
  FOR one IN SELECT version FROM coarse_versions LOOP
    EXECUTE format('DELETE FROM coarse_%s WHERE number = $1', one) USING OLD.number;
    GET DIAGNOSTICS rows = ROW_COUNT;
    UPDATE coarse_versions SET subjects = subjects - 1 WHERE version = one AND rows > 0;
  END LOOP;
  RETURN NULL;
END $$
"""
_TRIGGER = """
CREATE TRIGGER forget_coarse AFTER DELETE OR UPDATE OF number ON subjects
FOR EACH ROW EXECUTE FUNCTION forget_coarse()
"""


def prepare_schema(connection: Connection) -> None:
    """Creates the extension, the table of versions and the trigger, unless they exist.

    Raises:
        GalleryUnusable: if the database has no pgvector that can be used.
    """
    _create_extension(connection)
    if _has_trigger(connection):
        return  # locks nobody out
    drop_versions(connection)  # of subjects who were put back without the trigger, by pg_restore
    VERSIONS.create(connection, checkfirst=True)
    connection.execute(text(_FORGET))
    connection.execute(text(_TRIGGER))


def _create_extension(connection: Connection) -> None:
    least = ".".join(map(str, OLDEST_PGVECTOR))
    advice = "or set PALM_SEARCH=memory"
    query = text(
        "SELECT default_version, installed_version FROM pg_available_extensions WHERE name = :name"
    )
    found = connection.execute(query, {"name": EXTENSION}).first()
    if found is None:
        raise GalleryUnusable(
            "PALM_SEARCH=pgvector needs the extension pgvector on the database's server: install "
            "it (Debian: the package postgresql-<version>-pgvector; Docker: the image "
            f"pgvector/pgvector), {advice}"
        )
    version = found.installed_version or found.default_version
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST_PGVECTOR:
        raise GalleryUnusable(
            f"PALM_SEARCH=pgvector needs pgvector {least} or newer, the database has {version}: "
            f"update it and let a superuser run ALTER EXTENSION vector UPDATE, {advice}"
        )
    if found.installed_version is None:
        try:
            connection.execute(text("CREATE EXTENSION vector"))
        except ProgrammingError as error:
            raise GalleryUnusable(
                "PALM_SEARCH=pgvector needs the extension pgvector, which this user may not "
                f"create: let a superuser run CREATE EXTENSION vector in the database, {advice}"
            ) from error


def table_of(version: int) -> str:
    """Returns the name of a version's table."""
    return f"coarse_{version}"


def create_version(connection: Connection, version: int, bits: int, subjects: int) -> int:
    """Creates the table of a version for about so many subjects; returns its partitions."""
    table = table_of(version)
    count = min(max(subjects // SUBJECTS_PER_PARTITION, 1), MAX_PARTITIONS)
    connection.execute(
        text(
            f"CREATE TABLE {table} (number bigint NOT NULL, place integer NOT NULL, "
            f"share real NOT NULL, mark bytea NOT NULL, bits bit({bits}) NOT NULL, "
            "PRIMARY KEY (number, place)) PARTITION BY HASH (number)"
        )
    )
    for i in range(count):
        connection.execute(
            text(
                f"CREATE TABLE {table}_{i} PARTITION OF {table} "
                f"FOR VALUES WITH (MODULUS {count}, REMAINDER {i})"
            )
        )
    # Statistics would quote rows of subjects who are erased later.
    columns = ", ".join(f"ALTER COLUMN {name} SET STATISTICS 0" for name in ("bits", "mark"))
    connection.execute(text(f"ALTER TABLE {table} {columns}"))
    return count


def drop_version(connection: Connection, version: int) -> None:
    """Removes a version with its table and its key."""
    connection.execute(text(f"DROP TABLE IF EXISTS {table_of(version)}"))
    connection.execute(delete(VERSIONS).where(VERSIONS.c.version == version))
    connection.execute(delete(SECRETS).where(SECRETS.c.name == f"{SECRET}{version}"))


def drop_versions(connection: Connection) -> None:
    """Removes all versions, if the gallery has any: whoever searches next builds another."""
    if _has_versions(connection):
        for number in connection.scalars(select(VERSIONS.c.version)).all():
            drop_version(connection, number)


def _has_trigger(connection: Connection) -> bool:
    query = (
        "SELECT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'forget_coarse' "
        f"AND tgrelid = CAST('{SUBJECTS.name}' AS regclass))"
    )
    return connection.scalars(text(query)).one()


def _has_versions(connection: Connection) -> bool:
    return connection.dialect.has_table(connection, VERSIONS.name)


def partitions_of(connection: Connection, numbers: Collection[int] | None = None) -> list[str]:
    """Returns the names of all versions' partitions.

    Args:
        connection: a transaction.
        numbers: only partitions that hold the rows of subjects with these numbers; None for all.
    """
    if not _has_versions(connection):
        return []
    found: list[str] = []
    for row in connection.execute(select(VERSIONS.c.version, VERSIONS.c.partitions)).all():
        table, own = table_of(row.version), list(range(row.partitions))
        if numbers is not None:
            query = text(
                "SELECT DISTINCT part FROM unnest(CAST(:parts AS integer[])) part, "
                "unnest(CAST(:numbers AS bigint[])) number WHERE satisfies_hash_partition("
                f"CAST('{table}' AS regclass), {row.partitions}, part, number)"
            )
            given = {"parts": own, "numbers": list(numbers)}
            own = list(connection.scalars(query, given))
        found += [f"{table}_{i}" for i in own]
    return found


def analyze(connection: Connection, version: int) -> None:
    """Counts the rows of a version, so that searches are planned well."""
    for partition in partitions_of(connection):
        if partition.startswith(f"{table_of(version)}_"):
            connection.execute(text(f"ANALYZE {partition}"))


def coarse_mark(pseudonyms: Pseudonyms, number: int) -> str:
    """Returns what marks the rows of a subject, 16 hexadecimal digits.

    Whoever searches files for these bytes finds every copy of the rows, of whatever version, even
    when the subject is gone.
    """
    return pseudonyms.of(f"coarse {number}")


def insert_rows(
    connection: Connection, version: Version, rows: CoarseRows, marks: Sequence[bytes]
) -> int:
    """Adds the rows that are missing and whose subjects exist; returns the number of new subjects.

    Args:
        connection: a transaction that keeps the gallery's writers out.
        version: the version.
        rows: the rows, at least one.
        marks: the mark of each.
    """
    query = text(
        f"INSERT INTO {table_of(version.number)} (number, place, share, mark, bits) "
        "SELECT new.number, new.place, new.share, new.mark, new.bits "
        "FROM unnest(CAST(:numbers AS bigint[]), CAST(:places AS integer[]), "
        "CAST(:shares AS real[]), CAST(:marks AS bytea[]), "
        f"CAST(CAST(:bits AS text[]) AS bit({version.bits})[])) "
        "AS new (number, place, share, mark, bits) "
        f"JOIN {SUBJECTS.name} USING (number) ON CONFLICT DO NOTHING RETURNING place"
    )
    given = {**rows._asdict(), "marks": list(marks)}
    return list(connection.scalars(query, given)).count(0)
