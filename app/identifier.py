"""The use cases: enroll, identify, verify. Knows no HTTP, no SQL, no inference engine."""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from app import answers
from app.answers import Enrollment, Identification, Verification
from app.clock import Clock
from app.compare import Comparison, Search, compare, compute_maps, warn
from app.enrolment import Checks, require_one_palm
from app.ensemble import Ensemble
from app.explanation import draw_explanation
from app.gallery.cameras import UNNAMED
from app.gallery.errors import GalleryUnusable
from app.gallery.gallery import Gallery, Once
from app.gallery.index import Forgotten, Found, GalleryIndex
from app.gallery.subject import Hand
from app.gallery_state import GalleryState
from app.matching.maps import VeinMaps
from app.palm.capture import Capture, CaptureMode
from app.palm.reader import Palm, PalmReader, warn_of_turns
from app.reading import read_palms
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
        calibrated: Mapping[str, Ensemble] | None = None,
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
            calibrated: by camera, the same nets with the thresholds that were calibrated for it.
        """
        self._ensemble = ensemble
        self._calibrated = calibrated or {}
        self._gallery = gallery
        self._index = GalleryIndex(gallery, ensemble.nets, ensemble.fusion.weights)
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
        lowest = self._ensemble.fusion.calibration.lowest_fmr
        return GalleryState.of(
            subjects,
            self._gallery.count_incomparable(self._ensemble.formats),
            self._index.mean_map,
            min(max(self._fpir_target, subjects * lowest), 1.0),
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
        camera: str = UNNAMED,
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
            camera: the camera that took the images.

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
            ensemble = self._calibrated_for(camera)
            maps = compute_maps(ensemble, palms)
            templates = dict(zip(ensemble.formats, maps, strict=True))
            clock.lap("nets")
            checks = Checks(ensemble, self._gallery, self._index, add, force, camera)
            done = checks.apply(subject_id, hand, maps, once)
            clock.lap("search")
            captures: list[Capture] = [palm.region.capture for palm in palms]
            subject = done or self._gallery.enroll(
                subject_id,
                name,
                hand,
                templates,
                add=add,
                captures=captures,
                once=once,
                camera=camera,
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
        camera: str = UNNAMED,
    ) -> Identification:
        """Finds the subject whose palm the images show.

        Args:
            images: files, all of one palm.
            mode: see `enroll`.
            candidates: number of best subjects to return, whatever the decision.
            explain: whether to draw which veins agree with a match.
            camera: see `enroll`.

        Raises:
            PalmImageError: if an image cannot be used, or the images show several palms.
        """
        clock = Clock()
        palms = self._read(images, mode, clock)
        search = partial(self._index.search, camera=camera)
        compared = self._compare(palms, search, self._fmr_among, clock, camera)
        explanation = None
        if explain and compared.matched is not None:
            explanation = self._explain(compared.matched.subject_id, compared.probes, camera)
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
        self,
        subject_id: str,
        images: Sequence[bytes],
        *,
        mode: CaptureMode | None = None,
        camera: str = UNNAMED,
    ) -> Verification:
        """Tells whether the images show the palm of one subject.

        Args:
            subject_id: the subject.
            images: files, all of one palm.
            mode: see `enroll`.
            camera: see `enroll`.

        Raises:
            PalmImageError: if an image cannot be used, or the images show several palms.
            SubjectUnknown: if there is no such subject.
            TemplatesMissing: if it has no templates of the nets in service.
        """
        clock = Clock()
        subject = self._gallery.subject(subject_id)
        clock.lap("gallery")
        palms = self._read(images, mode, clock)
        find = partial(self._find, subject_id, camera)
        compared = self._compare(palms, find, lambda _: self._fmr_target, clock, camera)
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

    def _calibrated_for(self, camera: str) -> Ensemble:
        """Returns the nets with the thresholds for images of a camera."""
        return self._calibrated.get(camera, self._ensemble)

    def _compare(
        self,
        palms: Sequence[Palm],
        search: Search,
        fmr_of: Callable[[Found], float],
        clock: Clock,
        camera: str,
    ) -> Comparison:
        """Compares palms of one hand; see `compare`."""
        ensemble = self._calibrated_for(camera)

        def require_one(probes: Sequence[VeinMaps]) -> None:
            require_one_palm(ensemble, self._index, probes, camera=camera)

        return compare(ensemble, palms, search, fmr_of, clock, require_one)

    def _find(self, subject_id: str, camera: str, probes: Sequence[VeinMaps]) -> Found:
        """Compares with one subject."""
        found = self._index.verify(subject_id, probes, camera=camera)
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
        least = self._quality_enroll if enrolling else self._quality_probe
        return read_palms(self._reader, images, self._ensemble.input_px, mode, least, clock)

    def _explain(self, subject_id: str, probes: Sequence[VeinMaps], camera: str) -> str | None:
        """Draws the first image's maps; None if the subject was erased meanwhile."""
        first = [maps[:1] for maps in probes]
        agreements = self._index.agreement(subject_id, first, camera=camera)
        return b64encode(draw_explanation(first, agreements)).decode() if agreements else None
