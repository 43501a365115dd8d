"""Commands for the operator: who must be enrolled again, and calibration at the site."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from pydantic import ValidationError

from app.ensemble import Ensemble
from app.gallery.errors import GalleryUnusable
from app.gallery.gallery import Gallery
from app.gallery.index.cameras import UNNAMED, Cameras
from app.gallery.index.enrolled import next_means, read_enrolled
from app.matching.mean_map import MIN_SUBJECTS, MapSum
from app.matching.templates import MapFormat
from app.site import Enrolled, SiteReport, Suspect, digest, measure_site
from app.validation import in_one_line

logger = logging.getLogger(__name__)

_PAGE = 500  # subjects read at a time


def list_outdated(gallery: Gallery, formats: Sequence[MapFormat]) -> Iterator[str]:
    """Yields the ids of the subjects that must be enrolled again for these nets."""
    after: str | None = None
    while page := gallery.incomparable(formats, after=after, limit=_PAGE):
        yield from (subject.subject_id for subject in page)
        after = page[-1].subject_id


def calibrate_site(
    gallery: Gallery, ensemble: Ensemble, *, may_lower: bool, camera: str = UNNAMED
) -> tuple[SiteReport, list[Suspect]]:
    """Measures the false match rate among the enrolled subjects; see `app.site`.

    Trained identities are left out: their palms were not photographed at the site.

    Args:
        gallery: the gallery.
        ensemble: the nets, with the shipped calibration.
        may_lower: whether a threshold may be lower than the shipped one.
        camera: the camera whose images are compared.

    Raises:
        ValueError: if there are too few subjects to measure any rate, or too few for a mean map of
            this camera where another camera has one.
        GalleryUnusable: if the gallery cannot be read.
    """
    subject_ids, maps = read_enrolled(gallery, ensemble.nets, [camera])[camera]
    weights = ensemble.fusion.weights
    cameras = next_means(gallery, ensemble.nets, weights, Cameras.without(ensemble.nets))
    means = cameras.of(camera)
    sums: Sequence[MapSum | None] = [None] * len(weights)
    if means.subjects:
        if not cameras.has_own(camera):
            raise ValueError(
                f"{len(subject_ids)} subjects were enrolled with {describe_camera(camera)}, "
                f"{MIN_SUBJECTS} are needed for a mean map of its own; cameras that have one: "
                f"{', '.join(cameras.named()) or 'only the unnamed one'}"
            )
        sums = gallery.sums_by_camera(ensemble.formats)[camera]
    enrolled = [Enrolled([own[net] for own in maps], total) for net, total in enumerate(sums)]
    return measure_site(
        subject_ids,
        enrolled,
        [str(of) for of in ensemble.formats],
        weights,
        ensemble.fusion.calibration,
        impostors=means.fused_impostors,
        may_lower=may_lower,
    )


def read_reports(gallery: Gallery) -> dict[str, SiteReport]:
    """Reads the last calibration at the site by camera, of each that has one.

    Raises:
        GalleryUnusable: if the gallery cannot be read, or a calibration is damaged.
    """
    return {camera: _read(camera, stored) for camera, stored in gallery.site_reports().items()}


def _read(camera: str, stored: str) -> SiteReport:
    try:
        return SiteReport.model_validate_json(stored)
    except ValidationError as error:
        raise GalleryUnusable(
            f"the gallery's calibration at the site is not of this release ({in_one_line(error)}): "
            f"run {_advice(camera)} again"
        ) from error


def _advice(camera: str) -> str:
    """Returns the command that calibrates for a camera."""
    return f"`python -m app calibrate --write{f' --camera {camera}' if camera else ''}`"


def write_report(
    gallery: Gallery, report: SiteReport, *, keep_raised: bool, camera: str = UNNAMED
) -> None:
    """Replaces the calibration at the site of one camera.

    Args:
        gallery: the gallery.
        report: the new report.
        keep_raised: whether what the former report raised stays raised, if that can be read.
        camera: the camera.

    Raises:
        GalleryUnusable: if it cannot be written.
    """
    stored = gallery.site_reports().get(camera) if keep_raised else None
    former: SiteReport | None = None
    with suppress(GalleryUnusable):  # else a damaged report could never be replaced
        former = _read(camera, stored) if stored else None
    kept = report.keep_raised(former) if former else report
    gallery.write_site_report(kept.model_dump_json(), camera=camera)


class Calibrated(NamedTuple):
    """The thresholds at a site.

    Attributes:
        ensemble: the nets with the thresholds for images of every other camera.
        cameras: by camera that was calibrated, the nets with its thresholds.
        reports: by camera, the report that raised them; "" for every other camera.
    """

    ensemble: Ensemble
    cameras: Mapping[str, Ensemble]
    reports: Mapping[str, SiteReport]


def calibrated_at_site(ensemble: Ensemble, gallery: Gallery) -> Calibrated:
    """Returns the ensemble with the thresholds that were calibrated at the site, if any were.

    Raises:
        GalleryUnusable: see `read_reports`.
    """
    reports: dict[str, SiteReport] = {}
    for camera, report in read_reports(gallery).items():
        if is_of(report, ensemble):
            reports[camera] = report
            continue
        logger.warning(
            "the calibration at the site of %s is of other nets or thresholds and not used: run "
            "%s again",
            *(report.created_at.date(), _advice(camera)),
        )
    fusion = ensemble.fusion
    raised = {
        camera: replace(
            ensemble, fusion=replace(fusion, calibration=report.apply(fusion.calibration))
        )
        for camera, report in reports.items()
    }
    return Calibrated(raised.get(UNNAMED, ensemble), raised, reports)


def is_of(report: SiteReport, ensemble: Ensemble) -> bool:
    """Returns whether a site was calibrated with these nets, weights and shipped thresholds."""
    fusion = ensemble.fusion
    formats = tuple(str(of) for of in ensemble.formats)
    return (report.template_ids, report.weights, report.calibration) == (
        formats,
        tuple(fusion.weights),
        digest(fusion.calibration),
    )


def describe_camera(camera: str) -> str:
    """Returns what a camera is called in a text."""
    return f"camera {camera}" if camera else "no named camera"


def describe_report(report: SiteReport, suspects: Sequence[Suspect]) -> str:
    """Returns a report and the suspected pairs as lines of text."""
    lines = [
        f"{report.subjects} enrolled subjects, {report.comparisons:,} comparisons of one's image "
        f"with another's templates, {'with' if report.mean_map else 'without'} a mean map",
        "",
        f"{'stated FMR':>12} {'observed':>10} {'95 % interval':>23} {'false matches':>14} "
        f"{'raise by':>9}",
    ]
    for rate in report.rates:
        low, high = rate.interval
        lines.append(
            f"{rate.fmr:>12.0e} {rate.observed:>10.2e} {low:>10.2e} to {high:.2e} "
            f"{rate.false_matches:>14} {rate.raised_by:>9.4f}"
        )
    lines += [
        f"{one.first} and {one.second} are probably one palm (score {one.score:.1f}); "
        "they are left out above: erase one of them"
        for one in suspects
    ]
    return "\n".join(lines)
