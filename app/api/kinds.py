"""The kinds of problems: one table maps the domain's errors to HTTP."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

from starlette.exceptions import HTTPException

from app.access.keys import (
    CollectionMissing,
    CollectionUnnamed,
    KeyMissing,
    KeyRefused,
    KeyUnknown,
    ScopeMissing,
)
from app.api.bodies import BodyTooLarge, BodyTooSlow, UploadRefused
from app.api.errors import (
    AuditOff,
    CrossSite,
    ExplanationOff,
    NotConfirmed,
    NotReady,
    Overloaded,
    ReloadRefused,
    SubjectChanged,
    TooManyRequests,
    UnknownHost,
    UploadUnkept,
)
from app.api.middleware import FormIncomplete
from app.audit.log import AuditUnusable
from app.enrolment import HandDiffers, OtherPalm, PalmKnown, PalmsDiffer
from app.gallery.errors import (
    CollectionDiffers,
    ErasureUnknown,
    GalleryBusy,
    GalleryUnreachable,
    GalleryUnusable,
    HandsDiffer,
    LastTemplate,
    RequestDiffers,
    SameSubject,
    SubjectExists,
    SubjectUnknown,
    TemplatesMissing,
    TemplateUnknown,
    TrainedFixed,
)
from app.merging import MergeUnchecked, PalmsUnlike
from app.palm.errors import (
    ImageTooLarge,
    PalmNotFound,
    PoorQuality,
    UnreadableImage,
    UnsuitableImage,
    UnsupportedFormat,
)


class Kind(NamedTuple):
    """One kind of problem.

    Attributes:
        status: HTTP's status code.
        slug: end of the problem's type; empty for a type without further meaning than the
            status's (about:blank: RFC 9457, 4.2.1).
        title: the problem's title.
    """

    status: int
    slug: str
    title: str


def plain(status: int) -> Kind:
    """Returns the kind of an error that only its HTTP status defines."""
    return Kind(status, "", HTTPStatus(status).phrase)


def detail_of(error: Exception) -> str:
    """Returns what the caller may read of an error's message."""
    if isinstance(error, GalleryBusy):
        return "the gallery is locked by another program; try again"
    if isinstance(error, GalleryUnreachable):
        return "the gallery's database cannot be reached; try again"
    if isinstance(error, GalleryUnusable):  # its message names files and subjects
        return "the gallery cannot be used; look for this request_id in the service's log"
    if isinstance(error, AuditUnusable):  # likewise
        return "the audit log cannot be used; look for this request_id in the service's log"
    return error.detail if isinstance(error, HTTPException) else str(error)


def headers_of(error: Exception) -> dict[str, str]:
    """Returns the headers of the answer to an error."""
    if isinstance(error, GalleryBusy | UploadRefused):  # they pass by themselves
        return {"Retry-After": "1"}  # seconds
    if isinstance(error, GalleryUnreachable) or (isinstance(error, NotReady) and error.is_retried):
        return {"Retry-After": "5"}
    if isinstance(error, TooManyRequests | Overloaded):
        return {"Retry-After": str(error.retry_after_s)}
    return {"WWW-Authenticate": "Bearer"} if isinstance(error, KeyMissing | KeyRefused) else {}


INVALID = Kind(422, "request-invalid", "Invalid request")
KINDS: Mapping[type[Exception], Kind] = {
    FormIncomplete: plain(400),
    ExplanationOff: Kind(403, "explanation-off", "Explanations are switched off"),
    KeyMissing: Kind(401, "key-missing", "API key missing"),
    KeyRefused: Kind(401, "key-refused", "API key refused"),
    ScopeMissing: Kind(403, "scope-missing", "Scope missing"),
    CollectionMissing: Kind(403, "collection-missing", "Collection missing"),
    CollectionUnnamed: Kind(422, "collection-unnamed", "Collection not named"),
    CollectionDiffers: Kind(409, "collection-differs", "Other collection"),
    CrossSite: Kind(403, "cross-site", "Request from another site"),
    SubjectUnknown: Kind(404, "subject-unknown", "Unknown subject"),
    ErasureUnknown: Kind(404, "erasure-unknown", "Unknown erasure"),
    KeyUnknown: Kind(404, "key-unknown", "Unknown API key"),
    AuditOff: Kind(404, "audit-off", "No audit log"),
    BodyTooSlow: plain(408),
    SubjectExists: Kind(409, "subject-exists", "Subject exists already"),
    TemplateUnknown: Kind(404, "template-unknown", "Unknown template"),
    LastTemplate: Kind(409, "template-last", "Last template"),
    NotConfirmed: Kind(409, "not-confirmed", "Not confirmed"),
    SubjectChanged: Kind(412, "subject-changed", "Subject has changed"),
    RequestDiffers: Kind(422, "request-differs", "Another request with this key"),
    HandDiffers: Kind(409, "hand-differs", "Other hand"),
    PalmKnown: Kind(409, "palm-known", "Palm known under another subject"),
    TemplatesMissing: Kind(409, "templates-missing", "Subject lacks templates"),
    BodyTooLarge: plain(413),
    ImageTooLarge: Kind(413, "image-too-large", "Image too large"),
    UnsupportedFormat: Kind(415, "format-unsupported", "Image format not supported"),
    UnreadableImage: Kind(422, "image-unreadable", "Unreadable image"),
    UnsuitableImage: Kind(422, "image-unsuitable", "Unsuitable image"),
    PalmNotFound: Kind(422, "palm-not-found", "No palm found"),
    PoorQuality: Kind(422, "quality-poor", "Quality too low"),
    PalmsDiffer: Kind(422, "palms-differ", "Images of several palms"),
    OtherPalm: Kind(422, "palm-other", "Another palm than the subject's"),
    TrainedFixed: Kind(409, "subject-trained", "Trained identity"),
    HandsDiffer: Kind(409, "hands-differ", "Two hands"),
    ReloadRefused: Kind(409, "reload-refused", "Nets not replaced"),
    MergeUnchecked: Kind(409, "merge-unchecked", "Subjects not comparable"),
    SameSubject: Kind(422, "subject-same", "One subject only"),
    PalmsUnlike: Kind(422, "palms-unlike", "Subjects of two palms"),
    UnknownHost: Kind(421, "host-unknown", "Unknown host"),
    TooManyRequests: Kind(429, "rate-exceeded", "Too many requests"),
    NotReady: Kind(503, "not-ready", "Service not ready"),
    GalleryBusy: Kind(503, "gallery-busy", "Gallery busy"),
    GalleryUnreachable: Kind(503, "gallery-unreachable", "Gallery not reachable"),
    GalleryUnusable: Kind(503, "gallery-unusable", "Gallery not usable"),
    AuditUnusable: Kind(503, "audit-unusable", "Audit log not usable"),
    UploadUnkept: Kind(503, "upload-unkept", "No room for the upload"),
    UploadRefused: Kind(503, "upload-refused", "Upload not taken now"),
    Overloaded: Kind(503, "overloaded", "Service overloaded"),
}

OF_RECORDS = (TrainedFixed, HandsDiffer, MergeUnchecked, SameSubject, PalmsUnlike)
"""Problems of routes about whole subjects."""
