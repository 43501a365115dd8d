"""An outage of a gallery's store, and how long its readers may go on with what they last read."""

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Lock
from time import monotonic
from typing import NamedTuple

from app.gallery.errors import GalleryUnreachable

logger = logging.getLogger(__name__)


class Moment(NamedTuple):
    """A moment of this process.

    Attributes:
        elapsed_s: by a clock that nobody can set, in seconds.
        time: UTC.
    """

    elapsed_s: float
    time: datetime


class Outage:
    """Whether the store cannot be reached; shared by all readers of one gallery, in any thread.

    Erasures and revoked API keys of other processes cannot be seen in an outage. So whatever was
    last read may be used only for a time, which is counted from when it was still known to be what
    the store holds, not from when the outage was noticed.
    """

    def __init__(self, allowed_s: float = 0.0, clock: Callable[[], float] = monotonic) -> None:
        """Creates the state of a store that can be reached.

        Args:
            allowed_s: how long readers may go on, in seconds; 0 is not at all. If it is more,
                something must try `GalleryIndex.refresh` again and again: only that ends an outage.
            clock: returns seconds that only rise.
        """
        self._allowed_s = allowed_s
        self._clock = clock
        self._failure: GalleryUnreachable | None = None
        self._changing = Lock()

    @property
    def is_on(self) -> bool:
        """Whether the store could not be reached last time."""
        return self._failure is not None

    def now(self) -> Moment:
        """Returns the present moment."""
        return Moment(self._clock(), datetime.now(UTC))

    def check(self) -> None:
        """Refuses at once in an outage, so that not every caller waits for the store.

        If readers may not go on, every caller finds out for itself: nothing else would.

        Raises:
            GalleryUnreachable: if the store could not be reached last time.
        """
        failure = self._failure
        if self._allowed_s and failure is not None:
            raise GalleryUnreachable(str(failure), is_logged=True)

    def may_use(self, read_at: Moment | None) -> bool:
        """Tells whether what was read at a moment may be used while the store cannot be reached."""
        return read_at is not None and self._clock() - read_at.elapsed_s < self._allowed_s

    @contextmanager
    def noting(self) -> Generator[None]:
        """Notes whether the store can be reached: so it is with any outcome of a block but one.

        A store that refuses, for example because a backup was put back, is no outage. Its readers
        must be told so at once, and not go on with what they last read.
        """
        try:
            yield
        except GalleryUnreachable as failure:
            self.begin(failure)
            raise
        except Exception:
            self.end()
            raise
        self.end()

    def begin(self, failure: GalleryUnreachable) -> None:
        """Notes that the store cannot be reached; logs it once."""
        with self._changing:
            former, self._failure = self._failure, failure
        if former is None and not failure.is_logged:
            logger.error(
                "%s; %s",
                failure,
                f"identification goes on for up to {self._allowed_s:g} s with what was last read"
                if self._allowed_s
                else "requests get 503",
            )
        failure.is_logged = True

    def end(self) -> None:
        """Notes that the store was reached; logs the end of an outage."""
        with self._changing:
            former, self._failure = self._failure, None
        if former is not None:
            logger.warning("the gallery can be reached again")
