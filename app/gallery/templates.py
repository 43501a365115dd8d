"""The templates of one subject in the database: an image's maps by all nets share a number."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from app.gallery.errors import LastTemplate, TemplateUnknown
from app.gallery.numbers import take_numbers
from app.gallery.schema import MAPS, REMOVED, SUBJECTS
from app.gallery.subject import Template
from app.gallery.subjects import read_subject
from app.gallery.sums import read_shares, replace_shares, summed_formats
from app.matching.maps import VeinMaps
from app.matching.templates import MapFormat
from app.palm.capture import Capture


def read_templates(connection: Connection, subject_id: str) -> list[Template]:
    """Reads the enrolled templates of a subject, in the order of enrolment.

    Raises:
        SubjectUnknown: if there is no subject of that id.
    """
    read_subject(connection, subject_id)
    columns = (MAPS.c.number, MAPS.c.net, MAPS.c.template_id, MAPS.c.capture, MAPS.c.added_at)
    query = select(*columns).where(MAPS.c.subject_id == subject_id)
    found: dict[int, dict[str, Any]] = {}  # fields of each template, by number
    for row in connection.execute(query.order_by(MAPS.c.number, MAPS.c.net)):
        added_at = row.added_at and datetime.fromisoformat(row.added_at)
        fields: dict[str, Any] = {
            "number": row.number,
            "capture": row.capture,
            "added_at": added_at,
            "nets": [],
        }
        template = found.setdefault(row.number, fields)
        template["nets"].append(f"{row.net}:{row.template_id}")
    return [Template(**fields) for fields in found.values()]


def insert_templates(
    connection: Connection,
    subject_id: str,
    templates: Mapping[MapFormat, VeinMaps],
    captures: Sequence[Capture] | None,
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
            "map": one,
            "capture": captures[place] if captures else None,
            "number": first + place,
            "added_at": now,
        }
        for of, maps in templates.items()
        for place, one in enumerate(maps.to_bytes())
    ]
    if rows:
        connection.execute(insert(MAPS), rows)


def remove_template(connection: Connection, revision: int, subject_id: str, number: int) -> None:
    """Removes the maps of one image of a subject.

    The subject gets another number, as if it were erased and enrolled anew: so every process drops
    all of its maps from memory and reads the others.

    Raises:
        SubjectUnknown: if there is no subject of that id.
        TemplateUnknown: if it has no template of that number.
        LastTemplate: if an enrolled subject has no other.
    """
    subject = read_subject(connection, subject_id)
    numbers = set(connection.scalars(select(MAPS.c.number).where(MAPS.c.subject_id == subject_id)))
    if number not in numbers:
        raise TemplateUnknown(subject_id, number)
    if subject.origin == "enrolled" and len(numbers) == 1:
        raise LastTemplate(subject_id)
    formats = summed_formats(connection) if subject.origin == "enrolled" else []
    before = read_shares(connection, subject_id, formats)
    connection.execute(delete(MAPS).where(MAPS.c.subject_id == subject_id, MAPS.c.number == number))
    replace_shares(connection, before, read_shares(connection, subject_id, formats))
    own = SUBJECTS.c.subject_id == subject_id
    former = connection.scalars(select(SUBJECTS.c.number).where(own)).one()
    connection.execute(insert(REMOVED), {"number": former, "revision": revision})
    changes = {"number": take_numbers(connection, 1), "changed": revision}
    connection.execute(update(SUBJECTS).where(own).values(changes))
