"""The routes that manage the gallery."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, status

from app.api.problems import documented
from app.api.schemas import MAX_SUBJECT_ID_LENGTH, Subject, SubjectChanges, Subjects
from app.api.service import GalleryDep

# Identities that a net was trained on may be named otherwise than `NEW_SUBJECT_ID` asks, and must
# be erasable all the same: so any text is looked up.
SubjectId = Annotated[str, Path(max_length=MAX_SUBJECT_ID_LENGTH, examples=["p017"])]

router = APIRouter(prefix="/v1/subjects", tags=["subjects"])


@router.get("", summary="List the subjects", responses=documented(422, 503))
def list_subjects(
    gallery: GalleryDep,
    after: Annotated[
        str | None, Query(description="Start behind this subject_id: `next` of the last page.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Subjects on a page.")] = 100,
) -> Subjects:
    """Everybody who can be identified, by subject_id: trained and enrolled."""
    found = gallery.subjects(after=after, limit=limit + 1)
    page = [Subject.model_validate(subject) for subject in found[:limit]]
    return Subjects(subjects=page, next=page[-1].subject_id if len(found) > limit else None)


@router.get("/{subject_id}", summary="Show a subject", responses=documented(404, 422, 503))
def show_subject(gallery: GalleryDep, subject_id: SubjectId) -> Subject:
    """One subject, and how many templates it has for each net."""
    return Subject.model_validate(gallery.subject(subject_id))


@router.patch("/{subject_id}", summary="Change a subject", responses=documented(404, 422, 503))
def change_subject(gallery: GalleryDep, subject_id: SubjectId, changes: SubjectChanges) -> Subject:
    """Sets the name, the hand or both."""
    given = changes.model_dump(exclude_unset=True)
    return Subject.model_validate(gallery.update(subject_id, given))


@router.delete(
    "/{subject_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Erase a subject",
    responses=documented(404, 422, 503),
)
def erase_subject(gallery: GalleryDep, subject_id: SubjectId) -> None:
    """Erases the subject and its templates for good; it cannot be identified any more.

    An identity that the nets were trained on is ignored from then on, also after a restart. It
    stays part of the nets themselves until they are trained without it.
    """
    gallery.delete(subject_id)
