"""Commands for the operator: who must be enrolled again, and calibration at the site."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from pydantic import ValidationError

from app.ensemble import Ensemble
from app.gallery.enrolled import next_means, read_enrolled
from app.gallery.errors import GalleryUnusable
from app.gallery.gallery import Gallery
from app.gallery.means import Means
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
    gallery: Gallery, ensemble: Ensemble, *, may_lower: bool
) -> tuple[SiteReport, list[Suspect]]:
    """Measures the false match rate among the enrolled subjects; see `app.site`.

    Trained identities are left out: their palms were not photographed at the site.

    Args:
        gallery: the gallery.
        ensemble: the nets, with the shipped calibration.
        may_lower: whether a threshold may be lower than the shipped one.

    Raises:
        ValueError: if there are too few subjects to measure any rate.
        GalleryUnusable: if the gallery cannot be read.
    """
    subject_ids, maps = read_enrolled(gallery, ensemble.nets)
    weights = ensemble.fusion.weights
    means = next_means(gallery, ensemble.nets, weights, Means.none(ensemble.nets))
    sums = gallery.map_sums(ensemble.formats) if means.subjects else [None] * len(weights)
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


def read_report(gallery: Gallery) -> SiteReport | None:
    """Reads the last calibration at the site; None if there is none.

    Raises:
        GalleryUnusable: if it cannot be read.
    """
    stored = gallery.site_report()
    if stored is None:
        return None
    try:
        return SiteReport.model_validate_json(stored)
    except ValidationError as error:
        raise GalleryUnusable(
            f"the gallery's calibration at the site is not of this release ({in_one_line(error)}): "
            "run `python -m app calibrate --write` again"
        ) from error


def write_report(gallery: Gallery, report: SiteReport, *, keep_raised: bool) -> None:
    """Replaces the calibration at the site.

    Args:
        gallery: the gallery.
        report: the new report.
        keep_raised: whether what the former report raised stays raised, if that can be read.

    Raises:
        GalleryUnusable: if it cannot be written.
    """
    former: SiteReport | None = None
    if keep_raised:
        with suppress(GalleryUnusable):  # else a damaged report could never be replaced
            former = read_report(gallery)
    kept = report.keep_raised(former) if former else report
    gallery.write_site_report(kept.model_dump_json())


def calibrated_at_site(ensemble: Ensemble, gallery: Gallery) -> tuple[Ensemble, SiteReport | None]:
    """Returns the ensemble with the thresholds that were calibrated at the site, if any were.

    Returns:
        The ensemble, and the report that raised its thresholds; None if none did.

    Raises:
        GalleryUnusable: see `read_report`.
    """
    report = read_report(gallery)
    if report is None:
        return ensemble, None
    if not is_of(report, ensemble):
        logger.warning(
            "the calibration at the site of %s is of other nets or thresholds and not used: run "
            "`python -m app calibrate --write` again",
            report.created_at.date(),
        )
        return ensemble, None
    fusion = ensemble.fusion
    raised = replace(fusion, calibration=report.apply(fusion.calibration))
    return replace(ensemble, fusion=raised), report


def is_of(report: SiteReport, ensemble: Ensemble) -> bool:
    """Returns whether a site was calibrated with these nets, weights and shipped thresholds."""
    fusion = ensemble.fusion
    formats = tuple(str(of) for of in ensemble.formats)
    return (report.template_ids, report.weights, report.calibration) == (
        formats,
        tuple(fusion.weights),
        digest(fusion.calibration),
    )


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
