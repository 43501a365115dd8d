"""The command line of backups: `python -m app backup FILE` and `restore FILE`."""

import io
import os
import secrets
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from app.audit.later_changes import read_later
from app.audit.log import AuditLog, AuditUnusable, head_of, read_head
from app.commands.audit import command_event
from app.gallery.backup.contents import Contents, Later, Restored
from app.gallery.backup.rows import read_contents
from app.gallery.backup.sealing import (
    BackupUnusable,
    Header,
    SealedReader,
    SealedWriter,
    choose_key,
    new_header,
    read_header,
)
from app.gallery.gallery import Gallery
from app.gallery.sql.migrations import newest_revision
from app.master_key import MasterKeys
from app.settings import Settings, without_password
from app.wiring import master_keys, open_gallery


def add_backup_commands(commands: Any) -> None:
    """Adds the commands `backup` and `restore` to the subparsers of a command line."""
    backup = commands.add_parser(
        "backup", help="write the whole gallery into one encrypted file, also while it is in use"
    )
    backup.add_argument("file", type=Path, metavar="FILE", help="the new file")
    backup.add_argument(
        "--key-file",
        type=Path,
        metavar="KEY",
        help="file with the backup's key, 64 hexadecimal digits; created if missing; by default "
        "the master key encrypts the backup",
    )
    restore = commands.add_parser(
        "restore", help="bring back a backup, except what was erased after it was made"
    )
    restore.add_argument("file", type=Path, metavar="FILE", help="the backup")
    restore.add_argument(
        "--key-file",
        type=Path,
        metavar="KEY",
        help="file with the backup's key, or with the master key that it was made with",
    )
    restore.add_argument(
        "--replace",
        action="store_true",
        help="replace the subjects of the gallery, which must be the one of the backup",
    )
    restore.add_argument(
        "--audit",
        type=Path,
        nargs="+",
        action="append",
        default=[],
        metavar="LOG",
        help="audit log that tells what was erased after the backup, files that logrotate moved "
        "away before it; once for each machine; by default PALM_AUDIT_FILE, if the gallery is lost",
    )
    restore.add_argument(
        "--without-erasures",
        action="store_true",
        help="restore although nobody knows what was erased after the backup",
    )


def back_up(settings: Settings, file: Path, key_file: Path | None) -> int:
    """Writes a backup, whole or not at all; returns the exit status.

    Raises:
        ValueError: if the file exists already.
        AuditUnusable: if the audit log cannot be written; then nothing is done.
        GalleryUnusable: if the gallery cannot be used.
        MasterKeyUnusable: if a key cannot be read.
        OSError: if the file cannot be written.
    """
    _refuse_existing(file)
    with closing(open_gallery(settings)) as gallery:
        place = MasterKeys(None, key_file) if key_file else master_keys(settings)
        key, *_ = place.read(may_create=key_file is not None)
        header = new_header(key, newest_revision())
        audit = AuditLog(settings.audit_file, gallery.secrets.audit)
        event = {**command_event("backup"), "backup": header.backup_id}
        with audit.change(event) as outcome, _new_file(file) as out:
            sealed = SealedWriter(out, key, header)
            written = gallery.backups.write(cast(BinaryIO, sealed))
            outcome["subjects"] = written.subjects
            sealed.finish()
    size_mb = file.stat().st_size / 1e6
    print(
        f"{file}: {size_mb:.1f} MB; subjects: {written.subjects}; encrypted under "
        f"{key_file or 'the master key'}: keep a copy of that key elsewhere"
    )
    if written.left_out:
        print(
            "subjects left out, because they were erased or changed while the backup began: "
            f"{written.left_out}; unless they were erased, make another backup"
        )
    return 0


def restore(
    settings: Settings,
    file: Path,
    key_file: Path | None,
    *,
    replace: bool,
    logs: Sequence[Sequence[Path]],
    without_erasures: bool,
) -> int:
    """Restores a backup, all or nothing; returns the exit status.

    Raises:
        BackupUnusable: if the backup cannot be read.
        ValueError: if nobody knows what was erased after it, or the audit log is another gallery's.
        AuditUnusable: if an audit log cannot be used.
        GalleryUnusable: if the gallery cannot be used, or must not be replaced.
        MasterKeyUnusable: if a key cannot be read.
        OSError: if the file cannot be read.
    """
    header, key = _open_header(settings, file, key_file)
    with _rows(file, key) as source:
        contents = read_contents(source)
    _check_audit_log(settings.audit_file, contents)
    with closing(open_gallery(settings)) as gallery:
        later, told = _find_later(settings, gallery, header, contents, logs, without_erasures)
        audit = AuditLog(settings.audit_file, contents.secrets["audit"])
        event = {**command_event("restore"), "backup": header.backup_id}
        with audit.change(event) as outcome:
            restored = gallery.backups.restore(
                contents, lambda: _rows(file, key), later, replace=replace
            )
            outcome |= {"subjects": restored.subjects, "left_out": restored.erased}
    open_gallery(settings).close()  # removes the keys of whoever is not there any more
    place = without_password(settings.gallery_url)
    print(f"{place} is as of {header.made_at:%Y-%m-%d %H:%M} UTC; subjects: {restored.subjects}")
    for line in (*_describe(restored), told):
        print(line)
    return 0


def _open_header(settings: Settings, file: Path, key_file: Path | None) -> tuple[Header, bytes]:
    """Returns a backup's header and key, once this release can restore it."""
    with file.open("rb") as backup:
        header = read_header(backup)
    if key_file is not None and not key_file.exists():
        raise BackupUnusable(f"there is no key {key_file}: --key-file must hold the backup's key")
    place = MasterKeys(None, key_file) if key_file else master_keys(settings)
    key = choose_key(header, place.read(may_create=False))
    if header.schema_revision != newest_revision():
        raise BackupUnusable(
            f"the backup has schema revision {header.schema_revision!r:.20}, not "
            f"{newest_revision()}: restore it with the release that made it, into an empty "
            "gallery; this release upgrades that gallery when it opens it"
        )
    return header, key


@contextmanager
def _rows(file: Path, key: bytes) -> Generator[BinaryIO]:
    with file.open("rb") as backup, io.BufferedReader(SealedReader(backup, key)) as rows:
        yield cast(BinaryIO, rows)


def _find_later(
    settings: Settings,
    gallery: Gallery,
    header: Header,
    contents: Contents,
    logs: Sequence[Sequence[Path]],
    without_erasures: bool,
) -> tuple[Later, str]:
    """Returns what is known of the time after a backup, and from where.

    The gallery itself knows what was erased, if it is the one of the backup.
    """
    same = gallery.backups.is_same(contents)
    if not logs and same:
        return Later(), "what was erased since then stays erased, by the gallery's own receipts"
    if not logs and without_erasures:
        return Later(), (
            "WARNING: whatever was erased after the backup is back, and API keys that were revoked "
            "after it work again: erase and revoke them now (`python -m app keys list`)"
        )
    known = logs or ([[settings.audit_file]] if settings.audit_file else [])
    try:
        if not known:
            raise AuditUnusable("PALM_AUDIT_FILE is empty")
        later = read_later(known, contents.secrets["audit"], header)
    except AuditUnusable as error:
        raise ValueError(
            f"nobody knows what was erased after the backup: {error}. Name the audit log of each "
            "machine by --audit LOG, or bring back also what was erased, by --without-erasures; "
            "nothing was restored"
        ) from error
    names = ", ".join(str(files[-1]) for files in known)
    return later, f"what was erased since then stays erased, by the audit log {names}"


def _check_audit_log(log: Path | None, contents: Contents) -> None:
    """Refuses an audit log of another gallery, in which nobody could check further lines."""
    if log is None or not head_of(log).exists():
        return
    content = head_of(log).read_bytes()
    if content and read_head(content, contents.secrets["audit"]) is None:
        raise ValueError(
            f"the audit log {log} belongs to another gallery than the backup: move it and its "
            ".head away, or name another one by PALM_AUDIT_FILE; nothing was restored"
        )


def _describe(restored: Restored) -> list[str]:
    counts = {
        "subjects left out, because they were erased after the backup": restored.erased,
        "subjects left out, because single templates of them were erased after the backup, and the "
        "log does not tell which (enroll them again)": restored.thinned,
        "subjects that stay as they are now, because a template of them was erased after the "
        "backup, or they were renamed or merged": restored.kept,
        "subjects removed, because they were enrolled after the backup": restored.dropped,
        "subjects as they were then, although they were renamed, or merged into others, after the "
        "backup: the log does not tell their new ids (rename and merge them again)": restored.moved,
        "API keys left out, because they were revoked after the backup": restored.keys_left_out,
    }
    return [f"{what}: {count}" for what, count in counts.items() if count]


def _refuse_existing(file: Path) -> None:
    if file.exists():
        raise ValueError(f"{file} exists already: name another file, or move it away")


@contextmanager
def _new_file(file: Path) -> Generator[BinaryIO]:
    """Opens a new file for its owner only, which gets its name once it is whole.

    Raises:
        OSError: if it cannot be written; then there is none.
    """
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        _refuse_existing(file)
        os.replace(draft, file)
        _sync_folder(file.parent)
    except OSError as error:
        raise OSError(
            f"the backup {file} cannot be written: {error}; name a folder that exists, is writable "
            "and has room"
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Waits until a file's new name is on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
