"""The bodies that only HTTP knows: answers with a request id, changes, pages, nets, health."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from fastapi import Response
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError

from app import answers, inspection
from app.ensemble import Ensemble, Net
from app.gallery.subject import Subject, Template
from app.gallery_state import GalleryState
from app.matching.calibration import Calibration
from app.numbers import Fmr, Score
from app.palm.capture import CaptureMode
from app.thresholds import ThresholdInUse
from app.validation import MAX_ERRORS, suggest

NEW_SUBJECT_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


def leave_empty(schema: dict[str, Any]) -> None:
    """Keeps Swagger UI from filling in the field; it invents a value where there is no example."""
    schema.pop("default", None)
    # It parses the example of a list, and shows no form if it cannot.
    schema["example"] = [] if schema["type"] == "array" else ""


CaptureField = Annotated[
    CaptureMode | SkipJsonSchema[None],
    Field(
        description="What the image is taken for: hand, a photograph of a whole hand; roi, a "
        "square crop of a palm; auto, either. If left out, the service's PALM_CAPTURE.",
        json_schema_extra=leave_empty,
    ),
]


CameraField = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
        description="Which camera took the images, if the service has several: 1 to 64 small "
        "letters, digits, dots, dashes and underscores, of which the first is a letter or digit. "
        "If left out, the unnamed camera.",
        json_schema_extra=leave_empty,
    ),
]


def image_files(limit: int, advice: str = "", *, of: str = "of one palm") -> Any:
    """Returns the field of a form that holds 1 to `limit` image files."""
    few = f"1 to {limit} images {of}" if limit > 1 else "One image"
    return Field(
        min_length=1,
        max_length=limit,
        description=f"{few}: PNG, JPEG, BMP, TIFF or WebP.{advice}",
        # Swagger UI offers a file picker for an array only if its items are of this format.
        json_schema_extra={"items": {"type": "string", "format": "binary"}},
    )


class RequestBody(BaseModel):
    """The fields of a request; a refusal of an unknown one names the nearest known one."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="wrap")
    @classmethod
    def _suggest_known_fields(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            items: list[Any] = error.errors(include_url=False)
            items[:MAX_ERRORS] = [_with_suggestion(item, cls) for item in items[:MAX_ERRORS]]
            raise ValidationError.from_exception_data(error.title, items) from None


def _with_suggestion(item: Any, model: type[BaseModel]) -> InitErrorDetails:
    if item["type"] != "extra_forbidden":
        return item
    known = [field.alias or name for name, field in model.model_fields.items()]
    advice = suggest(item["loc"][-1], known)
    # Without the value: it may be a whole file.
    kind = PydanticCustomError("unknown_field", "is unknown; {advice}", {"advice": advice})
    return InitErrorDetails(type=kind, loc=item["loc"], input=None)


class Traced(BaseModel):
    """The field that HTTP adds to every answer about a palm."""

    request_id: str = Field(
        description="The X-Request-ID, which finds this request in the service's log.",
        examples=["4052646aaa1d4158b341345c001bbb02"],
    )

    @classmethod
    def of(cls, answer: BaseModel, request_id: str) -> Self:
        """Returns the answer with its request's id; `cls` must be a subclass of its class."""
        return cls.model_construct(**dict(answer), request_id=request_id)

    def as_response(self, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """Returns the answer as JSON, made in the route's thread and not in the event loop."""
        return Response(
            self.model_dump_json(),
            status,
            dict(headers) if headers else None,
            media_type="application/json",
        )


class Identification(Traced, answers.Identification):
    """Whose palm it is, or that nobody in the gallery matches."""


class Verification(Traced, answers.Verification):
    """Whether the palm belongs to the claimed subject."""


class Inspection(Traced, inspection.Inspection):
    """What the service sees in an image."""


class Enrollment(Traced, answers.Enrollment):
    """The subject as it is now stored."""


class Subjects(BaseModel):
    """One page of subjects, in the order of their ids."""

    subjects: list[Subject] = Field(description="The subjects of this page.")
    next: str | None = Field(
        description="Send it as `after` for the next page; null on the last one.",
        examples=["p100"],
    )
    without_templates: int | None = Field(
        description="Number of enrolled subjects, on all pages, that cannot be identified, because "
        "they have no templates of the nets in service: enroll them again with add=true. Null if "
        "the nets are not loaded.",
        examples=[0],
    )


class Templates(BaseModel):
    """The enrolled templates of one subject."""

    templates: list[Template] = Field(description="The templates, in the order of enrolment.")


class CalibratedThreshold(BaseModel):
    """A threshold that was measured on strangers."""

    score: Score = Field(
        description="In a case with a mean map, deviations above the mean of the site's impostors "
        "(`gallery.mean_map.impostors`); else a score. To 4 significant digits.",
        examples=[5.07],
    )
    fmr: Fmr = Field(
        description="False match rate: share of impostor comparisons that reach the score. "
        "0 to 1, to 3 significant digits.",
        examples=[1e-05],
    )


class CalibratedCase(BaseModel):
    """The thresholds of one case; each case was measured by itself."""

    mean_map: bool = Field(description="Whether a mean map is subtracted.")
    templates: int = Field(
        description="Number of images enrolled of a subject, 1 or more.", examples=[3]
    )
    probes: int = Field(
        description="Number of images sent; the largest also holds for more.", examples=[1]
    )
    thresholds: list[CalibratedThreshold] = Field(
        description="Measured on strangers' palms, in the order of falling false match rate."
    )

    @classmethod
    def all_of(cls, calibration: Calibration) -> list[Self]:
        """Describes every case of a calibration."""
        return [
            cls(
                mean_map=case.mean_map,
                templates=case.templates,
                probes=case.probes,
                thresholds=[
                    CalibratedThreshold(score=one.score, fmr=one.fmr) for one in case.thresholds
                ],
            )
            for case in calibration.cases
        ]


Cases = Annotated[
    list[CalibratedCase],
    Field(description="Thresholds by number of images, with and without a mean map."),
]


class Model(BaseModel):
    """One net in service."""

    net: str = Field(description="The net's name.", examples=["vgg16"])
    version: int = Field(description="The net's version, 1 or higher.", examples=[9])
    template_id: str = Field(
        description="Which templates can be compared: those of an equal id.",
        examples=["6f1d2c9be8a04375"],
    )
    input_px: int = Field(description="Side of its square input image, in pixels.", examples=[224])
    map_side: int = Field(description="Number of places in a row of its vein map.", examples=[28])
    map_channels: int = Field(description="Number of channels of its vein map.", examples=[16])
    trained_identities: int = Field(
        description="Number of identities that it was trained on.", examples=[160]
    )
    cases: Cases

    @classmethod
    def of(cls, net: Net) -> Self:
        """Describes a net."""
        return cls(
            net=net.key.net,
            version=net.key.version,
            template_id=net.format.template_id,
            input_px=net.input_px,
            map_side=net.format.shape.side,
            map_channels=net.format.shape.channels,
            trained_identities=len(net.identities),
            cases=CalibratedCase.all_of(net.calibration),
        )


class Models(BaseModel):
    """The nets that vote, how their scores are fused, and the gallery that they search."""

    nets: list[Model] = Field(description="The nets, in the order of PALM_NETS.")
    precision: str = Field(
        description="In which the nets are computed: f32, bf16 or int8.", examples=["int8"]
    )
    weights: list[float] = Field(
        description="Weights of the nets' scores in the fused one, in the same order, each "
        "0 to 1; their sum is 1.",
        examples=[[0.3, 0.3, 0.4]],
    )
    cases: Cases
    gallery: GalleryState | None = Field(
        description="The gallery that they search; null if it cannot be used."
    )

    thresholds: list[ThresholdInUse] = Field(
        description="The thresholds of identification in the whole gallery and of verification, "
        "for images without a named camera; empty if the gallery cannot be used."
    )

    @classmethod
    def of(
        cls,
        ensemble: Ensemble,
        gallery: GalleryState | None,
        thresholds: list[ThresholdInUse],
    ) -> Self:
        """Describes the nets, their fusion, the gallery and the thresholds."""
        return cls(
            nets=[Model.of(net) for net in ensemble.nets],
            precision=ensemble.precision,
            weights=list(ensemble.fusion.weights),
            cases=CalibratedCase.all_of(ensemble.fusion.calibration),
            gallery=gallery,
            thresholds=thresholds,
        )


class Health(BaseModel):
    """The service's state; in every other state the answer is a problem."""

    status: Literal["alive"] = Field(description="The process answers.", examples=["alive"])


class Readiness(BaseModel):
    """The service can identify palms; in every other state the answer is a problem."""

    status: Literal["ready"] = Field(description="It can identify palms.", examples=["ready"])
    subjects: int = Field(description="Number of subjects that can be identified.", examples=[400])
    without_templates: int = Field(
        description="Number of enrolled subjects that must be enrolled again.", examples=[0]
    )
    gallery_as_of: answers.GalleryAsOf = None
