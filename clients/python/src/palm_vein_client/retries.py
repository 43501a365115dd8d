"""Which failures are tried again, and after how long."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from palm_vein_client.errors import ConnectionFailed, PalmError, ProblemError

REPEATED = frozenset({429, 503})
"""Statuses of states that pass: too many requests, not available now (RFC 9110, RFC 6585)."""


@dataclass(frozen=True)
class Retries:
    """How often and when a failed request is sent again.

    Attributes:
        attempts: sends of one request at most, 1 or more; 1 never repeats.
        first_s: upper bound of the first wait, seconds; it doubles with each further one.
        longest_s: upper bound of a wait; if the service asks for more, the error is raised.
        draw: returns a random number between its arguments, so that clients that failed together
            do not return together.
    """

    attempts: int = 4
    first_s: float = 0.5
    longest_s: float = 30.0
    draw: Callable[[float, float], float] = random.uniform

    def wait_s(self, failures: int, error: PalmError, *, safe: bool) -> float | None:
        """Returns how long to wait after a request's n-th failure; None to give up.

        Args:
            failures: number of failures, 1 or more.
            error: the last one.
            safe: whether the request may be repeated.
        """
        if not safe or failures >= self.attempts:
            return None
        own_s = self.draw(0.0, min(self.first_s * 2 ** (failures - 1), self.longest_s))
        if isinstance(error, ConnectionFailed):
            return own_s
        if not isinstance(error, ProblemError) or error.status not in REPEATED:
            return None
        wait_s = max(own_s, error.retry_after_s or 0.0)
        return wait_s if wait_s <= self.longest_s else None


def retry_after_s(header: str | None) -> float | None:
    """Returns the seconds that a Retry-After names, 0 or more; None if it names none."""
    if header is None:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        until = parsedate_to_datetime(header)
    except ValueError:
        return None
    now = datetime.now(timezone.utc)  # noqa: UP017 - Python 3.10 has no datetime.UTC
    zoned = until if until.tzinfo else until.replace(tzinfo=now.tzinfo)
    return max(0.0, (zoned - now).total_seconds())
