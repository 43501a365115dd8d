"""The routes that manage the gallery."""

import hashlib
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request, Response, status

from app.access.keys import CollectionMissing
from app.api.access import Guarded, caller_of, guarded, require
from app.api.bodies import BodyTooLarge, BodyTooSlow, UploadRefused
from app.api.details import SubjectChanges
from app.api.erasures import Receipt, receipt_of
from app.api.errors import CrossSite, NotConfirmed, SubjectChanged
from app.api.query import KNOWN_QUERY
from app.api.schemas import Subjects, Templates
from app.api.service import Broken, GalleryDep, ServiceDep
from app.gallery.collection import CollectionName
from app.gallery.errors import LastTemplate, SubjectUnknown, TemplateUnknown, TrainedFixed
from app.gallery.subject import Origin, Subject

MAX_SUBJECT_ID_LENGTH = 255
"""Longest id that is looked up: an identity from training is the name of a folder."""

# Any text is looked up, because an identity from training must be erasable even if its id would be
# refused for a new subject.
SubjectId = Annotated[
    str,
    Path(
        max_length=MAX_SUBJECT_ID_LENGTH,
        description=f"The subject's id, up to {MAX_SUBJECT_ID_LENGTH} characters.",
        examples=["p003"],
    ),
]
ID_TOO_LONG = {"subject_id": f"String should have at most {MAX_SUBJECT_ID_LENGTH} characters"}

router = APIRouter(
    prefix="/v1/subjects", tags=["subjects"], dependencies=[KNOWN_QUERY], route_class=Guarded
)


@router.get(
    "",
    summary="List the subjects",
    **guarded(
        "read",
        CollectionMissing,
        invalid={"limit": "Input should be less than or equal to 1000, not '5000'"},
    ),
)
def list_subjects(
    service: ServiceDep,
    gallery: GalleryDep,
    request: Request,
    after: Annotated[
        str | None,
        Query(description="Start after this subject_id: `next` of the previous page."),
    ] = None,
    limit: Annotated[
        int, Query(ge=1, le=1000, description="Largest number of subjects on a page, 1 to 1000.")
    ] = 100,
    origin: Annotated[
        Origin | None, Query(description="Only subjects of this origin; all if left out.")
    ] = None,
    name: Annotated[
        str | None,
        Query(
            max_length=200,
            description="Only subjects whose name holds this text, up to 200 characters, in "
            "capital or small letters; all if left out.",
        ),
    ] = None,
    collection: Annotated[
        CollectionName | None,
        Query(
            description="Only subjects of this collection; all that the key may see if left out."
        ),
    ] = None,
) -> Subjects:
    """Lists subjects, trained or enrolled, in the order of their ids."""
    if collection is not None:
        caller_of(request).require(collection)
        gallery = gallery.within(frozenset({collection}))
    found = gallery.subjects(after=after, limit=limit + 1, origin=origin, name=name)
    page = found[:limit]
    nets = service.ensemble
    return Subjects(
        subjects=page,
        next=page[-1].subject_id if len(found) > limit else None,
        without_templates=None
        if isinstance(nets, Broken)
        else gallery.count_incomparable(nets.formats),
    )


@router.get(
    "/{subject_id}",
    summary="Show a subject",
    **guarded("read", SubjectUnknown, invalid=ID_TOO_LONG),
)
def show_subject(gallery: GalleryDep, subject_id: SubjectId, response: Response) -> Subject:
    """Shows one subject, and its number of templates of each net. The `ETag` names this state."""
    subject = gallery.subject(subject_id)
    response.headers["ETag"] = etag_of(subject)
    return subject


@router.patch(
    "/{subject_id}",
    summary="Change a subject",
    response_model=Subject,
    **guarded(
        "enroll",
        SubjectUnknown,
        SubjectChanged,
        CollectionMissing,
        TrainedFixed,
        CrossSite,
        BodyTooSlow,
        BodyTooLarge,
        UploadRefused,
        invalid={"hand": "Input should be 'left' or 'right', not 'both'"},
        empty="Changed; the API key may not read the subject.",
    ),
)
def change_subject(
    gallery: GalleryDep,
    request: Request,
    subject_id: SubjectId,
    changes: SubjectChanges,
    response: Response,
    if_match: Annotated[
        str | None,
        Header(
            max_length=200,
            description="The `ETag` of the subject as it was read, up to 200 characters; if it "
            "has changed since, the answer is 412 and nothing changes.",
        ),
    ] = None,
) -> Subject | Response:
    """Sets fields of a subject. `retain_until` needs the scope `erase` too.

    Callers without the scope `read` get 204, and do not learn what else is known of the subject.
    """
    caller = caller_of(request)

    def require_unchanged(subject: Subject) -> None:
        if if_match is not None and if_match.strip() not in ("*", etag_of(subject)):
            raise SubjectChanged(subject_id)

    fields = changes.model_dump(exclude_unset=True)
    if "collection" in fields:
        caller.require(fields["collection"])
    if "retain_until" in fields:
        require(caller, "erase")
    subject = gallery.update(subject_id, fields, check=require_unchanged)
    if "read" not in caller.scopes:
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    response.headers["ETag"] = etag_of(subject)
    return subject


@router.delete(
    "/{subject_id}",
    summary="Erase a subject",
    **guarded("erase", SubjectUnknown, NotConfirmed, CrossSite, invalid=ID_TOO_LONG),
)
def erase_subject(
    service: ServiceDep,
    gallery: GalleryDep,
    subject_id: SubjectId,
    confirm: Annotated[
        bool,
        Query(description="Whether a trained identity shall be erased, which is final."),
    ] = False,
) -> Receipt:
    """Erases the subject and its templates for good, and returns a receipt.

    The subject can no longer be identified. What could decrypt its templates is destroyed; media
    from which it cannot be removed yet are `pending`, and the service tries again.

    An identity from training is ignored from then on, also after a restart: `confirm=true` is
    needed. The nets' weights still depend on its images until the nets are trained without it.
    """

    def require_confirmed(subject: Subject) -> None:
        if subject.origin == "trained" and not confirm:
            raise NotConfirmed(subject_id)

    return receipt_of(service, gallery.delete(subject_id, check=require_confirmed))


@router.get(
    "/{subject_id}/templates",
    summary="List a subject's templates",
    **guarded("read", SubjectUnknown, invalid=ID_TOO_LONG),
)
def list_templates(gallery: GalleryDep, subject_id: SubjectId) -> Templates:
    """Lists the enrolled images of a subject; those from training are not listed."""
    return Templates(templates=gallery.templates(subject_id))


@router.delete(
    "/{subject_id}/templates/{number}",
    summary="Erase a template",
    **guarded(
        "erase",
        SubjectUnknown,
        TemplateUnknown,
        LastTemplate,
        CrossSite,
        invalid=ID_TOO_LONG,
    ),
)
def erase_template(
    service: ServiceDep,
    gallery: GalleryDep,
    subject_id: SubjectId,
    number: Annotated[
        int, Path(ge=1, lt=2**63, description="The template's number, 1 or more.", examples=[412])
    ],
) -> Receipt:
    """Erases one enrolled image of a subject for good, and returns a receipt."""
    return receipt_of(service, gallery.remove_template(subject_id, number))


def etag_of(subject: Subject) -> str:
    """Returns the entity tag of a subject's state (RFC 9110, section 8.8.3)."""
    return f'"{hashlib.sha256(subject.model_dump_json().encode()).hexdigest()[:32]}"'
