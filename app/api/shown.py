"""What a caller may see of an answer, by its scopes."""

from typing import Any, TypeVar

from app.access.keys import Caller
from app.api.schemas import Enrollment, Identification, Verification
from app.gallery.subject import Subject
from app.numbers import coarsen

Decided = TypeVar("Decided", Identification, Verification)

_UNREAD: dict[str, Any] = {"metadata": {}, "consent": None, "retain_until": None}
"""What callers get who need not know more of a subject than whose palm it is."""


def subject_for(caller: Caller, subject: Subject) -> Subject:
    """Returns a subject, without its details unless the caller has the scope `read`."""
    return subject if "read" in caller.scopes else subject.model_copy(update=_UNREAD)


def decision_for(caller: Caller, answer: Decided) -> Decided:
    """Returns an answer to a comparison, with rounded scores unless the caller has `scores`."""
    known = answer.identity and subject_for(caller, answer.identity)
    seen = answer.model_copy(update={"identity": known})
    return seen if "scores" in caller.scopes else coarsen(seen)


def enrollment_for(caller: Caller, answer: Enrollment) -> Enrollment:
    """Returns an answer to an enrolment."""
    return answer.model_copy(update={"subject": subject_for(caller, answer.subject)})
