"""The routes that manage the gallery."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, status

from app.api.access import Guarded, guarded
from app.api.errors import CrossSite
from app.api.query import KNOWN_QUERY
from app.api.schemas import SubjectChanges, Subjects
from app.api.service import Broken, GalleryDep, ServiceDep
from app.gallery.gallery import Subject, SubjectUnknown

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
_TOO_LONG = {"subject_id": f"String should have at most {MAX_SUBJECT_ID_LENGTH} characters"}

router = APIRouter(
    prefix="/v1/subjects", tags=["subjects"], dependencies=[KNOWN_QUERY], route_class=Guarded
)


@router.get(
    "",
    summary="List the subjects",
    **guarded("read", invalid={"limit": "Input should be less than or equal to 1000, not '5000'"}),
)
def list_subjects(
    service: ServiceDep,
    gallery: GalleryDep,
    after: Annotated[
        str | None,
        Query(description="Start after this subject_id: `next` of the previous page."),
    ] = None,
    limit: Annotated[
        int, Query(ge=1, le=1000, description="Largest number of subjects on a page, 1 to 1000.")
    ] = 100,
) -> Subjects:
    """Lists all subjects, trained or enrolled, in the order of their ids."""
    found = gallery.subjects(after=after, limit=limit + 1)
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
    **guarded("read", SubjectUnknown, invalid=_TOO_LONG),
)
def show_subject(gallery: GalleryDep, subject_id: SubjectId) -> Subject:
    """Shows one subject, and its number of templates of each net."""
    return gallery.subject(subject_id)


@router.patch(
    "/{subject_id}",
    summary="Change a subject",
    **guarded(
        "enroll",
        SubjectUnknown,
        CrossSite,
        invalid={"hand": "Input should be 'left' or 'right', not 'both'"},
    ),
)
def change_subject(gallery: GalleryDep, subject_id: SubjectId, changes: SubjectChanges) -> Subject:
    """Sets the name, the hand or both."""
    return gallery.update(subject_id, changes.model_dump(exclude_unset=True))


@router.delete(
    "/{subject_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Erase a subject",
    **guarded("erase", SubjectUnknown, CrossSite, invalid=_TOO_LONG),
)
def erase_subject(gallery: GalleryDep, subject_id: SubjectId) -> None:
    """Erases the subject and its templates for good; it can no longer be identified.

    An identity from training is ignored from then on, also after a restart. The nets' weights still
    depend on its images until the nets are trained without it.
    """
    gallery.delete(subject_id)
