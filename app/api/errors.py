"""Errors that only HTTP knows: access, places to compute, parts that did not start."""


class NotReady(Exception):
    """A part of the service that the request needs could not be started.

    Attributes:
        part: the part.
        is_retried: whether the service tries to start it again by itself.
    """

    def __init__(self, part: str, *, is_retried: bool = False) -> None:
        super().__init__(
            f"{part} could not be reached; the service's log says why: the service tries again "
            "by itself until it can be"
            if is_retried
            else f"{part} could not be started; the service's log says why: repair that, then "
            "restart the service"
        )
        self.part = part
        self.is_retried = is_retried


class ExplanationOff(Exception):
    """An explanation is asked for, and the operator has not switched explanations on."""

    def __init__(self) -> None:
        super().__init__(
            "explanations are switched off: leave explain out, or set PALM_EXPLAIN=true and "
            "restart the service"
        )


class AuditOff(Exception):
    """The audit log is asked for, and the service keeps none."""

    def __init__(self) -> None:
        super().__init__(
            "this service keeps no audit log: set PALM_AUDIT_FILE to a file and restart the service"
        )


class CrossSite(Exception):
    """A page of another site asks for a change."""

    def __init__(self, origin: str) -> None:
        super().__init__(
            f"a page of another site ({origin:.80}) asked for a change; to allow it, list its "
            "origin in PALM_ALLOWED_ORIGINS and restart the service"
        )


class UnknownHost(Exception):
    """The request names a host that is not known to be this service."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"{host!r:.80} is not a known name of this service: use its address, or list the name "
            "in PALM_ALLOWED_HOSTS and restart the service"
        )


class TooManyRequests(Exception):
    """The caller sends more requests than it may."""

    def __init__(self, limit: str, retry_after_s: int) -> None:
        super().__init__(f"more than {limit} were sent; wait for {retry_after_s} s and try again")
        self.retry_after_s = retry_after_s


class Overloaded(Exception):
    """As many requests wait for a place to compute in as may, or for as long."""

    def __init__(self, places: int, waiting: int, retry_after_s: int) -> None:
        super().__init__(
            f"{places} requests are being computed, {waiting} wait, and no more may; wait for "
            f"{retry_after_s} s and try again"
        )
        self.retry_after_s = retry_after_s


class UploadUnkept(Exception):
    """The temporary file of a large upload could not be written."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the upload's temporary file cannot be written: {reason}; make room in the "
            "service's folder for temporary files (TMPDIR), or send smaller images"
        )


class NotConfirmed(Exception):
    """A trained identity is to be erased, and the caller did not confirm it."""

    def __init__(self, subject_id: str) -> None:
        super().__init__(
            f"the nets were trained on {subject_id!r}: once erased, it is ignored for good, also "
            "after a restart; send confirm=true if that is what you want"
        )


class SubjectChanged(Exception):
    """The subject is no longer as the caller read it."""

    def __init__(self, subject_id: str) -> None:
        super().__init__(
            f"subject {subject_id!r} has changed since its ETag was read: read it again, and "
            "change it with the new ETag"
        )


class ReloadRefused(Exception):
    """The nets are not replaced, and the former ones go on serving."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the nets that serve are kept: {reason}")
