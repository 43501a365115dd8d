"""Serves palm-vein identification: `python -m app`."""

import argparse
import errno
import logging
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

import uvicorn

from app.logs import configure_logging
from app.main import create_app
from app.settings import Settings, read_settings, variable

logger = logging.getLogger("app")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until the process is told to stop.

    Args:
        arguments: the command line's; None takes those of the process.

    Returns:
        The exit status: 0 after a normal stop, 2 if a setting is wrong or the address cannot be
        listened on, 1 if the service failed to start for another reason.
    """
    _parse(arguments)
    try:
        settings = read_settings()
        listener = _listen(settings.host, settings.port)
    except (ValueError, OSError) as error:
        print(f"python -m app: {error}", file=sys.stderr)
        return 2
    configure_logging(settings.log_level)
    logger.info("starting on http://%s:%d", settings.host, settings.port)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings),
            root_path=settings.root_path,
            log_config=None,  # the server's own would replace ours
            access_log=False,
        )
    )
    with suppress(KeyboardInterrupt):  # the server raises Ctrl-C again after its graceful stop
        server.run(sockets=[listener])
    return 0 if server.started else 1


def _parse(arguments: Sequence[str] | None) -> None:
    """Answers --help and refuses every other argument."""
    settings = "\n".join(
        f"  {variable(name)}\n      {field.description}"
        for name, field in Settings.model_fields.items()
    )
    argparse.ArgumentParser(
        prog="python -m app",
        description="Serves palm-vein identification over HTTP.",
        epilog=f"settings, each an environment variable or a line of .env:\n{settings}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args(arguments)


def _listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket; connections wait in it until the service has started.

    Raises:
        OSError: if the address cannot be listened on; the message says what to do.
    """
    other_port = f"choose another with {variable('port')} (make run PORT=...)"
    advice = {
        errno.EADDRINUSE: f"another program uses this port; stop it, or {other_port}",
        errno.EACCES: f"this user may not use this port; {other_port}",
    }
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = advice.get(number or 0) or (
            f"{error}; set {variable('host')} to an address of this machine, such as 127.0.0.1"
        )
        raise OSError(f"cannot listen on {host}, port {port}: {reason}") from error


if __name__ == "__main__":
    sys.exit(main())
