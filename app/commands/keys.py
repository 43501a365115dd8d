"""The command line of the API keys: `python -m app keys create | list | revoke | reset`."""

import argparse
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.access.key_ring import KeyRing
from app.access.keys import SCOPES, Key, refuse_limits
from app.api.names import Name
from app.audit.log import AuditLog
from app.commands.audit import command_event
from app.gallery.collection import COLLECTION_RULE, CollectionName
from app.settings import Settings
from app.validation import in_one_line
from app.wiring import open_gallery

MOST_DAYS = 36_500  # a century


def add_key_commands(commands: Any) -> None:
    """Adds the command `keys` to the subparsers of a command line."""
    keys = commands.add_parser("keys", help="create, list or revoke API keys")
    actions = keys.add_subparsers(dest="action", metavar="action", required=True)
    create = actions.add_parser("create", help="create a key, and print it: nothing shows it again")
    create.add_argument("name", help="who uses it, up to 200 characters")
    create.add_argument(
        "--scope",
        action="append",
        required=True,
        choices=[*SCOPES, "all"],
        metavar="SCOPE",
        help=f"what its holder may do, once for each: {', '.join(SCOPES)}, or all",
    )
    create.add_argument(
        "--days",
        type=_days,
        metavar="N",
        help=f"how long it works, 1 to {MOST_DAYS}; for good if left out",
    )
    create.add_argument(
        "--collection",
        action="append",
        type=_collection,
        metavar="NAME",
        help="a collection that its holder may see and search, once for each; all if left out",
    )
    actions.add_parser("list", help="list all keys, a line for each, the oldest first")
    revoke = actions.add_parser("revoke", help="let a key expire now")
    revoke.add_argument("key_id", help="its id, the second part of the key")
    actions.add_parser(
        "reset",
        help="remove all keys; then only this machine is served without a key, or the next start "
        "prints a first one",
    )


def run_key_command(settings: Settings, chosen: argparse.Namespace) -> int:
    """Runs one of the commands and returns the exit status.

    Raises:
        AuditUnusable: if the command cannot be written to the audit log; then nothing is changed.
        GalleryUnusable: if the gallery, which holds the keys, cannot be used.
        MasterKeyUnusable: if the master key cannot be read or created.
        KeyUnknown: if there is no key to revoke.
        ValueError: if the name cannot be used, or a key with the scope admin is to be limited.
    """
    with closing(open_gallery(settings)) as gallery:
        ring = KeyRing(gallery.keys, gallery.secrets.api_keys)
        if chosen.action == "list":
            for key in ring.list():
                print(_line(key))
            return 0
        name, scopes = None, SCOPES
        if chosen.action == "create":
            name = _check(chosen.name)
            scopes = SCOPES if "all" in chosen.scope else chosen.scope
            refuse_limits(scopes, chosen.collection)
        event = command_event(f"keys {chosen.action}")
        if chosen.action == "revoke" and chosen.key_id in {one.key_id for one in ring.list()}:
            event = {**event, "key": chosen.key_id}  # anything else may be a secret
        with AuditLog(settings.audit_file, gallery.secrets.audit).change(event) as outcome:
            if name is not None:
                until = datetime.now(UTC) + timedelta(days=chosen.days) if chosen.days else None
                key, told = ring.create(name, scopes, until, chosen.collection)
                outcome["key"] = key.key_id
            elif chosen.action == "revoke":
                key = ring.revoke(chosen.key_id)
                outcome["key"], told = key.key_id, _line(key)
            else:
                outcome["keys"] = gallery.keys.clear()
                told = f"{outcome['keys']} keys removed"
            print(told)
    return 0


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_DAYS:
        raise argparse.ArgumentTypeError(f"must be a number of days, 1 to {MOST_DAYS}")
    return int(text)


def _collection(text: str) -> str:
    try:
        return TypeAdapter(CollectionName).validate_python(text)
    except ValidationError:
        raise argparse.ArgumentTypeError(f"must have {COLLECTION_RULE}, not {text!r:.80}") from None


def _check(name: str) -> str:
    try:
        return TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise ValueError(f"the key's name cannot be used: {in_one_line(error)}") from None


def _line(key: Key) -> str:
    until = f"until {key.expires_at:%Y-%m-%d %H:%M} UTC" if key.expires_at else "for good"
    state = until if key.is_valid() else f"expired {key.expires_at:%Y-%m-%d %H:%M} UTC"
    within = "" if key.collections is None else f"  in {','.join(key.collections)}"
    return f"{key.key_id}  {state}  {','.join(key.scopes)}{within}  {key.name}"
