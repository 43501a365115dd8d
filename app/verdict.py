"""Decides on the similarities of a probe to the subjects found, for all nets and for each."""

from typing import NamedTuple, cast

import numpy as np

from app.answers import Candidate, Threshold, Vote
from app.gallery.comparison import Found
from app.matching.calibration import Calibration
from app.matching.decision import Answers, Decision, decide
from app.matching.impostors import Impostors
from app.matching.maps import Floats
from app.matching.templates import NetKey


class Verdict(NamedTuple):
    """A decision on the similarities to N subjects.

    Attributes:
        answers: the decision on the one probe.
        best: the most probable subject; -1 if there is none.
        threshold: that of the best subject or, in an empty gallery, of one image.
    """

    answers: Answers
    best: int
    threshold: Threshold

    @property
    def decision(self) -> Decision:
        """match, no_match or inconclusive."""
        return cast(Decision, str(self.answers.decisions[0]))

    @property
    def confidence(self) -> float:
        """The probability of the decision, 0 to 1."""
        return float(self.answers.confidence[0])


def judge(
    similarities: Floats,
    calibration: Calibration,
    found: Found,
    impostors: Impostors | None,
    fmr: float,
) -> Verdict:
    """Decides on the similarities [N] to the subjects found."""
    counts = found.template_counts if found.subjects else np.ones(1, np.int64)
    limits = calibration.at(fmr, counts, probes=found.probe_images, impostors=impostors)
    kept = slice(len(similarities))
    answers = decide(similarities[np.newaxis], limits.similarities[kept], limits.temperatures[kept])
    best = int(answers.best[0])
    at = float(limits.similarities[max(best, 0)])
    return Verdict(answers, best, Threshold(similarity=at, fmr=limits.fmr))


def rank_candidates(fused: Floats, answers: Answers, found: Found, count: int) -> list[Candidate]:
    """Returns the `count` most probable of the N subjects found."""
    confidences = answers.posteriors[0, 1:]
    best: list[int] = np.lexsort((-fused, -confidences))[:count].tolist()
    return [
        Candidate(
            subject_id=found.subjects[i].subject_id,
            confidence=float(confidences[i]),
            similarity=float(fused[i]),
        )
        for i in best
    ]


def vote_of(key: NetKey, similarities: Floats, verdict: Verdict, found: Found) -> Vote:
    """Returns what one net alone would answer, from its similarities [N]."""
    return Vote(
        net=key.net,
        version=key.version,
        subject_id=found.subjects[verdict.best].subject_id if found.subjects else None,
        decision=verdict.decision,
        confidence=verdict.confidence,
        similarity=float(similarities[verdict.best]) if found.subjects else None,
        threshold=verdict.threshold,
    )
