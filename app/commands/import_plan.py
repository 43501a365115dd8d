"""What an import will enroll: subjects with their fields and images, checked before the first."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field, ValidationError

from app.api.details import ConsentField, MetadataField, RetainUntilField, details_of
from app.api.names import Name
from app.api.schemas import NEW_SUBJECT_ID, CameraField, RequestBody
from app.commands.import_sources import MAX_TABLE_BYTES, TABLE, Found, Source
from app.gallery.collection import CollectionName
from app.gallery.index.cameras import UNNAMED
from app.gallery.sql.records import FieldValue
from app.gallery.subject import Hand
from app.validation import MAX_ERRORS, in_one_line, shorten, suggest

METADATA = "metadata."
"""Begins the name of a column whose cells are metadata under the key that follows."""


class Row(RequestBody):
    """The fields of a subject in the table."""

    subject_id: str = Field(pattern=NEW_SUBJECT_ID)
    name: Name | None = None
    hand: Hand | None = None
    collection: CollectionName | None = None
    camera: CameraField = UNNAMED
    consent: ConsentField = None
    retain_until: RetainUntilField = None
    metadata: MetadataField = None


COLUMNS = tuple(one for one in Row.model_fields if one != "metadata")


@dataclass(frozen=True, slots=True)
class Planned:
    """A subject to enroll.

    Attributes:
        subject_id: its id, also the name of its folder.
        images: the names of its images.
        name: its name.
        hand: its hand.
        collection: its collection; None for "default".
        camera: the camera that took its images.
        details: see `Gallery.enroll`.
    """

    subject_id: str
    images: Sequence[str]
    name: str | None
    hand: Hand | None
    collection: str | None
    camera: str
    details: Mapping[str, FieldValue]


def make_plan(source: Source) -> list[Planned]:
    """Returns the subjects of a source, in the order of their ids.

    Raises:
        ValueError: if anything is wrong, or there is nobody; the message lists up to ten findings.
        OSError: if the source cannot be read.
    """
    found = source.find()
    wrong = [*found.wrong, *_check_ids(found.folders)]
    rows: dict[str, Row] = {}
    if found.has_table:
        rows, complaints = _read_table(source)
        wrong += complaints
        wrong += _check_rows(rows, found)
    if wrong:
        more = f"; and {len(wrong) - MAX_ERRORS} more" if len(wrong) > MAX_ERRORS else ""
        raise ValueError(f"nothing was imported: {'; '.join(wrong[:MAX_ERRORS])}{more}")
    if not found.folders:
        raise ValueError("nothing was imported: there is no folder of a subject's images")
    return [
        _plan(rows.get(one) or Row(subject_id=one), images)
        for one, images in sorted(found.folders.items())
    ]


def _plan(row: Row, images: Sequence[str]) -> Planned:
    return Planned(
        *(row.subject_id, images, row.name, row.hand, row.collection, row.camera),
        details=details_of(row),
    )


def _check_ids(ids: Mapping[str, object]) -> Iterator[str]:
    """Complains about names of folders that are no ids, or alike."""
    known: dict[str, str] = {}
    for one in ids:
        if not re.fullmatch(NEW_SUBJECT_ID, one):
            yield (
                f"folder {shorten(one)!r}: a subject's id has 1 to 64 letters, digits, dots, "
                "dashes and underscores, and begins with a letter or digit"
            )
        elif (other := known.setdefault(one.lower(), one)) != one:
            yield f"folders {other!r} and {one!r} differ only in capital letters"


def _check_rows(rows: Mapping[str, Row], found: Found) -> Iterator[str]:
    for one in rows:
        if one not in found.folders:
            yield f"{TABLE} has {one!r}, but there is no folder of that name"


def _read_table(source: Source) -> tuple[dict[str, Row], list[str]]:
    """Reads the table; returns its rows by id, and what is wrong with it."""
    content = source.read(TABLE, most=MAX_TABLE_BYTES + 1)
    if len(content) > MAX_TABLE_BYTES:
        return {}, [f"{TABLE} is larger than {MAX_TABLE_BYTES} bytes; split the import"]
    rows: dict[str, Row] = {}
    wrong: list[str] = []
    try:
        lines = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        header = next(lines, None) or []
        wrong += _check_header(header)
        for cells in lines if not wrong else ():
            if not any(cells):
                continue
            place = f"{TABLE}, line {lines.line_num}"
            if len(cells) != len(header):
                wrong.append(f"{place}: {len(cells)} cells instead of {len(header)}")
                continue
            try:
                row = _read_row(header, cells)
            except ValidationError as error:
                wrong.append(f"{place}: {in_one_line(error)}")
                continue
            if row.subject_id in rows:
                wrong.append(f"{place}: {row.subject_id!r} is there twice")
            rows[row.subject_id] = row
    except UnicodeDecodeError as error:
        wrong.append(f"{TABLE} is not written in UTF-8 ({error.reason})")
    except csv.Error as error:
        wrong.append(f"{TABLE} cannot be read: {error}")
    return rows, wrong


def _check_header(header: Sequence[str]) -> Iterator[str]:
    """Complains about columns that are missing, unknown or there twice."""
    if "subject_id" not in header:
        yield f"{TABLE} has no column subject_id in its first line"
    for place, one in enumerate(header):
        if one not in COLUMNS and not one.startswith(METADATA):
            advice = suggest(one, [*COLUMNS, f"{METADATA}KEY"])
            yield f"{TABLE} has an unknown column {shorten(one)!r}; {advice}"
        elif one in header[:place]:
            yield f"{TABLE} has the column {one!r} twice"


def _read_row(header: Sequence[str], cells: Sequence[str]) -> Row:
    """Reads one line; an empty cell is no value."""
    given = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
    fields: dict[str, Any] = {one: given[one] for one in COLUMNS if one in given}
    metadata = {
        name.removeprefix(METADATA): cell
        for name, cell in given.items()
        if name.startswith(METADATA)
    }
    return Row(**fields, metadata=metadata or None)
