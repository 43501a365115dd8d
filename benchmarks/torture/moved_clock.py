"""Runs the service with a clock that can be moved while it runs.

    MOVED_CLOCK=PATH python -m benchmarks.torture.moved_clock

The file holds by how many seconds the service's clock is ahead. Only the clock that tells the time
of the day moves; no system moves the monotonic one.
"""

import datetime as module
import os
import sys
import time
from pathlib import Path
from typing import Self

_FILE = Path(os.environ["MOVED_CLOCK"])
_now = time.time


def moved_time() -> float:
    """Returns the time of the moved clock, in s since 1970."""
    return _now() + float(_FILE.read_text())


class MovedDatetime(module.datetime):
    """A datetime whose `now` is that of the moved clock."""

    @classmethod
    def now(cls, tz: module.tzinfo | None = None) -> Self:
        """Returns the time of the moved clock."""
        return cls.fromtimestamp(moved_time(), tz)


def main() -> int:
    time.time = moved_time
    time.time_ns = lambda: int(moved_time() * 1e9)
    module.datetime = MovedDatetime  # before anything imports it from there

    from app.__main__ import main as serve

    return serve([])


if __name__ == "__main__":
    sys.exit(main())
