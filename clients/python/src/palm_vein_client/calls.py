"""One function for each route, which makes its request. Nothing is sent here."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict
from urllib.parse import quote

import httpx
from typing_extensions import Unpack

from palm_vein_client import models
from palm_vein_client.call import Call, as_model, get, given
from palm_vein_client.images import Image, Images, read_images

Capture = Literal["auto", "hand", "roi"]
Hand = Literal["left", "right"]


class Subject(models.Subject):
    """A subject as the service has it now.

    Attributes:
        etag: names this state, for `change_subject`; None in lists and answers about palms.
    """

    etag: str | None = None


def _subject(response: httpx.Response) -> Subject:
    subject = Subject.model_validate_json(response.content)
    return subject.model_copy(update={"etag": response.headers.get("ETag")})


def _of(subject_id: str, more: str = "") -> str:
    return f"/v1/subjects/{quote(subject_id, safe='')}{more}"


def identify(
    images: Images,
    *,
    capture: Capture | None = None,
    collections: Sequence[str] = (),
    camera: str | None = None,
    explain: bool = False,
) -> Call[models.Identification]:
    """Tells whose palm the images (1 to 5 of one palm) show, or that it is nobody's."""
    form = given(capture=capture, collections=tuple(collections), camera=camera)
    parse, query = as_model(models.Identification), given(explain=explain)
    files = read_images(images)
    return Call("POST", "/v1/identify", parse, True, query=query, form=form, images=files)


def identify_batch(
    images: Sequence[Image],
    *,
    capture: Capture | None = None,
    collections: Sequence[str] = (),
    camera: str | None = None,
) -> Call[models.BatchLine]:
    """Identifies 1 to 256 palms, one image each; yields each result as soon as it arrives."""
    form = given(capture=capture, collections=tuple(collections), camera=camera)
    parse, files = as_model(models.BatchLine), read_images(images)
    return Call("POST", "/v1/identify/batch", parse, True, form=form, images=files)


def verify(
    subject_id: str, images: Images, *, capture: Capture | None = None, camera: str | None = None
) -> Call[models.Verification]:
    """Tells whether the palm in the images (1 to 5) belongs to a subject."""
    form = given(subject_id=subject_id, capture=capture, camera=camera)
    parse, files = as_model(models.Verification), read_images(images)
    return Call("POST", "/v1/verify", parse, True, form=form, images=files)


def inspect(
    image: Image, *, capture: Capture | None = None, draw: bool = False
) -> Call[models.Inspection]:
    """Shows where the palm lies in an image, and how well it shows; compares with nobody."""
    parse, query = as_model(models.Inspection), given(draw=draw)
    form, files = given(capture=capture), read_images(image)
    return Call("POST", "/v1/inspect", parse, True, query=query, form=form, images=files)


class Enrolling(TypedDict, total=False):
    """The optional fields of `enroll`; the service's documentation describes each."""

    name: str
    hand: Hand
    metadata: Mapping[str, str]
    consent: str
    retain_until: datetime
    add: bool
    force: bool
    capture: Capture
    collection: str
    camera: str


def enroll(
    subject_id: str,
    images: Images,
    *,
    idempotency_key: str | None = None,
    **fields: Unpack[Enrolling],
) -> Call[models.Enrollment]:
    """Stores templates of a palm. It is done once, however often the request must be repeated.

    Args:
        subject_id: the new subject, or with `add=True` one who is enrolled.
        images: of one palm; three or more are advised.
        idempotency_key: makes calls with the same key one enrolment; by default a new one.
        fields: see `Enrolling`.
    """
    headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
    form, files = given(subject_id=subject_id, **fields), read_images(images)
    parse = as_model(models.Enrollment)
    return Call("POST", "/v1/enroll", parse, True, form=form, images=files, headers=headers)


def list_subjects(
    *,
    after: str | None = None,
    limit: int | None = None,
    origin: Literal["trained", "enrolled"] | None = None,
    name: str | None = None,
    collection: str | None = None,
) -> Call[models.Subjects]:
    """Returns one page of subjects; `iterate_subjects` yields those of all pages."""
    query: dict[str, Any] = {"after": after, "limit": limit, "origin": origin, "name": name}
    return get("/v1/subjects", models.Subjects, **query, collection=collection)


def show_subject(subject_id: str) -> Call[Subject]:
    """Returns a subject, with the ETag that `change_subject` takes."""
    return Call("GET", _of(subject_id), _subject, True)


class Changes(TypedDict, total=False):
    """The fields that `change_subject` can change; None removes a value."""

    name: str | None
    hand: Hand | None
    collection: str
    metadata: Mapping[str, str] | None
    consent: str | None
    retain_until: datetime | None


def change_subject(
    subject_id: str, *, etag: str | None = None, **changes: Unpack[Changes]
) -> Call[Subject | None]:
    """Changes what is known of a subject; returns it, or None if the key may not read.

    Args:
        subject_id: the subject.
        etag: that of the state that was read; if the subject has changed since, nothing is
            changed and SubjectChanged is raised.
        changes: see `Changes`.
    """
    until = changes.get("retain_until")
    body = {**changes, "retain_until": until.isoformat()} if until else {**changes}
    headers = {"If-Match": etag} if etag else {}
    return Call("PATCH", _of(subject_id), _changed, False, body=body, headers=headers)


def _changed(response: httpx.Response) -> Subject | None:
    return None if response.status_code == 204 else _subject(response)


def erase_subject(subject_id: str, *, confirm: bool = False) -> Call[models.Receipt]:
    """Erases a subject; `confirm=True` also a trained identity."""
    parse, query = as_model(models.Receipt), given(confirm=confirm)
    return Call("DELETE", _of(subject_id), parse, False, query=query)


def list_templates(subject_id: str) -> Call[models.Templates]:
    """Returns a subject's templates."""
    return get(_of(subject_id, "/templates"), models.Templates)


def erase_template(subject_id: str, number: int) -> Call[models.Receipt]:
    """Erases one template of a subject."""
    path = _of(subject_id, f"/templates/{number}")
    return Call("DELETE", path, as_model(models.Receipt), False)


def list_collections() -> Call[models.Collections]:
    """Returns the collections, and how many subjects each has."""
    return get("/v1/collections", models.Collections)


def rename_subject(subject_id: str, new_id: str) -> Call[models.Moved]:
    """Gives a subject another id."""
    path, body = _of(subject_id, "/rename"), {"subject_id": new_id}
    return Call("POST", path, as_model(models.Moved), False, body=body)


def merge_subjects(subject_id: str, other: str, *, force: bool = False) -> Call[models.Moved]:
    """Moves the templates of `other` to a subject, and erases `other`."""
    path, body = _of(subject_id, "/merge"), {"from": other, "force": force}
    return Call("POST", path, as_model(models.Moved), False, body=body)


def export_subject(subject_id: str) -> Call[models.Export]:
    """Returns all that the gallery holds of a person. Treat it as images of the palm."""
    return get(_of(subject_id, "/export"), models.Export)


def show_erasure(erasure_id: str) -> Call[models.Receipt]:
    """Returns an erasure's receipt as it is now."""
    return get(f"/v1/erasures/{quote(erasure_id, safe='')}", models.Receipt)


def list_keys() -> Call[models.Keys]:
    """Returns the API keys, without their secrets."""
    return get("/v1/keys", models.Keys)


def create_key(
    name: str,
    scopes: Sequence[str],
    *,
    expires_at: datetime | None = None,
    collections: Sequence[str] | None = None,
) -> Call[models.CreatedKey]:
    """Creates an API key; its secret is in this answer only."""
    body: dict[str, Any] = {"name": name, "scopes": list(scopes)}
    body["expires_at"] = expires_at.isoformat() if expires_at else None
    body["collections"] = None if collections is None else list(collections)
    return Call("POST", "/v1/keys", as_model(models.CreatedKey), False, body=body)


def revoke_key(key_id: str) -> Call[models.Key]:
    """Ends an API key."""
    return Call("DELETE", f"/v1/keys/{quote(key_id, safe='')}", as_model(models.Key), False)


def show_caller() -> Call[models.CallerRights]:
    """Tells what this client's API key allows."""
    return get("/v1/caller", models.CallerRights)


def show_audit(
    *,
    limit: int | None = None,
    before: int | None = None,
    route: str | None = None,
    outcome: Literal["succeeded", "refused", "failed"] | None = None,
    subject: str | None = None,
) -> Call[models.AuditLines]:
    """Returns the newest lines of the audit log; `next` is `before` of older ones.

    Args:
        limit: largest number of lines, 1 to 500.
        before: only lines of a lower number.
        route: only lines about this route, such as /v1/enroll.
        outcome: only lines of this outcome.
        subject: only lines about the subject of this pseudonym, 16 hexadecimal digits.
    """
    query: dict[str, Any] = {"limit": limit, "before": before, "route": route}
    return get("/v1/audit", models.AuditLines, **query, outcome=outcome, subject=subject)


def list_models() -> Call[models.Models]:
    """Returns the nets in service, their thresholds and the gallery's state."""
    return get("/v1/models", models.Models)


def reload_models() -> Call[models.Reload]:
    """Takes the newest nets into service; only in the process that answers."""
    return Call("POST", "/v1/models/reload", as_model(models.Reload), False)


def show_site() -> Call[models.Site]:
    """Returns the site's last comparison of stated and observed false match rates."""
    return get("/v1/site", models.Site)


def metrics() -> Call[str]:
    """Returns the metrics in Prometheus' text format."""
    return Call("GET", "/metrics", lambda response: response.text, True)


def live() -> Call[models.Health]:
    """Tells that the process answers."""
    return get("/health/live", models.Health)


def ready() -> Call[models.Readiness]:
    """Tells that palms can be identified; raises NotReady otherwise."""
    return get("/health/ready", models.Readiness)
