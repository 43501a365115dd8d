"""Decides on the scores of a probe with the subjects found, for all nets and for each."""

from typing import NamedTuple, cast

import numpy as np

from app.answers import Candidate, Threshold, Vote
from app.gallery.index.comparison import Found
from app.matching.calibration import Calibration
from app.matching.decision import Answers, Decision, decide
from app.matching.impostors import Impostors
from app.matching.maps import Floats
from app.matching.templates import NetKey


class Verdict(NamedTuple):
    """A decision on the scores with N subjects.

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
    scores: Floats,
    calibration: Calibration,
    found: Found,
    impostors: Impostors | None,
    fmr: float,
) -> Verdict:
    """Decides on the scores [N] with the subjects found."""
    counts = found.template_counts if found.subjects else np.ones(1, np.int64)
    limits = calibration.at(fmr, counts, probes=found.probe_images, impostors=impostors)
    kept = slice(len(scores))
    answers = decide(scores[np.newaxis], limits.scores[kept], limits.temperatures[kept])
    best = int(answers.best[0])
    at = float(limits.scores[max(best, 0)])
    return Verdict(answers, best, Threshold(score=at, fmr=limits.fmr))


def rank_candidates(fused: Floats, answers: Answers, found: Found, count: int) -> list[Candidate]:
    """Returns the `count` most probable of the N subjects found."""
    confidences = answers.posteriors[0, 1:]
    best: list[int] = np.lexsort((-fused, -confidences))[:count].tolist()
    return [
        Candidate(
            subject_id=found.subjects[i].subject_id,
            confidence=float(confidences[i]),
            score=float(fused[i]),
        )
        for i in best
    ]


def vote_of(key: NetKey, scores: Floats, verdict: Verdict, found: Found) -> Vote:
    """Returns what one net alone would answer, from its scores [N]."""
    return Vote(
        net=key.net,
        version=key.version,
        subject_id=found.subjects[verdict.best].subject_id if found.subjects else None,
        decision=verdict.decision,
        confidence=verdict.confidence,
        score=float(scores[verdict.best]) if found.subjects else None,
        threshold=verdict.threshold,
    )
