"""Erases subjects whose retention date has passed: all that are due, or again and again."""

import logging
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

from app.audit.log import AuditLog, AuditUnusable, Event
from app.audit.pseudonyms import Pseudonyms
from app.gallery.erasure import Erasure
from app.gallery.errors import GalleryUnusable, SubjectUnknown
from app.gallery.gallery import Gallery
from app.gallery.subject import Subject

logger = logging.getLogger(__name__)

INTERVAL_S = 60.0
"""How often a service looks for subjects to erase. Nobody finds them meanwhile."""
ERASED_BY_RETENTION = "erased by retention"
_PAGE = 100  # subjects


class NotExpired(Exception):
    """The subject's date has been changed, or another subject has its id."""


def erase_expired(
    gallery: Gallery,
    audit: AuditLog,
    who: Event,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Erasure]:
    """Erases the subjects whose retention date has passed, and yields each receipt.

    Other processes may do so at the same time.

    Args:
        gallery: the subjects.
        audit: the audit log, which gets two lines for each subject.
        who: what these lines tell of whoever asks for it.
        is_stopping: tells whether to leave the others for later.

    Raises:
        AuditUnusable: if the audit log cannot be written; then nothing more is erased.
        GalleryUnusable: if the gallery cannot be used.
    """
    pseudonyms = Pseudonyms(gallery.secrets.pseudonyms)
    tried: set[str] = set()
    while due := [one for one in gallery.records.expired(_PAGE) if one not in tried]:
        for subject_id in due:
            if is_stopping():
                return
            tried.add(subject_id)
            event = {**who, "action": ERASED_BY_RETENTION, "subject": pseudonyms.of(subject_id)}
            try:
                with audit.change(event) as outcome:
                    erasure = gallery.delete(subject_id, check=_require_expired(gallery))
                    outcome["erasure"] = erasure.erasure_id
            except (SubjectUnknown, NotExpired):  # another process was faster
                continue
            yield erasure


def _require_expired(gallery: Gallery) -> Callable[[Subject], None]:
    def check(subject: Subject) -> None:
        if subject.retain_until is None or subject.retain_until > gallery.records.now():
            raise NotExpired

    return check


class RetentionTask:
    """Erases subjects whose date has passed, in a thread, until it is stopped."""

    def __init__(
        self,
        gallery: Gallery,
        audit: AuditLog,
        forget: Callable[[], object],
        interval_s: float = INTERVAL_S,
    ) -> None:
        """Creates the task; starts nothing.

        Args:
            gallery: the subjects.
            audit: the audit log.
            forget: applies erasures to the index in memory.
            interval_s: seconds between two looks at the gallery.
        """
        self._gallery = gallery
        self._audit = audit
        self._forget = forget
        self._interval_s = interval_s
        self._stopping = threading.Event()

    @contextmanager
    def running(self) -> Generator[None]:
        """Runs the task, at once and then after each interval, as long as the block lasts."""
        thread = threading.Thread(target=self._run, name="retention", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join()

    def erase_due(self) -> None:
        """Erases whoever is due; logs what keeps it from that, and leaves it for the next time."""
        count = 0
        who = {"caller": "service"}
        try:
            for erasure in erase_expired(self._gallery, self._audit, who, self._stopping.is_set):
                count += 1
                fields = {"subject": erasure.pseudonym, "erasure_id": erasure.erasure_id}
                logger.info(ERASED_BY_RETENTION, extra={"fields": fields})
        except (GalleryUnusable, AuditUnusable) as error:
            logger.warning(
                "subjects whose retention date has passed may not be erased yet; the service tries "
                "again in a minute: %s",
                error,
            )
        if count:
            self._forget()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.erase_due()
            except Exception:  # of whatever kind: the next time may succeed
                logger.exception("subjects whose retention date has passed may not be erased yet")
            self._stopping.wait(self._interval_s)
