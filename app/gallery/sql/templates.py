"""The templates of one subject in the database: an image's maps by all nets share a number."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from app.gallery.encryption.vault import SubjectKey, Vault
from app.gallery.errors import LastTemplate, TemplateUnknown
from app.gallery.sql.fields import encrypt_texts
from app.gallery.sql.numbers import take_numbers
from app.gallery.sql.schema import MAPS, REMOVED, SUBJECTS
from app.gallery.sql.subjects import read_key, read_row
from app.gallery.sql.sums import read_shares, replace_shares, summed_formats
from app.gallery.subject import Template
from app.matching.maps import VeinMaps
from app.matching.templates import MapFormat
from app.palm.capture import Capture


def read_templates(connection: Connection, subject_id: str) -> list[Template]:
    """Reads the enrolled templates of a subject, in the order of enrolment."""
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
            "capture": captures[place] if captures else None,
            "number": first + place,
            "added_at": now,
            "camera": camera,
            **key.encrypt_map(one, of.net, of.template_id, first + place),
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
    renumber(connection, vault, row, key, revision)
    return row["number"]


def renumber(
    connection: Connection,
    vault: Vault,
    row: Mapping[Any, Any],
    key: SubjectKey,
    revision: int,
    new_id: str | None = None,
) -> None:
    """Gives a subject another number and key, maybe another id, and encrypts all of it anew."""
    former_id = row["subject_id"]
    subject_id = new_id or former_id
    number = take_numbers(connection, 1)
    vault.create_keys(connection, {number: subject_id})
    new = vault.keys_of(connection, {number: subject_id})[number]
    changes = {"number": number, "changed": revision, **encrypt_texts(row, key, new)}
    own = SUBJECTS.c.subject_id == former_id
    if new_id is None:
        connection.execute(update(SUBJECTS).where(own).values(changes))
    else:  # the maps refer to their subject's id
        connection.execute(insert(SUBJECTS), {**row, **changes, "subject_id": new_id})
    maps = select(MAPS).where(MAPS.c.subject_id == former_id)
    for one in connection.execute(maps).mappings().all():
        moved = {"subject_id": subject_id, **_encrypt_anew(one, key, new)}
        connection.execute(update(MAPS).where(MAPS.c.map_id == one["map_id"]).values(moved))
    if new_id is not None:
        connection.execute(delete(SUBJECTS).where(own))


def copy_templates(
    connection: Connection, former_id: str, key: SubjectKey, subject_id: str, new: SubjectKey
) -> None:
    """Gives a subject copies of all templates of another one, with their numbers.

    They come after its own in the order of `MAPS.map_id`: so every process reads them as new ones.

    Args:
        connection: a writer's transaction, which removes the other subject afterwards.
        former_id: the other subject.
        key: the other one's key.
        subject_id: the subject.
        new: its key.
    """
    query = select(MAPS).where(MAPS.c.subject_id == former_id).order_by(MAPS.c.map_id)
    for one in connection.execute(query).mappings().all():
        row = {name: value for name, value in one.items() if name != "map_id"}
        moved = {"subject_id": subject_id, **_encrypt_anew(one, key, new)}
        connection.execute(insert(MAPS), {**row, **moved})


def _encrypt_anew(row: RowMapping, key: SubjectKey, new: SubjectKey) -> dict[str, Any]:
    """Returns columns of a row of `MAPS` under another key; a damaged map stays damaged."""
    place = (row["net"], row["template_id"], row["number"])
    return new.encrypt_map(key.decrypt_map(row["map"], *place, row["transform"]), *place)
