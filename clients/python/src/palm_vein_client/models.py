"""The service's answers, written by `python -m clients.write_models`: change it there."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel


class AuditLine(BaseModel):
    """One line of the audit log, without its hash and MAC; null for what it does not tell."""

    number: int
    time: datetime
    caller: str | None = None
    address: str | None = None
    method: str | None = None
    route: str | None = None
    action: str | None = None
    phase: str | None = None
    status: int | None = None
    decision: str | None = None
    subject: str | None = None
    key: str | None = None
    request_id: str | None = None


class AuditLines(BaseModel):
    """Lines of the audit log, the newest first."""

    lines: list[AuditLine]
    next: int | None
    unreadable: int


class Subject(BaseModel):
    """One palm that the service knows."""

    subject_id: str
    name: str | None
    hand: Literal["left", "right"] | None
    origin: Literal["trained", "enrolled"]
    collection: str
    created_at: datetime
    template_counts: dict[str, int]
    captures: list[Literal["hand", "roi"]]
    metadata: dict[str, str] = {}
    consent: str | None = None
    retain_until: datetime | None = None


class Candidate(BaseModel):
    """A subject that the palm may belong to, by the nets' fused score."""

    subject_id: str
    confidence: float
    score: float


class Threshold(BaseModel):
    """The score that a match must reach, and how often impostors reach it."""

    score: float
    fmr: float


class Vote(BaseModel):
    """The answer that one net alone would give."""

    net: str
    version: int
    subject_id: str | None
    decision: Literal["match", "no_match", "inconclusive"]
    confidence: float
    score: float | None
    threshold: Threshold


class Region(BaseModel):
    """Where the palm lies in an image."""

    capture: Literal["hand", "roi"]
    corners: list[tuple[float, float]]
    gaps: list[tuple[float, float]]
    rotation_deg: float
    hand: Literal["left", "right"] | None


class Quality(BaseModel):
    """How well an image shows a palm."""

    score: int
    palm: float
    palm_px: float
    sharpness: float
    veins: float
    brightness: float
    saturated: float
    blocks: float
    skin: float
    pose: float | None


class Identification(BaseModel):
    """Whose palm it is, or that nobody in the gallery matches."""

    decision: Literal["match", "no_match", "inconclusive"]
    identity: Subject | None
    confidence: float
    candidates: list[Candidate]
    nets: list[Vote]
    threshold: Threshold
    searched: int
    regions: list[Region]
    quality: list[Quality]
    warnings: list[str]
    explanation: str | None = None
    gallery_as_of: datetime | None = None
    timings_ms: dict[str, float]
    request_id: str


class FieldError(BaseModel):
    """What is wrong with one field of the request."""

    field: str
    message: str


class Problem(BaseModel):
    """An error in the form of RFC 9457; `detail` says what was wrong and what to do."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[FieldError] = []


class BatchLine(BaseModel):
    """A line of the answer: whose palm one image shows, or why it cannot be told."""

    index: int
    identification: Identification | None = None
    problem: Problem | None = None


class CalibratedThreshold(BaseModel):
    """A threshold that was measured on strangers."""

    score: float
    fmr: float


class CalibratedCase(BaseModel):
    """The thresholds of one case; each case was measured by itself."""

    mean_map: bool
    templates: int
    probes: int
    thresholds: list[CalibratedThreshold]


class CallerRights(BaseModel):
    """The caller, and what it may do."""

    keys_in_use: bool
    key_id: str | None
    name: str | None
    scopes: list[
        Literal[
            "identify",
            "verify",
            "inspect",
            "enroll",
            "force",
            "read",
            "erase",
            "export",
            "explain",
            "scores",
            "metrics",
            "admin",
        ]
    ]
    explanations: bool
    collections: list[str] | None
    expires_at: datetime | None


class Impostors(BaseModel):
    """How alike the enrolled subjects are to each other, by the nets' fused score."""

    mean: float
    deviation: float


class CameraMean(BaseModel):
    """The mean map of one named camera, which is subtracted from the maps of its images."""

    camera: str
    subjects: int
    impostors: Impostors | None


class SiteRate(BaseModel):
    """How often impostors at the site reach one threshold."""

    fmr: float
    observed: float
    false_matches: int
    interval: tuple[float, float]
    raised_by: float


class SiteReport(BaseModel):
    """Stated against observed false match rates among a site's subjects."""

    created_at: datetime
    template_ids: list[str]
    calibration: str
    weights: list[float]
    mean_map: bool
    subjects: int
    comparisons: int
    rates: list[SiteRate]
    suspect_pairs: int


class CameraSite(BaseModel):
    """The calibration of one named camera."""

    camera: str
    report: SiteReport
    used: bool


class CollectionSize(BaseModel):
    """One collection."""

    collection: str
    subjects: int


class Collections(BaseModel):
    """The collections that the caller may see."""

    collections: list[CollectionSize]


class CreatedKey(BaseModel):
    """A new key, and the only sight of it."""

    key_id: str
    name: str
    scopes: list[
        Literal[
            "identify",
            "verify",
            "inspect",
            "enroll",
            "force",
            "read",
            "erase",
            "export",
            "explain",
            "scores",
            "metrics",
            "admin",
        ]
    ]
    created_at: datetime
    expires_at: datetime | None
    collections: list[str] | None = None
    api_key: str


class Enrollment(BaseModel):
    """The subject as it is now stored."""

    subject: Subject
    regions: list[Region]
    quality: list[Quality]
    warnings: list[str]
    timings_ms: dict[str, float]
    request_id: str


class Erasure(BaseModel):
    """What was erased, and from which media of the gallery's store."""

    erasure_id: str
    pseudonym: str
    erased: Literal["subject", "template", "id"]
    erased_at: datetime
    database: Literal["done", "pending"]
    log: Literal["done", "pending"]


class ExportedMap(BaseModel):
    """What one net computed from an image."""

    net: str
    template_id: str
    side: int | None
    channels: int | None
    map: str


class ExportedTemplate(BaseModel):
    """One enrolled image of a subject, and what the nets computed from it."""

    number: int
    capture: Literal["hand", "roi"] | None
    added_at: datetime | None
    nets: list[str]
    camera: str | None = None
    maps: list[ExportedMap]


class Export(BaseModel):
    """All that is stored of one person."""

    format: str
    exported_at: datetime
    subject: Subject
    templates: list[ExportedTemplate]
    erasures: list[Erasure]


class MeanMap(BaseModel):
    """The mean of the enrolled subjects' maps, which is subtracted from every map."""

    subjects: int
    revision: int
    impostors: Impostors | None
    cameras: list[CameraMean] = []


class GalleryState(BaseModel):
    """The gallery as it is searched now."""

    subjects: int
    without_templates: int
    mean_map: MeanMap
    fpir: float
    as_of: datetime | None = None


class Health(BaseModel):
    """The service's state; in every other state the answer is a problem."""

    status: Literal["alive"]


class Inspection(BaseModel):
    """What the service sees in an image."""

    usable: bool
    advice: list[str]
    warnings: list[str]
    region: Region | None
    quality: Quality | None
    drawing: str | None = None
    palm: str | None = None
    timings_ms: dict[str, float]
    request_id: str


class Key(BaseModel):
    """An API key, without the key itself."""

    key_id: str
    name: str
    scopes: list[
        Literal[
            "identify",
            "verify",
            "inspect",
            "enroll",
            "force",
            "read",
            "erase",
            "export",
            "explain",
            "scores",
            "metrics",
            "admin",
        ]
    ]
    created_at: datetime
    expires_at: datetime | None
    collections: list[str] | None = None


class Keys(BaseModel):
    """All keys."""

    keys: list[Key]


class Model(BaseModel):
    """One net in service."""

    net: str
    version: int
    template_id: str
    input_px: int
    map_side: int
    map_channels: int
    trained_identities: int
    cases: list[CalibratedCase]


class Step(BaseModel):
    """A threshold that is higher or lower than the one in use."""

    by: float
    fmr: float | None
    target: float | None


class ThresholdInUse(BaseModel):
    """The threshold for one probe image and a subject of one enrolled image."""

    setting: str
    target: float
    score: float
    fmr: float
    steps: list[Step]


class Models(BaseModel):
    """The nets that vote, how their scores are fused, and the gallery that they search."""

    nets: list[Model]
    precision: str
    weights: list[float]
    cases: list[CalibratedCase]
    gallery: GalleryState | None
    thresholds: list[ThresholdInUse]


class Receipt(BaseModel):
    """What was erased, and from which media."""

    erasure_id: str
    pseudonym: str
    erased: Literal["subject", "template", "id"]
    erased_at: datetime
    database: Literal["done", "pending"]
    log: Literal["done", "pending"]
    index: Literal["done", "pending"]
    memory: Literal["done", "pending"]


class Moved(BaseModel):
    """The subject as it is now, and the receipt of what was erased for it."""

    subject: Subject
    receipt: Receipt


class Readiness(BaseModel):
    """The service can identify palms; in every other state the answer is a problem."""

    status: Literal["ready"]
    subjects: int
    without_templates: int
    gallery_as_of: datetime | None = None


class Reload(BaseModel):
    """What a reload has changed."""

    former: list[str]
    nets: list[str]
    precision: str
    seconds: float


class Site(BaseModel):
    """The calibration at the site, which only `python -m app calibrate --write` changes."""

    report: SiteReport | None
    used: bool
    cameras: list[CameraSite]


class Subjects(BaseModel):
    """One page of subjects, in the order of their ids."""

    subjects: list[Subject]
    next: str | None
    without_templates: int | None


class Template(BaseModel):
    """One enrolled image of a subject."""

    number: int
    capture: Literal["hand", "roi"] | None
    added_at: datetime | None
    nets: list[str]
    camera: str | None = None


class Templates(BaseModel):
    """The enrolled templates of one subject."""

    templates: list[Template]


class Verification(BaseModel):
    """Whether the palm belongs to the claimed subject."""

    decision: Literal["match", "no_match", "inconclusive"]
    identity: Subject
    confidence: float
    score: float
    nets: list[Vote]
    threshold: Threshold
    regions: list[Region]
    quality: list[Quality]
    warnings: list[str]
    gallery_as_of: datetime | None = None
    timings_ms: dict[str, float]
    request_id: str
