"""The routes about whole subjects: rename, merge, export."""

from base64 import b64encode
from datetime import datetime

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from app.access.keys import Caller
from app.api.access import Guarded, caller_of, guarded, require
from app.api.audit import begin, pseudonym_of
from app.api.bodies import BodyTooLarge, BodyTooSlow, UploadRefused
from app.api.erasures import Receipt, receipt_of
from app.api.errors import CrossSite
from app.api.query import KNOWN_QUERY
from app.api.schemas import NEW_SUBJECT_ID, RequestBody
from app.api.service import GalleryDep, IdentifierDep, ServiceDep
from app.api.shown import subject_for
from app.api.subjects import ID_TOO_LONG, MAX_SUBJECT_ID_LENGTH, SubjectId, etag_of
from app.gallery.erasure import Erasure
from app.gallery.errors import (
    HandsDiffer,
    SameSubject,
    SubjectExists,
    SubjectUnknown,
    TrainedFixed,
)
from app.gallery.sql.records import Record, StoredMap
from app.gallery.subject import Subject, Template
from app.matching.maps import STEPS
from app.merging import MergeUnchecked, PalmsUnlike

FORMAT = (
    "All that the gallery holds of one person. `subject` has the fields; `templates` what was "
    "computed from each enrolled image, which itself was never stored; `erasures` the receipts of "
    "templates that were erased, and of former ids. Each `map` is base64 of: int8 values [side, "
    f"side, channels], row by row, of which {STEPS} are one standard deviation; a bit for each "
    "place [side, side], the highest bit of a byte first, 1 if the place is usable, filled up to "
    "whole bytes; three "
    "float32, little-endian: mean and deviation of the map's similarity to other palms, and a mark "
    "of these palms. Maps of former releases lack the last three. A map keeps the layout of the "
    "veins: treat it as an image of the palm."
)
"""Describes an `Export` to its reader, who may have nothing but it."""


class Rename(RequestBody):
    """The id that a subject is to get."""

    subject_id: str = Field(
        pattern=NEW_SUBJECT_ID,
        description="The new id: 1 to 64 letters, digits, dots, dashes and underscores, of which "
        "the first is a letter or digit.",
        examples=["ada-lovelace-left"],
    )


class Merge(RequestBody):
    """The subject that is to become a part of another one."""

    other: str = Field(
        alias="from",
        max_length=MAX_SUBJECT_ID_LENGTH,
        description="The subject whose templates move, and who is erased; up to "
        f"{MAX_SUBJECT_ID_LENGTH} characters.",
        examples=["ada-2"],
    )
    force: bool = Field(
        default=False,
        description="Whether to merge although the templates do not show one palm, or that cannot "
        "be checked; needs the scope `force`.",
    )


class Moved(BaseModel):
    """The subject as it is now, and the receipt of what was erased for it."""

    subject: Subject = Field(description="The subject.")
    receipt: Receipt = Field(
        description="The receipt of the former id, or of the subject that was merged."
    )


class ExportedMap(BaseModel):
    """What one net computed from an image."""

    net: str = Field(description="The net's name.", examples=["vgg16"])
    template_id: str = Field(
        description="Which templates can be compared: those of an equal id.",
        examples=["0123456789abcdef"],
    )
    side: int | None = Field(
        description="Number of places in a row of the map; null if unknown, because the net is of "
        "a former release.",
        examples=[28],
    )
    channels: int | None = Field(
        description="Number of channels of the map; null likewise.", examples=[16]
    )
    map: str = Field(
        description="The map, base64; `format` tells how to read it. Empty if it is damaged."
    )

    @classmethod
    def of(cls, stored: StoredMap) -> "ExportedMap":
        """Describes a map."""
        side, channels = stored.shape or (None, None)
        return cls(
            net=stored.net,
            template_id=stored.template_id,
            side=side,
            channels=channels,
            map=b64encode(stored.content).decode(),
        )


class ExportedTemplate(Template):
    """One enrolled image of a subject, and what the nets computed from it."""

    maps: list[ExportedMap] = Field(description="The maps, by the nets' names.")


class Export(BaseModel):
    """All that is stored of one person."""

    format: str = Field(description="How to read the rest, in words.")
    exported_at: datetime = Field(
        description="When it was read, UTC.", examples=["2026-11-30T09:00:00Z"]
    )
    subject: Subject = Field(description="The subject's fields.")
    templates: list[ExportedTemplate] = Field(
        description="The enrolled templates, in the order of enrolment. Those that a trained "
        "subject has from training are a part of the nets, and not listed."
    )
    erasures: list[Erasure] = Field(
        description="The receipts of templates that were erased under this id or a former one, and "
        "of former ids, the oldest first."
    )

    @classmethod
    def of(cls, record: Record, at: datetime) -> "Export":
        """Describes all that is stored of a subject."""
        maps = [(one.number, ExportedMap.of(one)) for one in record.maps]
        templates = [
            ExportedTemplate(
                **dict(one), maps=[own for number, own in maps if number == one.number]
            )
            for one in record.templates
        ]
        return cls(
            format=FORMAT,
            exported_at=at,
            subject=record.subject,
            templates=templates,
            erasures=record.erasures,
        )


_BODY_ERRORS = (CrossSite, BodyTooSlow, BodyTooLarge, UploadRefused)

router = APIRouter(
    prefix="/v1/subjects", tags=["subjects"], dependencies=[KNOWN_QUERY], route_class=Guarded
)


@router.post(
    "/{subject_id}/rename",
    summary="Rename a subject",
    **guarded(
        "enroll",
        SubjectUnknown,
        SubjectExists,
        TrainedFixed,
        *_BODY_ERRORS,
        invalid={"subject_id": f"String should match pattern '{NEW_SUBJECT_ID}'"},
    ),
)
def rename_subject(
    service: ServiceDep,
    gallery: GalleryDep,
    request: Request,
    subject_id: SubjectId,
    wanted: Rename,
    response: Response,
) -> Moved:
    """Gives a subject another id; needs the scope `erase` too, because the former id is free then.

    The subject also gets another key, and the former one is destroyed, as if it were erased and
    enrolled anew. Its templates, fields and receipts stay; receipts are under the former pseudonym.
    """
    caller = caller_of(request)
    require(caller, "erase")
    begin(request, new_subject=pseudonym_of(request, wanted.subject_id))
    erasure = gallery.records.rename(subject_id, wanted.subject_id)
    subject, receipt = gallery.subject(wanted.subject_id), receipt_of(service, erasure)
    return _moved(caller, subject, receipt, response)


@router.post(
    "/{subject_id}/merge",
    summary="Merge two subjects that are one palm",
    **guarded(
        "enroll",
        SubjectUnknown,
        SameSubject,
        MergeUnchecked,
        HandsDiffer,
        TrainedFixed,
        PalmsUnlike,
        *_BODY_ERRORS,
        invalid={"from": "is required"},
    ),
)
def merge_subjects(
    service: ServiceDep,
    gallery: GalleryDep,
    identifier: IdentifierDep,
    request: Request,
    subject_id: SubjectId,
    wanted: Merge,
    response: Response,
) -> Moved:
    """Makes another subject's templates templates of this one, and erases the other subject.

    Needs the scope `erase` too. The other subject's name and other fields are erased with it. If
    the templates do not show one palm, nothing is changed.
    """
    caller = caller_of(request)
    require(caller, "erase")
    if wanted.force:
        require(caller, "force")
    begin(request, other_subject=pseudonym_of(request, wanted.other))
    erasure = identifier.enroller.merge(
        subject_id, wanted.other, force=wanted.force, within=caller.collections
    )
    subject, receipt = gallery.subject(subject_id), receipt_of(service, erasure)
    return _moved(caller, subject, receipt, response)


def _moved(caller: Caller, subject: Subject, receipt: Receipt, response: Response) -> Moved:
    if "read" in caller.scopes:
        response.headers["ETag"] = etag_of(subject)
    return Moved(subject=subject_for(caller, subject), receipt=receipt)


@router.get(
    "/{subject_id}/export",
    summary="Export all that is stored of a subject",
    response_model=Export,
    **guarded("export", SubjectUnknown, invalid=ID_TOO_LONG),
)
def export_subject(gallery: GalleryDep, subject_id: SubjectId) -> Response:
    """Returns all that is stored of one person, also its templates: see `format` in the answer."""
    export = Export.of(gallery.records.read(subject_id), gallery.records.now())
    # As text, because the event loop would otherwise write what grows with the templates.
    return Response(export.model_dump_json(), media_type="application/json")
