"""The use cases: enroll, identify, verify. Knows no HTTP, no SQL, no inference engine."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from app.answers import Candidate, Enrollment, Identification, Threshold, Verification, Vote
from app.clock import Clock
from app.ensemble import Ensemble
from app.gallery.gallery import Gallery, Hand
from app.gallery.index import GalleryIndex
from app.matching.calibration import Calibration
from app.matching.decision import Answers, Decision, decide
from app.matching.similarity import similarities
from app.matching.templates import Floats, NetKey, are_unit, mean_template
from app.palm.decode import ImageLimits, PalmImageError, decode
from app.palm.quality import Quality, assess
from app.palm.roi import prepare
from app.palm.views import Images, probe_views, template_views


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
        *,
        image_limits: ImageLimits,
        fpir_target: float,
        fmr_target: float,
    ) -> None:
        """Creates the identifier; reads and writes nothing.

        Args:
            ensemble: the nets.
            gallery: the enrolled subjects, and the trained ones: see `Gallery.seed_trained`.
            image_limits: bounds on the images.
            fpir_target: share of strangers that identification may accept, 0 to 1.
            fmr_target: share of impostors that verification may accept, 0 to 1.
        """
        self._ensemble = ensemble
        self._gallery = gallery
        self._index = GalleryIndex(gallery, ensemble.nets)
        self._limits = image_limits
        self._fpir_target = fpir_target
        self._fmr_target = fmr_target

    def count_subjects(self) -> int:
        """Returns how many subjects can be identified; reads the gallery as identification does.

        Raises:
            GalleryUnusable: if nobody can be identified or verified; see `GalleryIndex.current`.
        """
        return len(self._index.current().subjects)

    def enroll(
        self,
        subject_id: str,
        name: str | None,
        hand: Hand | None,
        images: Sequence[bytes],
        *,
        add: bool,
    ) -> Enrollment:
        """Stores one template per image and net; stores nothing if any image is refused.

        Raises:
            PalmImageError: if an image cannot be used.
            SubjectExists: if the subject exists and `add` is false.
        """
        clock = Clock()
        pixels, quality = self._read(images)
        clock.lap("decode")
        keys = [net.key for net in self._ensemble.nets]
        templates = dict(zip(keys, self._embed(template_views(pixels)), strict=True))
        clock.lap("nets")
        subject = self._gallery.enroll(subject_id, name, hand, templates, add=add)
        clock.lap("gallery")
        return Enrollment(subject=subject, quality=quality, timings_ms=clock.timings_ms())

    def identify(self, images: Sequence[bytes], *, candidates: int = 5) -> Identification:
        """Finds the subject whose palm the images show.

        Args:
            images: files, all of one palm.
            candidates: number of best subjects to return, whatever the decision.

        Raises:
            PalmImageError: if an image cannot be used.
        """
        clock = Clock()
        pixels, quality = self._read(images)
        clock.lap("decode")
        probes = self._probes(pixels)
        clock.lap("nets")
        gallery = self._index.current()
        fmr = self._fpir_target / max(len(gallery.subjects), 1)  # FPIR is about N times FMR
        by_net = _compare(probes, gallery.matrices)
        fused = self._ensemble.fusion.combine(by_net)
        answers, threshold = _decide(fused, self._ensemble.fusion.calibration, fmr)
        ranked = _rank(fused[0], answers.posteriors[0, 1:], gallery.subject_ids, candidates)
        decision = _decision(answers)
        best = int(answers.best[0])
        votes = self._votes(by_net, gallery.subject_ids, fmr)
        clock.lap("search")
        return Identification(
            decision=decision,
            identity=gallery.subjects[best] if decision == "match" else None,
            confidence=float(answers.confidence[0]),
            candidates=ranked,
            nets=votes,
            threshold=threshold,
            quality=quality,
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
        gallery = self._index.current()
        try:
            row = gallery.subject_ids.index(subject_id)
        except ValueError:
            raise TemplatesMissing(subject_id) from None
        clock.lap("gallery")
        pixels, quality = self._read(images)
        clock.lap("decode")
        probes = self._probes(pixels)
        clock.lap("nets")
        by_net = _compare(probes, [matrix[row : row + 1] for matrix in gallery.matrices])
        fused = self._ensemble.fusion.combine(by_net)
        answers, threshold = _decide(fused, self._ensemble.fusion.calibration, self._fmr_target)
        votes = self._votes(by_net, (subject_id,), self._fmr_target)
        clock.lap("search")
        return Verification(
            decision=_decision(answers),
            identity=subject,
            confidence=float(answers.confidence[0]),
            similarity=float(fused[0, 0]),
            nets=votes,
            threshold=threshold,
            quality=quality,
            timings_ms=clock.timings_ms(),
        )

    def _read(self, images: Sequence[bytes]) -> tuple[Images, list[Quality]]:
        """Returns the nets' input images, uint8 [B, H, W, 3], and the quality of each."""
        if not images:
            raise ValueError("no image is given: give at least one")
        pixels: list[Images] = []
        quality: list[Quality] = []
        for position, data in enumerate(images, start=1):
            try:
                pixels.append(prepare(decode(data, self._limits), self._ensemble.input_px))
                quality.append(assess(pixels[-1]))
            except PalmImageError as error:
                raise type(error)(f"image {position} of {len(images)}: {error}") from error
        return np.stack(pixels), quality

    def _probes(self, pixels: Images) -> list[Floats]:
        """Returns each net's probe [2, D]: the mean embedding of all images, by view."""
        return [mean_template(rows) for rows in self._embed(probe_views(pixels))]

    def _embed(self, views: Images) -> list[Floats]:
        """Returns each net's embeddings [B, ..., D] of the views [B, ..., H, W, 3] of B images.

        Raises:
            ArithmeticError: if an embedding is not of unit length; every answer would be wrong.
        """
        by_image = views.reshape(len(views), -1, *views.shape[-3:])
        # One image at a time: an engine keeps memory for the largest batch that it has seen.
        embeddings = [
            np.stack([net.embed(batch) for batch in by_image]).reshape(*views.shape[:-3], -1)
            for net in self._ensemble.nets
        ]
        for net, rows in zip(self._ensemble.nets, embeddings, strict=True):
            if not are_unit(rows).all():
                raise ArithmeticError(f"{net.key} computed an embedding that is not of unit length")
        return embeddings

    def _votes(
        self, by_net: Sequence[Floats], subject_ids: Sequence[str], fmr: float
    ) -> list[Vote]:
        return [
            _vote(net.key, net.calibration, similarities_of_net, subject_ids, fmr)
            for net, similarities_of_net in zip(self._ensemble.nets, by_net, strict=True)
        ]


def _compare(probes: Sequence[Floats], matrices: Sequence[Floats]) -> list[Floats]:
    """Returns each net's similarities [1, N] of its probe [2, D] to its templates [N, 2, M, D]."""
    return [
        similarities(probe[None], matrix) for probe, matrix in zip(probes, matrices, strict=True)
    ]


def _decide(found: Floats, calibration: Calibration, fmr: float) -> tuple[Answers, Threshold]:
    """Decides on similarities [1, N]; returns the threshold as well."""
    threshold = calibration.threshold_at(fmr)
    answers = decide(found, threshold.similarity, calibration.temperature)
    return answers, Threshold.of(threshold)


def _decision(answers: Answers) -> Decision:
    return cast(Decision, str(answers.decisions[0]))


def _rank(
    found: Floats, confidences: NDArray[np.float64], subject_ids: Sequence[str], count: int
) -> list[Candidate]:
    """Returns the `count` most similar of N subjects, each array [N]."""
    best: list[int] = np.argsort(-found, kind="stable")[:count].tolist()
    return [
        Candidate(
            subject_id=subject_ids[i],
            confidence=float(confidences[i]),
            similarity=float(found[i]),
        )
        for i in best
    ]


def _vote(
    key: NetKey, calibration: Calibration, found: Floats, subject_ids: Sequence[str], fmr: float
) -> Vote:
    """Returns what one net alone would answer, from its similarities [1, N]."""
    answers, threshold = _decide(found, calibration, fmr)
    best = int(answers.best[0])
    return Vote(
        net=key.net,
        version=key.version,
        subject_id=subject_ids[best] if subject_ids else None,
        decision=_decision(answers),
        confidence=float(answers.confidence[0]),
        similarity=float(found[0, best]) if subject_ids else None,
        threshold=threshold,
    )
