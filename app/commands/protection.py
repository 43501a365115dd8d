"""The command line of template protection: erases, checks erasures, renews keys."""

from contextlib import closing
from pathlib import Path
from typing import Any

from app.audit.log import AuditLog
from app.commands.audit import command_event
from app.gallery.erasure import Erasure
from app.gallery.errors import NotPurged
from app.master_key import MasterKeys
from app.retention import erase_expired
from app.settings import Settings
from app.wiring import master_keys, open_gallery


def add_protection_commands(commands: Any) -> None:
    """Adds `erasures`, `rotate-master-key` and `rotate-templates` to a command line's parsers."""
    erasures = commands.add_parser(
        "erasures", help="check that what was erased is gone, or erase what is due"
    )
    actions = erasures.add_subparsers(dest="action", metavar="action", required=True)
    actions.add_parser(
        "verify",
        help="remove what is pending, search every byte of the store for it, and list all "
        "erasures; the exit status is 1 if one is pending, or if that could not be done",
    )
    actions.add_parser(
        "expired",
        help="erase the subjects whose retention date has passed, as a running service does within "
        "a minute; the exit status is 1 if the database of a receipt is pending",
    )
    rotate = commands.add_parser(
        "rotate-master-key", help="encrypt the subjects' keys anew under another master key"
    )
    rotate.add_argument(
        "--new-file",
        type=Path,
        required=True,
        metavar="FILE",
        help="file with the new key, 64 hexadecimal digits; created if missing",
    )
    commands.add_parser(
        "rotate-templates",
        help="transform all templates anew under another key, as after a theft, and destroy the "
        "former key; services may run meanwhile",
    )


def verify_erasures(settings: Settings) -> int:
    """Prints a line for each erasure; returns 1 if one is pending, or not all could be cleared.

    Raises:
        AuditUnusable: if the audit log cannot be written; then nothing is done.
        GalleryUnusable: if the gallery cannot be used.
        MasterKeyUnusable: if the master key cannot be read.
    """
    failure: NotPurged | None = None
    with closing(open_gallery(settings)) as gallery:
        audit = AuditLog(settings.audit_file, gallery.secrets.audit)
        try:
            with audit.change(command_event("erasures verify")):
                erasures = gallery.verify_erasures()
        except NotPurged as error:
            erasures, failure = error.erasures, error
    for one in erasures:
        print(_line(one))
    if failure is not None:
        print(f"erased bytes may still be in the store's files: {failure}; then verify again")
    is_pending = any("pending" in (one.database, one.log) for one in erasures)
    return int(is_pending or failure is not None)


def erase_all_expired(settings: Settings) -> int:
    """Erases the subjects whose retention date has passed, and prints a line for each.

    Returns:
        1 if a receipt's database is pending: the next change, erasure or start tries again.

    Raises:
        AuditUnusable: if the audit log cannot be written; then nothing more is erased.
        GalleryUnusable: if the gallery cannot be used.
        MasterKeyUnusable: if the master key cannot be read.
    """
    is_pending = False
    with closing(open_gallery(settings)) as gallery:
        audit = AuditLog(settings.audit_file, gallery.secrets.audit)
        for one in erase_expired(gallery, audit, command_event("")):
            print(_line(one), flush=True)
            is_pending |= one.database == "pending"
    return int(is_pending)


def _line(erasure: Erasure) -> str:
    """Describes a receipt in one line."""
    return (
        f"{erasure.erasure_id}  {erasure.erased_at:%Y-%m-%d %H:%M} UTC  {erasure.erased} of "
        f"{erasure.pseudonym}  database {erasure.database}  log {erasure.log}"
    )


def rotate_master_key(settings: Settings, new_file: Path) -> int:
    """Encrypts the gallery's keys under the key in a file, which becomes the master key.

    While both keys are valid, both stand in the master key's file, so that every process finds the
    right one and a crash loses none. Run again, the command goes on where it was interrupted.

    Raises:
        ValueError: if the file is the master key's own, or holds the only current key.
        AuditUnusable: if the audit log cannot be written; then nothing is changed.
        GalleryUnusable: if the gallery cannot be used.
        MasterKeyUnusable: if a key cannot be read.
        OSError: if the master key's file cannot be written.
    """
    # Else the former key, which stands only there, would be taken for the new one.
    if settings.master_key is None and new_file.resolve() == settings.master_key_file.resolve():
        raise ValueError(
            f"{new_file} is the master key's file itself: name another file for the new key, or "
            "one that does not exist"
        )
    place = master_keys(settings)
    new_key, *_ = MasterKeys(None, new_file).read(may_create=True)
    with closing(open_gallery(settings)) as gallery:
        former = [key for key in place.read(may_create=False) if key != new_key]
        if not former:
            raise ValueError(
                f"{new_file} holds the current master key: no rotation is unfinished; name a file "
                "with another key, or one that does not exist"
            )
        audit = AuditLog(settings.audit_file, gallery.secrets.audit)
        with audit.change(command_event("rotate-master-key")):
            place.replace([new_key, *former])
            clean = gallery.rotate_master_key(new_key)
            place.replace([new_key])
    if settings.master_key is not None:
        print("PALM_MASTER_KEY still holds the former key: set it to the new one, and restart")
    else:
        print(f"{settings.master_key_file} holds the new master key")
    print(
        f"keep a copy of the new key apart from the gallery, as in {new_file}; destroy all copies "
        "of the former key once no backup of the gallery needs it"
    )
    if not clean:
        print(
            "keys under the former master key are still in the store's files, which a program "
            "reads: the next start or change removes them"
        )
    return int(not clean)


def rotate_templates(settings: Settings) -> int:
    """Transforms all templates anew; run again after an interruption, the command goes on.

    Returns:
        1 if the former key is still in the store's files.

    Raises:
        AuditUnusable: if the audit log cannot be written; then nothing is changed.
        GalleryUnusable: if the gallery cannot be used, or a template is damaged.
        MasterKeyUnusable: if the master key cannot be read.
    """
    with closing(open_gallery(settings)) as gallery:
        audit = AuditLog(settings.audit_file, gallery.secrets.audit)
        with audit.change(command_event("rotate-templates")):
            clean = gallery.rotate_templates()
    print("all templates are transformed under a new key; the former key is destroyed")
    if settings.gallery_url.startswith("postgresql"):
        print("PostgreSQL's log (pg_wal) holds the former key until its segments are overwritten")
    print(
        "backups keep former templates and the former key: erase those that were stolen or copied"
    )
    if not clean:
        print(
            "the former key is still in the store's files, which a program reads: the next start "
            "or change removes it"
        )
    return int(not clean)
