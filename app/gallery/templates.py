"""The templates of one subject in the database: an image's maps by all nets share a number."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from app.gallery.errors import LastTemplate, TemplateUnknown
from app.gallery.numbers import take_numbers
from app.gallery.schema import MAPS, REMOVED, SUBJECTS
from app.gallery.subject import Template
from app.gallery.subjects import read_key, read_row
from app.gallery.sums import read_shares, replace_shares, summed_formats
from app.gallery.vault import SubjectKey, Vault
from app.matching.maps import VeinMaps
from app.matching.templates import MapFormat
from app.palm.capture import Capture


def read_templates(connection: Connection, subject_id: str) -> list[Template]:
    """Reads the enrolled templates of a subject, in the order of enrolment.

    Raises:
        SubjectUnknown: if there is no subject of that id.
    """
    read_row(connection, subject_id)
    columns = (MAPS.c.number, MAPS.c.net, MAPS.c.template_id, MAPS.c.capture, MAPS.c.added_at)
    query = select(*columns, MAPS.c.camera).where(MAPS.c.subject_id == subject_id)
    found: dict[int, dict[str, Any]] = {}  # fields of each template, by number
    for row in connection.execute(query.order_by(MAPS.c.number, MAPS.c.net)):
        added_at = row.added_at and datetime.fromisoformat(row.added_at)
        fields: dict[str, Any] = {
            "number": row.number,
            "capture": row.capture,
            "added_at": added_at,
            "nets": [],
            "camera": row.camera or None,
        }
        template = found.setdefault(row.number, fields)
        template["nets"].append(f"{row.net}:{row.template_id}")
    return [Template(**fields) for fields in found.values()]


def insert_templates(
    connection: Connection,
    subject_id: str,
    key: SubjectKey,
    templates: Mapping[MapFormat, VeinMaps],
    captures: Sequence[Capture] | None,
    *,
    camera: str = "",
) -> None:
    """Adds templates, and numbers them."""
    images = max((len(maps) for maps in templates.values()), default=0)
    first = take_numbers(connection, images)
    now = datetime.now(UTC).isoformat()
    rows = [
        {
            "subject_id": subject_id,
            "net": of.net,
            "template_id": of.template_id,
            "map": key.encrypt_map(one, of.net, of.template_id, first + place),
            "capture": captures[place] if captures else None,
            "number": first + place,
            "added_at": now,
            "camera": camera,
        }
        for of, maps in templates.items()
        for place, one in enumerate(maps.to_bytes())
    ]
    if rows:
        connection.execute(insert(MAPS), rows)


def remove_template(
    connection: Connection, vault: Vault, revision: int, subject_id: str, number: int
) -> int:
    """Removes the maps of one image of a subject.

    The subject gets another number, as if it were erased and enrolled anew: so every process drops
    all of its maps from memory and reads the others. It also gets another key: so what was removed
    cannot be decrypted once the former key is destroyed.

    Returns:
        The subject's former number.

    Raises:
        SubjectUnknown: if there is no subject of that id.
        TemplateUnknown: if it has no template of that number.
        LastTemplate: if an enrolled subject has no other.
    """
    row = read_row(connection, subject_id)
    is_enrolled = row["origin"] == "enrolled"
    numbers = set(connection.scalars(select(MAPS.c.number).where(MAPS.c.subject_id == subject_id)))
    if number not in numbers:
        raise TemplateUnknown(subject_id, number)
    if is_enrolled and len(numbers) == 1:
        raise LastTemplate(subject_id)
    key = read_key(connection, vault, row)
    formats = summed_formats(connection) if is_enrolled else []
    before = read_shares(connection, subject_id, key, formats)
    connection.execute(delete(MAPS).where(MAPS.c.subject_id == subject_id, MAPS.c.number == number))
    replace_shares(connection, vault, before, read_shares(connection, subject_id, key, formats))
    connection.execute(insert(REMOVED), {"number": row["number"], "revision": revision})
    _renumber(connection, vault, row, key, revision)
    return row["number"]


def _renumber(
    connection: Connection, vault: Vault, row: RowMapping, key: SubjectKey, revision: int
) -> None:
    """Gives a subject another number and key, and encrypts its name and maps anew."""
    subject_id = row["subject_id"]
    number = take_numbers(connection, 1)
    vault.create_keys(connection, {number: subject_id})
    new = vault.keys_of(connection, {number: subject_id})[number]
    name = row["name"] and new.encrypt_name(key.decrypt_name(row["name"]))
    changes = {"number": number, "changed": revision, "name": name}
    own = SUBJECTS.c.subject_id == subject_id
    connection.execute(update(SUBJECTS).where(own).values(changes))
    for one in connection.execute(select(MAPS).where(MAPS.c.subject_id == subject_id)).all():
        place = (one.net, one.template_id, one.number)
        plain = key.decrypt_map(one.map, *place)
        changed = new.encrypt_map(plain, *place)  # one that is damaged stays so
        connection.execute(update(MAPS).where(MAPS.c.map_id == one.map_id).values(map=changed))
