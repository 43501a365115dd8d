"""The use cases: enroll, identify, verify. Knows no HTTP, no SQL, no inference engine."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from app import answers
from app.answers import (
    Enrollment,
    GalleryState,
    Identification,
    MeanMap,
    Verification,
)
from app.clock import Clock
from app.compare import compare, compute_maps, warn
from app.enrolment import Checks, require_one_palm
from app.ensemble import Ensemble
from app.explanation import draw_explanation
from app.gallery.collection import Within
from app.gallery.erasure import Erasure
from app.gallery.errors import GalleryUnusable, TemplatesMissing
from app.gallery.gallery import Gallery
from app.gallery.index import Forgotten, Found, GalleryIndex
from app.gallery.once import Once
from app.gallery.outage import Outage
from app.gallery.records import FieldValue
from app.gallery.subject import Hand
from app.matching.maps import VeinMaps
from app.merging import require_one_subject
from app.palm.capture import Capture, CaptureMode
from app.palm.reader import Palm, PalmReader, read_palms, warn_of_turns
from app.verdict import rank_candidates


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
        outage: Outage | None = None,
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
            outage: see `GalleryIndex`.
        """
        self._ensemble = ensemble
        self._gallery = gallery
        self._outage = outage or Outage()
        self._index = GalleryIndex(
            gallery, ensemble.nets, ensemble.fusion.weights, outage=self._outage
        )
        self._reader = reader
        self._fpir_target = fpir_target
        self._fmr_target = fmr_target
        self._quality_enroll = quality_enroll
        self._quality_probe = quality_probe

    def close(self) -> None:
        """Stops work in the background; call it before the gallery's `close`."""
        self._index.close()

    def refresh(self) -> None:
        """Reads what has changed; see `GalleryIndex.refresh`."""
        self._index.refresh()

    def forget_erased(self) -> Forgotten:
        """Applies erasures to the index; see `GalleryIndex.forget_erased`."""
        return self._index.forget_erased()

    def describe_gallery(self) -> GalleryState:
        """Describes the gallery; reads it as identification does.

        Raises:
            GalleryUnusable: if nobody can be identified or verified; see `GalleryIndex`.
        """
        known = self._index.describe()
        subjects = known.searchable
        used = self._index.mean_map
        alike = used.impostors and answers.Impostors(
            mean=used.impostors.mean, deviation=used.impostors.deviation
        )
        lowest = self._ensemble.fusion.calibration.lowest_fmr
        return GalleryState(
            subjects=subjects,
            without_templates=known.without_templates,
            mean_map=MeanMap(subjects=used.subjects, revision=used.revision, impostors=alike),
            fpir=min(max(self._fpir_target, subjects * lowest), 1.0),
            as_of=known.as_of,
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
        collection: str | None = None,
        details: Mapping[str, FieldValue] | None = None,
        within: Within = None,
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
            collection: of a new subject, None for "default"; None keeps a known subject's.
            details: see `Gallery.enroll`.
            within: collections that the caller may see; None for all.

        Raises:
            RequestDiffers: if another request was done under the key of `once`.
            PalmImageError: if an image cannot be used, or the images show several palms or another
                one than the subject's.
            PalmKnown: if the palm is enrolled under another subject, and `force` is false.
            HandDiffers: if the subject is the other hand.
            CollectionDiffers: if it is in another collection.
            SubjectExists: if the subject exists and `add` is false.
        """
        clock, gallery = Clock(), self._gallery.within(within)
        self._outage.check()
        palms = self._read(images, mode, clock, self._quality_enroll)
        if once is not None and gallery.was_enrolled(once):
            subject = gallery.subject(subject_id)
        else:
            maps = compute_maps(self._ensemble, palms)
            templates = dict(zip(self._ensemble.formats, maps, strict=True))
            clock.lap("nets")
            checks = Checks(self._ensemble, gallery, self._index, add, force, collection)
            done = checks.apply(subject_id, hand, maps, once)
            clock.lap("search")
            self._outage.check()  # the checks may have been made with what was last read
            captures: list[Capture] = [palm.region.capture for palm in palms]
            store = partial(gallery.enroll, captures=captures, once=once, details=details)
            subject = done or store(
                subject_id, name, hand, templates, add=add, collection=collection
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

    def merge(
        self, subject_id: str, other: str, *, force: bool = False, within: Within = None
    ) -> Erasure:
        """Merges two subjects; see `Records.merge`.

        Args:
            subject_id: the subject that stays.
            other: the subject that is erased.
            force: whether to merge although they may be two palms.
            within: see `enroll`.

        Raises:
            MergeUnchecked: if one has no templates of the nets in service, and `force` is false.
            PalmsUnlike: if they do not show one palm, and `force` is false.
        """
        gallery = self._gallery.within(within)
        if not force:
            require_one_subject(self._ensemble, gallery, self._index, subject_id, other)
        return gallery.records.merge(subject_id, other)

    def identify(
        self,
        images: Sequence[bytes],
        *,
        mode: CaptureMode | None = None,
        candidates: int = 5,
        explain: bool = False,
        within: Within = None,
    ) -> Identification:
        """Finds the subject whose palm the images show.

        Args:
            images: files, all of one palm.
            mode: see `enroll`.
            candidates: number of best subjects to return, whatever the decision.
            explain: whether to draw which veins agree with a match.
            within: collections to search; None for all.

        Raises:
            PalmImageError: if an image cannot be used, or the images show several palms.
        """
        clock = Clock()
        palms = self._read(images, mode, clock, self._quality_probe)
        compared = compare(
            self._ensemble,
            palms,
            lambda probes: self._index.search(probes, within),
            self._fmr_among,
            clock,
            self._require_one,
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
            searched=compared.found.gallery_size,
            regions=[answers.Region.of(palm) for palm in compared.palms],
            quality=[palm.quality for palm in palms],
            warnings=warn(compared.palms, compared.matched, as_of=compared.found.as_of),
            explanation=explanation,
            gallery_as_of=compared.found.as_of,
            timings_ms=clock.timings_ms(),
        )

    def verify(
        self,
        subject_id: str,
        images: Sequence[bytes],
        *,
        mode: CaptureMode | None = None,
        within: Within = None,
    ) -> Verification:
        """Tells whether the images show the palm of one subject.

        Args:
            subject_id: the subject.
            images: files, all of one palm.
            mode: see `enroll`.
            within: see `enroll`.

        Raises:
            PalmImageError: if an image cannot be used, or the images show several palms.
            SubjectUnknown: if there is no such subject.
            TemplatesMissing: if it has no templates of the nets in service.
        """
        clock = Clock()
        subject = self._index.subject(subject_id, within)
        clock.lap("gallery")
        palms = self._read(images, mode, clock, self._quality_probe)
        compared = compare(
            self._ensemble,
            palms,
            lambda probes: self._find(subject_id, probes, within),
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
            warnings=warn(compared.palms, subject, as_of=compared.found.as_of),
            gallery_as_of=compared.found.as_of,
            timings_ms=clock.timings_ms(),
        )

    def _fmr_among(self, found: Found) -> float:
        """Returns the false match rate that holds the target among the subjects found."""
        return self._fpir_target / max(found.gallery_size, 1)  # FPIR is about N times FMR

    def _require_one(self, probes: Sequence[VeinMaps]) -> None:
        """Refuses images of several palms."""
        require_one_palm(self._ensemble, self._index, probes)

    def _find(self, subject_id: str, probes: Sequence[VeinMaps], within: Within) -> Found:
        """Compares with one subject."""
        found = self._index.verify(subject_id, probes, within)
        if found is None:
            raise TemplatesMissing(subject_id)
        return found

    def _read(
        self, images: Sequence[bytes], mode: CaptureMode | None, clock: Clock, least_quality: int
    ) -> list[Palm]:
        """Returns the palm in each image; see `read_palms`."""
        size = self._ensemble.input_px
        return read_palms(
            self._reader, images, size, mode, least_quality=least_quality, lap=clock.lap
        )

    def _explain(self, subject_id: str, probes: Sequence[VeinMaps]) -> str | None:
        """Draws the first image's maps; None if the subject was erased meanwhile."""
        first = [maps[:1] for maps in probes]
        found = self._index.agreement(subject_id, first)
        return b64encode(draw_explanation(first, found)).decode() if found else None
