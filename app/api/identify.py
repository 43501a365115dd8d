"""The routes that compare palms: enroll, identify, verify."""

import logging
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Form, Header, Query, Request, Response, UploadFile, status
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from app import answers
from app.access.keys import CollectionMissing, CollectionUnnamed
from app.api.access import Computing, caller_of, guarded, require
from app.api.audit import begin, note, note_subject, pseudonym_of
from app.api.collections import (
    CollectionField,
    CollectionsField,
    collection_to_enroll,
    collections_to_search,
)
from app.api.details import ConsentField, MetadataField, RetainUntilField, details_of
from app.api.errors import ExplanationOff
from app.api.measured import note_decision, note_stages
from app.api.middleware import SEND_IMAGES
from app.api.names import Name
from app.api.once import once_of
from app.api.palm_problems import OF_ALL
from app.api.query import KNOWN_QUERY
from app.api.schemas import (
    NEW_SUBJECT_ID,
    CameraField,
    CaptureField,
    Enrollment,
    Identification,
    RequestBody,
    Verification,
    image_files,
    leave_empty,
)
from app.api.service import AdmittedIdentifierDep, ServiceDep
from app.api.shown import decision_for, enrollment_for
from app.api.subjects import MAX_SUBJECT_ID_LENGTH
from app.enrolment import HandDiffers, OtherPalm, PalmKnown
from app.gallery.errors import (
    CollectionDiffers,
    RequestDiffers,
    SubjectExists,
    SubjectUnknown,
    TemplatesMissing,
    TrainedFixed,
)
from app.gallery.subject import Hand
from app.numbers import show_confidence, show_score

logger = logging.getLogger(__name__)

MAX_PROBE_IMAGES = 5


class EnrollForm(RequestBody):
    """A palm to add to the gallery."""

    subject_id: str = Field(
        pattern=NEW_SUBJECT_ID,
        description="The subject's id: 1 to 64 letters, digits, dots, dashes and underscores, of "
        "which the first is a letter or digit.",
        examples=["ada-left"],
    )
    images: list[UploadFile] = image_files(
        10, " Three or more, taken at different times, give the best results."
    )
    name: Name | SkipJsonSchema[None] = Field(
        default=None,
        description="Free text of one line, up to 200 characters.",
        json_schema_extra=leave_empty,
    )
    hand: Hand | SkipJsonSchema[None] = Field(
        default=None,
        description="The hand that the palm belongs to.",
        json_schema_extra=leave_empty,
    )
    metadata: MetadataField = None
    consent: ConsentField = None
    retain_until: RetainUntilField = None
    add: bool = Field(
        default=False,
        description="Whether to add the images to the subject if it exists; false if left out.",
        json_schema_extra=leave_empty,
    )
    force: bool = Field(
        default=False,
        description="Whether to enroll the palm although it is enrolled under another subject, or "
        "unlike the subject's own; false if left out.",
        json_schema_extra=leave_empty,
    )
    capture: CaptureField = None
    collection: CollectionField = None
    camera: CameraField = ""


class IdentifyForm(RequestBody):
    """A palm to identify."""

    images: list[UploadFile] = image_files(MAX_PROBE_IMAGES)
    capture: CaptureField = None
    collections: CollectionsField
    camera: CameraField = ""


class VerifyForm(RequestBody):
    """A palm to verify, and whose it is claimed to be."""

    subject_id: str = Field(
        max_length=MAX_SUBJECT_ID_LENGTH,
        description=f"The claimed subject, up to {MAX_SUBJECT_ID_LENGTH} characters.",
        examples=["p003"],
    )
    images: list[UploadFile] = image_files(MAX_PROBE_IMAGES)
    capture: CaptureField = None
    camera: CameraField = ""


MULTIPART = Form(media_type="multipart/form-data")
IMAGES_MISSING = {"images": f"is required; {SEND_IMAGES}"}
router = APIRouter(prefix="/v1", tags=["palms"], dependencies=[KNOWN_QUERY], route_class=Computing)


@router.post(
    "/enroll",
    response_model=Enrollment,
    status_code=status.HTTP_201_CREATED,
    summary="Add a palm to the gallery",
    **guarded(
        "enroll",
        SubjectExists,
        SubjectUnknown,
        OtherPalm,
        PalmKnown,
        HandDiffers,
        RequestDiffers,
        CollectionMissing,
        CollectionUnnamed,
        CollectionDiffers,
        TrainedFixed,
        *OF_ALL,
        invalid=IMAGES_MISSING,
    ),
)
def enroll(
    identifier: AdmittedIdentifierDep,
    request: Request,
    form: Annotated[EnrollForm, MULTIPART],
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=16,
            max_length=200,
            description="A random text of 16 to 200 characters, new for every new request: a "
            "request that is repeated with it within a day is done once.",
        ),
    ] = None,
) -> Response:
    """Adds one palm; it is identified from then on, without any training.

    If any image is refused, nothing is stored. Images themselves are never stored.
    """
    begin(request, subject=(subject := pseudonym_of(request, form.subject_id)))
    caller, images = caller_of(request), _read(form.images)
    if form.force:
        require(caller, "force")
    collection = collection_to_enroll(caller, form.collection)
    if form.add and form.retain_until:
        require(caller, "erase")
    try:
        enrolled = identifier.enroller.enroll(
            form.subject_id,
            form.name,
            form.hand,
            images,
            add=form.add,
            force=form.force,
            mode=form.capture,
            once=once_of(idempotency_key, caller, form, images),
            collection=collection,
            details=details_of(form),
            within=caller.collections,
            camera=form.camera,
        )
    except PalmKnown as known:
        raise known if "read" in caller.scopes else known.unnamed() from None
    note_stages(request, enrolled.timings_ms)
    path = request.app.url_path_for("show_subject", subject_id=form.subject_id)
    _log("enroll", request, subject=subject, images=len(form.images))
    answer = enrollment_for(caller, Enrollment.of(enrolled, request.state.request_id))
    location = {"Location": f"{request.scope.get('root_path', '')}{path}"}
    return answer.as_response(status.HTTP_201_CREATED, location)


@router.post(
    "/identify",
    response_model=Identification,
    summary="Identify a palm",
    **guarded("identify", ExplanationOff, CollectionMissing, *OF_ALL, invalid=IMAGES_MISSING),
)
def identify(
    identifier: AdmittedIdentifierDep,
    service: ServiceDep,
    request: Request,
    form: Annotated[IdentifyForm, MULTIPART],
    explain: Annotated[
        bool,
        Query(description="Whether to draw which veins agree with a match; needs PALM_EXPLAIN."),
    ] = False,
) -> Response:
    """Compares one palm with every subject. That nobody matches is a result, not an error."""
    if explain:
        require(caller_of(request), "explain")
        if not service.may_explain:
            raise ExplanationOff
    found = identifier.identify(
        _read(form.images),
        mode=form.capture,
        explain=explain,
        within=collections_to_search(caller_of(request), form.collections),
        camera=form.camera,
    )
    _log_decision("identify", request, found)
    answer = Identification.of(found, request.state.request_id)
    return decision_for(caller_of(request), answer).as_response()


@router.post(
    "/verify",
    response_model=Verification,
    summary="Verify a claimed identity",
    **guarded("verify", SubjectUnknown, TemplatesMissing, *OF_ALL, invalid=IMAGES_MISSING),
)
def verify(
    identifier: AdmittedIdentifierDep,
    request: Request,
    form: Annotated[VerifyForm, MULTIPART],
) -> Response:
    """Compares one palm with the templates of one subject only."""
    note_subject(request, form.subject_id)
    found = identifier.verify(
        form.subject_id,
        _read(form.images),
        mode=form.capture,
        within=caller_of(request).collections,
        camera=form.camera,
    )
    _log_decision("verify", request, found)
    answer = Verification.of(found, request.state.request_id)
    return decision_for(caller_of(request), answer).as_response()


def _read(images: Sequence[UploadFile]) -> list[bytes]:
    return [image.file.read() for image in images]


def _log_decision(
    message: str, request: Request, found: answers.Identification | answers.Verification
) -> None:
    note(request, **log_decision(message, request, found))


def log_decision(
    message: str,
    request: Request,
    found: answers.Identification | answers.Verification,
    **of: int,
) -> dict[str, str | None]:
    """Logs and counts a decision, and which part `of` the request it is.

    Returns:
        What is to be audited.
    """
    note_decision(request, message, found)
    subject = found.identity and pseudonym_of(request, found.identity.subject_id)
    _log(
        message,
        request,
        **of,
        decision=found.decision,
        subject=subject,
        confidence=show_confidence(found.confidence),
        score=None if found.score is None else show_score(found.score),
    )
    as_of = found.gallery_as_of and found.gallery_as_of.isoformat(timespec="seconds")
    known = {"subject": subject} if subject else {}  # a claimed one stays noted
    return {"decision": found.decision, "gallery_as_of": as_of, **known}


def _log(message: str, request: Request, **outcome: str | float | None) -> None:
    """Logs an outcome; never an image, a template, a subject's id or the name of a file."""
    logger.info(message, extra={"fields": {**outcome, "request_id": request.state.request_id}})
