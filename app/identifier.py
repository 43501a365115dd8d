"""The use cases: identify, verify, and `Enroller`'s. Knows no HTTP, no SQL, no inference engine."""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from app import answers
from app.answers import Identification, Verification
from app.clock import Clock
from app.compare import Comparison, Search, compare, compute_maps, warn
from app.enroller import Enroller
from app.enrolment import require_one_palm
from app.ensemble import Ensemble
from app.explanation import draw_explanation
from app.gallery.collection import Within
from app.gallery.errors import TemplatesMissing
from app.gallery.gallery import Gallery
from app.gallery.index.cameras import UNNAMED
from app.gallery.index.comparison import Found
from app.gallery.index.memory import GalleryIndex
from app.gallery.index.searching import Forgotten, Index
from app.gallery.outage import Outage
from app.gallery_state import GalleryState
from app.matching.maps import VeinMaps
from app.palm.capture import CaptureMode
from app.palm.reader import Palm, PalmReader, read_palms
from app.thresholds import ThresholdInUse
from app.verdict import rank_candidates


class Identifier:
    """Identifies and verifies by a set of nets; safe for concurrent callers.

    Attributes:
        enroller: enrolls by the same nets.
    """

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
        calibrated: Mapping[str, Ensemble] | None = None,
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
            outage: see `GalleryIndex`.
            calibrated: by camera, the same nets with the thresholds that were calibrated for it.
            index: finds whose palm a probe is; by default one in memory.
        """
        self._ensemble = ensemble
        by_camera = calibrated or {}

        # No method: the enroller would keep this, and large nets, until garbage is collected.
        def nets_for(camera: str) -> Ensemble:
            return by_camera.get(camera, ensemble)

        self._nets_for = nets_for
        outage = outage or Outage()
        self._index = index or GalleryIndex(
            gallery, ensemble.nets, ensemble.fusion.weights, outage=outage
        )
        self._reader = reader
        self._fpir_target = fpir_target
        self._fmr_target = fmr_target
        self._quality_probe = quality_probe
        self.enroller = Enroller(
            self._nets_for,
            gallery,
            self._index,
            reader,
            least_quality=quality_enroll,
            outage=outage,
        )

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
        lowest = self._ensemble.fusion.calibration.lowest_fmr
        fpir = min(max(self._fpir_target, known.searchable * lowest), 1.0)
        return GalleryState.of(known, self._index.mean_map, fpir)

    def describe_thresholds(self) -> list[ThresholdInUse]:
        """Describes the thresholds of identification and verification, by the unnamed camera.

        Raises:
            GalleryUnusable: see `describe_gallery`.
        """
        searched = max(self._index.describe().searchable, 1)
        calibration = self._nets_for(UNNAMED).fusion.calibration
        of = partial(
            ThresholdInUse.of, calibration=calibration, impostors=self._index.mean_map.impostors
        )
        return [
            of("PALM_FPIR_TARGET", self._fpir_target, searched),
            of("PALM_FMR_TARGET", self._fmr_target, 1),
        ]

    def identify(
        self,
        images: Sequence[bytes],
        *,
        mode: CaptureMode | None = None,
        candidates: int = 5,
        explain: bool = False,
        within: Within = None,
        camera: str = UNNAMED,
    ) -> Identification:
        """Finds the subject whose palm the images show.

        Args:
            images: files, all of one palm.
            mode: what the images are taken for; None leaves it to the reader.
            candidates: number of best subjects to return, whatever the decision.
            explain: whether to draw which veins agree with a match.
            within: collections to search; None for all.
            camera: the camera that took the images.

        Raises:
            PalmImageError: if an image cannot be used, or the images show several palms.
        """
        clock = Clock()
        palms = self._read(images, mode, clock)
        search = partial(self._index.search, within=within, camera=camera)
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
        camera: str = UNNAMED,
    ) -> Verification:
        """Tells whether the images show the palm of one subject.

        Args:
            subject_id: the subject.
            images: files, all of one palm.
            mode: see `identify`.
            within: collections that the caller may see; None for all.
            camera: see `identify`.

        Raises:
            PalmImageError: if an image cannot be used, or the images show several palms.
            SubjectUnknown: if there is no such subject.
            TemplatesMissing: if it has no templates of the nets in service.
        """
        clock = Clock()
        subject = self._index.subject(subject_id, within)
        clock.lap("gallery")
        palms = self._read(images, mode, clock)
        find = partial(self._find, subject_id, within, camera)
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
            warnings=warn(compared.palms, subject, as_of=compared.found.as_of),
            gallery_as_of=compared.found.as_of,
            timings_ms=clock.timings_ms(),
        )

    def _fmr_among(self, found: Found) -> float:
        """Returns the false match rate that holds the target among the subjects found."""
        return self._fpir_target / max(found.gallery_size, 1)  # FPIR is about N times FMR

    def _compare(
        self,
        palms: Sequence[Palm],
        search: Search,
        fmr_of: Callable[[Found], float],
        clock: Clock,
        camera: str,
    ) -> Comparison:
        """Compares palms that must be one; see `require_one_palm` and `compare`."""
        ensemble = self._nets_for(camera)
        probes = compute_maps(ensemble, palms)
        clock.lap("nets")
        require_one_palm(ensemble, self._index, probes, camera=camera)
        return compare(ensemble, palms, probes, search, fmr_of, clock)

    def _find(
        self, subject_id: str, within: Within, camera: str, probes: Sequence[VeinMaps]
    ) -> Found:
        """Compares with one subject."""
        found = self._index.verify(subject_id, probes, within, camera=camera)
        if found is None:
            raise TemplatesMissing(subject_id)
        return found

    def _read(self, images: Sequence[bytes], mode: CaptureMode | None, clock: Clock) -> list[Palm]:
        """Returns the palm in each image; see `read_palms`."""
        return read_palms(
            *(self._reader, images, self._ensemble.input_px, mode),
            least_quality=self._quality_probe,
            lap=clock.lap,
        )

    def _explain(self, subject_id: str, probes: Sequence[VeinMaps], camera: str) -> str | None:
        """Draws the first image's maps; None if the subject was erased meanwhile."""
        first = [maps[:1] for maps in probes]
        found = self._index.agreement(subject_id, first, camera=camera)
        return b64encode(draw_explanation(first, found)).decode() if found else None
