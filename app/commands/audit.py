"""The command line of the audit log: `python -m app audit verify | pseudonym`."""

import argparse
import os
import re
from contextlib import closing
from pathlib import Path
from typing import Any

from app.audit.check import check_audit
from app.audit.log import AuditUnusable, Mark
from app.audit.pseudonyms import Pseudonyms
from app.settings import Settings
from app.wiring import open_gallery

MOST_SHOWN = 100  # findings


def add_audit_commands(commands: Any) -> None:
    """Adds the command `audit` to the subparsers of a command line."""
    audit = commands.add_parser("audit", help="check the audit log, or find a subject in it")
    actions = audit.add_subparsers(dest="action", metavar="action", required=True)
    verify = actions.add_parser(
        "verify",
        help="find altered, forged, dropped and reordered lines; the exit status is 1 if there are "
        "any",
    )
    verify.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="files that logrotate moved away, the oldest first; PALM_AUDIT_FILE follows them",
    )
    verify.add_argument(
        "--from",
        dest="first",
        type=int,
        default=1,
        metavar="N",
        help="number of the first line, if older files are gone; 1 if left out",
    )
    verify.add_argument(
        "--seen",
        type=_mark,
        metavar="NUMBER:HASH",
        help="a last line that an earlier check printed, which must still be there",
    )
    pseudonym = actions.add_parser("pseudonym", help="print the pseudonym of a subject's id")
    pseudonym.add_argument("subject_id")


def run_audit_command(settings: Settings, chosen: argparse.Namespace) -> int:
    """Runs one of the commands and returns the exit status.

    Raises:
        AuditUnusable: if the log cannot be read, or is switched off.
        GalleryUnusable: if the gallery, which holds the log's key, cannot be used.
        MasterKeyUnusable: if the master key cannot be read.
    """
    with closing(open_gallery(settings)) as gallery:
        secrets = gallery.secrets
    if chosen.action == "pseudonym":
        print(Pseudonyms(secrets.pseudonyms).of(chosen.subject_id))
        return 0
    if settings.audit_file is None:
        raise AuditUnusable("PALM_AUDIT_FILE is empty; set it to the log that is to be checked")
    checked = check_audit(
        settings.audit_file,
        secrets.audit,
        older=chosen.files,
        first=chosen.first,
        seen=chosen.seen,
    )
    for finding in checked.findings[:MOST_SHOWN]:
        print(finding)
    if (more := len(checked.findings) - MOST_SHOWN) > 0:
        print(f"and {more} findings more")
    state = "not intact" if checked.findings else "intact"
    print(f"{state}: {checked.lines} lines, the last one {checked.last}")
    return 1 if checked.findings else 0


def command_event(action: str) -> dict[str, str | int]:
    """Returns what the audit log tells of a command of this machine's user."""
    return {"caller": "command line", "user": os.getuid(), "action": action}


def _mark(text: str) -> Mark:
    match = re.fullmatch(r"(\d{1,18}):([0-9a-f]{64})", text)
    if match is None:
        raise argparse.ArgumentTypeError("must be NUMBER:HASH, as `audit verify` prints it")
    return Mark(int(match[1]), match[2])
