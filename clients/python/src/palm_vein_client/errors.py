"""The client's exceptions: one for each kind of problem that the service documents."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

PREFIX = "urn:palm:problem:"


class PalmError(Exception):
    """Anything that keeps the client from an answer."""


class ConnectionFailed(PalmError):
    """The service was not reached, or it did not answer in time."""


class AnswerInvalid(PalmError):
    """What answered does not speak as the service does: a proxy, or a service too new or old."""


class AnswerCutShort(PalmError):
    """A batch's answer ended before there was a line for each image."""


class FieldProblem(NamedTuple):
    """What is wrong with one field of the request.

    Attributes:
        field: its name, as images.0.sharpness.
        message: what is wrong with it, and what is accepted.
    """

    field: str
    message: str


class ProblemError(PalmError):
    """The service refused the request (RFC 9457).

    Attributes:
        type: URI of the kind of problem, or about:blank.
        title: the kind in words.
        status: HTTP's status, 400 to 599.
        detail: what was wrong and what to do.
        errors: the fields that were refused.
        request_id: finds the request in the service's log; empty if unknown.
        retry_after_s: seconds after which to try again; None if the service named none.
    """

    kinds: ClassVar[dict[str, type["ProblemError"]]] = {}
    """The class for each type, and for each status as a text where the type is about:blank."""

    def __init_subclass__(cls, *, slug: str = "", status: int = 0) -> None:
        ProblemError.kinds[PREFIX + slug if slug else str(status)] = cls

    def __init__(
        self,
        type: str,
        title: str,
        status: int,
        detail: str,
        errors: Sequence[FieldProblem] = (),
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail or title)
        self.type = type
        self.title = title
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.request_id = request_id
        self.retry_after_s = retry_after_s

    @staticmethod
    def of(body: Mapping[str, object], status: int, retry_after_s: float | None) -> "ProblemError":
        """Returns the exception for a problem's body; an unknown kind is a plain ProblemError."""
        type = str(body.get("type", "about:blank"))
        kind = ProblemError.kinds.get(str(status) if type == "about:blank" else type, ProblemError)
        return kind(
            type,
            str(body.get("title", "")),
            status,
            str(body.get("detail", "")),
            _fields(body.get("errors")),
            str(body.get("request_id", "")),
            retry_after_s,
        )


def _fields(errors: object) -> list[FieldProblem]:
    found: list[FieldProblem] = []
    for item in errors if isinstance(errors, list) else []:  # pyright: ignore[reportUnknownVariableType]
        if isinstance(item, dict):
            one: dict[str, object] = item  # pyright: ignore[reportUnknownVariableType]
            found.append(FieldProblem(str(one.get("field", "")), str(one.get("message", ""))))
    return found


class BadRequest(ProblemError, status=400):
    """The request is not complete or not HTTP (400)."""


class KeyMissing(ProblemError, slug="key-missing"):
    """API key missing (401)."""


class KeyRefused(ProblemError, slug="key-refused"):
    """API key refused (401)."""


class CollectionMissing(ProblemError, slug="collection-missing"):
    """Collection missing (403)."""


class CrossSite(ProblemError, slug="cross-site"):
    """Request from another site (403)."""


class ExplanationOff(ProblemError, slug="explanation-off"):
    """Explanations are switched off (403)."""


class ScopeMissing(ProblemError, slug="scope-missing"):
    """Scope missing (403)."""


class ErasureUnknown(ProblemError, slug="erasure-unknown"):
    """Unknown erasure (404)."""


class KeyUnknown(ProblemError, slug="key-unknown"):
    """Unknown API key (404)."""


class SubjectUnknown(ProblemError, slug="subject-unknown"):
    """Unknown subject (404)."""


class TemplateUnknown(ProblemError, slug="template-unknown"):
    """Unknown template (404)."""


class RequestTooSlow(ProblemError, status=408):
    """The request's body came too slowly (408)."""


class CollectionDiffers(ProblemError, slug="collection-differs"):
    """Other collection (409)."""


class HandDiffers(ProblemError, slug="hand-differs"):
    """Other hand (409)."""


class ReloadRefused(ProblemError, slug="reload-refused"):
    """Nets not replaced (409)."""


class HandsDiffer(ProblemError, slug="hands-differ"):
    """Two hands (409)."""


class MergeUnchecked(ProblemError, slug="merge-unchecked"):
    """Subjects not comparable (409)."""


class NotConfirmed(ProblemError, slug="not-confirmed"):
    """Not confirmed (409)."""


class PalmKnown(ProblemError, slug="palm-known"):
    """Palm known under another subject (409)."""


class SubjectExists(ProblemError, slug="subject-exists"):
    """Subject exists already (409)."""


class SubjectTrained(ProblemError, slug="subject-trained"):
    """Trained identity (409)."""


class TemplateLast(ProblemError, slug="template-last"):
    """Last template (409)."""


class TemplatesMissing(ProblemError, slug="templates-missing"):
    """Subject lacks templates (409)."""


class SubjectChanged(ProblemError, slug="subject-changed"):
    """Subject has changed (412)."""


class RequestTooLarge(ProblemError, status=413):
    """The request's body is too large (413)."""


class ImageTooLarge(ProblemError, slug="image-too-large"):
    """Image too large (413)."""


class FormatUnsupported(ProblemError, slug="format-unsupported"):
    """Image format not supported (415)."""


class HostUnknown(ProblemError, slug="host-unknown"):
    """Unknown host (421)."""


class CollectionUnnamed(ProblemError, slug="collection-unnamed"):
    """Collection not named (422)."""


class ImageUnreadable(ProblemError, slug="image-unreadable"):
    """Unreadable image (422)."""


class ImageUnsuitable(ProblemError, slug="image-unsuitable"):
    """Unsuitable image (422)."""


class PalmNotFound(ProblemError, slug="palm-not-found"):
    """No palm found (422)."""


class PalmOther(ProblemError, slug="palm-other"):
    """Another palm than the subject's (422)."""


class PalmsDiffer(ProblemError, slug="palms-differ"):
    """Images of several palms (422)."""


class PalmsUnlike(ProblemError, slug="palms-unlike"):
    """Subjects of two palms (422)."""


class QualityPoor(ProblemError, slug="quality-poor"):
    """Quality too low (422)."""


class RequestDiffers(ProblemError, slug="request-differs"):
    """Another request with this key (422)."""


class RequestInvalid(ProblemError, slug="request-invalid"):
    """Invalid request (422)."""


class SubjectSame(ProblemError, slug="subject-same"):
    """One subject only (422)."""


class RateExceeded(ProblemError, slug="rate-exceeded"):
    """Too many requests (429)."""


class AuditOff(ProblemError, slug="audit-off"):
    """No audit log (404)."""


class AuditUnusable(ProblemError, slug="audit-unusable"):
    """Audit log not usable (503)."""


class GalleryBusy(ProblemError, slug="gallery-busy"):
    """Gallery busy (503)."""


class GalleryUnreachable(ProblemError, slug="gallery-unreachable"):
    """Gallery not reachable (503)."""


class GalleryUnusable(ProblemError, slug="gallery-unusable"):
    """Gallery not usable (503)."""


class NotReady(ProblemError, slug="not-ready"):
    """Service not ready (503)."""


class Overloaded(ProblemError, slug="overloaded"):
    """Service overloaded (503)."""


class UploadRefused(ProblemError, slug="upload-refused"):
    """Upload not taken now (503)."""


class UploadUnkept(ProblemError, slug="upload-unkept"):
    """No room for the upload (503)."""
