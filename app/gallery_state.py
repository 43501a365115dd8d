"""The state of the gallery, as the service shows it: frozen models that HTTP returns as JSON."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from app.answers import GalleryAsOf
from app.gallery.index.searching import MeanMapState
from app.gallery.index.view import IndexState
from app.matching.impostors import Impostors as Measured
from app.matching.mean_map import MIN_SUBJECTS
from app.numbers import Deviation, Fmr, Score


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Impostors(_Part):
    """How alike the enrolled subjects are to each other, by the nets' fused score."""

    mean: Score = Field(
        description="Mean of their scores with each other, to 4 significant digits.",
        examples=[0.58],
    )
    deviation: Deviation = Field(
        description="Standard deviation of these scores, to 4 significant digits. Thresholds "
        "are multiplied by it and raised by the mean.",
        examples=[1.06],
    )

    @classmethod
    def of(cls, measured: Measured | None) -> Self | None:
        """Describes impostors; None for none."""
        return cls(mean=measured.mean, deviation=measured.deviation) if measured else None


class CameraMean(_Part):
    """The mean map of one named camera, which is subtracted from the maps of its images."""

    camera: str = Field(description="The camera, as enrolments name it.", examples=["front-door"])
    subjects: int = Field(
        description=f"Number of subjects that it is the mean of, {MIN_SUBJECTS} or more.",
        examples=[60],
    )
    impostors: Impostors | None = Field(
        description="How alike its subjects are to each other before this camera."
    )


class MeanMap(_Part):
    """The mean of the enrolled subjects' maps, which is subtracted from every map."""

    subjects: int = Field(
        description="Number of subjects that it is the mean of, by images without a named camera, "
        "or before the camera of most subjects; 0 if none is subtracted: "
        f"below {MIN_SUBJECTS} enrolled subjects, or after a refusal that the log explains.",
        examples=[240],
    )
    revision: int = Field(
        description="Number of changes of the mean map in use since the service started, 0 or "
        "more.",
        examples=[3],
    )
    impostors: Impostors | None = Field(
        description="How alike its subjects are to each other; null if no mean map is subtracted."
    )
    cameras: list[CameraMean] = Field(
        default=[], description="Named cameras that have a mean map of their own."
    )


class GalleryState(_Part):
    """The gallery as it is searched now."""

    subjects: int = Field(description="Number of subjects that can be identified.", examples=[400])
    without_templates: int = Field(
        description="Number of enrolled subjects that cannot be identified, because they have no "
        "templates of the nets in service: enroll them again with add=true.",
        examples=[0],
    )
    mean_map: MeanMap = Field(description="The mean map in use, never shown itself.")
    fpir: Fmr = Field(
        description="False positive identification rate that can be held among these subjects: "
        "PALM_FPIR_TARGET, or more if the nets are not calibrated for so many. 0 to 1.",
        examples=[0.01],
    )
    as_of: GalleryAsOf = None

    @classmethod
    def of(cls, known: IndexState, used: MeanMapState, fpir: float) -> "GalleryState":
        """Describes a gallery; see the fields."""
        cameras = [
            CameraMean(
                camera=camera,
                subjects=means.subjects,
                impostors=Impostors.of(means.fused_impostors),
            )
            for camera, means in used.cameras.items()
        ]
        mean_map = MeanMap(
            subjects=used.subjects,
            revision=used.revision,
            impostors=Impostors.of(used.impostors),
            cameras=cameras,
        )
        return cls(
            subjects=known.searchable,
            without_templates=known.without_templates,
            mean_map=mean_map,
            fpir=fpir,
            as_of=known.as_of,
        )
