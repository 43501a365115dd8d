"""The two stores, each in a folder of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.postgresql import PostgresqlServer, run_postgresql


class Place(NamedTuple):
    """Where a service runs.

    Attributes:
        folder: its working directory.
        url: the gallery's.
        database: the server of the gallery; None for a SQLite file.
    """

    folder: Path
    url: str
    database: PostgresqlServer | None

    @property
    def settings(self) -> dict[str, str]:
        """The service's environment: this gallery, without trained identities."""
        return {"PALM_GALLERY_URL": self.url, "PALM_TRAINED": "false"}

    @property
    def log(self) -> Path:
        """The file of the service's log."""
        return self.folder / "log"


@contextmanager
def place_of(store: str) -> Iterator[Place]:
    """Makes a folder and, for PostgreSQL, starts a server."""
    with TemporaryDirectory(prefix="palm-torture-") as name:
        folder = Path(name)
        if store == "sqlite":
            yield Place(folder, f"sqlite:///{folder}/gallery.db", None)
            return
        with run_postgresql() as database:
            yield Place(folder, database.url, database)
