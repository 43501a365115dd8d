"""The routes that look at palms: enroll, identify, verify."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Response, UploadFile, status
from pydantic.json_schema import SkipJsonSchema

from app.api.problems import documented
from app.api.schemas import (
    MAX_SUBJECT_ID_LENGTH,
    Candidate,
    Enrollment,
    Identification,
    Name,
    Quality,
    Subject,
    Threshold,
    Verification,
    Vote,
)
from app.api.service import IdentifierDep, RequestIdDep
from app.gallery.gallery import Hand

NEW_SUBJECT_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
MAX_ENROLLED_IMAGES = 10
MAX_PROBE_IMAGES = 5

# Swagger UI offers a file picker for an array only if its items are of this format.
_FILES: dict[str, Any] = {"items": {"type": "string", "format": "binary"}}

ProbeImages = Annotated[
    list[UploadFile],
    File(
        min_length=1,
        max_length=MAX_PROBE_IMAGES,
        description=f"1 to {MAX_PROBE_IMAGES} images of one palm: PNG, JPEG, BMP, TIFF or WebP.",
        json_schema_extra=_FILES,
    ),
]
EnrolledImages = Annotated[
    list[UploadFile],
    File(
        min_length=1,
        max_length=MAX_ENROLLED_IMAGES,
        description=f"1 to {MAX_ENROLLED_IMAGES} images of one palm: PNG, JPEG, BMP, TIFF or WebP."
        " Three or more from different moments recognise best.",
        json_schema_extra=_FILES,
    ),
]

router = APIRouter(prefix="/v1", tags=["palms"])


@router.post(
    "/enroll",
    status_code=status.HTTP_201_CREATED,
    summary="Add a palm to the gallery",
    responses=documented(409, 413, 415, 422, 503),
)
def enroll(
    identifier: IdentifierDep,
    request_id: RequestIdDep,
    response: Response,
    subject_id: Annotated[
        str,
        Form(
            pattern=NEW_SUBJECT_ID,
            description="1 to 64 letters, digits, dots, dashes and underscores.",
            examples=["ada-left"],
        ),
    ],
    images: EnrolledImages,
    name: Annotated[
        Name | SkipJsonSchema[None],
        Form(description="Free text of one line.", examples=["Ada Lovelace"]),
    ] = None,
    hand: Annotated[Hand | SkipJsonSchema[None], Form(description="Which hand it is.")] = None,
    add: Annotated[
        bool, Form(description="Add these images to the subject if it exists already.")
    ] = False,
) -> Enrollment:
    """Adds one palm; it is identified from then on, without any training.

    If any image is refused, nothing is stored. Images themselves are never stored.
    """
    enrollment = identifier.enroll(subject_id, name, hand, _read(images), add=add)
    response.headers["Location"] = f"/v1/subjects/{subject_id}"
    return Enrollment(
        subject=Subject.model_validate(enrollment.subject),
        quality=[Quality.model_validate(quality) for quality in enrollment.qualities],
        request_id=request_id,
        timings_ms=enrollment.timings_ms,
    )


@router.post("/identify", summary="Whose palm is this?", responses=documented(413, 415, 422, 503))
def identify(
    identifier: IdentifierDep, request_id: RequestIdDep, images: ProbeImages
) -> Identification:
    """Compares one palm with everybody in the gallery. Nobody is a result, not an error."""
    found = identifier.identify(_read(images))
    return Identification(
        decision=found.decision,
        identity=found.subject and Subject.model_validate(found.subject),
        confidence=found.confidence,
        candidates=[Candidate.of(candidate) for candidate in found.candidates],
        nets=[Vote.of(vote) for vote in found.votes],
        threshold=Threshold.model_validate(found.threshold),
        quality=[Quality.model_validate(quality) for quality in found.qualities],
        request_id=request_id,
        timings_ms=found.timings_ms,
    )


@router.post(
    "/verify",
    summary="Is this that subject's palm?",
    responses=documented(404, 409, 413, 415, 422, 503),
)
def verify(
    identifier: IdentifierDep,
    request_id: RequestIdDep,
    subject_id: Annotated[
        str,
        Form(
            max_length=MAX_SUBJECT_ID_LENGTH,
            description="Who it is claimed to be.",
            examples=["p017"],
        ),
    ],
    images: ProbeImages,
) -> Verification:
    """Compares one palm with one subject's templates only."""
    found = identifier.verify(subject_id, _read(images))
    return Verification(
        decision=found.decision,
        identity=Subject.model_validate(found.subject),
        confidence=found.confidence,
        similarity=found.similarity,
        nets=[Vote.of(vote) for vote in found.votes],
        threshold=Threshold.model_validate(found.threshold),
        quality=[Quality.model_validate(quality) for quality in found.qualities],
        request_id=request_id,
        timings_ms=found.timings_ms,
    )


def _read(images: Sequence[UploadFile]) -> list[bytes]:
    return [image.file.read() for image in images]
