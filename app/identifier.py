"""The use cases: enroll, identify, verify. Knows no HTTP, no SQL, no inference engine."""

from collections.abc import Sequence

import numpy as np

from app.answers import Candidate, Enrollment, Identification, Verification, Vote
from app.clock import Clock
from app.decision import Decision, Floats, Scores, are_unit, centroid
from app.ensemble import Ensemble
from app.gallery.gallery import Gallery, Hand, NetKey, Subject
from app.palm.decode import ImageLimits, PalmImageError, decode
from app.palm.quality import Quality, assess
from app.palm.roi import prepare
from app.palm.views import Images, probe_views, similarities, template_views
from app.snapshot import GalleryCache


class TemplatesMissing(Exception):
    """The subject is known, but has no template of every net in service."""

    def __init__(self, subject_id: str) -> None:
        super().__init__(
            f"subject {subject_id!r} has no templates of the nets in service: enroll it again "
            "with add=true"
        )


class Identifier:
    """Answers from a set of nets and a gallery; safe for concurrent callers."""

    def __init__(
        self,
        ensemble: Ensemble,
        gallery: Gallery,
        *,
        image_limits: ImageLimits,
        fpir_target: float,
        fmr_target: float,
    ) -> None:
        """Creates the identifier and enters the trained identities into the gallery.

        Args:
            ensemble: the nets.
            gallery: who is enrolled.
            image_limits: bounds on the pictures.
            fpir_target: share of strangers that identification may take for somebody, 0 to 1.
            fmr_target: share of impostors that verification may accept, 0 to 1.
        """
        self._ensemble = ensemble
        self._gallery = gallery
        self._cache = GalleryCache(gallery, ensemble.nets)
        self._limits = image_limits
        self._fpir_target = fpir_target
        self._fmr_target = fmr_target
        gallery.seed_trained(ensemble.identities)

    def check_gallery(self) -> None:
        """Reads the gallery as identification and verification do.

        Raises:
            GalleryUnusable: if neither can be answered; see `GalleryCache.current`.
        """
        self._cache.current()

    def enroll(
        self,
        subject_id: str,
        name: str | None,
        hand: Hand | None,
        images: Sequence[bytes],
        *,
        add: bool,
    ) -> Enrollment:
        """Stores one template per image and net; nothing is stored if any image is unfit.

        Raises:
            PalmImageError: if an image cannot be used.
            SubjectExists: if the subject exists and `add` is false.
        """
        clock = Clock()
        pixels, qualities = self._read(images)
        clock.lap("decode")
        keys = [net.key for net in self._ensemble.nets]
        templates = dict(zip(keys, self._embed(template_views(pixels)), strict=True))
        clock.lap("nets")
        subject = self._gallery.enroll(subject_id, name, hand, templates, add=add)
        clock.lap("gallery")
        return Enrollment(subject, qualities, clock.timings_ms())

    def identify(self, images: Sequence[bytes], *, candidates: int = 5) -> Identification:
        """Finds whose palm the images, all of one palm, show.

        Raises:
            PalmImageError: if an image cannot be used.
        """
        clock = Clock()
        pixels, qualities = self._read(images)
        clock.lap("decode")
        probes = self._probes(pixels)
        clock.lap("nets")
        gallery = self._cache.current()
        fmr = self._fpir_target / max(len(gallery.subjects), 1)  # FPIR is about N FMR
        scores = self._compare(probes, gallery.matrices, fmr)
        fused = self._ensemble.fusion.combine(scores, fmr)
        ranked = self._rank(fused, gallery.subjects, candidates)
        decision = fused.decide()
        nobody = float(fused.confidences()[0])
        matched = ranked[0] if decision == "match" else None
        votes = self._votes(scores, gallery.subject_ids)
        clock.lap("search")
        return Identification(
            decision=decision,
            subject=matched.subject if matched else None,
            confidence=_answer_confidence(decision, nobody, ranked),
            similarity=ranked[0].similarity if ranked else None,
            candidates=ranked,
            votes=votes,
            threshold=fused.threshold,
            qualities=qualities,
            timings_ms=clock.timings_ms(),
        )

    def verify(self, subject_id: str, images: Sequence[bytes]) -> Verification:
        """Tells whether the images show the palm of one subject.

        Raises:
            PalmImageError: if an image cannot be used.
            SubjectUnknown: if there is no such subject.
            TemplatesMissing: if it has no templates of the nets in service.
        """
        clock = Clock()
        subject = self._gallery.subject(subject_id)
        gallery = self._cache.current()
        if subject_id not in gallery.subject_ids:
            raise TemplatesMissing(subject_id)
        row = gallery.subject_ids.index(subject_id)
        pixels, qualities = self._read(images)
        clock.lap("decode")
        probes = self._probes(pixels)
        clock.lap("nets")
        templates = [matrix[row : row + 1] for matrix in gallery.matrices]
        scores = self._compare(probes, templates, self._fmr_target)
        fused = self._ensemble.fusion.combine(scores, self._fmr_target)
        decision = fused.decide()
        clock.lap("search")
        return Verification(
            subject=subject,
            decision=decision,
            confidence=float(fused.confidences()[int(decision == "match")]),
            similarity=float(fused.similarities[0]),
            votes=self._votes(scores, (subject_id,)),
            threshold=fused.threshold,
            qualities=qualities,
            timings_ms=clock.timings_ms(),
        )

    def _read(self, images: Sequence[bytes]) -> tuple[Images, list[Quality]]:
        """Pixels [B, H, W, 3] as the nets take them, and what each picture is worth."""
        pixels: list[Images] = []
        qualities: list[Quality] = []
        for position, data in enumerate(images, start=1):
            try:
                pixels.append(prepare(decode(data, self._limits), self._ensemble.input_px))
                qualities.append(assess(pixels[-1]))
            except PalmImageError as error:
                raise type(error)(f"image {position} of {len(images)}: {error}") from error
        return np.stack(pixels), qualities

    def _probes(self, pixels: Images) -> list[Floats]:
        """For each net, one embedding [2, D] of all pictures together, as they lie and mirrored."""
        return [centroid(rows) for rows in self._embed(probe_views(pixels))]

    def _embed(self, views: Images) -> list[Floats]:
        """For each net, embeddings [B, ..., D] of the views [B, ..., H, W, 3] of B pictures.

        Raises:
            ArithmeticError: if one would spoil the answer or the gallery.
        """
        by_picture = views.reshape(len(views), -1, *views.shape[-3:])
        # One picture at a time: an engine keeps memory for the largest batch that it has seen.
        embeddings = [
            np.stack([net.embed(shown) for shown in by_picture]).reshape(*views.shape[:-3], -1)
            for net in self._ensemble.nets
        ]
        for net, rows in zip(self._ensemble.nets, embeddings, strict=True):
            if not are_unit(rows).all():
                raise ArithmeticError(f"{net.key} computed an embedding that has no unit length")
        return embeddings

    def _compare(
        self, probes: Sequence[Floats], matrices: Sequence[Floats], fmr: float
    ) -> list[Scores]:
        """Each net's similarities [N] of its probe [2, D] to its matrix's rows [N, 2, M, D]."""
        return [
            Scores(
                similarities(probe[None], matrix)[0],
                net.calibration.threshold_at(fmr),
                net.calibration.temperature,
            )
            for net, probe, matrix in zip(self._ensemble.nets, probes, matrices, strict=True)
        ]

    @staticmethod
    def _rank(fused: Scores, subjects: Sequence[Subject], count: int) -> list[Candidate]:
        confidences = fused.confidences()[1:]
        best: list[int] = np.argsort(-fused.similarities, kind="stable")[:count].tolist()
        return [
            Candidate(subjects[i], float(confidences[i]), float(fused.similarities[i]))
            for i in best
        ]

    def _votes(self, scores: Sequence[Scores], subject_ids: Sequence[str]) -> list[Vote]:
        return [
            _vote(net.key, score, subject_ids)
            for net, score in zip(self._ensemble.nets, scores, strict=True)
        ]


def _vote(key: NetKey, scores: Scores, subject_ids: Sequence[str]) -> Vote:
    confidences = scores.confidences()
    decision = scores.decide()
    if not subject_ids:
        return Vote(key, None, decision, float(confidences[0]), None, scores.threshold)
    best = int(scores.similarities.argmax())
    confidence = confidences[0] if decision == "no_match" else confidences[1 + best]
    similarity = float(scores.similarities[best])
    return Vote(key, subject_ids[best], decision, float(confidence), similarity, scores.threshold)


def _answer_confidence(decision: Decision, nobody: float, ranked: Sequence[Candidate]) -> float:
    return nobody if decision == "no_match" else ranked[0].confidence
