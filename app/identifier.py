"""The use cases: enroll, identify, verify. Knows no HTTP, no SQL, no inference engine."""

from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress

from app import answers
from app.answers import Enrollment, GalleryState, Identification, MeanMap, Verification
from app.clock import Clock
from app.compare import compare, compute_maps, warn
from app.enrolment import Checks, require_one_palm
from app.ensemble import Ensemble
from app.explanation import draw_explanation
from app.gallery.errors import GalleryUnusable
from app.gallery.gallery import Gallery, Once
from app.gallery.index import Forgotten, Found, GalleryIndex
from app.gallery.searching import Index
from app.gallery.subject import Hand
from app.matching.maps import VeinMaps
from app.palm.capture import Capture, CaptureMode
from app.palm.errors import PalmImageError, PoorQuality
from app.palm.reader import Palm, PalmReader, warn_of_turns
from app.verdict import rank_candidates


class TemplatesMissing(Exception):
    """The subject is known, but lacks a template of at least one net in service."""

    def __init__(self, subject_id: str) -> None:
        super().__init__(
            f"subject {subject_id!r} has no templates of the nets in service: enroll it again "
            "with add=true"
        )


class Identifier:
    """Enrolls, identifies and verifies by a set of nets; safe for concurrent callers."""

    def __init__(
        self,
        ensemble: Ensemble,
        gallery: Gallery,
        reader: PalmReader,
        *,
        fpir_target: float,
        fmr_target: float,
        quality_enroll: int,
        quality_probe: int,
        index: Index | None = None,
    ) -> None:
        """Creates the identifier; reads and writes nothing.

        Args:
            ensemble: the nets.
            gallery: the enrolled subjects, and the trained ones: see `Gallery.seed_trained`.
            reader: reads palms from images.
            fpir_target: share of strangers that identification may accept, 0 to 1.
            fmr_target: share of impostors that verification may accept, 0 to 1.
            quality_enroll: least quality of an image to enroll, 0 to 100.
            quality_probe: least quality of an image to identify or verify, 0 to 100.
            index: finds whose palm a probe is; by default one in memory.
        """
        self._ensemble = ensemble
        self._gallery = gallery
        self._index = index or GalleryIndex(gallery, ensemble.nets, ensemble.fusion.weights)
        self._reader = reader
        self._fpir_target = fpir_target
        self._fmr_target = fmr_target
        self._quality_enroll = quality_enroll
        self._quality_probe = quality_probe

    def close(self) -> None:
        """Stops work in the background; call it before the gallery's `close`."""
        self._index.close()

    def forget_erased(self) -> Forgotten:
        """Applies erasures to the index; see `GalleryIndex.forget_erased`."""
        return self._index.forget_erased()

    def describe_gallery(self) -> GalleryState:
        """Describes the gallery; reads it as identification does.

        Raises:
            GalleryUnusable: if nobody can be identified or verified; see `GalleryIndex`.
        """
        subjects = self._index.count_subjects()
        used = self._index.mean_map
        alike = used.impostors
        lowest = self._ensemble.fusion.calibration.lowest_fmr
        return GalleryState(
            subjects=subjects,
            without_templates=self._gallery.count_incomparable(self._ensemble.formats),
            mean_map=MeanMap(
                subjects=used.subjects,
                revision=used.revision,
                impostors=answers.Impostors(mean=alike.mean, deviation=alike.deviation)
                if alike
                else None,
            ),
            fpir=min(max(self._fpir_target, subjects * lowest), 1.0),
        )

    def enroll(
        self,
        subject_id: str,
        name: str | None,
        hand: Hand | None,
        images: Sequence[bytes],
        *,
        add: bool,
        force: bool = False,
        mode: CaptureMode | None = None,
        once: Once | None = None,
    ) -> Enrollment:
        """Stores one template per image and net; stores nothing if any image is refused.

        Args:
            subject_id: the subject.
            name: its name; None keeps it.
            hand: which hand it is; None keeps it.
            images: files, all of one palm.
            add: whether to add to an existing subject.
            force: whether the palm may be unlike the subject's, or enrolled under another subject.
            mode: what the images are taken for; None leaves it to the reader.
            once: identifies the request; if it was done before, nothing is stored.

        Raises:
            RequestDiffers: if another request was done under the key of `once`.
            PalmImageError: if an image cannot be used, or the images show several palms or another
                one than the subject's.
            PalmKnown: if the palm is enrolled under another subject, and `force` is false.
            HandDiffers: if the subject is the other hand.
            SubjectExists: if the subject exists and `add` is false.
        """
        clock = Clock()
        palms = self._read(images, mode, clock, enrolling=True)
        if once is not None and self._gallery.was_enrolled(once):
            subject = self._gallery.subject(subject_id)
        else:
            maps = compute_maps(self._ensemble, palms)
            templates = dict(zip(self._ensemble.formats, maps, strict=True))
            clock.lap("nets")
            checks = Checks(self._ensemble, self._gallery, self._index, add=add, force=force)
            done = checks.apply(subject_id, hand, maps, once)
            clock.lap("search")
            captures: list[Capture] = [palm.region.capture for palm in palms]
            subject = done or self._gallery.enroll(
                subject_id, name, hand, templates, add=add, captures=captures, once=once
            )
        # So that the next identification need not read it. If others' templates are damaged, that
        # identification says so; this subject is stored.
        with suppress(GalleryUnusable):
            self._index.refresh()
        clock.lap("gallery")
        return Enrollment(
            subject=subject,
            regions=[answers.Region.of(palm) for palm in palms],
            quality=[palm.quality for palm in palms],
            warnings=warn_of_turns(palms),
            timings_ms=clock.timings_ms(),
        )

    def identify(
        self,
        images: Sequence[bytes],
        *,
        mode: CaptureMode | None = None,
        candidates: int = 5,
        explain: bool = False,
    ) -> Identification:
        """Finds the subject whose palm the images show.

        Args:
            images: files, all of one palm.
            mode: see `enroll`.
            candidates: number of best subjects to return, whatever the decision.
            explain: whether to draw which veins agree with a match.

        Raises:
            PalmImageError: if an image cannot be used, or the images show several palms.
        """
        clock = Clock()
        palms = self._read(images, mode, clock)
        compared = compare(
            self._ensemble, palms, self._index.search, self._fmr_among, clock, self._require_one
        )
        explanation = None
        if explain and compared.matched is not None:
            explanation = self._explain(compared.matched.subject_id, compared.probes)
            clock.lap("explain")
        return Identification(
            decision=compared.verdict.decision,
            identity=compared.matched,
            confidence=compared.verdict.confidence,
            candidates=rank_candidates(
                compared.fused, compared.verdict.answers, compared.found, candidates
            ),
            nets=compared.votes,
            threshold=compared.verdict.threshold,
            regions=[answers.Region.of(palm) for palm in compared.palms],
            quality=[palm.quality for palm in palms],
            warnings=warn(compared.palms, compared.matched),
            explanation=explanation,
            timings_ms=clock.timings_ms(),
        )

    def verify(
        self, subject_id: str, images: Sequence[bytes], *, mode: CaptureMode | None = None
    ) -> Verification:
        """Tells whether the images show the palm of one subject.

        Args:
            subject_id: the subject.
            images: files, all of one palm.
            mode: see `enroll`.

        Raises:
            PalmImageError: if an image cannot be used, or the images show several palms.
            SubjectUnknown: if there is no such subject.
            TemplatesMissing: if it has no templates of the nets in service.
        """
        clock = Clock()
        subject = self._gallery.subject(subject_id)
        clock.lap("gallery")
        palms = self._read(images, mode, clock)
        compared = compare(
            self._ensemble,
            palms,
            lambda probes: self._find(subject_id, probes),
            lambda _: self._fmr_target,
            clock,
            self._require_one,
        )
        return Verification(
            decision=compared.verdict.decision,
            identity=subject,
            confidence=compared.verdict.confidence,
            score=float(compared.fused[0]),
            nets=compared.votes,
            threshold=compared.verdict.threshold,
            regions=[answers.Region.of(palm) for palm in compared.palms],
            quality=[palm.quality for palm in palms],
            warnings=warn(compared.palms, subject),
            timings_ms=clock.timings_ms(),
        )

    def _fmr_among(self, found: Found) -> float:
        """Returns the false match rate that holds the target among the subjects found."""
        return self._fpir_target / max(found.gallery_size, 1)  # FPIR is about N times FMR

    def _require_one(self, probes: Sequence[VeinMaps]) -> None:
        """Refuses images of several palms."""
        require_one_palm(self._ensemble, self._index, probes)

    def _find(self, subject_id: str, probes: Sequence[VeinMaps]) -> Found:
        """Compares with one subject."""
        found = self._index.verify(subject_id, probes)
        if found is None:
            raise TemplatesMissing(subject_id)
        return found

    def _read(
        self,
        images: Sequence[bytes],
        mode: CaptureMode | None,
        clock: Clock,
        *,
        enrolling: bool = False,
    ) -> list[Palm]:
        """Returns the palm in each image."""
        least_quality = self._quality_enroll if enrolling else self._quality_probe
        if not images:
            raise ValueError("no image is given: give at least one")
        palms: list[Palm] = []
        for position, data in enumerate(images, start=1):
            place = f"image {position} of {len(images)}"
            try:
                image = self._reader.decode(data)
                clock.lap("decode")
                palm = self._reader.find(image, self._ensemble.input_px, mode)
                palm.quality.refuse_below(least_quality)
                clock.lap("find")
                palms.append(palm)
            except PoorQuality as error:
                reasons = {f"images.{position - 1}.{n}": why for n, why in error.reasons.items()}
                raise PoorQuality(f"{place}: {error}", reasons) from error
            except PalmImageError as error:
                raise type(error)(f"{place}: {error}") from error
        return palms

    def _explain(self, subject_id: str, probes: Sequence[VeinMaps]) -> str | None:
        """Draws the first image's maps; None if the subject was erased meanwhile."""
        first = [maps[:1] for maps in probes]
        agreements = self._index.agreement(subject_id, first)
        if not agreements:
            return None
        return b64encode(draw_explanation(first, agreements)).decode()
