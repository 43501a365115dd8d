"""The command line: `python -m app` serves, and has commands that maintain the gallery."""

import argparse
import errno
import json
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import uvicorn

from app import __version__
from app.access.keys import KeyUnknown
from app.audit.log import AuditLog, AuditUnusable
from app.commands.audit import add_audit_commands, command_event, run_audit_command
from app.commands.backups import add_backup_commands, back_up, restore
from app.commands.importing import add_import_command, run_import
from app.commands.keys import add_key_commands, run_key_command
from app.commands.openapi import DOCUMENT, write_openapi
from app.commands.protection import (
    add_protection_commands,
    erase_all_expired,
    rotate_master_key,
    rotate_templates,
    verify_erasures,
)
from app.connections import (
    BACKLOG,
    ConnectionLimits,
    Server,
    affordable_connections,
    limit_connections,
)
from app.ensemble import NetsDisagree
from app.gallery.backup.sealing import BackupUnusable
from app.gallery.errors import GalleryUnusable
from app.gallery.index.cameras import UNNAMED
from app.inspection import Inspection, write_drawings
from app.logs import configure_logging
from app.main import create_app
from app.maintenance import calibrate_site, describe_report, list_outdated, write_report
from app.master_key import MasterKeyUnusable
from app.nets.finder_store import load_finder
from app.nets.store import load_ensemble
from app.palm.errors import PalmImageError
from app.settings import Settings, read_settings, variable
from app.wiring import make_inspector, open_ensemble, open_gallery

logger = logging.getLogger("app")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command: serves until the process is told to stop, or maintains the gallery.

    Args:
        arguments: the command line's; None takes those of the process.

    Returns:
        The exit status: 0 after success or a normal stop; 2 if a setting is wrong, the address
        cannot be listened on, or a command cannot be carried out; 1 if the service failed to start
        for another reason, an inspected image is not usable, an erasure is pending, the audit log
        is not intact, or a subject was not imported.
    """
    chosen = _parse(arguments)
    try:
        if chosen.command == "openapi":
            return write_openapi(chosen.file)
        settings = read_settings()
        if chosen.command == "outdated":
            return _list_outdated(settings)
        if chosen.command == "calibrate":
            return _calibrate(
                settings, write=chosen.write, force=chosen.force, camera=chosen.camera
            )
        if chosen.command == "keys":
            return run_key_command(settings, chosen)
        if chosen.command == "audit":
            return run_audit_command(settings, chosen)
        if chosen.command == "erasures":
            expired = chosen.action == "expired"
            return erase_all_expired(settings) if expired else verify_erasures(settings)
        if chosen.command == "import":
            return run_import(settings, chosen)
        if chosen.command == "rotate-master-key":
            return rotate_master_key(settings, chosen.new_file)
        if chosen.command == "rotate-templates":
            return rotate_templates(settings)
        if chosen.command == "backup":
            return back_up(settings, chosen.file, chosen.key_file)
        if chosen.command == "restore":
            return restore(
                settings,
                chosen.file,
                chosen.key_file,
                replace=chosen.replace,
                logs=chosen.audit,
                without_erasures=chosen.without_erasures,
            )
        if chosen.command == "inspect":
            return _inspect(settings, chosen.files, chosen.out)
        limits = ConnectionLimits(
            affordable_connections(settings.max_connections), settings.client_timeout_s
        )
        listener = listen(settings.host, settings.port)
    except (
        ValueError,
        OSError,
        NetsDisagree,
        GalleryUnusable,
        MasterKeyUnusable,
        KeyUnknown,
        AuditUnusable,
        BackupUnusable,
    ) as error:
        print(f"python -m app: {error}", file=sys.stderr)
        return 2
    return _serve(settings, listener, limits)


def _serve(settings: Settings, listener: socket.socket, limits: ConnectionLimits) -> int:
    configure_logging(settings.log_level)
    logger.info("starting on http://%s:%d", settings.host, settings.port)
    server = Server(
        uvicorn.Config(
            create_app(settings),
            root_path=settings.root_path,
            log_config=None,  # the server's own would replace ours
            access_log=False,
            http=limit_connections(limits),
            ws="none",
            backlog=BACKLOG,
            timeout_graceful_shutdown=settings.stop_timeout_s,
        )
    )
    # After its graceful stop the server raises the signal again, which is to end this block only.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    return 0 if server.started else 1


def _list_outdated(settings: Settings) -> int:
    """Prints the ids of the subjects that must be enrolled again, one on each line."""
    ensemble = open_ensemble(settings, load_ensemble)
    with closing(open_gallery(settings)) as gallery:
        for subject_id in list_outdated(gallery, ensemble.formats):
            print(subject_id)
    return 0


def _calibrate(settings: Settings, *, write: bool, force: bool, camera: str) -> int:
    """Prints stated against observed false match rates at the site, and stores them if asked to."""
    ensemble = open_ensemble(settings, load_ensemble)
    with closing(open_gallery(settings)) as gallery:
        report, suspects = calibrate_site(gallery, ensemble, may_lower=force, camera=camera)
        print(describe_report(report, suspects))
        if write:
            audit = AuditLog(settings.audit_file, gallery.secrets.audit)
            with audit.change(command_event("calibrate --write")):
                write_report(gallery, report, keep_raised=not force, camera=camera)
            print("written: the thresholds take effect when the service restarts")
    return 0


def _inspect(settings: Settings, files: Sequence[Path], out: Path | None) -> int:
    """Prints what is seen in each file, as JSON lines; returns 1 if one is not usable."""
    inspector = make_inspector(settings, load_finder(settings.models_dir, settings.engine))
    usable = True
    for number, file in enumerate(files, start=1):
        try:
            found = inspector.inspect(file.read_bytes(), draw=out is not None)
        except (OSError, PalmImageError) as error:
            found = Inspection.refused(str(error))
        usable &= found.usable
        answer = found.model_dump(mode="json", exclude={"drawing", "palm", "timings_ms"})
        print(json.dumps({"file": str(file), **answer}))
        if out is not None:
            write_drawings(out / f"{number:0{len(str(len(files)))}}-{file.stem}", found)
    return 0 if usable else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Returns the command and its options; answers --help and --version, refuses anything else."""
    settings = "\n".join(
        f"  {variable(name)}\n      {field.description}"
        for name, field in Settings.model_fields.items()
    )
    parser = argparse.ArgumentParser(
        prog="python -m app",
        description="Serves palm-vein identification over HTTP, or maintains its gallery.",
        epilog=f"settings, each an environment variable or a line of .env:\n{settings}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", metavar="command")
    commands.add_parser("serve", help="serve over HTTP; the default")
    commands.add_parser(
        "outdated",
        help="list the subjects that must be enrolled again, because they have no templates of the "
        "nets in service",
    )
    calibrate = commands.add_parser(
        "calibrate",
        help="compare the enrolled subjects with each other: stated against observed false match "
        "rate on the site's own camera",
    )
    calibrate.add_argument(
        "--write",
        action="store_true",
        help="raise the thresholds where the observed rate is higher",
    )
    calibrate.add_argument(
        "--force",
        action="store_true",
        help="also lower thresholds below the shipped ones where the observed rate is lower",
    )
    calibrate.add_argument(
        "--camera",
        default=UNNAMED,
        metavar="NAME",
        help="the camera whose images are compared; by default those for which none was named",
    )
    openapi = commands.add_parser(
        "openapi", help="write the OpenAPI document that the service answers at /openapi.json"
    )
    openapi.add_argument("file", nargs="?", type=Path, default=DOCUMENT, metavar="FILE")
    add_key_commands(commands)
    add_audit_commands(commands)
    add_protection_commands(commands)
    add_import_command(commands)
    add_backup_commands(commands)
    inspect = commands.add_parser(
        "inspect",
        help="show where the palm lies in images and how good they are, as a JSON line for each; "
        "the exit status is 1 if one is not usable",
    )
    inspect.add_argument("files", nargs="+", type=Path, metavar="FILE", help="an image")
    inspect.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for drawings of each file: NUMBER-NAME.found.png and, as the nets see it, "
        "NUMBER-NAME.palm.png",
    )
    return parser.parse_args(arguments)


def listen(host: str, port: int) -> socket.socket:
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
        listener = socket.create_server((host, port), family=family)
        # Its connections inherit this. asyncio does not set it for a socket that it is given, and
        # then an answer's body waits up to 40 ms until the client confirms the header.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except (OSError, UnicodeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = advice.get(number or 0) or (
            f"{error}; set {variable('host')} to an address of this machine, such as 127.0.0.1"
        )
        raise OSError(f"cannot listen on {host}, port {port}: {reason}") from error


if __name__ == "__main__":
    sys.exit(main())
